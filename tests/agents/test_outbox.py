from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agents.sinks.outbox import Outbox
from contract.segments import Segment

BASE = Segment(
    id="a",
    track_sid="TR",
    sequence=1,
    revision=0,
    is_final=False,
    speaker_identity="ada",
    speaker_name="Ada",
    language="en",
    start_ms=0,
    end_ms=0,
    engine="embedded",
    text="x",
)


def revision(id: str, number: int, *, is_final: bool = False) -> Segment:
    return replace(BASE, id=id, revision=number, is_final=is_final)


def test_of_interims_the_newest_goes_ten_times_a_second() -> None:
    outbox, sent = Outbox(), []
    for number in range(1_000):
        outbox.put(revision("a", number))
        if segment := outbox.take(now=number / 1_000):
            sent.append(segment.revision)

    assert len(sent) == 10
    assert sent[0] == 0


def test_a_final_does_not_wait_and_nothing_comes_after_it() -> None:
    outbox = Outbox()
    outbox.put(revision("a", 0))
    assert outbox.take(now=0.0)
    outbox.put(revision("a", 1))
    assert outbox.take(now=0.05) is None
    outbox.put(revision("a", 2, is_final=True))

    last = outbox.take(now=0.05)
    assert last is not None and last.is_final
    assert outbox.is_empty
    assert outbox.next_in_s(now=0.05) is None


def test_a_new_segment_need_not_wait_for_the_one_before() -> None:
    outbox = Outbox()
    outbox.put(revision("a", 0))
    outbox.take(now=0.0)
    outbox.put(revision("a", 1, is_final=True))
    outbox.put(revision("b", 0))

    assert [s.id for s in iter(lambda: outbox.take(now=0.01), None)] == ["a", "b"]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 0.2)), max_size=60))
def test_no_final_is_dropped_and_order_is_kept(steps: list[tuple[int, float]]) -> None:
    outbox, sent, now, finals = Outbox(), [], 0.0, []
    for number, (interims, pause_s) in enumerate(steps):
        for i in range(interims):
            outbox.put(revision(str(number), i))
        outbox.put(final := revision(str(number), interims, is_final=True))
        finals.append(final.id)
        now += pause_s
        if segment := outbox.take(now=now):
            sent.append(segment)
    while not outbox.is_empty:
        now += 0.1
        if segment := outbox.take(now=now):
            sent.append(segment)

    assert [s.id for s in sent if s.is_final] == finals
    assert [int(s.id) for s in sent] == sorted(int(s.id) for s in sent)
