"""A real livekit-server on free ports."""

import datetime
import json
import os
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from livekit import api

from tests.support.ports import free_ports_in_a_row

ROOT = Path(__file__).resolve().parents[2]


def livekit_binary() -> str:
    found = shutil.which("livekit-server") or str(ROOT / ".local/bin/livekit-server")
    if not Path(found).exists():
        raise RuntimeError("livekit-server is missing: run `make test`, which builds it")
    return found


@dataclass
class LiveKitServer:
    port: int
    api_key: str
    api_secret: str

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(
        self,
        room: str,
        identity: str,
        *,
        ttl_s: float = 3600,
        name: str | None = None,
        attributes: dict[str, str] | None = None,
        **grants: object,
    ) -> str:
        video = api.VideoGrants(**{"room_join": True, "room": room, **grants})  # type: ignore[arg-type]
        return (
            api.AccessToken(self.api_key, self.api_secret)
            .with_identity(identity)
            .with_name(identity.title() if name is None else name)
            .with_grants(video)
            .with_attributes(attributes or {})
            .with_ttl(datetime.timedelta(seconds=ttl_s))
            .to_jwt()
        )

    def api(self) -> api.LiveKitAPI:
        return api.LiveKitAPI(self.http_url, self.api_key, self.api_secret)


class RunningLiveKit:
    """`with RunningLiveKit(tmp) as server:`; ended by its own pid."""

    def __init__(self, directory: Path, *, webhook_url: str | None = None) -> None:
        self._directory, self._webhook_url = directory, webhook_url

    def __enter__(self) -> LiveKitServer:
        port = free_ports_in_a_row(3)
        server = LiveKitServer(port=port, api_key="testkey", api_secret="test-secret-" + "x" * 32)
        config = {
            "port": server.port,
            "bind_addresses": ["127.0.0.1"],
            "rtc": {
                "tcp_port": port + 1,
                "port_range_start": 0,
                "port_range_end": 0,
                "udp_port": port + 2,
                "node_ip": "127.0.0.1",
                "use_external_ip": False,
                "enable_loopback_candidate": True,
            },
            "keys": {server.api_key: server.api_secret},
            "room": {"departure_timeout": 300},
            "logging": {"level": "warn"},
        }
        if self._webhook_url:
            config["webhook"] = {"api_key": server.api_key, "urls": [self._webhook_url]}
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / "livekit.json"  # JSON is YAML
        path.write_text(json.dumps(config))
        self._log = (self._directory / "livekit.log").open("wb")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LIVEKIT_")}
        self._process = subprocess.Popen(
            [livekit_binary(), "--config", str(path)], stdout=self._log, stderr=self._log, env=environment
        )
        deadline = time.monotonic() + 30
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(
                    f"livekit-server did not start: {(self._directory / 'livekit.log').read_text()}"
                )
            try:
                urllib.request.urlopen(server.http_url, timeout=1).close()
                return server
            except OSError:
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
