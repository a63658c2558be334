import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from agents.runtime.errors import EngineFault, EngineFull, EngineLost, EngineRefused
from agents.stt.deepgram.models import MAX_KEYTERM_TOKENS, MAX_KEYWORDS
from agents.stt.deepgram.protocol import (
    BYTES_PER_S,
    Aside,
    Conversation,
    DeepgramOptions,
    Metadata,
    Results,
    language_of,
    listen_url,
    parse,
)
from agents.stt.faults import MAX_RETRY_AFTER_S, fault_of, retry_after_s
from agents.stt.wire import MAX_LINE_CHARS, MAX_TEXT_CHARS
from tests.support.deepgram import messages, recogniser

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WORDS = (
    recogniser.Word(code=7, text="w007", start_s=0.4, end_s=0.46),
    recogniser.Word(code=8, text="w008", start_s=0.9, end_s=0.96),
)
RESULT = recogniser.Result(words=WORDS, start_s=0.1, duration_s=1.5, is_final=True, from_finalize=True)


@pytest.mark.parametrize(
    ("given_url", "wanted"),
    [
        ("wss://api.deepgram.com/v1/listen", "wss://api.deepgram.com/v1/listen"),
        ("http://127.0.0.1:9401/v1/listen", "ws://127.0.0.1:9401/v1/listen"),
        ("https://stt.example/v1/listen", "wss://stt.example/v1/listen"),
    ],
)
def test_any_scheme_becomes_that_of_a_websocket(given_url: str, wanted: str) -> None:
    assert listen_url(DeepgramOptions(base_url=given_url)).partition("?")[0] == wanted


def test_a_stream_asks_for_what_the_worker_sends_and_needs() -> None:
    url = URL(listen_url(DeepgramOptions(language="fr", endpointing_ms=250)))

    assert dict(url.query) == {
        "model": "nova-3",
        "encoding": "linear16",
        "sample_rate": "16000",
        "channels": "1",
        "interim_results": "true",
        "punctuate": "true",
        "smart_format": "true",
        "no_delay": "true",
        "endpointing": "250",
        "language": "fr",
    }


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("nova-3", {"keyterm": ["Ada Lovelace", "R&D: a=b"]}),
        ("nova-3-medical", {"keyterm": ["Ada Lovelace", "R&D: a=b"]}),
        ("nova-2", {"keywords": ["Ada", "Lovelace", "R", "D", "a", "b"]}),
        ("nova-2-meeting", {"keywords": ["Ada", "Lovelace", "R", "D", "a", "b"]}),
    ],
)
def test_words_to_expect_are_said_in_the_models_own_dialect(model: str, wanted: dict[str, list[str]]) -> None:
    url = URL(listen_url(DeepgramOptions(model=model), vocabulary=("Ada Lovelace", "R&D: a=b")))

    assert {name: url.query.getall(name) for name in ("keyterm", "keywords") if name in url.query} == wanted


@pytest.mark.parametrize("term", ["Lovelace", "ß", "日本語", "x" * 60, "a b c d"])
def test_no_more_words_are_sent_than_deepgram_takes(term: str) -> None:
    terms = [f"{term}{number}" for number in range(1000)]
    phrases = URL(listen_url(DeepgramOptions(model="nova-3"), vocabulary=terms)).query.getall("keyterm")
    words = URL(listen_url(DeepgramOptions(model="nova-2"), vocabulary=terms)).query.getall("keywords")

    assert phrases and sum(len(phrase.encode()) for phrase in phrases) <= 2 * MAX_KEYTERM_TOKENS
    assert 0 < len(words) <= MAX_KEYWORDS
    assert sum(len(word.encode()) for word in words) <= 2 * MAX_KEYTERM_TOKENS


def test_the_address_has_the_last_word_and_the_streams_language_the_one_before() -> None:
    options = DeepgramOptions(base_url="ws://h/v1/listen?tag=a&tag=b&smart_format=false", language="fr")
    url = URL(listen_url(options, language="pt_br"))

    assert url.query.getall("tag") == ["a", "b"]
    assert url.query.getall("smart_format") == ["false"]
    assert url.query["language"] == "pt-BR"


def test_without_a_language_the_engine_uses_its_own() -> None:
    assert "language" not in URL(listen_url(DeepgramOptions())).query


def test_the_key_is_in_no_address_and_no_text_of_the_options() -> None:
    options = DeepgramOptions(api_key="secret-key")

    assert "secret-key" not in repr(options) + listen_url(options)
    assert options.headers == {"Authorization": "Token secret-key"}


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("en-US", "en-US"),
        ("pt_br", "pt-BR"),
        ("zh-hant", "zh-Hant"),
        ("es-419", "es-419"),
        ("Multi", "multi"),
        ("tlh", "tlh"),
        ("", ""),
        ("x<script>", "x<script>"),
    ],
)
def test_languages_are_written_as_deepgram_writes_them(tag: str, wanted: str) -> None:
    assert language_of(tag) == wanted


