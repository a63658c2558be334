"""Finals on their way from the spool to the backend, which may be away, slow or choosy."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.backend_api import BackendApi
from agents.runtime.channel import Word
from agents.runtime.roster import JobKey
from agents.sinks.spool import Spool
from agents.workers.courier import OTHERS_AFTER_S, UNWRITTEN_LIMIT, Bounds, Courier
from contract.segments import Segment
from contract.transcripts import MAX_BATCH_SEGMENTS
from tests.support.backend_double import SECRET, BackendDouble, Lease, SegmentsScript
from tests.support.finals import final

OWN, OTHER = "aa", "bb"
BOUNDS = Bounds()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@contextlib.asynccontextmanager
async def courier_at(
    backend: BackendDouble, spool: Spool, *, bounds: Bounds = BOUNDS
) -> AsyncIterator[Courier]:
    async with BackendApi(base_url=backend.url, worker="w", secret=SECRET) as api:
        courier = Courier(backend=api, spool=spool, writer=OWN, bounds=bounds)
        running = asyncio.create_task(courier.run())
        try:
            yield courier
        finally:
            running.cancel()
            await asyncio.wait({running})
            assert running.cancelled()


def key_of(lease: Lease) -> JobKey:
    return JobKey(session=lease.session, generation=lease.generation)


def write(spool: Spool, lease: Lease, *said: Segment, writer: str = OWN, age_s: float = 0.0) -> list[str]:
    """The names of their files."""
    names = []
    for segment in said:
        name = spool.write(segment, writer=writer, session=lease.session, generation=lease.generation)
        aged = f"{int(name[:13]) - round(age_s * 1000):013d}{name[13:]}"
        (spool.directory / name).rename(spool.directory / aged)
        names.append(aged)
    return names


async def emptied(spool: Spool, *, but_for: int = 0) -> None:
    async with asyncio.timeout(5):
        while len(spool.files()) > but_for:  # noqa: ASYNC110 - a directory tells nobody
            await asyncio.sleep(0.01)


async def test_what_a_job_tells_of_is_handed_in_at_once_and_its_file_goes(
    backend: BackendDouble, spool: Spool
) -> None:
    lease, said = backend.lease("a room"), final()
    async with courier_at(backend, spool) as courier:
        await asyncio.sleep(0.1)  # its first look is over
        names = write(spool, lease, said)
        told = time.monotonic()
        courier.take(key_of(lease), Word(written=tuple(names)))
        await backend.has_stored(lease, [said])
        await courier.settle(within_s=5)
        assert spool.files() == []

    assert min(one.at for one in backend.stored.values() if one.segment == said) - told < 1
    assert (courier.outcomes["stored"], courier.waiting, courier.oldest_waiting_s) == (1, 0, 0.0)


async def test_what_waits_goes_in_batches_in_the_order_in_which_it_was_said(
    backend: BackendDouble, spool: Spool
) -> None:
    lease = backend.lease("a room")
    said = [final(str(number)) for number in range(2 * MAX_BATCH_SEGMENTS + 1)]
    write(spool, lease, *said)
    async with courier_at(backend, spool):
        await backend.has_stored(lease, said)

    assert backend.transcript(lease) == said
    sizes = [size for session, size in backend.batches if session == lease.session]
    assert max(sizes) == MAX_BATCH_SEGMENTS and len(sizes) <= 4


async def test_of_other_workers_only_what_they_seem_to_have_left_is_handed_in(
    backend: BackendDouble, spool: Spool
) -> None:
    lease, left, fresh, own = backend.lease("a room"), final("left"), final("fresh"), final("own")
    write(spool, lease, left, writer=OTHER, age_s=OTHERS_AFTER_S + 1)
    write(spool, lease, fresh, writer=OTHER)
    write(spool, lease, own)
    async with courier_at(backend, spool):
        await backend.has_stored(lease, [left, own])

        await emptied(spool, but_for=1)

    assert fresh not in backend.transcript(lease)


async def test_two_couriers_at_one_directory_store_everything_once(
    backend: BackendDouble, spool: Spool
) -> None:
    lease, said = backend.lease("a room"), [final() for _ in range(250)]
    write(spool, lease, *said, age_s=60)
    async with courier_at(backend, spool), courier_at(backend, Spool(spool.directory)):
        await backend.has_stored(lease, said)
        await emptied(spool)

    assert len(backend.transcript(lease)) == len(said)


@pytest.mark.parametrize("trouble", ["shut", "503", "401", "404 of somebody else", "slow", "breaks off"])
async def test_a_backend_that_fails_gets_everything_once_it_is_well(
    backend: BackendDouble, spool: Spool, trouble: str
) -> None:
    leases = [backend.lease(f"room {number}") for number in range(6)]
    said = {lease.session: [final() for _ in range(3)] for lease in leases}
    if trouble == "shut":
        backend.shut()
    backend.segments = {
        "503": SegmentsScript(status=503),
        "401": SegmentsScript(status=401),
        "404 of somebody else": SegmentsScript(status=404),
        "slow": SegmentsScript(delay_s=0.5),
        "breaks off": SegmentsScript(breaks_off=True),
    }.get(trouble, SegmentsScript())
    try:
        async with courier_at(backend, spool) as courier:
            for lease in leases:
                courier.take(key_of(lease), Word(written=tuple(write(spool, lease, *said[lease.session]))))
            await asyncio.sleep(0.6)
            assert courier.waiting == len(spool.files()) > 0
            assert courier.oldest_waiting_s > 0.4
            if trouble == "shut":
                backend.open()
            backend.segments = SegmentsScript()
            for lease in leases:
                await backend.has_stored(lease, said[lease.session], timeout_s=4)
            await courier.settle(within_s=5)
    finally:
        if trouble == "shut":
            backend.shut()
            backend.open()

    assert all(len(backend.transcript(lease)) == 3 for lease in leases)
    assert courier.outcomes["dropped"] == courier.waiting == 0


async def test_a_final_that_is_refused_takes_no_other_with_it_and_is_not_tried_for_ever(
    backend: BackendDouble, spool: Spool
) -> None:
    backend.segments.poison = "poison"
    lease, unknown = backend.lease("a room"), backend.lease("forgotten")
    del backend.leases[unknown.session, 1]
    said = [final(str(number)) for number in range(7)]
    write(spool, lease, *said[:3], final("poison"), *said[3:])
    write(spool, unknown, final())
    async with courier_at(backend, spool) as courier:
        await backend.has_stored(lease, said)
        await courier.settle(within_s=5)
        assert spool.files() == []

    assert courier.outcomes == {"stored": 7, "known": 0, "refused": 0, "dropped": 2}


async def test_what_is_no_final_is_removed_and_what_is_not_ours_is_left(
    backend: BackendDouble, spool: Spool
) -> None:
    lease, said = backend.lease("a room"), [final() for _ in range(2)]
    [_, broken, _] = write(spool, lease, said[0], final(), said[1])
    (spool.directory / broken).write_text("{half")
    (spool.directory / "README").write_text("not ours")
    [folder] = write(spool, lease, final())
    (spool.directory / folder).unlink()
    (spool.directory / folder).mkdir()
    async with courier_at(backend, spool) as courier:
        await backend.has_stored(lease, said)
        await courier.settle(within_s=5)

    assert sorted(path.name for path in spool.directory.iterdir()) == sorted(["README", folder])
    assert courier.outcomes["dropped"] == 1


async def test_the_spool_keeps_within_its_bounds_and_the_oldest_go(
    backend: BackendDouble, spool: Spool
) -> None:
    backend.segments.status = 503
    lease, said = backend.lease("a room"), [final(str(number)) for number in range(5)]
    week_s = 7 * 24 * 3600
    write(spool, lease, said[0], age_s=week_s + 60)
    for number, age_s in ((1, 3), (2, 2), (3, 1), (4, 0)):
        write(spool, lease, said[number], age_s=age_s)
    (half,) = write(spool, lease, final(), age_s=3_600)
    (spool.directory / half).rename(spool.directory / f".{half}")
    async with courier_at(backend, spool, bounds=Bounds(files=3)) as courier:
        async with asyncio.timeout(5):
            while courier.waiting < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [spool.read(file.name) for file in spool.files()] == said[2:]

    assert courier.outcomes["dropped"] == 2


async def test_what_no_file_could_be_made_of_is_handed_in_from_memory_which_is_bounded(
    backend: BackendDouble, spool: Spool
) -> None:
    lease, said = backend.lease("a room"), [final() for _ in range(UNWRITTEN_LIMIT + 3)]
    spool.directory.write_text("no directory")
    backend.segments.status = 503
    async with courier_at(backend, spool) as courier:
        for segment in said:
            courier.take(key_of(lease), Word(unwritten=(segment,)))
        assert (courier.waiting, courier.outcomes["dropped"]) == (UNWRITTEN_LIMIT, 3)
        backend.segments.status = 200
        await backend.has_stored(lease, said[-4:-3])
        await courier.settle(within_s=5)

    assert backend.transcript(lease) == said[:UNWRITTEN_LIMIT]


async def test_a_worker_that_ends_hands_the_last_finals_in_first_but_waits_for_no_backend(
    backend: BackendDouble, spool: Spool
) -> None:
    lease, said, left_just_now = backend.lease("a room"), final("said"), final("left")
    backend.segments.status = 503
    async with courier_at(backend, spool) as courier:
        write(spool, lease, said)
        write(spool, lease, left_just_now, writer=OTHER)
        began = time.monotonic()
        await courier.settle(within_s=0.5)
        assert 0.4 < time.monotonic() - began < 1.0
        assert len(spool.files()) == 2

        backend.segments.status = 200
        await courier.settle(within_s=5)
        assert (set(backend.transcript(lease)), spool.files()) == ({said, left_just_now}, [])
        await courier.settle(within_s=0.1)  # with nothing to do it does not wait
