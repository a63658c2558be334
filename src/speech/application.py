"""The ASGI application, put together from its parts."""

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route, WebSocketRoute

from speech import routes
from speech.authorization import BearerKey
from speech.pool import Pool
from speech.realtime import Door
from speech.settings import Settings


def application(settings: Settings) -> Starlette:
    pool = Pool(sessions=settings.sessions)

    @contextlib.asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        app.state.pool = pool
        async with pool.running():
            yield

    return Starlette(
        routes=[
            Route("/health", routes.health),
            Route("/v1/models", routes.list_models),
            Route("/v1/audio/transcriptions", routes.transcribe_file, methods=["POST"]),
            WebSocketRoute("/v1/realtime", Door(pool=pool).open),
        ],
        middleware=[Middleware(BearerKey, api_key=settings.api_key)] if settings.api_key else [],
        lifespan=running,
    )
