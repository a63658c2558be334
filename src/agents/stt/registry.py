"""Engine names to engines; each is made from the setup of one session, by data alone.

A job imports the engines of its own chain and no other: a plugin costs memory in every room.
"""

import dataclasses
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import stt

from agents.runtime.errors import NotInstalled, OptionsError
from agents.stt.dialing import Bounds, DialingRules, OpenSession, open_session
from contract.engines import CATALOGUE, EngineSetup, NamedValue

VOXTRAL_SESSION_S = 600.0
"""A vLLM that was given 16384 tokens dies, and every stream with it, over about 15 min of audio in one piece."""


@dataclass(frozen=True, kw_only=True)
class EngineDefaults:
    """What the worker's environment says of engines, for setups that say nothing.

    `base_url`, `model`, `api_key` and `options` are those of `provider`; empty: left to the engine. `speech_*` are
    for `embedded`.
    """

    provider: str
    base_url: str = ""
    model: str = ""
    api_key: str = field(default="", repr=False)
    options: tuple[NamedValue, ...] = ()
    speech_url: str
    speech_api_key: str = field(default="", repr=False)

    def complete(self, setup: EngineSetup) -> EngineSetup:
        """A setup that says nothing takes all from the environment: a key never meets another's address."""
        is_silent = not (setup.base_url or setup.model or setup.api_key)
        if is_silent and setup.engine == self.provider:
            setup = dataclasses.replace(
                setup,
                base_url=self.base_url,
                model=self.model,
                api_key=self.api_key,
                options=setup.options or self.options,
            )
        if setup.engine == "embedded" and not setup.base_url:
            setup = dataclasses.replace(
                setup, base_url=self.speech_url, api_key=setup.api_key or self.speech_api_key
            )
        return setup


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a job hands to each of its engines beside the setup.

    `vocabulary`: the event's glossary and the participants' names as they are now, asked at each stream's start.
    """

    open_http: OpenSession = open_session
    vocabulary: Callable[[], tuple[str, ...]] = tuple


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What the pipelines have to know of an engine."""

    streaming: bool = True
    """False: one request for each utterance."""
    interims: bool = True
    detects_language: bool = False
    vocabulary: bool = False
    session_limit_s: float = math.inf
    """How long one connection of it may last."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How an engine is made, and what it can do."""

    make: Callable[[EngineSetup, Surroundings], stt.STT[str]]
    """Raises OptionsError for a setup that cannot work. Imports the client when called."""
    needs: tuple[str, ...] = ()
    """Modules of the engine's optional extra."""
    capabilities: Capabilities = Capabilities()
    languages: frozenset[str] = frozenset()
    """All it understands; empty: many, and the backend offers those."""

    @property
    def is_installed(self) -> bool:
        """Without importing it."""
        return all(_is_there(module) for module in self.needs)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _embedded(setup: EngineSetup, surroundings: Surroundings) -> stt.STT[str]:
    from agents.stt.realtime import RealtimeSTT

    return RealtimeSTT(
        base_url=setup.base_url.rstrip("/").removesuffix("/v1") + "/v1",
        model=setup.model,
        api_key=setup.api_key,
        open_http=surroundings.open_http,
    )


def _voxtral(setup: EngineSetup, surroundings: Surroundings) -> stt.STT[str]:
    _check_needs(setup)
    return _embedded(setup, surroundings)


def _deepgram(setup: EngineSetup, surroundings: Surroundings) -> stt.STT[str]:
    from agents.stt.deepgram import DeepgramOptions, DeepgramSTT

    options = DeepgramOptions(**_given(setup))  # type: ignore[arg-type]
    return DeepgramSTT(options, open_http=surroundings.open_http, vocabulary=surroundings.vocabulary)


def _elevenlabs(setup: EngineSetup, surroundings: Surroundings) -> stt.STT[str]:
    from agents.stt.elevenlabs import ElevenLabsOptions, ElevenLabsSTT

    _check_needs(setup)
    options = ElevenLabsOptions(**_given(setup))
    return ElevenLabsSTT(options, open_http=surroundings.open_http, vocabulary=surroundings.vocabulary)


def _mistral(setup: EngineSetup, surroundings: Surroundings) -> stt.STT[str]:
    from agents.stt.mistral import MistralOptions, MistralSTT

    _check_needs(setup)
    return MistralSTT(MistralOptions(**_given(setup)), open_http=surroundings.open_http)


def _nvidia(setup: EngineSetup, surroundings: Surroundings) -> stt.STT[str]:
    from agents.stt.nvidia import NvidiaSTT, options_of

    options = options_of(
        base_url=setup.base_url,
        model=setup.model,
        api_key=setup.api_key,
        function_id=setup.option("function_id"),
        use_tls=setup.option("use_tls"),
    )
    return NvidiaSTT(options, vocabulary=surroundings.vocabulary)


