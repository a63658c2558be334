from itertools import count, pairwise

from hypothesis import given
from hypothesis import strategies as st
from livekit.agents import LanguageCode, stt

from agents.segments.segmenter import Segmenter, Sequence, Speaker, clean
from contract.segments import MAX_TEXT_CHARS, Segment

EPOCH_MS = 1_000_000
KINDS = stt.SpeechEventType
WORDS = st.text(alphabet="ab \n\x00é", max_size=12)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            [KINDS.INTERIM_TRANSCRIPT, KINDS.FINAL_TRANSCRIPT, KINDS.END_OF_SPEECH, KINDS.START_OF_SPEECH]
        ),
        WORDS,
        st.floats(0, 5),
        st.floats(0, 5),
    ),
    max_size=40,
)


def segmenter(first_sequence: int = 7) -> Segmenter:
    ids = count()
    return Segmenter(
        speaker=lambda: Speaker(identity="ada", name="Ada"),
        track_sid="TR_1",
        engine="embedded",
        language=lambda: "en",
        sequence=Sequence(first_sequence),
        new_id=lambda: f"id-{next(ids)}",
    )


def feed(
    said: Segmenter, kind: stt.SpeechEventType, text: str, start_s: float = 0.0, end_s: float = 1.0
) -> list[Segment]:
    data = stt.SpeechData(language=LanguageCode(""), text=text, start_time=start_s, end_time=end_s)
    return said.feed(
        stt.SpeechEvent(type=kind, alternatives=[data]),
        starts_at=lambda s: EPOCH_MS + round(s * 1000),
        ends_at=lambda s: EPOCH_MS + round(s * 1000),
    )


def interim(said: Segmenter, text: str, start_s: float = 0.0, end_s: float = 1.0) -> list[Segment]:
    return feed(said, KINDS.INTERIM_TRANSCRIPT, text, start_s, end_s)


def final(said: Segmenter, text: str, start_s: float = 0.0, end_s: float = 1.0) -> list[Segment]:
    return feed(said, KINDS.FINAL_TRANSCRIPT, text, start_s, end_s)


def test_a_final_keeps_the_id_sequence_and_start_of_its_interims() -> None:
    said = segmenter()
    [draft] = interim(said, "bon", 0.2, 0.4)
    [more] = interim(said, "bonjour", 0.3, 0.5)
    [last] = final(said, "bonjour à tous", 0.4, 0.9)

    assert {s.id for s in (draft, more, last)} == {"id-0"}
    assert {s.sequence for s in (draft, more, last)} == {7}
    assert [s.revision for s in (draft, more, last)] == [0, 1, 2]
    assert [s.start_ms - EPOCH_MS for s in (draft, more, last)] == [200, 200, 200]
    assert [s.end_ms - EPOCH_MS for s in (draft, more, last)] == [400, 500, 900]
    assert [s.is_final for s in (draft, more, last)] == [False, False, True]


def test_without_words_nothing_is_said() -> None:
    said = segmenter()

    assert (
        interim(said, " \n") == final(said, "") == feed(said, KINDS.END_OF_SPEECH, "") == said.close() == []
    )


def test_words_already_shown_become_final_when_the_final_has_none() -> None:
    said = segmenter()
    interim(said, "bonjour")
    [last] = final(said, "")

    assert (last.text, last.is_final, last.revision) == ("bonjour", True, 1)
    assert final(said, "") == []


def test_a_final_without_an_interim_is_a_segment_of_its_own() -> None:
    said = segmenter()
    [one], [two] = final(said, "one"), final(said, "two")

    assert (one.sequence, two.sequence) == (7, 8)
    assert one.id != two.id
    assert one.revision == two.revision == 0


def test_speakers_of_a_room_share_one_sequence() -> None:
    sequence = Sequence(1)
    assert sequence.last == 0

    assert [sequence.take(), sequence.take()] == [1, 2]
    assert sequence.last == 2


def test_hearing_the_same_audio_again_does_not_take_words_back() -> None:
    said = segmenter()
    interim(said, "one two three")
    said.catch_up()

    assert interim(said, "one") == interim(said, "one two") == []
    [further] = interim(said, "one two three four")
    assert further.revision == 1
    [last] = final(said, "one two")
    assert last.is_final and last.text == "one two"


@given(EVENTS)
def test_every_segment_grows_and_ends_by_the_rules(
    events: list[tuple[stt.SpeechEventType, str, float, float]],
) -> None:
    said = segmenter()
    revisions = [s for kind, text, a, b in events for s in feed(said, kind, text, a, b)]
    revisions += said.close()

    order: list[str] = list(dict.fromkeys(s.id for s in revisions))
    assert [s.id for s in revisions] == [id for id in order for s in revisions if s.id == id]
    for number, id in enumerate(order):
        mine = [s for s in revisions if s.id == id]
        assert [s.revision for s in mine] == list(range(len(mine)))
        assert [s.is_final for s in mine] == [False] * (len(mine) - 1) + [True]
        assert {s.sequence for s in mine} == {7 + number}
        assert len({s.start_ms for s in mine}) == 1
        assert all(a.end_ms <= b.end_ms for a, b in pairwise(mine))
        assert all(s.start_ms <= s.end_ms and s.text == clean(s.text) != "" for s in mine)


@given(st.text())
def test_text_is_one_line_without_control_characters_and_bounded(text: str) -> None:
    cleaned = clean(text * 50)

    assert len(cleaned) <= MAX_TEXT_CHARS
    assert "\n" not in cleaned and "\x00" not in cleaned
    cleaned.encode()
