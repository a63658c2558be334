"""Where the audio of a room goes, engine by engine, for the audit log."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings

from backend.engines import LAST_ENGINE
from backend.events.chains import credentials_for
from backend.events.models import Event
from contract.engines import CATALOGUE

HERE = "this deployment"
UNKNOWN = "unknown"


def destinations(event: Event | None, engines: Iterable[str]) -> list[dict[str, str]]:
    names = list(engines)
    typed = {name: row.base_url for name, row in credentials_for(event, names).items()}
    return [{"engine": name, "audio_goes_to": destination(name, typed.get(name, ""))} for name in names]


def destination(engine: str, base_url: str = "") -> str:
    """A host; `base_url` is what was typed for this engine."""
    if engine == LAST_ENGINE:
        return HERE
    if not base_url and engine == settings.STT_PROVIDER:
        base_url = settings.STT_BASE_URL
    return host_of(base_url) or (CATALOGUE[engine].host if engine in CATALOGUE else "") or UNKNOWN


def host_of(url: str) -> str:
    """Without port, path and whatever else stands in it; empty: there is none."""
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""
