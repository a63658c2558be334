"""F5, F6, F7, F8, F9: the engine refuses, fails, hangs, breaks off in mid-word, talks nonsense.

Every word that anybody says has a number, and the engine is scripted: what is lost or doubled is counted, not guessed.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

from contract.status import Reason, State
from tests.support.deepgram.script import Attempt, Connection
from tests.support.deepgram.script import Seen as EngineSeen
from tools.chaos.engine import Harm
from tools.chaos.figures import seconds, worst
from tools.chaos.findings import Finding, together
from tools.chaos.lab import Lab
from tools.chaos.marked import MarkedMeeting, Times
from tools.chaos.rows.outages import outage_s
from tools.chaos.steadiness import told_s
from tools.chaos.table import Needs, Seen, row

NEEDS = Needs(workers=1, backends=1, keepers=1, engine="scripted")
WORKER = "subtitles-1"

TOLD_WITHIN_S = 2.0
RESUMED_WITHIN_S = 2.5
REFUSED_RETRY_S = 5.0
RETURNS_WITHIN_S = 15.0
"""A try every 5 s, and then the next pause of somebody who reads a clip of 7 s."""
AT_ONCE_S = 1.0
"""People whose streams broke together find out together; then one tries for all."""
LEAST_BETWEEN_PROBES_S = 0.19
GROWN_AFTER_S = 5.0
PROBE_BACKOFF_S = 0.7
"""The least between two probes once the waiting has grown to 1.5 s, of which jitter takes up to half."""
BUFFER_S = 30.0
BUFFER_TOLERANCE_S = 1.5
"""What lies between a word's time here and its frame there."""
RECONNECTS_WITHIN_S = 10.0
RECONNECTS_AT_ONCE_S = 1.0
STEADY_S = 3.0
CAPTIONS_A_SECOND = 10
CAPTIONS_TOLERANCE = 2
"""The final, and one that a busy machine delivers late."""
MEMORY_BOUND_BYTES = 48 * 1024 * 1024
DROPPED_METRIC = "roomscribe_worker_dropped_audio_seconds_total"


# F5


@row(
    "F5",
    fault="the engine refuses the key (401, 403), then connections; 3 people; with and without another engine",
    expected="degraded with its reason ≤ 2 s after somebody speaks; one try per 5 s for all; "
    "0 lost of what the buffer holds; the other engine steps in, and out at a pause",
    needs=NEEDS,
    timeout_s=240,
)
async def f5(lab: Lab, *, long: bool, short: bool) -> Seen:
    alone = await _refused_without_another(lab, is_short=short)
    return together([*alone, *([] if short else await _refused_with_another(lab))])


async def _refused_without_another(lab: Lab, *, is_short: bool) -> list[Finding]:
    engine = lab.engine
    await engine.script(accepts=401)
    async with MarkedMeeting(lab, people=("ada", "ben", "cyd")) as meeting:
        await meeting.live()
        spoke_at = time.monotonic()
        meeting.talk()
        told = [await _told(meeting, Reason.ENGINE_AUTH, since=spoke_at, what="401")]
        await asyncio.sleep(REFUSED_RETRY_S + 1)
        if not is_short:
            await engine.script(accepts=403)
            await asyncio.sleep(REFUSED_RETRY_S + 1)
        accepted_at = time.monotonic()
        await engine.script(accepts=None)
        resumed = [await _resumed(meeting, accepted_at, within_s=REFUSED_RETRY_S + RESUMED_WITHIN_S)]
        tries = _tries(await asyncio.to_thread(engine.seen), since=spoke_at, until=accepted_at)
        if not is_short:
            await asyncio.sleep(STEADY_S)
            told.append(await _connections_refused(meeting))
            resumed.append(await _connections_taken(meeting))
        words = await _words(meeting)
    return [*told, _slow(tries, people=3), *resumed, words]


