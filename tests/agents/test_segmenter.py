import math
from collections.abc import Callable
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from livekit.agents import LanguageCode, stt

from agents.segments.segmenter import Segmenter, Sequence, Speaker, clean
from contract.segments import MAX_TEXT_CHARS, Segment

EPOCH_MS = 1_000_000
KINDS = stt.SpeechEventType
WORDS = st.text(alphabet="ab \n\x00é", max_size=12)
SECONDS = st.floats(-5, 5) | st.sampled_from([math.nan, math.inf, -math.inf])


def utc_ms(stream_s: float) -> int:
    """What a caller's clock makes of finite seconds, and only of those."""
    assert math.isfinite(stream_s) and stream_s >= 0
    return EPOCH_MS + round(stream_s * 1000)


def segmenter(
    *,
    identity: str = "ada",
    sequence: Sequence | None = None,
    new_id: Callable[[], str] | None = None,
) -> Segmenter:
    ids = count()
    return Segmenter(
        speaker=lambda: Speaker(identity=identity, name=identity.title()),
        track_sid=f"TR_{identity}",
        engine="first",
        language=lambda: "en",
        sequence=sequence or Sequence(7),
        new_id=new_id or (lambda: f"id-{next(ids)}"),
    )


def feed(
    said: Segmenter,
    kind: stt.SpeechEventType,
    text: str,
    start_s: float = 0.0,
    end_s: float = 1.0,
    language: str = "",
) -> list[Segment]:
    data = stt.SpeechData(language=LanguageCode(language), text=text, start_time=start_s, end_time=end_s)
    return said.feed(stt.SpeechEvent(type=kind, alternatives=[data]), starts_at=utc_ms, ends_at=utc_ms)


def interim(
    said: Segmenter, text: str, start_s: float = 0.0, end_s: float = 1.0, language: str = ""
) -> list[Segment]:
    return feed(said, KINDS.INTERIM_TRANSCRIPT, text, start_s, end_s, language)


def final(
    said: Segmenter, text: str, start_s: float = 0.0, end_s: float = 1.0, language: str = ""
) -> list[Segment]:
    return feed(said, KINDS.FINAL_TRANSCRIPT, text, start_s, end_s, language)


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


def test_each_revision_names_the_engine_that_heard_it() -> None:
    said = segmenter()
    [draft] = interim(said, "bon")
    said.engine = "second"
    [more] = interim(said, "bonjour")
    said.engine = "third"
    [last] = said.close()
    [other] = final(said, "à tous")

    assert [s.engine for s in (draft, more, last, other)] == ["first", "second", "second", "third"]
    assert (more.id, more.revision) == (draft.id, 1)


def test_each_revision_names_its_speaker_as_they_are_called_by_then() -> None:
    name = "Ada"
    said = Segmenter(
        speaker=lambda: Speaker(identity="ada", name=name),
        track_sid="TR",
        engine="first",
        language=lambda: "en",
        sequence=Sequence(1),
    )
    [before] = interim(said, "bon")
    name = "Speaker 1"
    [after] = interim(said, "bonjour")
    name = "Ada"
    [ended] = said.close()

    assert [s.speaker_name for s in (before, after, ended)] == ["Ada", "Speaker 1", "Ada"]
    assert before.id == after.id == ended.id


def test_what_others_have_numbered_is_passed_by() -> None:
    sequence = Sequence(7)
    sequence.pass_by(3)
    assert (sequence.take(), sequence.last) == (7, 7)
    sequence.pass_by(20)
    assert (sequence.last, sequence.take()) == (20, 21)


def test_the_language_is_the_one_asked_for_until_the_engine_names_another() -> None:
    said = segmenter()
    [asked] = interim(said, "guten")
    [named] = interim(said, "guten Morgen", language="de")
    [kept] = final(said, "guten Morgen allerseits")
    [at_once] = interim(said, "salut", language="fr")
    [at_last] = final(said, "salut", language="fr-CA")

    assert [s.language for s in (asked, named, kept, at_once, at_last)] == ["en", "de", "de", "fr", "fr-CA"]


@pytest.mark.parametrize("tag", ["x" * 200, "d\ne", "<b>", "1"])
def test_what_is_no_language_names_none(tag: str) -> None:
    [said] = final(segmenter(), "hello", language=tag)

    assert said.language == "en"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -3.0])
def test_times_that_are_none_move_nothing(bad: float) -> None:
    said = segmenter()
    [begun] = interim(said, "one", 1.0, 2.0)
    [same] = interim(said, "one two", bad, bad)
    said.close()
    [fresh] = final(said, "three", bad, bad)

    assert (same.start_ms, same.end_ms) == (begun.start_ms, begun.end_ms)
    assert fresh.start_ms == fresh.end_ms == EPOCH_MS


