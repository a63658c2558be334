"""Deepgram's live wire, without a socket: the address, its messages, and which flush has been answered.

Audio goes as binary messages. `Results` come for the audio from `start` on: interims until one `is_final`,
then the next stretch begins. `Finalize` asks for a final now and is answered by a result that says
`from_finalize`, typically: with little audio left the answer may not come. `CloseStream` is answered by the
remaining results, `Metadata` and the end of the connection.
"""

import math
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from agents.audio.pcm import SAMPLE_RATE_HZ
from agents.stt.deepgram.models import DEFAULT_MODEL, LANGUAGE_MULTI, MAX_KEYTERM_TOKENS, MAX_KEYWORDS
from agents.stt.wire import WEBSOCKET_SCHEMES, message_of, plain

SAMPLE_BYTES = 2
BYTES_PER_S = SAMPLE_RATE_HZ * SAMPLE_BYTES
MAX_AUDIO_BYTES = BYTES_PER_S // 5
"""0.2 s: what has piled up goes in fewer messages, while live audio goes frame by frame."""
MAX_TIME_S = 1e6
LITTLE_S = 0.5
"""A Finalize with no more audio than this left to finalise may not be answered."""
SAME_S = 0.01
"""Times this close are one: engines round."""

LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, kw_only=True)
class DeepgramOptions:
    """Where the engine is and what it is asked for; what the address itself asks for wins over the rest."""

    base_url: str = "wss://api.deepgram.com/v1/listen"
    """ws, wss, http or https."""
    model: str = DEFAULT_MODEL
    api_key: str = field(default="", repr=False)
    language: str = ""
    """Empty: the engine's own default."""
    interim_results: bool = True
    punctuate: bool = True
    smart_format: bool = True
    no_delay: bool = True
    """Formatting does not hold results back."""
    endpointing_ms: int = 300
    """A pause this long makes a final; shorter than the gate's hangover, so that little is left to finalise."""
    answer_timeout_s: float = 1.0
    """For the answer to a Finalize that may not come; see `Conversation`."""
    close_timeout_s: float = 5.0
    """From CloseStream to the end of the connection."""

    @property
    def headers(self) -> dict[str, str]:
        """Of every request."""
        return {"Authorization": f"Token {self.api_key}"} if self.api_key else {}


def listen_url(options: DeepgramOptions, *, language: str = "", vocabulary: Sequence[str] = ()) -> str:
    """The address of a stream; `language` wins over that of the options."""
    parts = urlsplit(options.base_url)
    asked: dict[str, Any] = {
        "model": options.model,
        "encoding": "linear16",
        "sample_rate": SAMPLE_RATE_HZ,
        "channels": 1,
        "interim_results": options.interim_results,
        "punctuate": options.punctuate,
        "smart_format": options.smart_format,
        "no_delay": options.no_delay,
        "endpointing": options.endpointing_ms or False,
    }
    if spoken := language_of(language or options.language):
        asked["language"] = spoken
    asked |= _expected(vocabulary, model=options.model)
    given = parse_qsl(parts.query)
    for name, _ in given:
        asked.pop(name, None)
    ours = [(name, str(value).lower() if isinstance(value, bool) else value) for name, value in asked.items()]
    scheme = WEBSOCKET_SCHEMES.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, parts.path, urlencode([*ours, *given], doseq=True), ""))


def _expected(vocabulary: Sequence[str], *, model: str) -> dict[str, tuple[str, ...]]:
    """Phrases for Nova-3, single words for those before it.

    Sources: https://developers.deepgram.com/docs/keyterm and https://developers.deepgram.com/docs/keywords
    """
    if model.startswith("nova-3"):
        return {"keyterm": keyterms_of(vocabulary)}
    return {"keywords": keywords_of(vocabulary)}


def keyterms_of(vocabulary: Sequence[str]) -> tuple[str, ...]:
    """As many as are surely within the limit: a token is seldom less than two bytes of anything."""
    terms = []
    tokens = 0
    for term in vocabulary:
        tokens += sum(math.ceil(len(word.encode()) / 2) for word in term.split())
        if tokens > MAX_KEYTERM_TOKENS:
            break
        terms.append(term)
    return tuple(terms)


def keywords_of(vocabulary: Sequence[str]) -> tuple[str, ...]:
    """Each word once, of letters and digits: a colon would begin a number that says how much it matters."""
    words = (word.strip("-'") for term in keyterms_of(vocabulary) for word in re.findall(r"[\w'-]+", term))
    return tuple(dict.fromkeys(word for word in words if word))[:MAX_KEYWORDS]


def language_of(tag: str) -> str:
    """A language as Deepgram writes it: `pt_br` becomes `pt-BR`. What is no tag passes as it is."""
    tag = tag.strip()
    if tag.lower() == LANGUAGE_MULTI or not LANGUAGE_TAG.fullmatch(tag):
        return tag.lower() if tag.lower() == LANGUAGE_MULTI else tag
    language, *rest = re.split("[-_]", tag)
    return "-".join([language.lower(), *(_subtag(part) for part in rest)])


def _subtag(part: str) -> str:
    if len(part) == 2:
        return part.upper()  # a region
    return part.title() if len(part) == 4 and part.isalpha() else part  # a script, such as Hant


@dataclass(frozen=True, kw_only=True)
class Results:
    """What was said in a stretch of audio; times are seconds within the stream.

    `start_s` to `end_s` is the stretch, `first_s` to `last_s` its words (without words, the stretch).
    """

    text: str
    start_s: float
    end_s: float
    first_s: float
    last_s: float
    is_final: bool = False
    from_finalize: bool = False
    language: str = ""
    """As detected; empty when the engine does not say."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The last message: all audio has been dealt with."""