async def _connections_refused(meeting: MarkedMeeting) -> Finding:
    proxy, refused_at = meeting.lab.engine.proxy, time.monotonic()
    proxy.shut()
    proxy.cut()
    return await _told(meeting, Reason.ENGINE_DOWN, since=refused_at, what="refused connections")


async def _connections_taken(meeting: MarkedMeeting) -> Finding:
    await asyncio.sleep(STEADY_S)
    taken_at = time.monotonic()
    meeting.lab.engine.proxy.open()
    return await _resumed(meeting, taken_at)


async def _refused_with_another(lab: Lab) -> list[Finding]:
    """The embedded one, which hears no numbers: what it transcribed is nothing that could be counted."""
    engine, backend = lab.engine, lab.process("backend-1")
    await asyncio.to_thread(backend.stop)
    backend.start(STT_FALLBACK="embedded")
    try:
        await asyncio.to_thread(backend.wait_ready)
        async with MarkedMeeting(lab) as meeting:
            await meeting.begin()
            await asyncio.sleep(STEADY_S)
            refused_at = time.monotonic()
            await engine.fail(accepts=401)
            stepped_in_s = await _caption_of(meeting, "embedded", since=refused_at, timeout_s=10)
            state = await meeting.state()
            await asyncio.sleep(STEADY_S)
            accepted_at = time.monotonic()
            await engine.script(accepts=None)
            back_s = await _caption_of(meeting, "deepgram", since=accepted_at, timeout_s=RETURNS_WITHIN_S + 5)
            await asyncio.sleep(STEADY_S)
            passages = {"ada": _passages(meeting, "ada", "embedded")}
            words = await _words(meeting, excused=passages, excuse="for the embedded engine")
    finally:
        await asyncio.to_thread(backend.stop)
    said = (state.get("state"), state.get("engine"))
    return [
        Finding(
            f"embedded captions after {told_s(stepped_in_s)}, state {'/'.join(map(str, said))}",
            stepped_in_s is not None and said == (State.DEGRADED, "embedded"),
        ),
        Finding(f"back after {told_s(back_s)}", back_s is not None and back_s <= RETURNS_WITHIN_S),
        words,
    ]


# F6


@dataclass(frozen=True, kw_only=True)
class Case:
    status: int
    outage_s: float
    retry_after_s: int | None = None

    def __str__(self) -> str:
        asked = f" (Retry-After {self.retry_after_s})" if self.retry_after_s else ""
        return f"{self.status}{asked} for {self.outage_s:g} s"


@row(
    "F6",
    fault="the engine answers 429 with Retry-After, 500, 503 for 5 and 30 s (LONG: 300); 4 people talk",
    expected="Retry-After honoured; one probe at a time; all resume ≤ 2.5 s after it is back; "
    "0 lost of the 30 s the buffer holds, 0 doubled",
    needs=NEEDS,
    timeout_s=240,
)
async def f6(lab: Lab, *, long: bool, short: bool) -> Seen:
    cases = [
        Case(status=429, outage_s=5, retry_after_s=4),
        Case(status=500, outage_s=5),
        Case(status=503, outage_s=300 if long else 30),
    ]
    if short:
        cases = [Case(status=429, outage_s=3, retry_after_s=2), Case(status=503, outage_s=4)]
    findings: list[Finding] = []
    excused: dict[str, list[Times]] = {}
    async with MarkedMeeting(lab, people=("ada", "ben", "cyd", "dan")) as meeting:
        await meeting.begin()
        for case in cases:
            await asyncio.sleep(STEADY_S)
            findings += await _failed_for(meeting, case, excused)
        words = await _words(meeting, excused=excused)
    return together([*findings, words])


