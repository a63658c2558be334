"""The whole line, once, as a participant meets it: a room of its own, a clip of speech, a caption, and all put away.

Whatever happens on the way, neither the room nor its subtitles are left behind; should this process be killed,
LiveKit closes the empty room and the keeper ends its session.
"""

import asyncio
import contextlib
import datetime
import time
import uuid
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from livekit import api, rtc
from livekit.rtc.participant import PublishTrackError

from backend.checks.guest import Guest
from contract.status import Reason, State

ASK_EVERY_S = 0.2
REQUEST_TIMEOUT_S = 2.0
STOP_WITHIN_S = 3.0
CLEAN_WITHIN_S = 3.0
EMPTY_ROOM_CLOSES_AFTER_S = 10
TOKEN_TTL = datetime.timedelta(minutes=5)
REFUSALS = {
    "not_a_participant": "start_refused",
    "room_absent": "start_refused",
    "livekit_unavailable": "livekit_down",
}
"""What a start may be answered with and yet be granted a moment later, and whose fault it is if not."""


class CheckFailed(Exception):
    """`reason` is one of the documented words; `steps` is how far it came."""

    def __init__(self, reason: str, steps: "Steps") -> None:
        super().__init__(reason)
        self.reason, self.steps = reason, steps


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What is checked, and as whom."""

    livekit_url: str
    livekit_key: str
    livekit_secret: str = field(repr=False)
    backend_url: str
    is_room_admin: bool
    clip: Path


class Steps:
    """How many seconds each step took, in order."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()
        self._took_s: dict[str, float] = {}

    def done(self, step: str) -> None:
        """The step that began with the end of the one before has ended; told once."""
        if step not in self._took_s:
            now_s = time.monotonic()
            self._took_s[step], self._last_s = now_s - self._last_s, now_s

    def __str__(self) -> str:
        return ", ".join(f"{step} {took_s:.2f} s" for step, took_s in self._took_s.items())


async def check_captions(deployment: Deployment, *, timeout_s: float) -> Steps:
    """Raises CheckFailed."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)) as http,
        api.LiveKitAPI(
            deployment.livekit_url, deployment.livekit_key, deployment.livekit_secret, failover=False
        ) as livekit,
    ):
        return await _Check(deployment, http, livekit).run(timeout_s)


class _Check:
    def __init__(self, deployment: Deployment, http: aiohttp.ClientSession, livekit: api.LiveKitAPI) -> None:
        self._http, self._livekit = http, livekit
        self._room = f"check-{uuid.uuid4().hex}"
        token = _token(deployment, self._room)
        self._url = f"{deployment.backend_url}/api/v1.0/rooms/{self._room}/subtitles/"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._guest = Guest(url=deployment.livekit_url, token=token, clip=deployment.clip)
        self._steps = Steps()
        self._blocked_by = "livekit_down"
        """The reason, should the time run out now."""

    async def run(self, timeout_s: float) -> Steps:
        try:
            async with self._put_away(), asyncio.timeout(timeout_s):
                await self._go_through()
        except (TimeoutError, aiohttp.ClientError, OSError, api.ServerError):
            raise CheckFailed(self._blocked_by, self._steps) from None
        except (rtc.ConnectError, PublishTrackError):
            raise CheckFailed("not_joined", self._steps) from None
        except (wave.Error, EOFError):
            raise CheckFailed("no_clip", self._steps) from None
        return self._steps

    async def _go_through(self) -> None:
        await self._livekit.room.create_room(
            api.CreateRoomRequest(
                name=self._room,
                empty_timeout=EMPTY_ROOM_CLOSES_AFTER_S,
                departure_timeout=EMPTY_ROOM_CLOSES_AFTER_S,
            )
        )
        self._steps.done("room")
        self._blocked_by = "not_joined"
        await self._guest.join()
        self._steps.done("joined")
        await self._start()
        self._steps.done("started")
        await self._read_a_caption()
        self._steps.done("caption")
        self._blocked_by = "not_stopped"
        async with asyncio.timeout(STOP_WITHIN_S):
            await self._stop()
        self._steps.done("stopped")

    async def _start(self) -> None:
        self._blocked_by = "backend_down"
        while True:
            status, body = await self._ask("POST")
            if status in (200, 201):
                return
            code = body.get("code")
            self._blocked_by = REFUSALS.get(code or "", "backend_down" if status >= 500 else "start_refused")
            if status < 500 and code not in REFUSALS:
                raise CheckFailed("start_refused", self._steps)
            await asyncio.sleep(ASK_EVERY_S)

    async def _read_a_caption(self) -> None:
        """Asks for the state meanwhile, to know whose fault it is if none comes."""
        self._blocked_by = "not_live"
        while not self._guest.has_read_words.is_set():
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                self._note_state(await self._ask("GET"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ASK_EVERY_S):
                    await self._guest.has_read_words.wait()

    def _note_state(self, answer: tuple[int, dict[str, Any]]) -> None:
        status, body = answer
        state, reason = body.get("state"), body.get("reason")
        if status != 200:
            return
        if state in (State.LIVE, State.DEGRADED):
            self._steps.done("live")
            self._blocked_by = "no_caption"
        elif reason in (Reason.NO_WORKER, Reason.AT_CAPACITY):
            self._blocked_by = str(reason)
        elif state == State.FAILED:
            raise CheckFailed("not_live", self._steps)
        else:
            self._blocked_by = "not_live"

    async def _stop(self) -> None:
        await self._ask("DELETE")
        while True:
            _, body = await self._ask("GET")
            if body.get("state") == State.IDLE:
                return
            await asyncio.sleep(ASK_EVERY_S)

    async def _ask(self, method: str) -> tuple[int, dict[str, Any]]:
        async with self._http.request(method, self._url, headers=self._headers, json={}) as answer:
            body = None
            with contextlib.suppress(ValueError):  # a proxy's own page, say
                body = await answer.json(content_type=None)
            return answer.status, body if isinstance(body, dict) else {}

    @contextlib.asynccontextmanager
    async def _put_away(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    await self._ask("DELETE")
            with contextlib.suppress(Exception):
                await self._leave_and_delete()
            raise
        self._blocked_by = "not_cleaned"
        await self._leave_and_delete()
        self._steps.done("cleaned")

    async def _leave_and_delete(self) -> None:
        async with asyncio.timeout(CLEAN_WITHIN_S):
            try:
                await self._guest.leave()
            finally:
                await self._livekit.room.delete_room(api.DeleteRoomRequest(room=self._room))


def _token(deployment: Deployment, room: str) -> str:
    grants = api.VideoGrants(room_join=True, room=room, room_admin=deployment.is_room_admin or None)
    token = api.AccessToken(deployment.livekit_key, deployment.livekit_secret)
    return token.with_identity(f"{room}-guest").with_grants(grants).with_ttl(TOKEN_TTL).to_jwt()
