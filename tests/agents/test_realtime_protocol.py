import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from agents.stt.realtime.protocol import Conversation, Delta, Done, Failed, Turn, parse, session_update

PCM = b"\x01\x02" * 320


def kinds(lines: list[str]) -> list[str]:
    return [
        {
            "input_audio_buffer.append": "append",
            "input_audio_buffer.commit": "final" if e.get("final") else "commit",
        }[e["type"]]
        for e in map(json.loads, lines)
    ]


def audio(lines: list[str]) -> bytes:
    return b"".join(base64.b64decode(e["audio"]) for e in map(json.loads, lines) if "audio" in e)


def test_an_utterance_begins_with_audio_and_only_then_a_commit() -> None:
    talk = Conversation()

    assert kinds(talk.audio(PCM)) == ["append", "commit"]
    assert kinds(talk.audio(PCM)) == ["append"]
    assert kinds(talk.end_utterance()) == ["final"]


def test_without_audio_nothing_is_committed() -> None:
    talk = Conversation()

    assert talk.end_utterance() == talk.audio(b"") == talk.end_utterance() == []


def test_the_next_utterance_waits_for_done_and_a_rest_and_loses_nothing() -> None:
    talk = Conversation()
    talk.audio(PCM)
    talk.end_utterance()

    assert talk.audio(PCM) == talk.audio(PCM) == talk.end_utterance() == []
    talk.heard(Done(text="one"))
    assert talk.audio(PCM) == []
    lines = talk.rested()

    assert kinds(lines) == ["append", "commit", "final"]
    assert audio(lines) == PCM * 2
    assert talk.turn is Turn.ENDING


def test_an_utterance_that_the_server_ends_by_itself_goes_on_as_another() -> None:
    talk = Conversation()
    talk.audio(PCM)
    talk.heard(Done(text="long"))

    assert talk.audio(PCM) == []
    assert kinds(talk.rested()) == ["append", "commit"]


def test_deltas_add_up_within_their_utterance() -> None:
    talk = Conversation()
    talk.audio(PCM)
    talk.heard(Delta(text="good"))
    talk.heard(Delta(text=" morning"))
    assert talk.text == "good morning"
    talk.end_utterance()
    talk.heard(Done(text="good morning"))
    talk.rested()
    talk.audio(PCM)

    assert talk.text == ""


def test_where_an_utterance_lies_in_the_audio_sent_is_known() -> None:
    talk = Conversation()
    talk.audio(PCM)
    talk.end_utterance()
    talk.heard(Done(text=""))
    talk.rested()
    talk.audio(PCM)

    assert (talk.begin_bytes, talk.sent_bytes) == (len(PCM), 2 * len(PCM))


@given(st.lists(st.sampled_from(["audio", "end", "done", "rest"]), max_size=80))
def test_whatever_happens_the_server_is_never_sent_what_it_would_throw_away(steps: list[str]) -> None:
    talk, given_bytes, heard_bytes, turn = Conversation(), 0, 0, "ready"
    for step in steps:
        lines = []
        if step == "audio":
            lines, given_bytes = talk.audio(PCM), given_bytes + len(PCM)
        elif step == "end":
            lines = talk.end_utterance()
        elif step == "done" and turn == "ending":
            talk.heard(Done(text=""))
            turn = "resting"
        elif step == "rest" and turn == "resting":
            turn = "ready"
            lines = talk.rested()
        for kind, line in zip(kinds(lines), lines, strict=True):
            heard_bytes += len(audio([line]))
            allowed = {
                "append": ("ready", "appended", "generating"),
                "commit": ("appended",),
                "final": ("generating",),
            }
            assert turn in allowed[kind]
            turn = {
                "append": "appended" if turn == "ready" else turn,
                "commit": "generating",
                "final": "ending",
            }[kind]
    for _ in range(100):
        if turn == "ending":
            talk.heard(Done(text=""))
        turn = "ready"
        for kind in kinds(lines := talk.rested() + talk.end_utterance()):
            turn = "ending" if kind == "final" else turn
        heard_bytes += len(audio(lines))

    assert heard_bytes == given_bytes


def test_events_are_parsed_and_anything_else_is_left_out() -> None:
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