async def _failed_for(meeting: MarkedMeeting, case: Case, excused: dict[str, list[Times]]) -> list[Finding]:
    engine, failed_at = meeting.lab.engine, time.monotonic()
    await engine.fail(accepts=case.status, retry_after_s=case.retry_after_s)
    await asyncio.sleep(failed_at + case.outage_s - time.monotonic())
    await engine.script(accepts=None, retry_after_s=None)
    back_at = time.monotonic()
    tries = _tries(await asyncio.to_thread(engine.seen), since=failed_at, until=back_at)
    free_at = back_at
    if case.retry_after_s and tries:
        free_at = max(back_at, tries[-1].at + case.retry_after_s)
    took = await meeting.resumed(free_at, timeout_s=RESUMED_WITHIN_S + 10)
    for person, resumed_s in took.items():
        # Whoever resumes has the last 30 s before that.
        held_since = free_at + resumed_s - BUFFER_S + BUFFER_TOLERANCE_S
        excused.setdefault(person, []).append((failed_at - BUFFER_S, held_since))
        excused[person] = [(start, end) for start, end in excused[person] if end > failed_at - BUFFER_S / 2]
    probing = _spaced(tries, case, people=len(meeting.speakers))
    resumed_ok = max(took.values()) <= RESUMED_WITHIN_S
    return [
        Finding(f"{case}: {probing.text}", probing.ok),
        Finding(f"resumed after {seconds(max(took.values()))}", resumed_ok),
    ]


def _spaced(tries: Sequence[Attempt], case: Case, *, people: int) -> Finding:
    """One at a time: each waits for what the one before it has found out, longer and longer, and as long as asked."""
    if not tries:
        return Finding("never tried", False)
    at_once, probes = _probes(tries, people=people)
    gaps = [later - earlier for earlier, later in itertools.pairwise(probes)]
    late = [gap for gap, at in zip(gaps, probes, strict=False) if at - probes[0] > GROWN_AFTER_S]
    wanted = max(LEAST_BETWEEN_PROBES_S, (case.retry_after_s or 0) - 0.05)
    ok = all(gap >= wanted for gap in gaps) and all(gap >= PROBE_BACKOFF_S for gap in late)
    least = f", never within {seconds(min(gaps))}" if gaps else ""
    return Finding(f"{at_once} tries at once, then {len(gaps)}{least}", ok)


# F7


@row(
    "F7",
    fault="the engine hangs: takes audio and says nothing, then stops reading, for longer than the buffer; 2 people",
    expected="another try ≤ 10 s; resumed ≤ 2.5 s after it is back; buffer bounded, what it drops is counted; "
    "0 lost of the 30 s it holds, 0 doubled",
    needs=NEEDS,
    timeout_s=240,
)
async def f7(lab: Lab, *, long: bool, short: bool) -> Seen:
    findings: list[Finding] = []
    excused: dict[str, list[Times]] = {}
    async with MarkedMeeting(lab, people=("ada", "ben")) as meeting:
        await meeting.begin()
        await asyncio.sleep(STEADY_S)
        findings += await _hung_for(meeting, "silent", 11, excused)
        if not short:
            await asyncio.sleep(STEADY_S)
            findings += await _hung_for(
                meeting, "unread", outage_s(long=long, short=short, of=(0, 36, 300)), excused
            )
        words = await _words(meeting, excused=excused)
    return together([*findings, words])


async def _hung_for(
    meeting: MarkedMeeting, how: str, for_s: float, excused: dict[str, list[Times]]
) -> list[Finding]:
    """Then it is started again: what it had been told is forgotten, connections end."""
    lab, engine = meeting.lab, meeting.lab.engine
    job = psutil.Process(lab.job_of(meeting.room))
    dropped_before, hung_at = lab.metric(WORKER, DROPPED_METRIC), time.monotonic()
    await engine.script(hangs=how)
    async with _memory_watched(job) as memory:
        await asyncio.sleep(for_s)
        tries = _tries(await asyncio.to_thread(engine.seen), since=hung_at, until=time.monotonic())
        back_at = time.monotonic()
        await asyncio.to_thread(engine.drop_connections)
        await engine.script(hangs=None)
        took = await meeting.resumed(back_at, timeout_s=RESUMED_WITHIN_S + 10)
    for person, resumed_s in took.items():
        excused.setdefault(person, []).append(
            (hung_at - BUFFER_S, back_at + resumed_s - BUFFER_S + BUFFER_TOLERANCE_S)
        )
    tried_s = tries[0].at - hung_at if tries else None
    findings = [
        Finding(
            f"{how} for {for_s:g} s: tried again after {told_s(tried_s)}",
            tried_s is not None and tried_s <= RECONNECTS_WITHIN_S,
        ),
        Finding(f"resumed after {seconds(max(took.values()))}", max(took.values()) <= RESUMED_WITHIN_S),
        memory.finding(),
    ]
    if for_s > BUFFER_S:
        await asyncio.sleep(2)  # a job tells its counts every second
        dropped_s = await asyncio.to_thread(lab.metric, WORKER, DROPPED_METRIC) - dropped_before
        findings.append(Finding(f"{dropped_s:.1f} s counted as dropped", dropped_s > 0))
    return findings


