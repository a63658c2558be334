"""Which engines a deployment has, and what they understand."""

from dataclasses import dataclass

from django.conf import settings

from backend.errors import LanguageNotAvailable


@dataclass(frozen=True, kw_only=True)
class Engine:
    id: str
    name: str
    languages: tuple[str, ...]


ENGINES = {
    "embedded": Engine(id="embedded", name="Basic offline recogniser", languages=("en",)),
}


def deployment_engine() -> Engine:
    return ENGINES[settings.STT_PROVIDER]


def available_language(language: str | None) -> str:
    """The language to transcribe, or LanguageNotAvailable."""
    wanted = language or settings.SUBTITLES_LANGUAGE
    if wanted not in deployment_engine().languages:
        raise LanguageNotAvailable
    return wanted
