"""One call of Riva's streaming recognition, whose end is told in our words.

grpc.aio forgets the status that an engine has sent once a write fails over it (grpc/grpc#36066); here it is kept.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import grpc
from riva.client.proto import riva_asr_pb2

from agents.runtime.errors import EngineFault, EngineLost
from agents.stt.nvidia.protocol import fault_of_code
from agents.stt.streams import SEND_TIMEOUT_S

STATUS_TIMEOUT_S = 1.0
"""From a write that fails because the call has ended to the status that says why."""

T = TypeVar("T")


class Call:
    """Raises EngineFault for whatever goes wrong."""

    def __init__(self, call: grpc.aio.StreamStreamCall) -> None:
        self._call = call
        self._ending: asyncio.Future[EngineFault | None] = asyncio.get_running_loop().create_future()
        call.add_done_callback(self._end)

    async def write(self, request: riva_asr_pb2.StreamingRecognizeRequest) -> None:
        """As soon as the engine takes it."""
        await self._within_time(self._call.write(request))

    async def done_writing(self) -> None:
        """No more will be written."""
        await self._within_time(self._call.done_writing())

    async def responses(self) -> AsyncIterator[riva_asr_pb2.StreamingRecognizeResponse]:
        """Until the engine has ended the call in order."""
        while (response := await self._next()) is not None:
            yield response
        if (fault := await self._fault()) is not None:
            raise fault

    def cancel(self) -> None:
        """Nothing more is wanted of it."""
        self._call.cancel()

    async def _next(self) -> riva_asr_pb2.StreamingRecognizeResponse | None:
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError:
            return None
        return None if response is grpc.aio.EOF else response

    async def _within_time(self, writing: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await writing
                return
        except TimeoutError as error:
            raise EngineLost("the engine does not take audio") from error
        except (grpc.aio.BaseError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the call has ended
        raise await self._fault() or EngineLost("the engine closed the connection")

    async def _fault(self) -> EngineFault | None:
        """Why the call has ended; None: in order."""
        try:
            async with asyncio.timeout(STATUS_TIMEOUT_S):
                return await asyncio.shield(self._ending)
        except TimeoutError:
            return EngineLost("the engine closed the connection")

    def _end(self, call: grpc.aio.StreamStreamCall) -> None:
        """Called at once when the status comes, so that it can be asked for without waiting."""
        if self._ending.done():
            return
        code, trailers = _known(call.code()), _known(call.trailing_metadata())
        is_well = code is grpc.StatusCode.OK
        self._ending.set_result(None if is_well else fault_of_code(code, trailers=tuple(trailers or ())))


def _known(coroutine: Coroutine[Any, Any, T]) -> T:
    """Of one that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it had to wait")
