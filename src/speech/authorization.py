"""The optional bearer key, asked of HTTP and of the WebSocket handshake alike."""

import secrets

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_PATHS = frozenset({"/health"})
REFUSAL = {
    "error": {"message": "A bearer key is needed.", "type": "authentication_error", "code": "unauthorized"}
}


class BearerKey:
    """ASGI middleware; refuses a handshake before it is accepted."""

    def __init__(self, app: ASGIApp, *, api_key: str) -> None:
        self._app = app
        self._wanted = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in OPEN_PATHS or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        refusal = JSONResponse(REFUSAL, status_code=401, headers={"WWW-Authenticate": "Bearer"})
        if scope["type"] == "websocket":
            await receive()  # websocket.connect
        await refusal(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        given = Headers(scope=scope).getlist("authorization")
        return len(given) == 1 and secrets.compare_digest(given[0].encode("latin-1"), self._wanted)
