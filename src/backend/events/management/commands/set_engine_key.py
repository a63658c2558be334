"""`manage.py set_engine_key`: what the admin's page of an engine key does, the key from standard input."""

import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from backend.events import services
from backend.events.addresses import looked_up
from backend.events.forms import CredentialForm, option_lines
from backend.events.keys import MAX_KEY_CHARS, KeyRefused, checked_key
from backend.events.models import EngineCredential, Event, engine_name
from backend.events.widgets import PICKABLE


class Command(BaseCommand):
    help = "Store an engine's key, read from standard input. What else is not given stays as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--engine", required=True, choices=PICKABLE)
        parser.add_argument(
            "--event", metavar="SLUG", help="for this event; else for all that have none of it"
        )
        parser.add_argument("--base-url", help="where the engine is; empty: its own address")
        parser.add_argument("--model", help="empty: the engine's usual one")
        parser.add_argument(
            "--option",
            action="append",
            metavar="NAME=VALUE",
            help="may be repeated; replaces all that were there",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        event = _event(options["event"])
        try:
            key = checked_key(_read_key())
        except KeyRefused as refused:
            raise CommandError(str(refused)) from None
        form = _form(event, key, options)
        with transaction.atomic():
            credential = form.save()
            services.note_change(event)
        self.stdout.write(
            f"stored: {engine_name(credential.engine)}, {event or 'all events'}, {credential.masked_key}"
        )


def _form(event: Event | None, key: str, options: dict[str, Any]) -> CredentialForm:
    """The admin's, filled in. Raises CommandError."""
    engine = options["engine"]
    stored = EngineCredential.objects.filter(engine=engine, event=event).first()
    before = stored or EngineCredential(engine=engine, event=event)
    given = {
        "base_url": before.base_url if options["base_url"] is None else options["base_url"],
        "model": before.model if options["model"] is None else options["model"],
        "options": option_lines(before.options)
        if options["option"] is None
        else "\n".join(options["option"]),
    }
    filled = {"engine": engine, "event": event.pk if event else "", "key": key, **given}
    form = CredentialForm(filled, instance=before)
    with looked_up([given["base_url"]]):
        if not form.is_valid():
            raise CommandError(" ".join(problem for problems in form.errors.values() for problem in problems))
    return form


def _event(slug: str | None) -> Event | None:
    if slug is None:
        return None
    event = Event.objects.filter(slug=slug).first()
    if event is None:
        raise CommandError(f"There is no event {slug}.")
    return event


def _read_key() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Key: ")
    return sys.stdin.read(MAX_KEY_CHARS + 2).removesuffix("\n")
