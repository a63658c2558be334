"""Which speakers' words of a meeting were erased: what is handed in later of that time is refused."""

import datetime
from collections.abc import Iterable, Mapping

from django.utils.crypto import salted_hmac

from backend.meetings.keeping import epoch_ms
from backend.meetings.models import ErasedSpeaker, Meeting


def remember_erased(meeting: Meeting, identity: str, *, until: datetime.datetime) -> None:
    ErasedSpeaker.objects.update_or_create(
        meeting=meeting, fingerprint=fingerprint_of(meeting, identity), defaults={"until": until}
    )


def erased_until_ms(meeting: Meeting, identities: Iterable[str]) -> Mapping[str, int]:
    """Of each: speech that begins by then is not to be kept, for it was erased; 0: nothing was. UTC epoch."""
    of_all = epoch_ms(meeting.erased_at) if meeting.erased_at else 0
    by_fingerprint = {fingerprint_of(meeting, identity): identity for identity in identities}
    rows = ErasedSpeaker.objects.filter(meeting=meeting, fingerprint__in=by_fingerprint)
    of_some = {by_fingerprint[row.fingerprint]: epoch_ms(row.until) for row in rows}
    return {identity: max(of_all, of_some.get(identity, 0)) for identity in by_fingerprint.values()}


def fingerprint_of(meeting: Meeting, identity: str) -> str:
    """Says nothing about the identity to whoever reads the database alone."""
    return salted_hmac("erased speaker", f"{meeting.pk}\0{identity}", algorithm="sha256").hexdigest()
