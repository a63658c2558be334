"""What OpenAI's clients decide without a socket."""

import json
import wave
from io import BytesIO

import numpy as np
import pytest

from agents.runtime.errors import EngineFault, EngineFull, EngineLost, EngineRefused, OptionsError
from agents.stt.openai import OpenAIOptions, OpenAIRealtimeOptions, models
from agents.stt.openai.doubts import Segment, believed, without_loops
from agents.stt.openai.events import (
    COMMIT,
    MAX_OPEN_ITEMS,
    Aside,
    Committed,
    Completed,
    Conversation,
    Delta,
    Failed,
    parse,
    session_update,
)
from agents.stt.openai.languages import language_named, language_of
from agents.stt.openai.pieces import Cutter, Gatherer
from agents.stt.openai.prompts import context_of, prompt_of
from agents.stt.openai.transcriptions import Question, Reply, fields_of, wait_before_s, wav_of
from agents.stt.registry import ENGINES, Surroundings
from contract.engines import CATALOGUE, EngineSetup, NamedValue

RATE_HZ = 16_000
KEY = "a-key-that-nobody-may-see"


def tone(seconds: float, *, rate_hz: int = RATE_HZ) -> bytes:
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (8_000 * np.sin(2 * np.pi * 300 * at_s)).astype(np.int16).tobytes()


def frames(pcm: bytes, *, rate_hz: int = RATE_HZ) -> list[bytes]:
    size = rate_hz // 50 * 2
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "en"),
        ("pt-BR", "pt"),
        ("zh_Hant_TW", "zh"),
        (" DE ", "de"),
        ("nb", "no"),
        ("nn-NO", "nn"),
        ("fil", "tl"),
        ("iw", "he"),
        ("jw", "jv"),
        ("yue", "yue"),
        ("", ""),
        ("multi", ""),
        ("tlh", ""),
    ],
)
def test_a_language_is_asked_for_as_whisper_writes_it_or_left_to_be_detected(tag: str, code: str) -> None:
    assert language_of(tag) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [("english", "en"), ("Haitian Creole", "ht"), ("pt", "pt"), ("javanese", "jv"), ("elvish", ""), ("", "")],
)
def test_a_detected_language_becomes_a_code(name: str, code: str) -> None:
    assert language_named(name) == code


def test_every_language_of_the_catalogue_can_be_asked_for() -> None:
    for engine in ("openai", "openai_realtime", "openai_compatible", "whisper", "nemotron"):
        assert [language_of(code) for code in CATALOGUE[engine].languages] == list(
            CATALOGUE[engine].languages
        )


def test_a_prompt_is_the_vocabulary_and_then_what_was_said_last() -> None:
    assert prompt_of(("Ada", "Roomscribe"), context="and so") == "Ada, Roomscribe. and so"
    assert prompt_of((), context="and so") == "and so"
    assert prompt_of(()) == ""


def test_prompts_are_bounded_whatever_people_are_called() -> None:
    names = tuple(f"Ζήνων {n}" for n in range(1_000))
    assert len(prompt_of(names, context=context_of("λέξη " * 5_000)).encode()) <= 620
    assert context_of("one two three") == "one two three"
    assert context_of("early " * 100 + "late").endswith("early late")


def test_a_short_utterance_is_one_piece() -> None:
    gatherer = Gatherer(piece_s=6.0, sample_rate_hz=RATE_HZ)
    for frame in frames(tone(5.9)):
        gatherer.audio(frame)
    assert gatherer.take() is None
    gatherer.flush()
    piece = gatherer.take()
    assert piece is not None
    assert (piece.begins_s, piece.end_s, piece.ends, gatherer.held_s) == (0.0, 5.9, True, 0.0)
    assert gatherer.take() is None


def test_a_long_utterance_is_cut_at_its_first_pause_after_a_multiple_of_three_seconds() -> None:
    gatherer = Gatherer(piece_s=6.0, sample_rate_hz=RATE_HZ)
    pieces = []
    for frame in frames(tone(2.5) + bytes(6_400) + tone(3.7) + bytes(6_400) + tone(5)):
        gatherer.audio(frame)
        if (piece := gatherer.take()) is not None:
            pieces.append(piece)
    gatherer.flush()
    last = gatherer.take()

    assert last is not None
    [first] = pieces
    assert 6.4 < first.end_s < 6.6  # within the silence, not through a word
    assert (first.begins_s, first.ends, last.begins_s, last.ends) == (0.0, False, 0.0, True)
    assert last.end_s == pytest.approx(11.6)
    assert first.pcm + last.pcm == tone(2.5) + bytes(6_400) + tone(3.7) + bytes(6_400) + tone(5)


