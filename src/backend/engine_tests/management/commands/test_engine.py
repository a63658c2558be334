"""`manage.py test_engine`: "Test this key" on the command line. Its exit status is the answer."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backend.engine_tests import services
from backend.engine_tests.models import EngineTest
from backend.engine_tests.sentences import figures_of, sentence_of
from backend.errors import Throttled
from backend.events.chains import credentials_for
from backend.events.models import Event
from backend.sealing import Unreadable
from contract.engines import CATALOGUE

LOOK_EVERY_S = 0.25


class Command(BaseCommand):
    help = "Have a worker play a clip to an engine, with the key it has for an event; exit 0, or 1 and why."
    requires_system_checks: list[str] = []  # noqa: RUF012 (Django's name)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--engine", required=True, choices=sorted(CATALOGUE))
        parser.add_argument(
            "--event", metavar="SLUG", help="with this event's key; else with the deployment's"
        )
        parser.add_argument("--language", default="en", help="asked of the engine (en, as the clip is)")

    def handle(self, *args: Any, **options: Any) -> None:
        event = _event(options["event"]) if options["event"] else None
        try:
            test = services.ask(
                engine=options["engine"],
                event=event,
                credential=credentials_for(event, [options["engine"]]).get(options["engine"]),
                language=options["language"],
            )
        except Throttled as error:
            raise CommandError(f"throttled: more in {error.retry_after_s} s") from None
        except Unreadable:
            raise CommandError("key_unreadable: sealed under another API_KEY_ENCRYPTION_KEY") from None
        self._wait(test)
        for name, value in figures_of(test).items():
            self.stdout.write(f"{name}: {value}")
        if not test.is_ok:
            raise CommandError(f"{test.result}: {sentence_of(test)}")
        self.stdout.write(f"{test.result}: {sentence_of(test)}")

    def _wait(self, test: EngineTest) -> None:
        said = ""
        while not services.look(test).is_over:
            if (sentence := sentence_of(test)) != said:
                self.stdout.write(sentence)
                self.stdout.flush()
                said = sentence
            time.sleep(LOOK_EVERY_S)


def _event(slug: str) -> Event:
    event = Event.objects.filter(slug=slug).first()
    if event is None:
        raise CommandError("no_event: there is no event of this slug")
    return event
