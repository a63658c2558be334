"""Which engines there are, and what a job is told of those it may use."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.workers import VERSION


@dataclass(frozen=True, kw_only=True)
class EngineDescription:
    """What people choose from. Whether a worker can use it, its heartbeat says.

    `languages` are BCP 47 without regions, those that captions may be asked for in. `options` are the names of what
    only this engine wants to know. `dials_itself`: its library opens its own connections, so an address that somebody
    typed has to be on the deployment's allowlist. `host`: where audio goes unless another address is given; empty:
    there is no such place.
    """

    id: str
    name: str
    languages: tuple[str, ...]
    needs_key: bool = True
    needs_base_url: bool = False
    models: tuple[str, ...] = ()
    """To choose from, the default first; others may be typed."""
    options: tuple[str, ...] = ()
    dials_itself: bool = False
    host: str = ""


# What Deepgram's changelog names for its model nova-3 until August 2026, without the regional variants.
NOVA_3 = (
    "en be bg bn bs ca cs da de el es et fa fi fr he hi hr hu id it ja kn ko lt lv mk mr ms ne nl no pa pl pt "
    "ro ru sk sl sr sv ta te th tl tr uk ur vi zh"
)

# What LiveKit's documentation lists for Scribe v2 realtime, without the second names in three letters.
SCRIBE_V2 = (
    "en af am ar as ast az be bg bn bs ca ceb cs cy da de el es et fa ff fi fil fr ga gl gu ha he hi hr hu hy "
    "id ig is it ja jv ka kea kk km kn ko ku ky lb ln lo lt luo lv mi mk ml mn mr ms mt my ne nl no nso ny oc or "
    "pa pl ps pt ro ru sd sk sl sn so sr sv sw ta te tg th tr uk umb ur uz vi wo xh yue zh zu"
)
# Riva's; each model has some of them.
RIVA = "en ar cs da de es fr he hi it ja ko nl no pl pt ru sv th tr vi zh"
VOXTRAL_REALTIME = "en ar de es fr hi it ja ko nl pt ru zh"
"""As the model card of Voxtral Mini 4B Realtime names them."""

WHISPER = (
    "en af ar az be bg bs ca cs cy da de el es et fa fi fr gl he hi hr hu hy id is it ja kk kn ko lt lv mi mk mr ms "
    "ne nl no pl pt ro ru sk sl sr sv sw ta th tl tr uk ur vi zh"
)
"""Those that OpenAI's guide to speech to text names, because Whisper's word error rate in them is below a half."""

CATALOGUE: Mapping[str, EngineDescription] = {
    description.id: description
    for description in (
        EngineDescription(id="embedded", name="Basic offline recogniser", languages=("en",), needs_key=False),
        EngineDescription(
            id="deepgram",
            name="Deepgram",
            languages=tuple(NOVA_3.split()),
            models=("nova-3", "nova-2"),
            host="api.deepgram.com",
        ),
        EngineDescription(
            id="elevenlabs",
            name="ElevenLabs Scribe",
            languages=tuple(SCRIBE_V2.split()),
            models=("scribe_v2_realtime",),
            host="api.elevenlabs.io",
        ),
        EngineDescription(
            id="nvidia",
            name="NVIDIA Riva",
            languages=tuple(RIVA.split()),
            needs_key=False,
            options=("function_id", "use_tls"),
            dials_itself=True,
            host="grpc.nvcf.nvidia.com",
        ),
        EngineDescription(
            id="mistral",
            name="Mistral Voxtral",
            languages=tuple(VOXTRAL_REALTIME.split()),
            models=("voxtral-mini-transcribe-realtime-2602",),
            host="api.mistral.ai",
        ),
        EngineDescription(
            id="openai",
            name="OpenAI, by request",
            languages=tuple(WHISPER.split()),
            models=("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-transcribe"),
            options=("tries",),
            host="api.openai.com",
        ),
        EngineDescription(
            id="openai_realtime",
            name="OpenAI, realtime",
            languages=tuple(WHISPER.split()),
            models=(
                "gpt-live-transcribe",
                "gpt-realtime-whisper",
                "gpt-4o-transcribe",
                "gpt-4o-mini-transcribe",
            ),
            host="api.openai.com",
        ),
        EngineDescription(
            id="openai_compatible",
            name="OpenAI-compatible server",
            languages=tuple(WHISPER.split()),
            needs_key=False,
            needs_base_url=True,
            options=("response_format", "tries"),
        ),
        EngineDescription(
            id="whisper",
            name="Whisper on an OpenAI-compatible server",
            languages=tuple(WHISPER.split()),
            needs_key=False,
            needs_base_url=True,
            models=("Systran/faster-whisper-small",),
            options=("response_format", "tries"),
        ),
        EngineDescription(
            id="nemotron",
            name="Nemotron on an OpenAI-compatible server",
            languages=("en",),
            needs_key=False,
            needs_base_url=True,
            models=("nvidia/nemotron-speech-streaming-en-0.6b",),
            options=("response_format", "tries"),
        ),
        EngineDescription(
            id="voxtral",
            name="Voxtral on vLLM",
            languages=tuple(VOXTRAL_REALTIME.split()),
            needs_key=False,
            needs_base_url=True,
            models=("mistralai/Voxtral-Mini-4B-Realtime-2602",),
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class NamedValue:
    """One of an engine's own options."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class EngineSetup:
    """One engine of a chain. What is empty is left to the worker's environment, then to the engine.

    `is_typed`: `base_url` was typed by somebody in the admin and is checked before each connect.
    """

    engine: str
    base_url: str = ""
    model: str = ""
    api_key: str = field(default="", repr=False)
    options: tuple[NamedValue, ...] = ()
    is_typed: bool = False

    def option(self, name: str, default: str = "") -> str:
        """One of `options`."""
        return next((option.value for option in self.options if option.name == name), default)


class EnginesCause(enum.StrEnum):
    """Why a job asks for its engines; written in the audit."""

    START = "start"
    CHANGED = "changed"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class EnginesRequest:
    """Asked with a claim that holds; 409 else."""

    generation: int
    cause: EnginesCause
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class SessionEngines:
    """The chain of one session in its order, with keys: held in memory, never logged, never written.

    `revision` is another when anything of it is. `glossary` are the event's words. `is_budget_spent`: the event's
    engines are left out because its month is paid up.
    """

    session: str
    generation: int
    revision: int
    chain: tuple[EngineSetup, ...]
    glossary: tuple[str, ...] = ()
    is_budget_spent: bool = False
    version: int = VERSION


class EngineTestResult(enum.StrEnum):
    """What came of a test; everything but OK and WRONG_WORDS is why no words came.

    NOT_TRIED: no worker took it in time, or the one that did was too busy, or went away.
    """

    OK = "ok"
    WRONG_WORDS = "wrong_words"
    BAD_KEY = "bad_key"
    NO_QUOTA = "no_quota"
    WRONG_MODEL = "wrong_model"
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    ADDRESS_REFUSED = "address_refused"
    NOT_INSTALLED = "not_installed"
    WRONG_OPTIONS = "wrong_options"
    NOT_TRIED = "not_tried"


@dataclass(frozen=True, kw_only=True)
class EngineTestTask:
    """What a worker is to try, given to the first that takes it; 409 for the others."""

    test: str
    setup: EngineSetup
    language: str
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class EngineTestOutcome:
    """`words` are what the engine made of the clip we ship, `word_error_rate` compares them with what is said in it;
    `latency_ms` is from the end of the clip's speech to the last word."""

    result: EngineTestResult
    words: str = ""
    word_error_rate: float | None = None
    latency_ms: int | None = None
    version: int = VERSION