# F8


@row(
    "F8",
    fault="the engine closes in mid-word 6 times; its connections go dead without a word; 1 byte a second; 2 people",
    expected="reconnected ≤ 1 s after a close, ≤ 10 s after the others; 0 lost, 0 doubled",
    needs=NEEDS,
    timeout_s=240,
)
async def f8(lab: Lab, *, long: bool, short: bool) -> Seen:
    async with MarkedMeeting(lab, people=("ada", "ben")) as meeting:
        await meeting.begin()
        findings = [await _closed_in_mid_word(meeting, times=2 if short else 6)]
        harms: tuple[Harm, ...] = ("blackhole",) if short else ("blackhole", "trickle")
        for harm in harms:
            await asyncio.sleep(1 if short else STEADY_S)
            findings.append(await _harmed(meeting, harm))
        words = await _words(meeting)
    return together([*findings, words])


async def _closed_in_mid_word(meeting: MarkedMeeting, *, times: int) -> Finding:
    engine, since = meeting.lab.engine, time.monotonic()
    await engine.script(closes_after_words=10, closes_times=times)

    def are_over(seen: EngineSeen) -> bool:
        return len(_closed_by_engine(seen, since)) >= times

    seen = await engine.until(are_over, timeout_s=60)
    await asyncio.sleep(RECONNECTS_AT_ONCE_S + 1)
    seen = await asyncio.to_thread(engine.seen)
    took = [_next_of_the_same(seen, closed) for closed in _closed_by_engine(seen, since)]
    await engine.script(closes_after_words=None, closes_times=None)
    return Finding(f"reconnected {worst(took)} closes", max(took) <= RECONNECTS_AT_ONCE_S)


async def _harmed(meeting: MarkedMeeting, harm: Harm) -> Finding:
    engine, since = meeting.lab.engine, time.monotonic()
    await meeting.caption_after(since)
    harmed_at = time.monotonic()
    connections = engine.proxy.harm(harm)
    took = await meeting.resumed(harmed_at + 1.0, timeout_s=RECONNECTS_WITHIN_S + 10)
    took_s = max(took.values()) + 1.0
    engine.proxy.cut_harmed()
    return Finding(
        f"{harm}: {connections} connections, captions of all again after {seconds(took_s)}",
        took_s <= RECONNECTS_WITHIN_S and connections > 0,
    )


# F9

SMALL_GARBAGE = ("non_json", "binary", "negative_times", "nul", "script", "bidi", "deep_json", "wrong_types")
GARBAGE_WORD = "garbage"


