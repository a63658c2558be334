"""How the scripted engine behaves, and what it has seen: plain values, JSON in and out."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

GARBAGE = (
    "non_json",
    "binary",
    "huge",
    "negative_times",
    "nul",
    "script",
    "bidi",
    "deep_json",
    "wrong_types",
    "flood",
)
Hears = Literal["markers", "energy"]
Hangs = Literal["silent", "unread"]


@dataclass(kw_only=True)
class Script:
    """May be changed at any time; what concerns a connection's opening holds for the next one."""

    hears: Hears = "markers"
    """`markers`: a word for each marker. `energy`: a word for each onset of sound, for audio without markers."""
    says: str | None = None
    """What the first sound of a stream is heard as, and no other is heard, by energy; None: `e000`, `e001`, …"""
    delay_ms: float = 0
    """From the end of a marker, once received, to its interim."""
    final_delay_ms: float = 0
    endpointing_ms: float | None = 300
    """A final after so much silence in the audio; None: what the client's query asks for."""
    silence_rms: float = 100
    """Of int16; quieter audio is silence."""
    max_final_s: float = 5
    """A final at least every so many seconds of audio, also when there is nothing to say."""
    interim_interval_ms: float = 0
    """0: an interim for each word; else only every so often (in audio time), when the words have changed."""
    answers_empty_finalize: bool = True
    """Deepgram may leave a Finalize unanswered when it holds nothing."""
    language: str | None = None
    """Reported as detected."""

    accepted_key: str | None = None
    """Any other is answered 401; None: all are accepted."""
    accepts: int | None = None
    """The HTTP status every handshake is refused with; None: they are accepted."""
    retry_after_s: float | str | None = None
    """Sent with a refusal; a string goes as it is."""
    refuses_connections: bool = False
    """Nobody listens on the port; open connections stay."""
    hangs: Hangs | None = None
    """`silent`: takes everything, answers nothing. `unread`: stops reading."""
    faults_times: int | None = None
    """How many handshakes `accepts` and `hangs` hold for; None: always."""
    closes_after_words: int | None = None
    """Aborts a connection in the middle of the word after so many."""
    closes_times: int | None = None
    """How often it does so; None: always."""
    closes_every_s: float | None = None
    """Aborts each connection at this age."""
    close_code: int | None = None
    """Closes with this code instead of aborting."""
    garbage: list[str] = field(default_factory=list)
    """Names from GARBAGE; each is sent once to a connection, before its first word."""
    flood: int = 20_000
    """How many interims the garbage of that name is."""
    drop_final: int | None = None
    """Every so manyth final of a label, counting those with words, is not sent."""

    def merge(self, changes: dict[str, Any]) -> None:
        """Raises ValueError for what is not in the script."""
        known = {f.name for f in fields(self)}
        if not known.issuperset(changes) or not set(GARBAGE).issuperset(changes.get("garbage", ())):
            raise ValueError("not in the script")
        for name, value in changes.items():
            setattr(self, name, value)


@dataclass(kw_only=True)
class Attempt:
    """One handshake; `at` is CLOCK_MONOTONIC, as everywhere here."""

    at: float
    label: str
    key: str
    status: int


@dataclass(kw_only=True)
class HeardWord:
    """A word, where it was in the stream's audio, and when the end of it had been received."""

    code: int
    text: str
    start_s: float
    end_s: float
    at: float


@dataclass(kw_only=True)
class Sent:
    """One `Results` message."""

    at: float
    text: str
    is_final: bool
    from_finalize: bool
    start_s: float
    duration_s: float


@dataclass(kw_only=True)
class Connection:
    """One socket's life."""

    number: int
    label: str
    key: str
    query: dict[str, str]
    opened_at: float
    closed_at: float | None = None
    ending: str | None = None
    """`CloseStream`, `abrupt` (by the client) or `server`; None while open."""
    audio_s: float = 0
    silent_s: float = 0
    """Of the audio."""
    messages: int = 0
    """Binary ones."""
    last_audio_at: float | None = None
    keepalives: list[float] = field(default_factory=list)
    finalizes: list[float] = field(default_factory=list)
    words: list[HeardWord] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    dropped_finals: list[str] = field(default_factory=list)
    garbage_messages: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def finals(self) -> list[Sent]:
        """With words, as sent."""
        return [s for s in self.sent if s.is_final and s.text]

    @property
    def interims(self) -> list[Sent]:
        return [s for s in self.sent if not s.is_final]


@dataclass(kw_only=True)
class Total:
    """Of a label, all its connections together."""

    connections: int = 0
    open: int = 0
    most_open: int = 0
    audio_s: float = 0
    silent_s: float = 0
    words: int = 0
    finals: int = 0
    dropped_finals: int = 0


@dataclass(kw_only=True)
class Seen:
    """Everything since the start or the last reset."""

    attempts: list[Attempt] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    labels: dict[str, Total] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(seen: dict[str, Any]) -> "Seen":
        return Seen(
            attempts=[Attempt(**a) for a in seen["attempts"]],
            connections=[_connection(c) for c in seen["connections"]],
            labels={label: Total(**total) for label, total in seen["labels"].items()},
        )


def _connection(seen: dict[str, Any]) -> Connection:
    words, sent = (HeardWord(**w) for w in seen.pop("words")), (Sent(**s) for s in seen.pop("sent"))
    return Connection(**seen, words=list(words), sent=list(sent))
