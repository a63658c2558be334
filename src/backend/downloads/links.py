"""Links that are the secret: whoever has one may fetch the file, for a time."""

import uuid

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner

from backend.errors import LinkExpired

SECONDS_AN_HOUR = 3600

_signer = TimestampSigner(salt="backend.downloads")


def token_of(export: uuid.UUID) -> str:
    return _signer.sign(export.hex)


def export_of(token: str) -> uuid.UUID:
    """Raises LinkExpired for one that we never made, too."""
    try:
        return uuid.UUID(_signer.unsign(token, max_age=settings.EXPORT_LINK_HOURS * SECONDS_AN_HOUR))
    except BadSignature:
        raise LinkExpired from None
