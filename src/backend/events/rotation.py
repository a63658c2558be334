"""Everything that is sealed, moved to the newest passphrase."""

from dataclasses import dataclass

from backend.events.models import EngineCredential
from backend.sealing import Seals, Unreadable

MOST_TRIES = 5
"""As often as somebody may save the same key just then."""


@dataclass(kw_only=True)
class Rotation:
    """How many keys; `contested` were saved anew each time they were looked at."""

    rotated: int = 0
    current: int = 0
    unreadable: int = 0
    contested: int = 0


def rotate(seals: Seals) -> Rotation:
    """Row by row, each for itself: what an interruption leaves behind can be read, and the next run finishes it."""
    done = Rotation()
    for pk in list(EngineCredential.objects.exclude(ciphertext="").values_list("pk", flat=True)):
        _rotate_one(pk, seals, done)
    return done


def _rotate_one(pk: int, seals: Seals, done: Rotation) -> None:
    for _ in range(MOST_TRIES):
        row = EngineCredential.objects.filter(pk=pk).exclude(ciphertext="").first()
        if row is None:
            return
        try:
            if row.key_fingerprint == seals.fingerprint:
                seals.open(row.ciphertext)
                done.current += 1
                return
            sealed = seals.seal_again(row.ciphertext)
        except Unreadable:
            done.unreadable += 1
            return
        # Unless somebody has saved another key meanwhile.
        same = EngineCredential.objects.filter(pk=pk, ciphertext=row.ciphertext)
        if same.update(ciphertext=sealed.ciphertext, key_fingerprint=sealed.fingerprint):
            done.rotated += 1
            return
    done.contested += 1
