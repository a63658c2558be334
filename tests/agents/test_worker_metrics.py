"""`/metrics` of a real worker: what it says is what its viewers, its engine and its backend have seen."""

import asyncio
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from livekit import api

from contract.workers import Order
from tests.support.backend_double import BackendDouble, Lease
from tests.support.clips import at_level, clip
from tests.support.livekit import ROOT, LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.ports import free_port
from tests.support.stt_double import SttDouble
from tests.support.subtitles_worker import RunningWorker

TOKEN = "t0ken-of-the-tests"
SPEECH = at_level(clip("slt"), 30_000)[: 3 * 16_000]
PAGE = ROOT / "docs/reference/metrics.md"


class Metrics:
    """The worker's page of numbers."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    def status(self, authorization: str) -> int:
        request = urllib.request.Request(self._url, headers={"Authorization": authorization})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            return refusal.code

    def text(self) -> str:
        request = urllib.request.Request(self._url, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.read().decode())

    async def value(self, sample: str) -> float:
        text = await asyncio.to_thread(self.text)
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, flags=re.MULTILINE)
        assert found, f"{sample} is not in {text}"
        return float(found[1])

    async def until(self, sample: str, is_so: Callable[[float], bool], *, timeout_s: float = 10) -> None:
        async with asyncio.timeout(timeout_s):
            while True:
                if is_so(await self.value(sample)):
                    return
                await asyncio.sleep(0.05)

    async def captions(self, kind: str) -> float:
        return await self.value(f'roomscribe_caption_latency_seconds_count{{kind="{kind}"}}')


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def worker(
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine_server: SttDouble,
    port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningWorker]:
    with RunningWorker(
        tmp_path_factory.mktemp("worker"),
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine_server.url,
        name="measured",
        WORKER_METRICS_PORT=str(port),
        METRICS_TOKEN=TOKEN,
    ) as worker:
        yield worker


@pytest.fixture
def metrics(worker: RunningWorker, port: int) -> Metrics:
    return Metrics(port)


async def test_outside_a_local_run_it_wants_the_token(metrics: Metrics) -> None:
    sent = (f"Bearer {TOKEN}", "", "Bearer ", "Bearer other", f"Bearer {TOKEN}\u00e9")

    assert [await asyncio.to_thread(metrics.status, s) for s in sent] == [200, 401, 401, 401, 401]


async def test_every_metric_of_a_worker_in_the_reference_is_there_and_no_other(metrics: Metrics) -> None:
    rows = re.findall(r"^\| `(roomscribe_\w+)[^|]*\| worker", PAGE.read_text(), flags=re.MULTILINE)
    text = await asyncio.to_thread(metrics.text)

    served = re.findall(r"^# TYPE (roomscribe_\w+)", text, flags=re.MULTILINE)
    assert {name for name in served if not name.endswith("_created")} == set(rows)


async def test_captions_jobs_and_pipelines_are_counted_as_viewers_saw_them(
    metrics: Metrics,
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine: SttDouble,
    viewer: Viewer,
    lease: Lease,
    room_name: str,
) -> None:
    before = {kind: await metrics.captions(kind) for kind in ("interim", "final")}
    engine.script.fails_next_utterance = True
    lease.keep()
    await backend_server.dispatch(livekit_server, lease, agent_name=worker.agent_name)
    await metrics.until('roomscribe_worker_jobs{state="live"}', lambda jobs: jobs == 1)
    async with Speaker(livekit_server, room_name, "ada") as ada:
        saying = asyncio.create_task(ada.say(SPEECH))
        await metrics.until("roomscribe_worker_speaking_pipelines", lambda count: count == 1)
        await saying
        await viewer.next_final("ada")
        saying = asyncio.create_task(ada.say(SPEECH))
        await viewer.next_caption()
        lease.order = Order.LEAVE  # in the middle of a sentence: its final is the last thing that is sent
        await backend_server.report(lease, lost=True)
        await saying

    finals = sum(c.segment.is_final for c in viewer.captions)
    assert await metrics.captions("final") - before["final"] == finals >= 2
    assert await metrics.captions("interim") - before["interim"] == len(viewer.captions) - finals >= 1
    await metrics.until('roomscribe_worker_finals_total{outcome="stored"}', lambda count: count == finals)
    await metrics.until("roomscribe_worker_finals_waiting", lambda count: count == 0)
    assert await metrics.value('roomscribe_worker_finals_total{outcome="dropped"}') == 0
    assert await metrics.value('roomscribe_worker_engine_failures_total{reason="engine_down"}') == 1
    assert await metrics.value("roomscribe_worker_speaking_pipelines") == 0
    latency_s = await metrics.value('roomscribe_caption_latency_seconds_sum{kind="interim"}')
    assert 0 < latency_s / (await metrics.captions("interim")) < 3
    await metrics.until('roomscribe_worker_jobs{state="live"}', lambda jobs: jobs == 0)


async def test_claims_are_counted_by_what_became_of_them(
    metrics: Metrics,
    worker: RunningWorker,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    viewer: Viewer,
    room_name: str,
) -> None:
    async def dispatched(lease: Lease, outcome: str) -> None:
        sample = f'roomscribe_worker_claims_total{{outcome="{outcome}"}}'
        before = await metrics.value(sample)
        await backend_server.dispatch(livekit_server, lease, agent_name=worker.agent_name)
        await metrics.until(sample, lambda count: count == before + 1)

    for status, outcome in ((409, "stale"), (503, "at_capacity"), (500, "backend_lost")):
        lease = backend_server.lease(room_name)
        lease.claim_status = status
        await dispatched(lease, outcome)
        async with livekit_server.api() as livekit:  # lest LiveKit offer it again
            for left in await livekit.agent_dispatch.list_dispatch(room_name):
                await livekit.agent_dispatch.delete_dispatch(left.id, room_name)
    async with livekit_server.api() as livekit:
        sample = 'roomscribe_worker_claims_total{outcome="invalid"}'
        before = await metrics.value(sample)
        await livekit.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=worker.agent_name, room=room_name, metadata="?")
        )
        await metrics.until(sample, lambda count: count == before + 1)


async def test_heartbeats_that_fail_are_counted_and_the_last_answer_ages(
    metrics: Metrics, backend_server: BackendDouble
) -> None:
    failed = 'roomscribe_worker_heartbeats_total{outcome="failed"}'
    assert await metrics.value("roomscribe_worker_heartbeat_age_seconds") < 2.5
    before = await metrics.value(failed)
    backend_server.answers_heartbeats = False
    try:
        await metrics.until(failed, lambda count: count >= before + 2)
        assert await metrics.value("roomscribe_worker_heartbeat_age_seconds") > 1
    finally:
        backend_server.answers_heartbeats = True
    await metrics.until("roomscribe_worker_heartbeat_age_seconds", lambda age_s: age_s < 1)


async def test_a_port_that_is_taken_costs_the_numbers_and_not_the_captions(
    metrics: Metrics,
    port: int,
    livekit_server: LiveKitServer,
    backend_server: BackendDouble,
    engine_server: SttDouble,
    tmp_path: Path,
) -> None:
    with RunningWorker(
        tmp_path,
        livekit=livekit_server,
        backend_url=backend_server.url,
        speech_url=engine_server.url,
        name="second",
        WORKER_METRICS_PORT=str(port),
    ) as second:
        assert "metrics are not served" in second.log()