@row(
    "F9",
    fault="the engine sends one person's stream garbage: no JSON, 10 MB, negative times, a flood of interims, NUL, "
    "<script>, bidi; another person talks on",
    expected="dropped, the stream lives or is replaced at once; ≤ 10 captions/s per segment; 0 lost, "
    "0 doubled of anybody; memory bounded",
    needs=NEEDS,
    timeout_s=240,
)
async def f9(lab: Lab, *, long: bool, short: bool) -> Seen:
    engine = lab.engine
    kinds: dict[str, list[str]] = {"mia": list(SMALL_GARBAGE), "max": ["huge"], "moe": ["flood"]}
    await engine.script(flood=100_000 if long else 5_000 if short else 20_000)
    async with MarkedMeeting(lab, people=("ada", *kinds)) as meeting:
        await meeting.live()
        meeting.talk(only="ada")
        await meeting.caption_after(time.monotonic())
        since = time.monotonic()
        job = psutil.Process(lab.job_of(meeting.room))
        async with _memory_watched(job) as memory:
            for person, garbage in kinds.items():
                await _talk_into_garbage(meeting, person, garbage)
            await asyncio.sleep(STEADY_S)
            await meeting.hush()
            account = await meeting.settled()
        seen = await asyncio.to_thread(engine.seen)
        bad = _bad_texts(meeting)
        rate = max(_most_in_a_second(meeting, person) for person in kinds)
        ada = _disturbed(meeting, "ada", seen, since)
        await meeting.stop()
    return together(
        [
            Finding(
                f"{sum(c.garbage_messages for c in seen.connections)} bad messages, {bad} of them shown",
                not bad,
            ),
            Finding(
                f"{rate} captions of a segment in a second at most",
                rate <= CAPTIONS_A_SECOND + CAPTIONS_TOLERANCE,
            ),
            Finding(str(account), account.is_whole),
            ada,
            memory.finding(),
        ]
    )


async def _talk_into_garbage(meeting: MarkedMeeting, person: str, garbage: list[str]) -> None:
    """The next stream that has words gets it, once: this person's, as the others' have had theirs."""
    engine = meeting.lab.engine
    before = sum(c.garbage_messages for c in (await asyncio.to_thread(engine.seen)).connections)
    await engine.script(garbage=garbage)
    meeting.talk(only=person)
    await engine.until(lambda seen: sum(c.garbage_messages for c in seen.connections) > before)
    await engine.script(garbage=[])


def _bad_texts(meeting: MarkedMeeting) -> int:
    """Captions with what may never be shown."""
    texts = [caption.segment.text for caption in meeting.captions]
    return sum(GARBAGE_WORD in text or "\x00" in text for text in texts)


def _most_in_a_second(meeting: MarkedMeeting, person: str) -> int:
    times: dict[str, list[float]] = {}
    for at, segment in meeting.shown(person):
        times.setdefault(segment.id, []).append(at)
    return max(
        (sum(first <= at < first + 1 for at in of) for of in times.values() for first in of), default=0
    )


def _disturbed(meeting: MarkedMeeting, person: str, seen: EngineSeen, since: float) -> Finding:
    """Somebody else's stream was never replaced."""
    codes = {word.code for word in meeting.words[person]}
    theirs = [c for c in seen.connections if {word.code for word in c.words} & codes]
    return Finding(f"the other person's stream: {len(theirs)}", len(theirs) == 1)


# What several rows ask


async def _told(meeting: MarkedMeeting, reason: Reason, *, since: float, what: str) -> Finding:
    """How long until REST and the room say degraded, and why."""

    async def rest() -> float | None:
        while time.monotonic() - since < TOLD_WITHIN_S + 5:
            state = await meeting.state()
            if (state.get("state"), state.get("reason")) == (State.DEGRADED, reason):
                return time.monotonic() - since
            await asyncio.sleep(0.05)
        return None

    def notice() -> float | None:
        found = (n.at for n in meeting.viewer.notices if n.at > since and n.status.reason is reason)
        return next(found, None)

    rest_s = await rest()
    with contextlib.suppress(TimeoutError):
        await meeting.viewer.until(lambda _: notice(), timeout_s=1)
    noticed_at = notice()
    room_s = None if noticed_at is None else noticed_at - since
    ok = all(s is not None and s <= TOLD_WITHIN_S for s in (rest_s, room_s))
    return Finding(f"{what}: {reason} at REST after {told_s(rest_s)}, in the room {told_s(room_s)}", ok)


