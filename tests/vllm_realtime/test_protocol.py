import base64
import json
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from vllm_realtime.protocol import (
    MAX_APPEND_BYTES,
    MAX_TEXT_CHARS,
    Conversation,
    Created,
    Delta,
    Done,
    Failed,
    Step,
    Turn,
    parse,
    session_update,
)

PCM = b"\x01\x02" * 320
NOTHING = Step()


def conversation(*, max_utterance_bytes: int = 1_000_000) -> Conversation:
    return Conversation(max_utterance_bytes=max_utterance_bytes)


def kinds(lines: Iterable[str]) -> list[str]:
    return [
        {
            "input_audio_buffer.append": "append",
            "input_audio_buffer.commit": "final" if e.get("final") else "commit",
        }[e["type"]]
        for e in map(json.loads, lines)
    ]


def audio(lines: Iterable[str]) -> bytes:
    return b"".join(base64.b64decode(e["audio"]) for e in map(json.loads, lines) if "audio" in e)


def test_an_utterance_begins_with_audio_and_only_then_a_commit() -> None:
    talk = conversation()

    assert kinds(talk.audio(PCM).lines) == ["append", "commit"]
    assert kinds(talk.audio(PCM).lines) == ["append"]
    assert kinds(talk.flush().lines) == ["final"]


def test_without_audio_nothing_is_committed_and_a_flush_has_its_answer_at_once() -> None:
    talk = conversation()

    assert talk.audio(b"") == NOTHING
    assert talk.flush() == Step(ended=1)


def test_the_next_utterance_waits_for_done_and_a_rest_and_loses_nothing() -> None:
    talk = conversation()
    talk.audio(PCM)
    talk.flush()

    assert talk.audio(PCM) == talk.audio(PCM) == talk.flush() == NOTHING
    assert talk.held_bytes == 2 * len(PCM)
    assert talk.done() == Step(ended=1)
    assert talk.audio(PCM) == NOTHING
    step = talk.rested()

    assert kinds(step.lines) == ["append", "commit", "final"]
    assert audio(step.lines) == PCM * 2
    assert talk.turn is Turn.ENDING
    assert talk.held_bytes == len(PCM)


def test_a_flush_behind_a_flush_is_answered_when_the_first_is() -> None:
    talk = conversation()
    talk.audio(PCM)
    talk.flush()

    assert talk.flush() == NOTHING
    assert talk.done() == Step(ended=1)
    assert not talk.is_quiet
    assert talk.rested() == Step(ended=1)
    assert talk.is_quiet


def test_a_done_that_nobody_asked_for_is_told() -> None:
    talk = conversation()
    assert talk.done() is None
    talk.audio(PCM)
    assert talk.done() is None


def test_a_monologue_is_ended_at_a_bound_and_goes_on_as_another_utterance() -> None:
    talk = conversation(max_utterance_bytes=2 * len(PCM))
    talk.audio(PCM)
    talk.audio(PCM)

    assert kinds(talk.audio(PCM).lines) == ["final"]
    assert talk.done() == Step(ended=0)  # nobody has flushed
    step = talk.rested()
    assert kinds(step.lines) == ["append", "commit"]
    assert audio(step.lines) == PCM
    assert (talk.begin_bytes, talk.sent_bytes) == (2 * len(PCM), 3 * len(PCM))


def test_what_was_held_back_goes_in_few_messages() -> None:
    talk = conversation()
    talk.audio(PCM)
    talk.flush()
    for _ in range(50):
        talk.audio(PCM)
    talk.done()
    lines = talk.rested().lines

    assert audio(lines) == PCM * 50
    assert kinds(lines) == ["append", "commit", "append", "append", "append", "append"]
    assert max(len(audio([line])) for line in lines) <= MAX_APPEND_BYTES


def test_deltas_add_up_within_their_utterance_and_are_nothing_outside_of_one() -> None:
    talk = conversation()
    assert not talk.delta("too early")
    talk.audio(PCM)
    assert talk.delta("good")
    talk.flush()
    assert talk.delta(" morning")
    assert talk.text == "good morning"
    talk.done()
    assert not talk.delta("too late")
    talk.rested()
    talk.audio(PCM)

    assert talk.text == ""
    for _ in range(3):
        talk.delta("a" * MAX_TEXT_CHARS)
    assert len(talk.text) == MAX_TEXT_CHARS


def test_where_an_utterance_lies_in_the_audio_sent_is_known() -> None:
    talk = conversation()
    talk.audio(PCM)
    talk.flush()
    talk.done()
    talk.rested()
    talk.audio(PCM)

    assert (talk.begin_bytes, talk.sent_bytes) == (len(PCM), 2 * len(PCM))


STEPS = st.lists(st.sampled_from(["audio", "flush", "done", "rest"]), max_size=80)


@given(steps=STEPS, max_pieces=st.integers(1, 6))
def test_whatever_happens_the_server_is_never_sent_what_it_would_throw_away(
    steps: list[str], max_pieces: int
) -> None:
    talk, server = conversation(max_utterance_bytes=max_pieces * len(PCM)), Server()
    for step in steps:
        if step == "audio":
            server.given_bytes += len(PCM)
            server.take(talk.audio(PCM))
        elif step == "flush":
            server.flushes += 1
            server.take(talk.flush())
        elif step == "done" and server.turn == "ending":
            server.done(talk)
        elif step == "rest" and server.turn == "resting":
            server.turn = "ready"
            server.take(talk.rested())
    while not talk.is_quiet:
        if server.turn == "ending":
            server.done(talk)
        elif server.turn == "resting":
            server.turn = "ready"
            server.take(talk.rested())
        else:
            server.flushes += 1
            server.take(talk.flush())

    assert server.heard_bytes == server.given_bytes
    assert server.ends == server.flushes


class Server:
    """Holds its client to vLLM's rules."""

    def __init__(self) -> None:
        self.turn = "ready"
        self.given_bytes = self.heard_bytes = self.flushes = self.ends = 0

    def take(self, step: Step) -> None:
        self.ends += step.ended
        for kind, line in zip(kinds(step.lines), step.lines, strict=True):
            self.heard_bytes += len(audio([line]))
            match kind, self.turn:
                case "append", "ready":
                    self.turn = "appended"
                case "append", "generating":
                    pass
                case "commit", "appended":
                    self.turn = "generating"
                case "final", "generating":
                    self.turn = "ending"
                case _:
                    raise AssertionError(f"{kind} while {self.turn}")

    def done(self, talk: Conversation) -> None:
        step = talk.done()
        assert step is not None
        self.ends += step.ended
        self.turn = "resting"


def test_events_are_parsed_and_anything_else_is_left_out() -> None:
    assert parse('{"type":"session.created","id":"a","created":1}') == Created()
    assert parse('{"type":"transcription.delta","delta":" é"}') == Delta(text=" é")
    assert parse('{"type":"transcription.done","text":"a","usage":null}') == Done(text="a")
    assert parse('{"type":"error","error":"x","code":"processing_error"}') == Failed(code="processing_error")
    assert parse('{"type":"error"}') == Failed(code="unknown")
    for line in (
        "",
        "no json",
        "[1]",
        "5",
        "null",
        '{"type":"transcription.delta","delta":5}',
        '{"type":7}',
        "[" * 9_999,
    ):
        assert parse(line) is None


@given(st.text())
def test_no_line_of_a_server_can_raise(line: str) -> None:
    parse(line)


def test_the_model_is_named_first() -> None:
    assert json.loads(session_update("m")) == {"type": "session.update", "model": "m"}
