"""Whether a webhook is LiveKit's own, and fresh."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

import jwt
from google.protobuf.json_format import Parse, ParseError
from livekit.protocol.webhook import WebhookEvent

from backend.errors import InvalidBody, WebhookRefused

MAX_AGE_S = 300


def verified_event(*, body: bytes, authorization: str, keys: Mapping[str, str], now_s: float) -> WebhookEvent:
    """Raises WebhookRefused or InvalidBody. The SDK's own receiver compares with `!=` and takes any age."""
    claims = _claims(authorization, keys)
    try:
        wanted = base64.b64decode(str(claims.get("sha256", "")), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise WebhookRefused from exc
    if not hmac.compare_digest(wanted, hashlib.sha256(body).digest()):
        raise WebhookRefused
    try:
        event = Parse(body.decode(), WebhookEvent(), ignore_unknown_fields=True)
    except (ParseError, ValueError, RecursionError) as exc:
        raise InvalidBody from exc
    if abs(now_s - event.created_at) > MAX_AGE_S:
        raise WebhookRefused
    return event


def _claims(authorization: str, keys: Mapping[str, str]) -> dict[str, object]:
    token = authorization.removeprefix("Bearer ")
    try:
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        secret = keys.get(issuer) if isinstance(issuer, str) else None
        if not secret:
            raise WebhookRefused
        return jwt.decode(token, secret, algorithms=["HS256"], leeway=60, options={"require": ["exp", "iss"]})
    except (jwt.InvalidTokenError, ValueError, TypeError) as exc:
        raise WebhookRefused from exc
