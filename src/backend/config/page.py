"""How the meeting page and its files are served."""

from wsgiref.headers import Headers


def content_security_policy(livekit_url: str) -> str:
    """The page talks to its own origin and to LiveKit, and runs nothing it did not bring."""
    socket = livekit_url.replace("http", "ws", 1) if livekit_url.startswith("http") else livekit_url
    livekit = f"{socket} {socket.replace('ws', 'http', 1)}"
    return (
        f"default-src 'self'; connect-src 'self' {livekit}; media-src 'self' blob:; img-src 'self' data:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


class PageHeaders:
    def __init__(self, *, livekit_url: str) -> None:
        self._policy = content_security_policy(livekit_url)

    def __call__(self, headers: Headers, path: str, url: str) -> None:
        if path.endswith(".html"):
            headers["Content-Security-Policy"] = self._policy


def is_immutable(_path: str, url: str) -> bool:
    """Vite names these files by their content."""
    return url.startswith("/assets/")
