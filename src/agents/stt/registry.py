"""Engine names to engines; each is made from frozen options, given by argument."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from livekit.agents import stt

from agents.runtime.errors import EngineRefused
from agents.stt.realtime import RealtimeOptions, RealtimeSTT


@dataclass(frozen=True, kw_only=True)
class EmbeddedOptions:
    """Our own speech server."""

    base_url: str
    api_key: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What each engine needs, read from settings by the worker."""

    embedded: EmbeddedOptions


def _embedded(options: EngineOptions) -> stt.STT[str]:
    return RealtimeSTT(RealtimeOptions(base_url=options.embedded.base_url, api_key=options.embedded.api_key))


ENGINES: Mapping[str, Callable[[EngineOptions], stt.STT[str]]] = {"embedded": _embedded}


def installed_engines() -> tuple[str, ...]:
    """What a heartbeat says this worker can use."""
    return tuple(ENGINES)


def make_engine(name: str, options: EngineOptions) -> stt.STT[str]:
    """Raises EngineRefused for a name this worker does not know."""
    if name not in ENGINES:
        raise EngineRefused("this worker does not have the engine")
    return ENGINES[name](options)
