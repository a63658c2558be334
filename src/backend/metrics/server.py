"""`/metrics` of a process that serves nothing else."""

import http.server
import threading

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from backend.metrics.access import is_welcome

REQUEST_TIMEOUT_S = 5.0


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        if self.path != "/metrics":
            self._answer(404)
        elif is_welcome(self.headers.get("Authorization", "")):
            self._answer(200, generate_latest(REGISTRY), {"Content-Type": CONTENT_TYPE_LATEST})
        else:
            self._answer(401, headers={"WWW-Authenticate": "Bearer"})

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: it would repeat what a client sent."""

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def serve_metrics(port: int) -> None:
    """On every address, from a thread that ends with the process."""
    server = http.server.ThreadingHTTPServer(("", port), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
