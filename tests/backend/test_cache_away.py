"""The cache comes and goes; whoever asks is answered in time, and what is in the room is what counts."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend.running_backend import Answer, RunningBackend
from tests.support.livekit import LiveKitServer
from tests.support.people import joined
from tests.support.redis import RunningRedis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RunningRedis]:
    with RunningRedis(tmp_path) as running:
        yield running


@pytest.fixture
def backend(livekit_server: LiveKitServer, redis: RunningRedis, tmp_path: Path) -> Iterator[RunningBackend]:
    with RunningBackend(tmp_path, livekit_server, CACHE_URL=redis.url) as running:
        yield running


@pytest.mark.parametrize("how", ["stopped", "hangs"])
async def test_without_redis_everything_is_answered_in_time_and_with_it_again_too(
    backend: RunningBackend, redis: RunningRedis, room_name: str, how: str
) -> None:
    async def ask(method: str) -> Answer:
        return await asyncio.to_thread(
            backend.request,
            method,
            f"/api/v1.0/rooms/{room_name}/subtitles/",
            authorization=[f"Bearer {backend.livekit.token(room_name, 'ada')}"],
            body=b'{"language": "en"}',
        )

    async def assert_all_is_well() -> None:
        answers = [await ask(method) for method in ("POST", "GET", "POST", "PATCH", "GET", "DELETE", "GET")]
        assert [answer.status for answer in answers] == [201, *[200] * 6]
        assert max(answer.took_s for answer in answers) < 1

    async with joined(backend.livekit, room_name, "ada"):
        await assert_all_is_well()
        redis.stop() if how == "stopped" else redis.pause()
        await assert_all_is_well()
        together = await asyncio.gather(*(ask("GET") for _ in range(20)))
        assert {answer.status for answer in together} == {200}
        assert max(answer.took_s for answer in together) < 1
        redis.start() if how == "stopped" else redis.go_on()
        await assert_all_is_well()
    assert "request failed" not in backend.log()
