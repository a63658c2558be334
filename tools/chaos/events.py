"""What LiveKit itself says happened: its webhooks, heard by us beside the backend."""

import http.server
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from contract.names import AGENT_IDENTITY_PREFIX


@dataclass(frozen=True, kw_only=True)
class RoomEvent:
    at: float
    event: str
    room: str
    identity: str
    sid: str
    reason: str

    @property
    def is_of_an_agent(self) -> bool:
        return self.identity.startswith(AGENT_IDENTITY_PREFIX)


class Events:
    """`with Events(port) as events:`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.seen: list[RoomEvent] = []
        seen = self.seen

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                seen.append(_event(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="events", daemon=True)

    def __enter__(self) -> "Events":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of_agents(self, room: str, event: str) -> list[RoomEvent]:
        return [e for e in self.seen if e.room == room and e.event == event and e.is_of_an_agent]


def _event(body: dict[str, Any]) -> RoomEvent:
    participant = body.get("participant", {})
    return RoomEvent(
        at=time.monotonic(),
        event=body.get("event", ""),
        room=body.get("room", {}).get("name", ""),
        identity=participant.get("identity", ""),
        sid=participant.get("sid", ""),
        reason=str(participant.get("disconnectReason", "")),
    )


def distinct(events: Iterable[RoomEvent]) -> set[str]:
    return {event.sid for event in events}
