"""`manage.py rotate_api_keys`: every stored key under the newest passphrase of API_KEY_ENCRYPTION_KEY."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backend.events.rotation import rotate
from backend.sealing import seals


class Command(BaseCommand):
    help = "Seal every stored key under the newest passphrase. May be interrupted and run again."

    def handle(self, *args: Any, **options: Any) -> None:
        done = rotate(seals())
        self.stdout.write(
            f"rotated: {done.rotated}, already current: {done.current}, unreadable: {done.unreadable}"
        )
        if done.contested:
            raise CommandError(f"saved anew meanwhile: {done.contested}; run it again")
        if done.unreadable:
            raise CommandError("unreadable keys: paste them again, or list the passphrase they are under")