def _openai(setup: EngineSetup, surroundings: Surroundings) -> stt.STT[str]:
    """OpenAI's own, and every other server of the same requests."""
    from agents.stt.openai import OpenAIOptions, OpenAISTT

    _check_needs(setup)
    given: dict[str, Any] = {"base_url": setup.base_url} if setup.base_url else {}
    if tries := setup.option("tries"):
        given["tries"] = int(tries) if tries in ("1", "2", "3") else 0
    options = OpenAIOptions(
        model=setup.model or next(iter(CATALOGUE[setup.engine].models), ""),
        api_key=setup.api_key,
        response_format=setup.option("response_format"),
        **given,
    )
    return OpenAISTT(
        options,
        provider=setup.engine,
        open_http=surroundings.open_http,
        vocabulary=surroundings.vocabulary,
    )


def _openai_realtime(setup: EngineSetup, surroundings: Surroundings) -> stt.STT[str]:
    from agents.stt.openai import OpenAIRealtimeOptions, OpenAIRealtimeSTT

    _check_needs(setup)
    options = OpenAIRealtimeOptions(**_given(setup))  # type: ignore[arg-type]
    return OpenAIRealtimeSTT(options, open_http=surroundings.open_http, vocabulary=surroundings.vocabulary)


def _given(setup: EngineSetup) -> dict[str, str]:
    """What a setup says; the rest is the engine's own choice."""
    given = {"base_url": setup.base_url, "model": setup.model, "api_key": setup.api_key}
    return {name: value for name, value in given.items() if value}


def _check_needs(setup: EngineSetup) -> None:
    """What an engine cannot do without. Raises OptionsError."""
    needed = CATALOGUE[setup.engine]
    if needed.needs_base_url and not setup.base_url:
        raise OptionsError("base_url is missing")
    if needed.needs_key and not setup.api_key:
        raise OptionsError("api_key is missing")


BY_REQUEST = Capabilities(streaming=False, interims=False, detects_language=True, vocabulary=True)

ENGINES: Mapping[str, Kind] = {
    "embedded": Kind(make=_embedded, languages=frozenset({"en"})),
    "deepgram": Kind(make=_deepgram, capabilities=Capabilities(vocabulary=True)),
    "openai": Kind(make=_openai, capabilities=BY_REQUEST),
    "openai_realtime": Kind(
        make=_openai_realtime,
        # 15 min, then 30, now 60: what OpenAI has allowed a session to last.
        capabilities=Capabilities(detects_language=True, vocabulary=True, session_limit_s=15 * 60.0),
    ),
    "openai_compatible": Kind(make=_openai, capabilities=BY_REQUEST),
    "whisper": Kind(make=_openai, capabilities=BY_REQUEST),
    "nemotron": Kind(
        make=_openai,
        capabilities=Capabilities(streaming=False, interims=False),
        languages=frozenset({"en"}),
    ),
    "elevenlabs": Kind(make=_elevenlabs, capabilities=Capabilities(detects_language=True, vocabulary=True)),
    "nvidia": Kind(make=_nvidia, needs=("grpc", "riva.client"), capabilities=Capabilities(vocabulary=True)),
    "mistral": Kind(make=_mistral, capabilities=Capabilities(detects_language=True)),
    "voxtral": Kind(
        make=_voxtral,
        capabilities=Capabilities(session_limit_s=VOXTRAL_SESSION_S),
        languages=frozenset(CATALOGUE["voxtral"].languages),
    ),
}


def surroundings_of(
    setup: EngineSetup, *, rules: DialingRules, vocabulary: Callable[[], tuple[str, ...]] = tuple
) -> Surroundings:
    """Bounded, for an address that was typed. Raises EngineOutOfBounds."""
    if not (setup.is_typed and setup.base_url):
        return Surroundings(vocabulary=vocabulary)
    bounds = Bounds(setup.base_url, rules=rules)
    description = CATALOGUE.get(setup.engine)
    if description is None or description.dials_itself:
        bounds.require_listed()
    return Surroundings(open_http=bounds.open_session, vocabulary=vocabulary)


def engine_of(
    setup: EngineSetup,
    *,
    defaults: EngineDefaults,
    rules: DialingRules,
    vocabulary: Callable[[], tuple[str, ...]] = tuple,
) -> stt.STT[str]:
    """Raises OptionsError, NotInstalled, EngineOutOfBounds."""
    kind = ENGINES.get(setup.engine)
    if kind is None or not kind.is_installed:
        raise NotInstalled("the engine is not installed")
    setup = defaults.complete(setup)
    return kind.make(setup, surroundings_of(setup, rules=rules, vocabulary=vocabulary))


def installed_engines() -> tuple[str, ...]:
    """What a heartbeat says this worker can use."""
    return tuple(name for name, kind in ENGINES.items() if kind.is_installed)
