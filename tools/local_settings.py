"""What `make run` is told, and what its processes are told. Standard library only."""

import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.installation import ROOT

VARIABLES = {
    "ROOMSCRIBE_DATA_DIR": str(ROOT / ".local/data"),
    "BACKEND_PORT": "8000",
    # Two more follow it, for media.
    "LIVEKIT_PORT": "7880",
    "SPEECH_PORT": "8001",
    "SUBTITLES_WORKERS": "1",
}
"""What only `make run` reads, and the defaults; all other settings belong to the processes."""

WORKER_METRICS_PORT = {"WORKER_METRICS_PORT": "0"}
"""The workers' setting, but there may be several of them here: the first has this port, the others the next ones."""


class NotPossible(Exception):
    """Its text tells the user what to change."""


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    data_dir: Path
    backend_port: int
    livekit_port: int
    speech_port: int
    subtitles_workers: int
    worker_metrics_port: int
    starts_livekit: bool

    @property
    def backend_url(self) -> str:
        return f"http://127.0.0.1:{self.backend_port}"

    @property
    def livekit_url(self) -> str:
        return f"ws://127.0.0.1:{self.livekit_port}"

    @property
    def speech_url(self) -> str:
        return f"http://127.0.0.1:{self.speech_port}"

    @property
    def database(self) -> Path:
        return self.data_dir / "db.sqlite3"

    @property
    def export_dir(self) -> Path:
        return self.data_dir / "exports"

    @property
    def livekit_config(self) -> Path:
        return self.data_dir / "livekit.json"

    @property
    def run_dir(self) -> Path:
        return self.data_dir / "run"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "log"

    @property
    def subtitles_names(self) -> tuple[str, ...]:
        if self.subtitles_workers == 1:
            return ("subtitles",)
        return tuple(f"subtitles-{number}" for number in range(1, self.subtitles_workers + 1))


def local_settings(environment: Mapping[str, str]) -> LocalSettings:
    def text_of(name: str) -> str:
        return environment.get(name) or {**VARIABLES, **WORKER_METRICS_PORT}[name]

    def number(name: str, highest: int, lowest: int = 1) -> int:
        text = text_of(name)
        if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
            raise NotPossible(f"{name} must be a number from {lowest} to {highest}")
        return int(text)

    return LocalSettings(
        data_dir=Path(text_of("ROOMSCRIBE_DATA_DIR")).resolve(),
        backend_port=number("BACKEND_PORT", 65535),
        livekit_port=number("LIVEKIT_PORT", 65533),
        speech_port=number("SPEECH_PORT", 65535),
        subtitles_workers=number("SUBTITLES_WORKERS", 64),
        worker_metrics_port=number("WORKER_METRICS_PORT", 65535 - 64, lowest=0),
        starts_livekit=not environment.get("LIVEKIT_URL"),
    )


def busy_ports(settings: LocalSettings) -> list[str]:
    """A line for each that cannot be had: which ports, and what changes them."""
    livekit = settings.livekit_port
    wanted = {
        "BACKEND_PORT": {settings.backend_port: socket.SOCK_STREAM},
        "SPEECH_PORT": {settings.speech_port: socket.SOCK_STREAM},
    }
    if settings.starts_livekit:
        udp = socket.SOCK_DGRAM
        wanted["LIVEKIT_PORT"] = {
            livekit: socket.SOCK_STREAM,
            livekit + 1: socket.SOCK_STREAM,
            livekit + 2: udp,
        }
    lines = []
    for variable, ports in wanted.items():
        hint = "the first of three free ports in a row" if variable == "LIVEKIT_PORT" else "a free port"
        if busy := [str(port) for port, kind in ports.items() if _is_busy(port, kind)]:
            lines.append(f"port {', '.join(busy)} is busy: set {variable} to {hint}")
        others = {port for other in wanted if other != variable for port in wanted[other]}
        lines += [
            f"port {port} is wanted twice: set {variable} to {hint}" for port in ports if port in others
        ]
    return lines


def _is_busy(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            # As the servers do: connections that are only closing do not keep the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def process_environment(settings: LocalSettings, caller: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process: what the caller set wins, save for what makes them one stack."""
    generated = _keys(settings.data_dir)
    if not settings.starts_livekit:
        del generated["LIVEKIT_API_KEY"], generated["LIVEKIT_API_SECRET"]
        for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
            if not caller.get(name):
                raise NotPossible(f"LIVEKIT_URL is set, so {name} of that LiveKit is needed too")
    defaults = {
        **generated,
        "DJANGO_ENV": "local",
        "DATABASE_URL": f"sqlite:///{settings.database}",
        "EXPORT_DIR": str(settings.export_dir),
        "LIVEKIT_URL": settings.livekit_url,
        "LIVEKIT_SERVES_ONLY_US": "true" if settings.starts_livekit else "false",
        "BACKEND_URL": settings.backend_url,
        "SPEECH_URL": settings.speech_url,
        "SPEECH_HOST": "127.0.0.1",
        "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE": "0",
        "TRANSCRIPT_SPOOL_DIR": str(settings.data_dir / "spool"),
    }
    return {
        **defaults,
        **{name: value for name, value in caller.items() if value or name not in defaults},
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "backend.config.settings",
        "SPEECH_PORT": str(settings.speech_port),
        # A free one: there may be several workers.
        "WORKER_HEALTH_PORT": "0",
    }


def livekit_configuration(settings: LocalSettings, environment: Mapping[str, str]) -> str:
    """JSON, which is YAML."""
    key = environment["LIVEKIT_API_KEY"]
    configuration = {
        "port": settings.livekit_port,
        "bind_addresses": ["127.0.0.1"],
        "rtc": {
            "tcp_port": settings.livekit_port + 1,
            "udp_port": settings.livekit_port + 2,
            "port_range_start": 0,
            "port_range_end": 0,
            "node_ip": "127.0.0.1",
            "use_external_ip": False,
            "enable_loopback_candidate": True,
        },
        "keys": {key: environment["LIVEKIT_API_SECRET"]},
        # Rooms outlive a reload of the page by the last participant.
        "room": {"departure_timeout": 300},
        "webhook": {"api_key": key, "urls": [f"{settings.backend_url}/api/v1.0/webhooks/livekit/"]},
        # At its usual level it names every participant.
        "logging": {"level": "warn", "json": True},
    }
    return json.dumps(configuration, indent=2)


def write_privately(path: Path, text: str) -> None:
    """Readable by the owner alone from its first byte, and never half written."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def _keys(data_dir: Path) -> dict[str, str]:
    """Made at the first run, and kept."""
    path = data_dir / "keys.json"
    keys = json.loads(path.read_text()) if path.exists() else {}
    missing = {name: value for name, value in _new_keys() if name not in keys}
    if missing:
        keys.update(missing)
        write_privately(path, json.dumps(keys, indent=2))
    return keys


def _new_keys() -> Iterator[tuple[str, str]]:
    yield "DJANGO_SECRET_KEY", secrets.token_urlsafe(48)
    yield "INTERNAL_API_SECRET", secrets.token_urlsafe(48)
    yield "API_KEY_ENCRYPTION_KEY", secrets.token_urlsafe(48)
    yield "LIVEKIT_API_KEY", f"API{secrets.token_hex(8)}"
    yield "LIVEKIT_API_SECRET", secrets.token_urlsafe(48)