def test_results_are_read_with_their_times() -> None:
    assert parse(messages.results(RESULT, request_id="r", language="fr")) == Results(
        text="w007 w008",
        start_s=0.1,
        end_s=1.6,
        first_s=0.4,
        last_s=0.96,
        is_final=True,
        from_finalize=True,
        language="fr",
    )


def changed(**changes: Any) -> str:
    return json.dumps(json.loads(messages.results(RESULT, request_id="r")) | changes)


def with_best(**changes: Any) -> str:
    best = {"transcript": "hello", "confidence": 1, "words": []} | changes
    return changed(channel={"alternatives": [best]})


def test_without_words_the_times_are_those_of_the_stretch() -> None:
    heard = parse(with_best())

    assert isinstance(heard, Results)
    assert (heard.first_s, heard.last_s) == (0.1, 1.6)


def test_a_words_end_never_lies_beyond_the_audio_it_was_heard_in() -> None:
    heard = parse(with_best(words=[{"start": 0.5, "end": 99.0}]))

    assert isinstance(heard, Results)
    assert (heard.first_s, heard.last_s) == (0.5, 1.6)


@pytest.mark.parametrize("name", ["non_json", "negative_times", "huge", "deep_json", "wrong_types"])
def test_garbage_is_dropped(name: str) -> None:
    for line in messages.garbage(name, result=RESULT, request_id="r", flood=0):
        assert isinstance(line, str)
        assert parse(line) is None


@pytest.mark.parametrize("name", ["nul", "script", "bidi"])
def test_hostile_text_is_only_text(name: str) -> None:
    for line in messages.garbage(name, result=RESULT, request_id="r", flood=0):
        assert isinstance(line, str)
        heard = parse(line)
        assert isinstance(heard, Results)
        assert heard.text.startswith("w007 w008")


def test_half_a_character_becomes_a_question_mark_and_a_text_without_end_is_cut() -> None:
    half, long = parse(with_best(transcript="a\ud800b")), parse(with_best(transcript="x" * 100_000))

    assert isinstance(half, Results)
    assert isinstance(long, Results)
    assert half.text == "a?b"
    assert len(long.text) == MAX_TEXT_CHARS


@pytest.mark.parametrize(
    "line",
    [
        with_best(words=None),
        with_best(words=[None]),
        with_best(words=[{"start": -1, "end": 1}]),
        with_best(words=[{"start": 0, "end": float("nan")}]),
        with_best(words=[{"start": 0}]),
        changed(start=10**400),
        changed(start=float("inf")),
        changed(duration=None),
        " " * (MAX_LINE_CHARS + 1) + "{}",
    ],
)
def test_impossible_times_and_shapes_are_dropped(line: str) -> None:
    assert parse(line) is None


def test_a_strange_language_is_no_language() -> None:
    for languages in (["<script>"], [5], "en", [None], [["en"]]):
        heard = parse(with_best(languages=languages))
        assert isinstance(heard, Results)
        assert heard.language == ""


def test_other_events_are_no_garbage() -> None:
    assert parse(messages.metadata(request_id="r", created="", duration_s=1, channels=1)) == Metadata()
    assert parse(messages.speech_started(1)) == parse(messages.utterance_end(1)) == Aside()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NAMES = [
    "type",
    "start",
    "duration",
    "is_final",
    "from_finalize",
    "channel",
    "alternatives",
    "words",
    "transcript",
]


@given(st.text() | JSON.map(json.dumps))
def test_no_line_raises(line: str) -> None:
    parse(line)


@given(st.dictionaries(st.sampled_from(NAMES), JSON), st.dictionaries(st.sampled_from(NAMES), JSON))
def test_whatever_passes_has_a_text_and_times_in_order(top: dict[str, Any], best: dict[str, Any]) -> None:
    for line in (changed(**top), with_best(**best)):
        heard = parse(line)
        if isinstance(heard, Results):
            assert 0 <= heard.first_s <= heard.last_s <= heard.end_s
            heard.text.encode()


def final(end_s: float, *, text: str = "w", from_finalize: bool = False) -> Results:
    return Results(
        text=text,
        start_s=0,
        end_s=end_s,
        first_s=0,
        last_s=end_s,
        is_final=True,
        from_finalize=from_finalize,
    )


def interim(end_s: float, *, text: str = "w") -> Results:
    return Results(text=text, start_s=0, end_s=end_s, first_s=0, last_s=end_s)


