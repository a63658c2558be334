"""Bodies end here when they are too large: Django writes them to disk before it looks at who sends them."""

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BYTES = 1024 * 1024
"""The largest body there is: an agent's heartbeat."""


class BodyTooLarge(Exception):
    """More came than was announced, or than anybody needs."""


def limited(app: App, *, max_bytes: int = MAX_BYTES) -> App:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        came = 0
        is_answered = False

        async def counted() -> dict[str, Any]:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > max_bytes:
                raise BodyTooLarge
            return message

        async def noted(message: dict[str, Any]) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await app(scope, counted, noted)
        except BodyTooLarge:
            if not is_answered:
                await _refuse(send)

    return serve


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    body = b'{"code":"invalid_body","detail":"The request is not of the documented shape."}'
    await send({"type": "http.response.body", "body": body})
