"""`manage.py jobs`: what is due and what has failed; `--again` and `--check`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseProblem
from django.db.models import Count
from django.utils import timezone

from backend.jobs import runners
from backend.jobs.models import Job, JobState


class Command(BaseCommand):
    help = "List what is due, runs or has failed, by task."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--again", action="store_true", help="try those that have failed again")
        parser.add_argument(
            "--check",
            action="store_true",
            help="exit 0 while somebody looks after jobs, whoever it is; else 1",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            check()
        elif options["again"]:
            self.stdout.write(f"to be tried again: {runners.try_failed_again()}")
        else:
            self._list()

    def _list(self) -> None:
        rows = Job.objects.exclude(state=JobState.DONE).values_list("task", "state")
        for name, state, count in rows.annotate(Count("pk")).order_by("task", "state"):
            self.stdout.write(f"{name} {state}: {count}")


def check() -> None:
    """Whoever runs jobs sweeps every few seconds. Raises CommandError, which is exit status 1."""
    try:
        at = runners.swept_at()
    except DatabaseProblem:
        raise CommandError("database_unavailable") from None
    if at is None or at < timezone.now() - runners.SWEPT_WITHIN:
        raise CommandError("no_sweep")
