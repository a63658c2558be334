"""Stands between LiveKit and the backend and treats webhooks badly: loses, doubles, mixes up or delays them."""

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Literal

import aiohttp
from aiohttp import web

from tests.support.threaded import ThreadedServer

Treatment = Literal["pass", "lose", "double", "mix up", "delay"]

PASS_ON_WITHIN_S = 5.0
MIXED_UP_WITHIN_S = 2.0
"""Each is held back by its own random time up to this, so that they overtake each other."""
SEED = 4


@dataclass(frozen=True, kw_only=True)
class Passed:
    """One webhook that reached the backend, and what it answered."""

    at: float
    room: str
    event: str
    status: int
    age_s: float


@dataclass(frozen=True, kw_only=True)
class Webhook:
    path: str
    headers: dict[str, str]
    body: bytes
    room: str
    event: str
    came_at: float


class WebhookFilter(ThreadedServer):
    """`with WebhookFilter(backend_url) as webhooks:`; LiveKit is told `webhooks.url`, the path stays as it is."""

    def __init__(self, backend_url: str) -> None:
        super().__init__(self._application_of)
        self._backend_url = backend_url
        self._random = random.Random(SEED)
        self._held: set[asyncio.Task[None]] = set()
        self._lost: list[Webhook] = []
        self.treatments: dict[str, Treatment] = {}
        """By room; those of others pass."""
        self.delay_s = 60.0
        self.passed: list[Passed] = []

    def __enter__(self) -> "WebhookFilter":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._within(self._forget_held())
        self.stop()

    @property
    def held(self) -> int:
        """Webhooks that are still to be passed on."""
        return len(self._held)

    @property
    def lost(self) -> int:
        return len(self._lost)

    def replay_lost(self) -> list[Passed]:
        """Everything that was lost reaches the backend after all, last first; what it answered."""
        lost, self._lost = self._lost, []
        return [self._within(self._pass_on(webhook)) for webhook in reversed(lost)]

    def _application_of(self) -> web.Application:
        application = web.Application(client_max_size=2**20)
        application.router.add_post("/{path:.*}", self._on_webhook)
        return application

    async def _on_webhook(self, request: web.Request) -> web.Response:
        body = await request.read()
        wanted = ("Authorization", "Content-Type")
        webhook = Webhook(
            path=request.path,
            headers={name: request.headers[name] for name in wanted if name in request.headers},
            body=body,
            room=_room_and_event(body)[0],
            event=_room_and_event(body)[1],
            came_at=time.monotonic(),
        )
        match self.treatments.get(webhook.room, "pass"):
            case "lose":
                self._lost.append(webhook)
            case "double":
                for after_s in (0.0, 0.0, 1.0):
                    self._later(webhook, after_s)
            case "mix up":
                self._later(webhook, self._random.uniform(0, MIXED_UP_WITHIN_S))
            case "delay":
                self._later(webhook, self.delay_s)
            case "pass":
                self._later(webhook, 0.0)
        return web.Response()  # LiveKit does not learn what became of it

    def _later(self, webhook: Webhook, after_s: float) -> None:
        task = asyncio.create_task(self._pass_on_after(webhook, after_s))
        self._held.add(task)
        task.add_done_callback(self._held.discard)

    async def _pass_on_after(self, webhook: Webhook, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._pass_on(webhook)

    async def _pass_on(self, webhook: Webhook) -> Passed:
        status = 0
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PASS_ON_WITHIN_S)) as client,
                client.post(
                    f"{self._backend_url}{webhook.path}", data=webhook.body, headers=webhook.headers
                ) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass  # a backend that is away: status 0
        now = time.monotonic()
        passed = Passed(
            at=now, room=webhook.room, event=webhook.event, status=status, age_s=now - webhook.came_at
        )
        self.passed.append(passed)
        return passed

    async def _forget_held(self) -> None:
        for task in self._held:
            task.cancel()


def _room_and_event(body: bytes) -> tuple[str, str]:
    """For those whose webhook it is, and for the report."""
    told = json.loads(body)
    return str(told.get("room", {}).get("name", "")), str(told.get("event", ""))