def flushed_at(*seconds: float) -> Conversation:
    talk = Conversation()
    for upto_s in seconds:
        talk.audio(round((upto_s - talk.sent_s) * BYTES_PER_S))
        talk.flush()
    return talk


def test_a_flush_is_answered_by_its_result_and_only_once() -> None:
    talk = flushed_at(2)

    assert talk.heard(interim(1)) == talk.heard(final(1)) == 0
    assert talk.heard(final(2, from_finalize=True)) == 1
    assert talk.heard(final(2, from_finalize=True)) == 0
    assert not talk.waits


def test_a_flush_without_audio_is_not_sent_and_answered_with_the_one_before() -> None:
    talk = Conversation()
    assert not talk.flush()
    assert not talk.waits

    talk.audio(BYTES_PER_S)
    assert talk.flush()
    assert not talk.flush()
    assert talk.heard(final(1, from_finalize=True)) == 2


def test_flushes_are_answered_in_order() -> None:
    talk = flushed_at(2, 4)

    assert talk.heard(final(2, from_finalize=True)) == 1
    assert talk.waits
    assert talk.heard(final(4, from_finalize=True)) == 1


def test_an_answer_that_may_never_come_is_waited_for_with_patience() -> None:
    talk = flushed_at(2)
    assert not talk.is_patience_due
    talk.heard(final(1.8))

    assert talk.is_patience_due
    assert talk.patience_ended() == 1


@pytest.mark.parametrize("last", [interim(1.9), final(1.2), interim(1.2, text="")])
def test_audio_that_may_hold_words_is_never_given_up(last: Results) -> None:
    talk = flushed_at(2)
    talk.heard(last)

    assert not talk.is_patience_due
    assert talk.patience_ended() == 0


def test_an_interim_with_words_after_the_final_is_waited_for() -> None:
    talk = flushed_at(2)
    talk.heard(final(1.8))
    talk.heard(interim(1.95))

    assert not talk.is_patience_due


def test_results_of_the_utterance_before_say_nothing_about_this_one() -> None:
    talk = flushed_at(2)
    talk.heard(final(2, from_finalize=True))
    talk.audio(BYTES_PER_S // 4)
    talk.flush()

    assert not talk.is_patience_due


def test_a_late_answer_to_what_was_given_up_does_not_answer_the_next() -> None:
    talk = flushed_at(2)
    talk.heard(final(1.8))
    talk.patience_ended()
    talk.audio(BYTES_PER_S)
    talk.flush()

    assert talk.heard(final(2, text="", from_finalize=True)) == 0
    assert talk.heard(final(3, from_finalize=True)) == 1


def test_metadata_answers_everything() -> None:
    talk = flushed_at(2, 4)

    assert talk.closed() == 2
    assert not talk.waits


@given(st.lists(st.sampled_from(["audio", "flush", "answer", "stray", "patience"]), max_size=40))
def test_every_flush_is_answered_exactly_once(steps: list[str]) -> None:
    talk, flushes, answers = Conversation(), 0, 0
    finalizes: list[float] = []
    for step in steps:
        if step == "audio":
            talk.audio(BYTES_PER_S // 50)
        elif step == "flush":
            flushes += 1
            if talk.flush():
                finalizes.append(talk.sent_s)
            elif not talk.waits:
                answers += 1
        elif step == "answer" and finalizes:
            answers += talk.heard(final(finalizes.pop(0), from_finalize=True))
        elif step == "stray":
            talk.heard(final(talk.sent_s))
        elif step == "patience":
            answers += talk.patience_ended()
        assert answers <= flushes
    answers += talk.closed()

    assert answers == flushes


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, EngineRefused),
        (402, EngineRefused),
        (403, EngineRefused),
        (404, EngineRefused),
        (429, EngineFull),
        (503, EngineFull),
        (400, EngineLost),
        (500, EngineLost),
    ],
)
def test_a_status_says_of_what_kind_the_fault_is_and_how_long_to_wait(
    status: int, kind: type[EngineFault]
) -> None:
    fault = fault_of(status=status, headers={"Retry-After": "3"})

    assert type(fault) is kind
    assert fault.retry_after_s == 3
    assert fault_of(status=status, headers=None).retry_after_s is None


@pytest.mark.parametrize(
    ("value", "wanted_s"),
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120),
        ("99999", MAX_RETRY_AFTER_S),
        ("9" * 10_000, MAX_RETRY_AFTER_S),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30),
        ("Fri, 02 Jan 2026 03:04:05 -0000", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 02 Jan 2099 00:00:00 GMT", MAX_RETRY_AFTER_S),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("Fri, 99 Jan 2026 03:04:35 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms_and_bounded(value: str | None, wanted_s: float | None) -> None:
    assert retry_after_s(value, now=NOW) == wanted_s
