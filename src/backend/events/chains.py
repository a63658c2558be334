"""Which engines a room is transcribed with, and how each is reached."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Q

from backend import engines
from backend.events.models import EngineCredential, Event
from backend.sealing import Unreadable
from backend.usage.services import is_budget_spent
from contract.engines import CATALOGUE, EngineDescription, EngineSetup, NamedValue

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RoomEngines:
    """`chain` in the order it is tried, whatever the language; without an event the deployment's.

    `is_budget_spent`: the event's own engines are left out of it until there is more to spend.
    """

    event: Event | None
    chain: tuple[str, ...]
    is_budget_spent: bool = False

    @property
    def first(self) -> EngineDescription:
        return CATALOGUE[self.chain[0]]

    @property
    def language(self) -> str:
        """The one when none is asked for."""
        return self.event.language if self.event else str(settings.SUBTITLES_LANGUAGE)

    @property
    def is_switched_off(self) -> bool:
        return self.event is not None and not self.event.transcription_enabled

    def for_language(self, language: str) -> tuple[str, ...]:
        """Who does not speak the language would write nonsense in another. If none does, the first waits for one."""
        speaking = tuple(name for name in self.chain if language in CATALOGUE[name].languages)
        return speaking or self.chain[:1]


def event_of(room: str) -> Event | None:
    return Event.objects.filter(rooms__name=room).first()


def engines_of(room: str) -> RoomEngines:
    event = event_of(room)
    if event is None:
        return RoomEngines(event=None, chain=engines.chain())
    if is_budget_spent(event):
        return RoomEngines(event=event, chain=(engines.LAST_ENGINE,), is_budget_spent=True)
    return RoomEngines(event=event, chain=event.engines)


def setups_of(found: RoomEngines, *, language: str) -> tuple[EngineSetup, ...]:
    """With keys. One that cannot be read leaves its engine out, rather than let another's key be used."""
    names = found.for_language(language)
    credentials = credentials_for(found.event, names)
    setups = []
    for name in names:
        try:
            setups.append(setup_of(credentials[name]) if name in credentials else EngineSetup(engine=name))
        except Unreadable:
            logger.error("engine key unreadable", extra={"credential": credentials[name].pk, "engine": name})
    return tuple(setups)


def setup_of(credential: EngineCredential) -> EngineSetup:
    """Raises Unreadable."""
    return EngineSetup(
        engine=credential.engine,
        base_url=credential.base_url,
        model=credential.model,
        api_key=credential.open_key(),
        options=tuple(NamedValue(name=name, value=value) for name, value in credential.options.items()),
        is_typed=bool(credential.base_url),
    )


def credentials_for(event: Event | None, names: Iterable[str]) -> dict[str, EngineCredential]:
    """The event's own, else the deployment's; as a whole, so that a key never meets another's address."""
    rows = EngineCredential.objects.filter(Q(event=None) | Q(event=event), engine__in=names)
    own_last = sorted(rows, key=lambda row: row.event_id is not None)
    return {row.engine: row for row in own_last if row.counts}


def lacks_key(event: Event, name: str) -> bool:
    """Whether nobody has given a key of this engine. What the workers' environment says of the provider counts."""
    is_given = name == settings.STT_PROVIDER or name in credentials_for(event, [name])
    return CATALOGUE[name].needs_key and not is_given