@dataclass(frozen=True, kw_only=True)
class Aside:
    """An event that needs no answer."""


Heard = Results | Metadata | Aside


def parse(line: str) -> Heard | None:
    """None for what is not Deepgram's: no event, an event of the wrong shape, or impossible times."""
    if (event := message_of(line)) is None:
        return None
    if event["type"] == "Results":
        return _results(event)
    return Metadata() if event["type"] == "Metadata" else Aside()


def _results(event: dict[str, Any]) -> Results | None:
    start_s, duration_s = _time(event.get("start")), _time(event.get("duration"))
    is_final, from_finalize = event.get("is_final"), event.get("from_finalize", False)
    channel, best = event.get("channel"), None
    if isinstance(channel, dict) and isinstance(alternatives := channel.get("alternatives"), list):
        best = alternatives[0] if alternatives else None
    if start_s is None or duration_s is None or not isinstance(best, dict) or not isinstance(channel, dict):
        return None
    text = best.get("transcript")
    if not isinstance(text, str) or not isinstance(is_final, bool) or not isinstance(from_finalize, bool):
        return None
    end_s = start_s + duration_s
    bounds = _bounds(best.get("words"), start_s=start_s, end_s=end_s)
    if bounds is None:
        return None
    first_s, last_s = bounds
    return Results(
        text=plain(text),
        start_s=start_s,
        end_s=end_s,
        first_s=min(first_s, end_s),
        last_s=min(max(first_s, last_s), end_s),
        is_final=is_final,
        from_finalize=from_finalize,
        language=_detected(best, channel),
    )


def _bounds(words: object, *, start_s: float, end_s: float) -> tuple[float, float] | None:
    """From the first word's start to the last one's end; None when they are impossible."""
    if not isinstance(words, list):
        return None
    if not words:
        return start_s, end_s
    first, last = words[0], words[-1]
    if not isinstance(first, dict) or not isinstance(last, dict):
        return None
    first_s, last_s = _time(first.get("start")), _time(last.get("end"))
    return None if first_s is None or last_s is None else (first_s, last_s)


def _time(seconds: object) -> float | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    # An int too large for a float is compared exactly, so it goes here too.
    return float(seconds) if 0 <= seconds <= MAX_TIME_S and math.isfinite(seconds) else None


def _detected(best: dict[str, Any], channel: dict[str, Any]) -> str:
    languages = best.get("languages")
    tag = languages[0] if isinstance(languages, list) and languages else channel.get("detected_language")
    return language_of(tag) if isinstance(tag, str) and LANGUAGE_TAG.fullmatch(tag) else ""


@dataclass(frozen=True, kw_only=True)
class _Flush:
    """A flush that waits for its answer: what was sent before it, and before the one before."""

    at_s: float
    previous_s: float


class Conversation:
    """Which flushes have been answered; no clock, the caller says when its patience is over.

    A flush is answered by a result `from_finalize`, or by `Metadata`. Since a Finalize with little left to
    finalise may get none, it is also taken as answered when results without words held back reach to within
    LITTLE_S of it and the caller's patience (`answer_timeout_s`) ends. Whatever else stays unanswered is for
    the pipeline's watchdog: to end it by time would give up audio that nobody has heard.
    """

    def __init__(self) -> None:
        self.sent_s = 0.0
        """Of audio."""
        self._sent_bytes = 0
        self._flushes: deque[_Flush] = deque()
        self._flushed_s = 0.0
        self._settled_s = 0.0
        self._holds_words = False
        self._given_up = 0

    @property
    def waits(self) -> bool:
        """Whether a flush has not been answered."""
        return bool(self._flushes)

    @property
    def is_patience_due(self) -> bool:
        """Whether the oldest flush may never be answered."""
        if not self._flushes or self._holds_words:
            return False
        flush = self._flushes[0]
        return self._settled_s > flush.previous_s and flush.at_s - self._settled_s <= LITTLE_S

    def audio(self, size: int) -> None:
        """So many bytes have been sent."""
        self._sent_bytes += size
        self.sent_s = self._sent_bytes / BYTES_PER_S

    def flush(self) -> bool:
        """Whether to send a Finalize: not when there is no audio since the last flush."""
        has_audio = self.sent_s > self._flushed_s
        if has_audio or self._flushes:  # without audio it is answered with the one before
            self._flushes.append(_Flush(at_s=self.sent_s, previous_s=self._flushed_s))
        self._flushed_s = self.sent_s
        return has_audio

    def heard(self, results: Results) -> int:
        """How many flushes this answers."""
        if results.is_final or not results.text:
            self._settled_s = max(self._settled_s, min(results.end_s, self.sent_s))
        self._holds_words = bool(results.text) and not results.is_final
        if not results.from_finalize or not self._flushes:
            return 0
        if self._given_up and results.end_s <= self._flushes[0].previous_s + SAME_S:
            self._given_up -= 1  # late, for one that was given up: it must not answer the next
            return 0
        self._given_up = 0
        return self._answered()

    def patience_ended(self) -> int:
        """How many flushes are taken as answered."""
        if not self.is_patience_due:
            return 0
        self._given_up += 1
        return self._answered()

    def closed(self) -> int:
        """`Metadata` came: how many flushes that answers."""
        answered, self._flushes = len(self._flushes), deque()
        return answered

    def _answered(self) -> int:
        """The oldest, and those that came after it without audio between."""
        first, answered = self._flushes.popleft(), 1
        while self._flushes and self._flushes[0].at_s == first.at_s:
            self._flushes.popleft()
            answered += 1
        return answered
