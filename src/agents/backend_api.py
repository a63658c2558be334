"""The one HTTP client of the backend's `/internal/v1/`."""

import time
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import jwt

from agents.runtime.errors import (
    AtCapacity,
    BackendLost,
    ClaimStale,
    SegmentsRefused,
    SessionUnknown,
    TheirFault,
)
from contract import names, shapes
from contract.dispatch import DispatchMetadata
from contract.engines import (
    EnginesCause,
    EnginesRequest,
    EngineTestOutcome,
    EngineTestTask,
    SessionEngines,
)
from contract.errors import ContractError
from contract.segments import Segment
from contract.transcripts import SegmentsAnswer, SegmentsBatch
from contract.workers import ClaimAnswer, ClaimRequest, HeartbeatAnswer, WorkerHeartbeat

HEARTBEAT_TIMEOUT_S = 1.5
"""Less than half of HEARTBEAT_STALE_AFTER_S, so that one lost answer does not lose a lease."""
CLAIM_TIMEOUT_S = 2.5
TEST_TIMEOUT_S = 2.5
SEGMENTS_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""To a heartbeat: what people wish and post, in every room of this worker."""
TOKEN_TTL_S = 30

T = TypeVar("T")


class BackendApi:
    """Asks as one worker; every call has a timeout and raises BackendLost for what is not an agreed answer."""

    def __init__(self, *, base_url: str, worker: str, secret: str) -> None:
        self._base_url, self._worker, self._secret = base_url, worker, secret
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "BackendApi":
        # No cookies: one worker's requests are independent of each other.
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def heartbeat(self, heartbeat: WorkerHeartbeat) -> HeartbeatAnswer:
        """Raises BackendLost."""
        path = names.PATH_HEARTBEAT.format(worker=quote(self._worker, safe=""))
        status, text = await self._post(path, heartbeat, timeout_s=HEARTBEAT_TIMEOUT_S)
        if status != 200:
            raise BackendLost("the heartbeat was refused")
        return _parsed(HeartbeatAnswer, text)

    async def claim(self, wanted: DispatchMetadata) -> ClaimAnswer:
        """Raises ClaimStale, AtCapacity, BackendLost."""
        path = names.PATH_CLAIM.format(session=quote(wanted.session, safe=""))
        status, text = await self._post(
            path, ClaimRequest(generation=wanted.generation), timeout_s=CLAIM_TIMEOUT_S
        )
        if status == 200:
            return _parsed(ClaimAnswer, text)
        raise _refusal(status)

    async def take_engine_test(self, test: str) -> EngineTestTask | None:
        """None: another worker has it, or it is over. Raises BackendLost."""
        path = names.PATH_ENGINE_TEST_TAKE.format(test=quote(test, safe=""))
        status, text = await self._post(path, None, timeout_s=TEST_TIMEOUT_S)
        if status == 409:
            return None
        if status != 200:
            raise BackendLost("an engine test was not given as agreed")
        return _parsed(EngineTestTask, text)

    async def engine_tested(self, test: str, outcome: EngineTestOutcome) -> None:
        """Raises BackendLost; what comes too late is not wanted any more, and that is no fault."""
        path = names.PATH_ENGINE_TEST.format(test=quote(test, safe=""))
        status, _ = await self._post(path, outcome, timeout_s=TEST_TIMEOUT_S)
        if status not in (200, 409):
            raise BackendLost("an engine test's outcome was refused")

    async def engines(self, *, session: str, generation: int, cause: EnginesCause) -> SessionEngines | None:
        """With keys. None: a backend that is older than this question. Raises ClaimStale, AtCapacity, BackendLost."""
        path = names.PATH_ENGINES.format(session=quote(session, safe=""))
        status, text = await self._post(
            path, EnginesRequest(generation=generation, cause=cause), timeout_s=CLAIM_TIMEOUT_S
        )
        if status == 404:
            return None
        if status != 200:
            raise _refusal(status)
        engines = _parsed(SessionEngines, text)
        if (engines.session, engines.generation) != (session, generation):
            raise BackendLost("the backend's answer is about another session")
        return engines

    async def segments(
        self, *, session: str, generation: int, segments: tuple[Segment, ...]
    ) -> SegmentsAnswer:
        """Hand in finals. Raises SessionUnknown, SegmentsRefused, BackendLost."""
        path = names.PATH_SEGMENTS.format(session=quote(session, safe=""))
        batch = SegmentsBatch(generation=generation, segments=segments)
        status, text = await self._post(path, batch, timeout_s=SEGMENTS_TIMEOUT_S)
        # An older backend, and a proxy that is set up wrongly, say 404 of everything.
        if status == 404 and names.CODE_TRANSCRIPT_ABSENT.encode() in text:
            raise SessionUnknown("the backend does not know this session")
        if status in (400, 413):  # a hundred long ones are more than a body may hold
            raise SegmentsRefused("the backend does not take these finals")
        if status != 200:
            raise BackendLost("finals were not taken as agreed")
        return _parsed(SegmentsAnswer, text)

    async def _post(self, path: str, body: Any, *, timeout_s: float) -> tuple[int, bytes]:
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        try:
            async with self._session.post(
                f"{self._base_url}{path}",
                data=b"{}" if body is None else shapes.to_json(body).encode(),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BackendLost("the backend cannot be reached") from error

    def _token(self) -> str:
        now = int(time.time())
        claims = {"aud": names.INTERNAL_AUDIENCE, "sub": self._worker, "iat": now, "exp": now + TOKEN_TTL_S}
        return jwt.encode(claims, self._secret, algorithm="HS256")


def _refusal(status: int) -> TheirFault:
    if status == 409:
        return ClaimStale("the lease is not to be had")
    if status == 503:
        return AtCapacity("the backend finds this worker full")
    return BackendLost("the claim was not answered as agreed")


def _parsed(shape: type[T], text: bytes) -> T:
    try:
        return shapes.from_json(shape, text, max_chars=MAX_ANSWER_BYTES)
    except ContractError as error:
        raise BackendLost("the backend's answer is not the agreed shape") from error