def test_where_nobody_pauses_a_piece_ends_a_second_later_all_the_same() -> None:
    cutter = Cutter(piece_s=3.0, sample_rate_hz=RATE_HZ)
    cuts = [n for n, frame in enumerate(frames(tone(9))) if cutter.feed(np.frombuffer(frame, np.int16))]
    assert cuts == [199, 399]


def test_pieces_that_have_piled_up_go_together_but_never_two_utterances() -> None:
    gatherer = Gatherer(piece_s=3.0, sample_rate_hz=RATE_HZ)
    for seconds in (13, 2):
        for frame in frames(tone(seconds)):
            gatherer.audio(frame)
        gatherer.flush()
    pieces = [gatherer.take(), gatherer.take(), gatherer.take()]
    assert [(p.begins_s, p.end_s, p.ends) for p in pieces if p] == [(0, 13, True), (13, 15, True)]


def test_a_flush_without_audio_has_its_piece_too() -> None:
    gatherer = Gatherer(piece_s=3.0, sample_rate_hz=RATE_HZ)
    gatherer.flush()
    piece = gatherer.take()
    assert piece is not None
    assert (piece.pcm, piece.ends) == (b"", True)


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.2, 5.98])
def test_a_wav_tells_its_length_and_is_never_too_short_to_be_taken(seconds: float) -> None:
    pcm = tone(seconds)
    with wave.open(BytesIO(wav_of(pcm))) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (RATE_HZ, 1, 2)
        assert reader.getnframes() == max(len(pcm) // 2, RATE_HZ // 5)
        assert reader.readframes(reader.getnframes()).startswith(pcm)


def test_each_model_is_asked_for_what_it_takes() -> None:
    question = Question(pcm=b"", language="de-AT", vocabulary=("Ada",), context="und dann")
    assert fields_of(question, OpenAIOptions()) == [
        ("model", "whisper-1"),
        ("response_format", "verbose_json"),
        ("language", "de"),
        ("prompt", "Ada. und dann"),
    ]
    assert fields_of(question, OpenAIOptions(model="gpt-4o-transcribe"))[1:] == [
        ("response_format", "json"),
        ("language", "de"),
        ("prompt", "Ada. und dann"),
    ]
    assert fields_of(question, OpenAIOptions(model="gpt-transcribe"))[1:] == [
        ("response_format", "json"),
        ("languages[]", "de"),
        ("keywords[]", "Ada"),
        ("prompt", "und dann"),
    ]
    assert fields_of(Question(pcm=b"", language=""), OpenAIOptions(model="Systran/faster-whisper-small")) == [
        ("model", "Systran/faster-whisper-small"),
        ("response_format", "verbose_json"),
    ]


def test_whispers_own_signs_of_silence_are_believed_and_either_alone_is_not() -> None:
    silence = Segment(text=" Vielen Dank.", no_speech_prob=0.9, avg_logprob=-1.3)
    unsure = Segment(text=" Guten Tag.", no_speech_prob=0.9, avg_logprob=-0.3)
    assert believed("Vielen Dank.", segments=[silence], audio_s=2) == ""
    assert believed("…", segments=[unsure, silence], audio_s=2) == "Guten Tag."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("so we go " + "and then we go " * 8, "so we go and then we go"),
        ("la la la la la la la", "la"),
        ("no no no no", "no no no no"),
        ("one two three", "one two three"),
        ("", ""),
    ],
)
def test_what_repeats_itself_for_ever_is_said_once(text: str, said: str) -> None:
    assert without_loops(text.strip()) == said


def test_nobody_says_so_much_in_so_little_time() -> None:
    text = "Thank you for watching, and do not forget to subscribe to the channel."
    assert believed(text, audio_s=1.1) == ""
    assert believed(text, audio_s=3.0) == text
    assert believed("Yes, certainly.", audio_s=0.3) == "Yes, certainly."


