"""What can be transcribed: the languages of a chain's first engine. One that only steps in adds none."""

import dataclasses

from backend.engines import chain, provider
from backend.errors import LanguageNotAvailable
from backend.events.chains import RoomEngines
from contract.engines import CATALOGUE, EngineDescription


def available_language(language: str | None, engines: RoomEngines) -> str:
    """The language to transcribe, or LanguageNotAvailable."""
    wanted = language or engines.language
    if wanted not in engines.first.languages:
        raise LanguageNotAvailable
    return wanted


def engines_to_choose_from() -> list[EngineDescription]:
    """The deployment's chain, each engine with those of the available languages that it understands."""
    available = provider().languages
    return [
        dataclasses.replace(engine, languages=tuple(code for code in engine.languages if code in available))
        for engine in (CATALOGUE[name] for name in chain())
    ]
