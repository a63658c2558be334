"""Every setting of the subtitles worker, in one table; read once, by the worker's composition root."""

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.runtime.errors import SettingsError
from contract import names
from contract.addresses import Allowlist, allowlist_of
from contract.engines import NamedValue

MIN_SECRET_CHARS = 32
ENGINE_SCHEMES = ("http://", "https://", "ws://", "wss://", "grpc://", "grpcs://")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One environment variable; `default` None means that it must be given."""

    name: str
    default: str | None
    help: str


SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="DJANGO_ENV",
        default="production",
        help="`local` relaxes the checks on secrets; all else is production.",
    ),
    Setting(
        name="LIVEKIT_URL",
        default="ws://127.0.0.1:7880",
        help="Where the worker reaches LiveKit (ws:// or wss://).",
    ),
    Setting(name="LIVEKIT_API_KEY", default=None, help="LiveKit API key."),
    Setting(
        name="LIVEKIT_API_SECRET",
        default=None,
        help="LiveKit API secret, at least 32 characters in production.",
    ),
    Setting(
        name="INTERNAL_API_SECRET",
        default=None,
        help="Signs what workers say to the backend; the same on both sides, at least 32 characters in production.",
    ),
    Setting(
        name="ROOM_SUBTITLE_AGENT_NAME",
        default=names.AGENT_NAME,
        help="LiveKit agent name that dispatches ask for.",
    ),
    Setting(
        name="BACKEND_URL", default="http://127.0.0.1:8000", help="Where the worker reaches the backend."
    ),
    Setting(
        name="SPEECH_URL", default="http://127.0.0.1:8001", help="Where the worker reaches the speech server."
    ),
    Setting(name="SPEECH_API_KEY", default="", help="Bearer key of the speech server; empty: none is sent."),
    Setting(
        name="STT_PROVIDER",
        default="embedded",
        help="The engine that the next three are of, the same as the backend's.",
    ),
    Setting(
        name="STT_BASE_URL",
        default="",
        help="Where that engine is; empty: its own address (Deepgram), or SPEECH_URL (embedded).",
    ),
    Setting(name="STT_MODEL", default="", help="Its model; empty: the engine's own choice."),
    Setting(
        name="STT_API_KEY",
        default="",
        help="Its key; empty: none is sent, or SPEECH_API_KEY (embedded).",
    ),
    Setting(
        name="NVIDIA_FUNCTION_ID",
        default="",
        help="Which of NVIDIA's hosted models, when that engine is `nvidia`; empty: an English one.",
    ),
    Setting(
        name="ENGINE_ALLOWED_HOSTS",
        default="",
        help="Hosts, host:port or networks that engines of the admin may be at though they are not public; "
        "comma-separated, the same as the backend's.",
    ),
    Setting(
        name="WORKER_NAME",
        default="",
        help="Name of this worker; empty: the host's name and a random suffix.",
    ),
    Setting(name="WORKER_HEALTH_HOST", default="127.0.0.1", help="Address of the worker's health endpoint."),
    Setting(
        name="WORKER_HEALTH_PORT", default="0", help="Port of the worker's health endpoint; 0: a free one."
    ),
    Setting(
        name="WORKER_METRICS_PORT",
        default="0",
        help="Port of the worker's metrics, on every address; 0: none.",
    ),
    Setting(
        name="METRICS_TOKEN",
        default="",
        help="Bearer token wanted by /metrics; empty: open in local runs, closed in production.",
    ),
    Setting(
        name="SUBTITLES_CAPACITY",
        default="8",
        help="How many people speaking at once one worker transcribes (1-1000).",
    ),
    Setting(
        name="SUBTITLES_BACKLOG_SEGMENTS",
        default="50",
        help="How many of the last segments somebody who comes late is sent (0-1000); 0: none.",
    ),
    Setting(
        name="SUBTITLES_BACKLOG_MINUTES",
        default="10",
        help="How old these may be (1-1440).",
    ),
    Setting(
        name="TRANSCRIPT_SPOOL_DIR",
        default="",
        help="Where finals of kept transcripts wait for the backend; empty: roomscribe-spool among temporary files.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The table above, typed."""

    livekit_url: str
    livekit_api_key: str
    livekit_api_secret: str = field(repr=False)
    internal_api_secret: str = field(repr=False)
    agent_name: str
    backend_url: str
    speech_url: str
    speech_api_key: str = field(repr=False)
    stt_provider: str
    stt_base_url: str
    stt_model: str
    stt_api_key: str = field(repr=False)
    stt_options: tuple[NamedValue, ...]
    """What only the provider's engine wants to know."""
    engine_allowed_hosts: Allowlist
    worker_name: str
    health_host: str
    health_port: int
    metrics_port: int
    metrics_token: str = field(repr=False)
    is_local: bool
    capacity: int
    backlog_segments: int
    backlog_minutes: int
    spool_directory: str
    """Empty: one among temporary files."""


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Raises SettingsError, which names the variable."""
    given = os.environ if environment is None else environment
    # A mounted secret file usually ends in a newline, and a key with one signs differently.
    values = {setting.name: given.get(setting.name, "").strip() or setting.default for setting in SETTINGS}
    for name, value in values.items():
        if value is None:
            raise SettingsError(f"{name} is not set")
    known = {name: value or "" for name, value in values.items()}
    if known["DJANGO_ENV"] != "local":
        _refuse_weak_secrets(known)
    return Settings(
        livekit_url=_url(known, "LIVEKIT_URL", ("ws://", "wss://", "http://", "https://")),
        livekit_api_key=known["LIVEKIT_API_KEY"],
        livekit_api_secret=known["LIVEKIT_API_SECRET"],
        internal_api_secret=known["INTERNAL_API_SECRET"],
        agent_name=known["ROOM_SUBTITLE_AGENT_NAME"],
        backend_url=_url(known, "BACKEND_URL", ("http://", "https://")),
        speech_url=_url(known, "SPEECH_URL", ("http://", "https://")),
        speech_api_key=known["SPEECH_API_KEY"],
        stt_provider=known["STT_PROVIDER"],
        stt_base_url=known["STT_BASE_URL"] and _url(known, "STT_BASE_URL", ENGINE_SCHEMES),
        stt_model=known["STT_MODEL"],
        stt_api_key=known["STT_API_KEY"],
        stt_options=_stt_options(known),
        engine_allowed_hosts=_allowlist(known, "ENGINE_ALLOWED_HOSTS"),
        worker_name=known["WORKER_NAME"] or f"{socket.gethostname()}-{secrets.token_hex(4)}",
        health_host=known["WORKER_HEALTH_HOST"],
        health_port=_number(known, "WORKER_HEALTH_PORT", least=0, most=65_535),
        metrics_port=_number(known, "WORKER_METRICS_PORT", least=0, most=65_535),
        metrics_token=known["METRICS_TOKEN"],
        is_local=known["DJANGO_ENV"] == "local",
        capacity=_number(known, "SUBTITLES_CAPACITY", least=1, most=1_000),
        backlog_segments=_number(known, "SUBTITLES_BACKLOG_SEGMENTS", least=0, most=1_000),
        backlog_minutes=_number(known, "SUBTITLES_BACKLOG_MINUTES", least=1, most=1_440),
        spool_directory=known["TRANSCRIPT_SPOOL_DIR"],
    )


def spare_memory() -> None:
    """livekit-agents else loads its end-of-turn model, 244 MB that no transcriber uses, for its job processes."""
    os.environ["LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE"] = "0"


def _refuse_weak_secrets(values: Mapping[str, str]) -> None:
    secret_names = ("LIVEKIT_API_SECRET", "INTERNAL_API_SECRET")
    for name in secret_names:
        if len(values[name]) < MIN_SECRET_CHARS:
            raise SettingsError(f"{name} is shorter than {MIN_SECRET_CHARS} characters")
    if len({values[name] for name in secret_names}) < len(secret_names):
        raise SettingsError("LIVEKIT_API_SECRET and INTERNAL_API_SECRET are equal")


def _stt_options(values: Mapping[str, str]) -> tuple[NamedValue, ...]:
    function_id = values["NVIDIA_FUNCTION_ID"]
    if values["STT_PROVIDER"] != "nvidia" or not function_id:
        return ()
    return (NamedValue(name="function_id", value=function_id),)


def _url(values: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    if not values[name].startswith(schemes):
        raise SettingsError(f"{name} does not begin with one of {', '.join(schemes)}")
    return values[name].rstrip("/")


def _allowlist(values: Mapping[str, str], name: str) -> Allowlist:
    entries = [entry.strip() for entry in values[name].split(",")]
    try:
        return allowlist_of(entry for entry in entries if entry)
    except ValueError:
        raise SettingsError(f"{name} is not hosts, host:port or networks, comma-separated") from None


def _number(values: Mapping[str, str], name: str, *, least: int, most: int) -> int:
    digits = values[name]
    if not (digits.isascii() and digits.isdigit() and least <= int(digits[:9]) <= most):
        raise SettingsError(f"{name} is not a whole number from {least} to {most}")
    return int(digits)