def test_the_vocabulary_read_out_is_no_speech_and_a_name_of_it_is() -> None:
    vocabulary = "Ada Lovelace, Grace Hopper, Roomscribe, Kubernetes."
    read = "Ada Lovelace, Grace Hopper, Roomscribe, Kubernetes."
    assert believed(read, audio_s=5, vocabulary=vocabulary) == ""
    assert believed("Grace Hopper.", audio_s=5, vocabulary=vocabulary) == "Grace Hopper."


def reply(status: int, body: object = b"", **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status=status, headers={n.replace("_", "-"): v for n, v in headers.items()}, body=raw)


@pytest.mark.parametrize(
    ("status", "code", "cause", "means", "passes"),
    [
        (401, "invalid_api_key", EngineRefused, 401, False),
        (403, None, EngineRefused, 403, False),
        (404, "model_not_found", EngineRefused, 404, False),
        (400, "model_not_found", EngineRefused, 404, False),
        (400, "invalid_request", EngineLost, 400, False),
        (429, "rate_limit_exceeded", EngineFull, 429, True),
        (429, "insufficient_quota", EngineRefused, 402, False),
        (503, None, EngineFull, 503, True),
        (500, None, EngineLost, 500, True),
        (302, None, EngineLost, 302, False),
    ],
)
def test_an_error_is_what_its_code_says_and_else_what_its_status_says(
    status: int, code: str | None, cause: type[EngineFault], means: int, passes: bool
) -> None:
    answered = reply(status, {"error": {"code": code, "message": KEY}})
    assert type(answered.fault) is cause
    assert answered.fault.status == means
    assert answered.is_worth_another_try == passes
    assert KEY not in str(answered.fault)


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[1]", b"{}", b'{"text": 5}', b"[" * 100_000, b"\xff\xfe"]
)
def test_an_answer_that_is_none_is_an_engine_lost(body: bytes) -> None:
    with pytest.raises(EngineLost):
        reply(200, body).answer(Question(pcm=tone(1), language="en"))


def test_an_answer_survives_segments_of_another_shape() -> None:
    question = Question(pcm=tone(2), language="")
    for segments in (None, 5, [None], [{"text": 5}], [{"no_speech_prob": 1.0}]):
        body = {"text": "good day \ud83d", "language": "english", "segments": segments}
        answer = reply(200, body).answer(question)
        assert (answer.text, answer.language) == ("good day ?", "en")


def test_waits_double_from_two_seconds_and_a_server_that_asks_for_more_than_ten_is_given_up() -> None:
    options = OpenAIOptions()

    def wait(tries: int, asked_s: float | None = None, jitter: float = 0.0) -> float | None:
        return wait_before_s(tries=tries, asked_s=asked_s, options=options, jitter=jitter)

    assert [wait(1), wait(2), wait(3)] == [2.0, 4.0, None]
    assert [wait(1, jitter=1.0), wait(2, jitter=1.0)] == [2.5, 5.0]
    assert [wait(1, 7.0), wait(1, 1.0), wait(1, 10.0), wait(1, 10.5)] == [7.0, 2.0, 10.0, None]
    assert wait_before_s(tries=1, asked_s=None, options=OpenAIOptions(tries=1), jitter=0.0) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "ftp://host/v1"},
        {"base_url": "host:8000"},
        {"base_url": "http://user:pass@host/v1"},
        {"base_url": "http://host:port/v1"},
        {"base_url": "http://host/v1?key=5"},
        {"model": " "},
        {"api_key": "two words"},
        {"api_key": "line\nbreak"},
        {"api_key": "schlüssel"},
        {"piece_s": 4.0},
        {"piece_s": 30.0},
    ],
)
def test_options_that_cannot_work_are_refused_and_not_repeated(wrong: dict[str, object]) -> None:
    for kind in (OpenAIOptions, OpenAIRealtimeOptions):
        with pytest.raises(OptionsError) as refused:
            kind(**wrong)  # type: ignore[arg-type]
        assert not any(str(value) in str(refused.value) for value in wrong.values() if str(value).strip())


