"""Which engines a deployment has, and what they understand."""

from django.conf import settings

from contract.engines import CATALOGUE, EngineDescription

LAST_ENGINE = "embedded"
"""It needs neither key nor network, so every event's chain ends with it."""


def chain() -> tuple[str, ...]:
    """The deployment's engines in the order they are tried, each once; the first is its provider."""
    return tuple(dict.fromkeys((settings.STT_PROVIDER, *settings.STT_FALLBACK)))


def provider() -> EngineDescription:
    return CATALOGUE[chain()[0]]
