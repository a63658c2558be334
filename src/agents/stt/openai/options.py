"""Where the server is and what it is asked for."""

from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit, urlunsplit

from agents.runtime.errors import OptionsError
from agents.stt.openai import models
from agents.stt.openai.pieces import ALIGN_S, MAX_PIECE_S

MAX_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class OpenAIOptions:
    """Of transcription by request. Raises OptionsError."""

    base_url: str = models.OPENAI_URL
    """http or https; without a path, `/v1` is meant."""
    model: str = models.WHISPER_1
    api_key: str = field(default="", repr=False)
    language: str = ""
    """Empty: it is detected."""
    response_format: str = ""
    """`json` or `verbose_json`; empty: by the model's name."""
    piece_s: float = 2 * ALIGN_S
    """A longer utterance is sent in pieces of this or a little more."""
    answer_timeout_s: float = 10.0
    """Beside the length of the audio: a server that is slower than speech is of no use."""
    tries: int = MAX_TRIES
    """Of one request, when the server is busy or broken; then the next engine of the chain is."""
    first_wait_s: float = 2.0
    """Before the second try; doubling."""
    longest_wait_s: float = 10.0
    """A server that asks for more is given up, so that another engine writes meanwhile."""

    def __post_init__(self) -> None:
        _check_common(base_url=self.base_url, model=self.model, api_key=self.api_key)
        if self.response_format not in ("", models.PLAIN, models.VERBOSE):
            raise OptionsError("response_format is json or verbose_json")
        if self.piece_s % ALIGN_S or not ALIGN_S <= self.piece_s < MAX_PIECE_S:
            raise OptionsError("piece_s is a multiple of 3, below 30")
        if not 1 <= self.tries <= MAX_TRIES:
            raise OptionsError("tries is 1, 2 or 3")
        if min(self.answer_timeout_s, self.first_wait_s, self.longest_wait_s) <= 0:
            raise OptionsError("times are above 0")

    @property
    def url(self) -> str:
        """Where requests go."""
        return _api(self.base_url) + "/audio/transcriptions"

    @property
    def headers(self) -> dict[str, str]:
        """Of every request."""
        return _headers(self.api_key)

    @property
    def format(self) -> str:
        """The `response_format` that is asked for."""
        return self.response_format or models.response_format_of(self.model)


@dataclass(frozen=True, kw_only=True)
class OpenAIRealtimeOptions:
    """Of transcription by stream. Raises OptionsError."""

    base_url: str = models.OPENAI_URL
    """http, https, ws or wss; without a path, `/v1` is meant."""
    model: str = models.GPT_LIVE_TRANSCRIBE
    api_key: str = field(default="", repr=False)
    language: str = ""
    """Empty: it is detected."""
    piece_s: float = ALIGN_S
    """How much of an utterance is committed at once to a model that begins to write at a commit."""
    close_timeout_s: float = 5.0
    """For the last words, once the input has ended."""

    def __post_init__(self) -> None:
        _check_common(base_url=self.base_url, model=self.model, api_key=self.api_key)
        if self.piece_s % ALIGN_S or not ALIGN_S <= self.piece_s < MAX_PIECE_S:
            raise OptionsError("piece_s is a multiple of 3, below 30")
        if self.close_timeout_s <= 0:
            raise OptionsError("times are above 0")

    @property
    def url(self) -> str:
        """Of the WebSocket. OpenAI takes a model named here for a conversation's; others go by it."""
        parts = urlsplit(_api(self.base_url) + "/realtime")
        query = {"intent": "transcription"}
        if parts.hostname != models.OPENAI_HOST:
            query["model"] = self.model
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        return urlunsplit((scheme, parts.netloc, parts.path, urlencode(query), ""))

    @property
    def headers(self) -> dict[str, str]:
        """Of the handshake."""
        return _headers(self.api_key)


def _check_common(*, base_url: str, model: str, api_key: str) -> None:
    try:
        parts = urlsplit(base_url)
        is_address = parts.scheme in ("http", "https", "ws", "wss") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_address = False
    if not is_address or parts.username is not None or parts.query or parts.fragment:
        raise OptionsError("base_url is no address of a server")
    if not model.strip():
        raise OptionsError("model is missing")
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise OptionsError("api_key holds what no key holds")


def _api(base_url: str) -> str:
    url = base_url.rstrip("/")
    return url if urlsplit(url).path else url + "/v1"


def _headers(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}