@pytest.mark.parametrize(
    "wrong", [{"tries": 0}, {"tries": 4}, {"response_format": "srt"}, {"answer_timeout_s": 0}]
)
def test_options_of_requests_are_checked_too(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionsError):
        OpenAIOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base_url", "requests", "stream"),
    [
        ("http://host:8000", "http://host:8000/v1", "ws://host:8000/v1"),
        ("http://host:8000/", "http://host:8000/v1", "ws://host:8000/v1"),
        ("https://host/v1/", "https://host/v1", "wss://host/v1"),
        ("https://host/openai/v1", "https://host/openai/v1", "wss://host/openai/v1"),
    ],
)
def test_an_address_may_be_written_with_or_without_its_version(
    base_url: str, requests: str, stream: str
) -> None:
    assert OpenAIOptions(base_url=base_url).url == f"{requests}/audio/transcriptions"
    realtime = OpenAIRealtimeOptions(base_url=base_url, model="m/1")
    assert realtime.url == f"{stream}/realtime?intent=transcription&model=m%2F1"
    assert OpenAIRealtimeOptions().url == "wss://api.openai.com/v1/realtime?intent=transcription"


@pytest.mark.parametrize(
    ("engine", "given"),
    [
        ("openai", {}),
        ("openai_realtime", {}),
        ("openai_compatible", {"model": "a-model"}),
        ("openai_compatible", {"base_url": "http://host"}),
        ("whisper", {}),
        ("nemotron", {}),
        ("openai", {"api_key": KEY, "options": (NamedValue(name="tries", value="many"),)}),
        ("openai", {"api_key": KEY, "options": (NamedValue(name="response_format", value="srt"),)}),
    ],
)
def test_a_setup_that_cannot_work_makes_no_engine(engine: str, given: dict[str, object]) -> None:
    with pytest.raises(OptionsError):
        ENGINES[engine].make(EngineSetup(engine=engine, **given), Surroundings())  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["whisper", "nemotron"])
def test_a_preset_is_an_address_away_from_working(engine: str) -> None:
    made = ENGINES[engine].make(EngineSetup(engine=engine, base_url="http://host:8000"), Surroundings())
    assert made.model == CATALOGUE[engine].models[0]
    assert made.provider == engine


def test_the_key_is_not_in_what_is_printed() -> None:
    assert KEY not in repr(OpenAIOptions(api_key=KEY)) + repr(OpenAIRealtimeOptions(api_key=KEY))


def test_each_model_of_a_stream_is_told_what_it_takes() -> None:
    def told(model: str) -> dict[str, object]:
        options = OpenAIRealtimeOptions(model=model)
        update = json.loads(session_update(options, language="pt-BR", vocabulary=("Ada",)))
        assert update["session"]["type"] == "transcription"
        audio = update["session"]["audio"]["input"]
        assert (audio["format"], audio["turn_detection"]) == ({"type": "audio/pcm", "rate": 24_000}, None)
        how: dict[str, object] = audio["transcription"]
        return how

    assert told("gpt-live-transcribe") == {
        "model": "gpt-live-transcribe",
        "languages": ["pt"],
        "keywords": ["Ada"],
    }
    assert told("gpt-4o-transcribe") == {"model": "gpt-4o-transcribe", "language": "pt", "prompt": "Ada."}
    assert told("gpt-realtime-whisper") == {"model": "gpt-realtime-whisper", "language": "pt"}


def test_events_that_are_none_are_dropped_and_unknown_ones_left_alone() -> None:
    of = "conversation.item.input_audio_transcription."
    for line in ("", "no json", "[]", "[" * 100_000, '{"type": 5}', "x" * 300_000):
        assert parse(line) is None
    for wrong in (
        {"delta": "x"},
        {"item_id": "", "delta": "x"},
        {"item_id": "a", "delta": None},
        {"item_id": "a"},
    ):
        assert parse(json.dumps({"type": of + "delta", **wrong})) is None
    assert parse('{"type": "rate_limits.updated"}') == Aside()
    assert parse(json.dumps({"type": of + "delta", "item_id": "a", "delta": "x"})) == Delta(
        item="a", text="x"
    )


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("invalid_api_key", EngineRefused),
        ("model_not_found", EngineRefused),
        ("insufficient_quota", EngineRefused),
        ("rate_limit_exceeded", EngineFull),
        ("session_expired", EngineLost),
        (None, EngineLost),
        (["rate_limit_exceeded"], EngineLost),
    ],
)
@pytest.mark.parametrize("kind", ["error", "conversation.item.input_audio_transcription.failed"])
def test_errors_and_failed_items_are_faults(kind: str, code: object, cause: type[EngineFault]) -> None:
    heard = parse(json.dumps({"type": kind, "item_id": "a", "error": {"code": code, "message": KEY}}))
    assert isinstance(heard, Failed)
    assert type(heard.fault) is cause
    assert KEY not in str(heard.fault)