class SpeakersInARoom(RuleBasedStateMachine):
    """Three tracks in any interleaving, with engine switches, outages and ends anywhere."""

    tracks = st.sampled_from(["ada", "bob", "eve"])

    @initialize(first=st.integers(1, 5_000))
    def begin(self, first: int) -> None:
        ids = count()
        sequence = Sequence(first)
        self.first = first
        self.room = {
            identity: segmenter(identity=identity, sequence=sequence, new_id=lambda: f"id-{next(ids)}")
            for identity in ("ada", "bob", "eve")
        }
        self.shown: dict[str, list[Segment]] = {}
        self.opened: list[str] = []
        self.floor_chars: dict[str, int] = {}

    def say(self, identity: str, revisions: list[Segment]) -> None:
        assert len(revisions) <= 1
        for segment in revisions:
            assert (segment.speaker_identity, segment.track_sid) == (identity, f"TR_{identity}")
            before = self.shown.setdefault(segment.id, [])
            if not before:
                self.opened.append(segment.id)
                assert self.open_of(identity, but=segment.id) is None
            elif len(segment.text) < self.floor_chars.get(identity, 0):
                assert segment.is_final
            before.append(segment)
            self.floor_chars.pop(identity, None)

    def open_of(self, identity: str, *, but: str = "") -> Segment | None:
        mine = [r[-1] for r in self.shown.values() if r and r[-1].speaker_identity == identity]
        return next((s for s in mine if not s.is_final and s.id != but), None)

    @rule(
        identity=tracks,
        kind=st.sampled_from(
            [
                KINDS.INTERIM_TRANSCRIPT,
                KINDS.PREFLIGHT_TRANSCRIPT,
                KINDS.FINAL_TRANSCRIPT,
                KINDS.END_OF_SPEECH,
                KINDS.START_OF_SPEECH,
                KINDS.RECOGNITION_USAGE,
            ]
        ),
        text=WORDS,
        start_s=SECONDS,
        end_s=SECONDS,
        language=st.sampled_from(["", "de", "fr-CA", "?"]),
    )
    def hear(
        self,
        identity: str,
        kind: stt.SpeechEventType,
        text: str,
        start_s: float,
        end_s: float,
        language: str,
    ) -> None:
        was_open, engine = self.open_of(identity), self.room[identity].engine
        revisions = feed(self.room[identity], kind, text, start_s, end_s, language)
        self.say(identity, revisions)
        words = clean(text)
        is_final = kind is KINDS.FINAL_TRANSCRIPT
        if kind is KINDS.END_OF_SPEECH or (is_final and not words):
            assert [s.text for s in revisions] == ([was_open.text] if was_open else [])
            assert [s.engine for s in revisions] == ([was_open.engine] if was_open else [])
        elif is_final:
            [said] = revisions
            assert (said.text, said.engine) == (words, engine)
            assert said.language == (
                {"?": ""}.get(language, language) or (was_open.language if was_open else "en")
            )
        if is_final or kind is KINDS.END_OF_SPEECH:
            assert self.open_of(identity) is None

    @rule(identity=tracks, engine=st.sampled_from(["first", "second"]))
    def switch(self, identity: str, engine: str) -> None:
        self.room[identity].engine = engine

    @rule(identity=tracks)
    def hear_again(self, identity: str) -> None:
        self.room[identity].catch_up()
        if was_open := self.open_of(identity):
            self.floor_chars[identity] = len(was_open.text)

    @rule(identity=tracks)
    def close(self, identity: str) -> None:
        was_open = self.open_of(identity)
        self.say(identity, closed := self.room[identity].close())
        assert [s.text for s in closed] == ([was_open.text] if was_open else [])
        assert self.open_of(identity) is None

    @invariant()
    def all_keep_the_rules(self) -> None:
        sequences = [self.shown[id][0].sequence for id in self.opened]
        assert sequences == list(range(self.first, self.first + len(self.opened)))
        for revisions in self.shown.values():
            assert [s.revision for s in revisions] == list(range(len(revisions)))
            assert not any(s.is_final for s in revisions[:-1])
            assert len({(s.sequence, s.start_ms, s.track_sid) for s in revisions}) == 1
            assert all(a.end_ms <= b.end_ms for a, b in pairwise(revisions))
            assert all(s.start_ms <= s.end_ms and s.text == clean(s.text) != "" for s in revisions)


TestSpeakersInARoom = SpeakersInARoom.TestCase


@given(st.text())
def test_text_is_one_line_without_control_characters_and_bounded(text: str) -> None:
    cleaned = clean(text * 1_000)

    assert len(cleaned) <= MAX_TEXT_CHARS
    assert "\n" not in cleaned and "\x00" not in cleaned
    assert clean(cleaned) == cleaned
    cleaned.encode()
