"""The one HTTP client of the backend's `/internal/v1/`."""

import time
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import jwt

from agents.runtime.errors import AtCapacity, BackendLost, ClaimStale, TheirFault
from contract import names, shapes
from contract.dispatch import DispatchMetadata
from contract.errors import ContractError
from contract.workers import ClaimAnswer, ClaimRequest, HeartbeatAnswer, WorkerHeartbeat

HEARTBEAT_TIMEOUT_S = 1.5
"""Less than half of HEARTBEAT_STALE_AFTER_S, so that one lost answer does not lose a lease."""
CLAIM_TIMEOUT_S = 2.5
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

    async def _post(self, path: str, body: Any, *, timeout_s: float) -> tuple[int, bytes]:
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        try:
            async with self._session.post(
                f"{self._base_url}{path}",
                data=shapes.to_json(body).encode(),
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
        return shapes.from_json(shape, text)
    except ContractError as error:
        raise BackendLost("the backend's answer is not the agreed shape") from error