def spoken(conversation: Conversation, seconds: float) -> list[str]:
    return [
        line
        for frame in frames(tone(seconds, rate_hz=24_000), rate_hz=24_000)
        for line in conversation.audio(frame)
    ]


LATE_MODEL = OpenAIRealtimeOptions(model=models.GPT_LIVE_TRANSCRIBE.replace("live", "4o"))


def test_a_model_that_begins_at_a_commit_gets_one_every_few_seconds_and_a_live_one_does_not() -> None:
    assert spoken(Conversation(LATE_MODEL), 9).count(COMMIT) == 2
    assert spoken(Conversation(OpenAIRealtimeOptions()), 9).count(COMMIT) == 0


def test_items_that_are_completed_in_another_order_are_said_in_that_of_the_audio() -> None:
    conversation = Conversation(LATE_MODEL)
    for item in ("a", "b"):
        spoken(conversation, 1)
        conversation.flush()
        conversation.heard(Committed(item=item))
    assert conversation.heard(Completed(item="b", text="second")) == []
    said = conversation.heard(Completed(item="a", text="first", language="en"))
    assert [(w.text, w.begins_s, w.end_s, w.is_final) for w in said] == [
        ("first", 0.0, 1.0, True),
        ("second", 1.0, 2.0, True),
    ]
    assert not conversation.waits


def test_pieces_of_an_utterance_grow_into_one_line() -> None:
    conversation = Conversation(LATE_MODEL)
    spoken(conversation, 4.5)
    conversation.flush()
    texts = []
    for item, text in (("a", "we begin"), ("b", "and go on")):
        conversation.heard(Committed(item=item))
        texts += [w.text for w in conversation.heard(Delta(item=item, text=text))]
        texts += [(w.text, w.is_final) for w in conversation.heard(Completed(item=item, text=text))]
    assert texts == ["we begin", ("we begin", False), "we begin and go on", ("we begin and go on", True)]


def test_what_is_told_before_its_commit_belongs_to_the_audio_that_is_being_spoken() -> None:
    conversation = Conversation(OpenAIRealtimeOptions())
    spoken(conversation, 1)
    assert [w.text for w in conversation.heard(Delta(item="a", text="so far"))] == ["so far"]
    conversation.flush()
    assert conversation.heard(Committed(item="a")) == []
    [said] = conversation.heard(Completed(item="a", text="so far so good"))
    assert (said.text, said.is_final) == ("so far so good", True)


def test_what_is_told_of_an_item_that_has_been_said_is_nobody_elses() -> None:
    conversation = Conversation(OpenAIRealtimeOptions())
    for _ in range(2):
        spoken(conversation, 1)
        conversation.flush()
    assert [w.text for w in conversation.heard(Completed(item="a", text="first"))] == ["first"]
    late = (Delta(item="a", text="!"), Completed(item="a", text="first!"), Committed(item="a"))
    assert [conversation.heard(event) for event in late] == [[], [], []]
    assert [w.text for w in conversation.heard(Completed(item="b", text="second"))] == ["second"]


def test_an_end_without_audio_waits_for_what_was_committed_before() -> None:
    conversation = Conversation(OpenAIRealtimeOptions())
    spoken(conversation, 1)
    lines, words = conversation.flush()
    assert (lines, words) == ([COMMIT], [])
    assert conversation.flush() == ([], [])
    said = conversation.heard(Completed(item="a", text="said"))
    assert [(w.text, w.is_final) for w in said] == [("said", True), ("", True)]
    assert [w.is_final for w in conversation.flush()[1]] == [True]


def test_too_little_to_commit_is_made_up_with_silence_that_counts_for_nothing() -> None:
    conversation = Conversation(OpenAIRealtimeOptions())
    spoken(conversation, 0.02)
    lines, _ = conversation.flush()
    assert [json.loads(line)["type"].rpartition(".")[2] for line in lines] == ["append", "commit"]
    assert conversation.sent_s == 0.02


def test_commits_without_an_answer_are_not_remembered_without_bound() -> None:
    conversation = Conversation(OpenAIRealtimeOptions())
    with pytest.raises(EngineLost):
        for _ in range(MAX_OPEN_ITEMS + 2):
            spoken(conversation, 0.2)
            conversation.flush()
