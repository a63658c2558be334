"""What jobs count and the worker sums. Pure."""

import time
from dataclasses import replace

from agents.runtime.counts import LATENCY_BOUNDS_S, JobCounter, JobCounts, Latencies
from agents.runtime.roster import Assignment, Roster, Tick, key_of
from contract import shapes
from contract.engines import SessionEngines
from contract.segments import Segment
from contract.status import Reason, State
from contract.workers import ClaimAnswer, EngineAudio, JobReport


def segment(*, ended_ms_ago: int = 100, is_final: bool = False, is_backlog: bool = False) -> Segment:
    end_ms = round(time.time() * 1000) - ended_ms_ago
    return Segment(
        id="1",
        track_sid="TR",
        sequence=1,
        revision=0,
        is_final=is_final,
        speaker_identity="ada",
        speaker_name="Ada",
        language="en",
        start_ms=end_ms - 1000,
        end_ms=end_ms,
        engine="embedded",
        text="hello",
        is_backlog=is_backlog,
    )


def assigned(claim: ClaimAnswer) -> Assignment:
    engines = SessionEngines(session=claim.session, generation=claim.generation, revision=1, chain=())
    return Assignment(claim=claim, engines=engines)


def claim(session: str) -> ClaimAnswer:
    return ClaimAnswer(
        session=session,
        generation=1,
        room="r",
        agent_identity="subtitles-1-1",
        language="en",
        engine="embedded",
        first_sequence=1,
        screen_share_audio=False,
    )


def tick(of: ClaimAnswer, *, number: int, counts: JobCounts) -> Tick:
    report = JobReport(session=of.session, generation=of.generation, state=State.LIVE)
    return shapes.from_json(Tick, shapes.to_json(Tick(number=number, report=report, counts=counts)))


def test_a_caption_is_counted_by_its_kind_and_how_late_it_was() -> None:
    counter = JobCounter()
    counter.sent(segment(ended_ms_ago=400))
    counter.sent(segment(ended_ms_ago=700, is_final=True))
    counter.sent(segment(ended_ms_ago=60_000, is_final=True))

    interims, finals = counter.counts.interims, counter.counts.finals
    assert [i for i, count in enumerate(interims.buckets) if count] == [LATENCY_BOUNDS_S.index(0.5)]
    assert [i for i, count in enumerate(finals.buckets) if count] == [
        LATENCY_BOUNDS_S.index(0.75),
        len(LATENCY_BOUNDS_S),
    ]
    assert abs(finals.sum_ms - 60_700) < 50


def test_a_caption_repeated_for_a_newcomer_is_not_late() -> None:
    counter = JobCounter()
    counter.sent(segment(ended_ms_ago=20_000, is_final=True, is_backlog=True))

    assert counter.counts == JobCounts()


def test_a_bound_belongs_to_its_bucket_as_in_prometheus() -> None:
    assert Latencies().with_one(100).buckets[0] == 1
    assert Latencies().with_one(101).buckets[1] == 1


def test_engine_failures_are_counted_by_reason() -> None:
    counter = JobCounter()
    for reason in (Reason.ENGINE_DOWN, Reason.ENGINE_DOWN, Reason.ENGINE_AUTH, Reason.AT_CAPACITY):
        counter.engine_failed(reason)

    counts = counter.counts
    assert (counts.engine_down, counts.engine_auth, counts.engine_full) == (2, 1, 1)


def test_audio_is_counted_for_each_engine_that_answered() -> None:
    counter = JobCounter()
    counter.audio(engine="deepgram", has_worked=True, sent_ms=300, dropped_ms=0)
    counter.audio(engine="embedded", has_worked=True, sent_ms=50, dropped_ms=20)
    counter.audio(engine="deepgram", has_worked=False, sent_ms=9000, dropped_ms=0)
    counter.audio(engine="deepgram", has_worked=True, sent_ms=700, dropped_ms=0)

    assert counter.engine_audio == (
        EngineAudio(engine="deepgram", audio_ms=1000),
        EngineAudio(engine="embedded", audio_ms=50),
    )
    assert (counter.counts.audio_sent_ms, counter.counts.audio_dropped_ms) == (10_050, 20)


def test_the_worker_sums_its_jobs_and_keeps_what_those_that_ended_had_counted() -> None:
    roster, first, second = Roster(), claim("s-1"), claim("s-2")
    counter = JobCounter()
    for number in (1, 2, 3):
        counter.sent(segment(is_final=True))
        counter.engine_failed(Reason.ENGINE_DOWN)
        if number == 1:
            roster.claimed(assigned(first), now=0.0)
            roster.connected(key_of(first), now=0.0)
        if number != 2:  # one line is lost
            roster.heard(key_of(first), tick(first, number=number, counts=counter.counts), now=float(number))
    roster.gone(key_of(first))
    roster.answered(roster.reports(now=4.0))
    roster.claimed(assigned(second), now=5.0)
    roster.connected(key_of(second), now=5.0)
    one = replace(JobCounts(), interims=Latencies().with_one(50))
    roster.heard(key_of(second), tick(second, number=1, counts=one), now=6.0)

    assert (sum(roster.counted.finals.buckets), roster.counted.engine_down) == (3, 3)
    assert (sum(roster.counted.interims.buckets), roster.counted.interims.sum_ms) == (1, 50)


def test_jobs_are_told_apart_by_state_and_the_silent_are_lost() -> None:
    roster, first, second = Roster(), claim("s-1"), claim("s-2")
    for one in (first, second):
        roster.claimed(assigned(one), now=0.0)
        roster.connected(key_of(one), now=0.0)
    roster.heard(key_of(first), tick(first, number=1, counts=JobCounts()), now=9.5)

    assert sorted(roster.states(now=10.0)) == ["live", "lost"]