async def _resumed(meeting: MarkedMeeting, since: float, *, within_s: float = RESUMED_WITHIN_S) -> Finding:
    took = await meeting.resumed(since, timeout_s=within_s + 10)
    return Finding(f"all resumed {seconds(max(took.values()))} later", max(took.values()) <= within_s)


async def _words(
    meeting: MarkedMeeting,
    *,
    excused: Mapping[str, Sequence[Times]] | None = None,
    excuse: str = "older than the buffer",
) -> Finding:
    """Everybody falls silent; what became of all that was said."""
    await meeting.hush()
    account = await meeting.settled(excused=excused)
    await meeting.stop()
    return Finding(account.told(excuse=excuse), account.is_whole)


async def _caption_of(meeting: MarkedMeeting, engine: str, *, since: float, timeout_s: float) -> float | None:
    def first() -> float | None:
        return next((c.at for c in meeting.captions if c.at > since and c.segment.engine == engine), None)

    with contextlib.suppress(TimeoutError):
        await meeting.viewer.until(lambda _: first(), timeout_s=timeout_s)
    at = first()
    return None if at is None else at - since


def _passages(meeting: MarkedMeeting, person: str, engine: str) -> list[Times]:
    """When somebody said what this engine transcribed."""
    return [
        (meeting.monotonic(s.start_ms) - 1.0, meeting.monotonic(s.end_ms) + 1.0)
        for _, s in meeting.shown(person)
        if s.engine == engine
    ]


def _tries(seen: EngineSeen, *, since: float, until: float) -> list[Attempt]:
    return [attempt for attempt in seen.attempts if since < attempt.at <= until]


def _probes(tries: Sequence[Attempt], *, people: int) -> tuple[int, list[float]]:
    """How many found out together, and when the first of these tried and everybody after them."""
    at_once = sum(attempt.at - tries[0].at <= AT_ONCE_S for attempt in tries[:people])
    return at_once, [tries[0].at, *(attempt.at for attempt in tries[at_once:])]


def _slow(tries: Sequence[Attempt], *, people: int) -> Finding:
    if not tries:
        return Finding("never tried", False)
    at_once, probes = _probes(tries, people=people)
    gaps = [later - earlier for earlier, later in itertools.pairwise(probes)]
    ok = bool(gaps) and min(gaps) >= REFUSED_RETRY_S - 0.1
    return Finding(
        f"{at_once} tries at once, then {len(gaps)}, the closest {seconds(min(gaps, default=0))} apart",
        ok,
    )


def _closed_by_engine(seen: EngineSeen, since: float) -> list[Connection]:
    return [c for c in seen.connections if c.closed_at and c.closed_at > since and c.ending == "server"]


def _next_of_the_same(seen: EngineSeen, closed: Connection) -> float:
    """From a connection's end to the next one of the same speaker, whom the numbers tell; infinity: none."""
    assert closed.closed_at is not None
    person = _people(closed)
    later = [c for c in seen.connections if c.opened_at > closed.closed_at and _people(c) & person]
    return min((c.opened_at - closed.closed_at for c in later), default=float("inf"))


def _people(connection: Connection) -> set[int]:
    """Of two people."""
    return {word.code // 500 for word in connection.words}


@dataclass(kw_only=True)
class Memory:
    """Of a job's process."""

    before: int
    most: int

    def finding(self) -> Finding:
        grown = self.most - self.before
        return Finding(f"the job grew by {grown / 2**20:.0f} MiB", grown <= MEMORY_BOUND_BYTES)


@contextlib.asynccontextmanager
async def _memory_watched(job: psutil.Process) -> AsyncIterator[Memory]:
    before = job.memory_info().rss
    memory = Memory(before=before, most=before)

    async def watch() -> None:
        while True:
            memory.most = max(memory.most, job.memory_info().rss)
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch(), name="watch memory")
    try:
        yield memory
    finally:
        watching.cancel()
        await asyncio.wait({watching})
