"""Several keepers may run; the one whose turn it is acts."""

import datetime

from django.db import IntegrityError
from django.db.models import Q
from django.utils import timezone

from backend.leases.models import KeeperTurn

TURN_S = 5
KEEP_UNTIL = datetime.timedelta(seconds=TURN_S / 2)


def is_my_turn(holder: str) -> bool:
    """Take or keep the turn. It falls to another when its holder has not asked for `TURN_S`."""
    now = timezone.now()
    if KeeperTurn.objects.filter(pk=1, holder=holder, until__gt=now + KEEP_UNTIL).exists():
        return True
    mine_or_over = Q(holder=holder) | Q(until__lt=now)
    until = now + datetime.timedelta(seconds=TURN_S)
    if KeeperTurn.objects.filter(mine_or_over, pk=1).update(holder=holder, until=until):
        return True
    if KeeperTurn.objects.filter(pk=1).exists():
        return False
    try:
        KeeperTurn.objects.create(pk=1, holder=holder, until=until)
    except IntegrityError:
        return False
    return True


def note_livekit(*, is_lost: bool) -> bool:
    """Whether this is news, to whichever keeper it was that looked before."""
    otherwise = KeeperTurn.objects.filter(pk=1, livekit_lost=not is_lost)
    # Read first: this is asked in every round, and a write would take SQLite's one lock each time.
    return otherwise.exists() and otherwise.update(livekit_lost=is_lost) == 1
