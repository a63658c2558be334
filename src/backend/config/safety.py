"""What a deployment must not start with."""

from collections.abc import Iterable, Mapping

from django.core.exceptions import ImproperlyConfigured

MIN_SECRET_CHARS = 32
KNOWN_DEFAULTS = ("django-insecure", "changeme", "change-me", "devkey")


def refuse_unsafe_settings(
    *, is_local: bool, is_debug: bool, hands_out_tokens: bool, secrets: Mapping[str, str]
) -> None:
    """Raises ImproperlyConfigured, which names the setting and never its value. Local runs need only be complete."""
    for name, value in secrets.items():
        if name != "API_KEY_ENCRYPTION_KEY" and not value:
            raise ImproperlyConfigured(f"{name} is not set.")
    if is_local:
        return
    if is_debug:
        raise ImproperlyConfigured("DJANGO_DEBUG must be off in production.")
    if hands_out_tokens:
        raise ImproperlyConfigured(
            "CONNECTION_DETAILS_ENABLED must be off in production: it gives a token to anyone who asks."
        )
    for name, value in secrets.items():
        if len(value) < MIN_SECRET_CHARS or any(known in value.lower() for known in KNOWN_DEFAULTS):
            raise ImproperlyConfigured(
                f"{name} must be a random secret of at least {MIN_SECRET_CHARS} characters."
            )
    for name, value in secrets.items():
        if same := [other for other in secrets if other != name and secrets[other] == value]:
            raise ImproperlyConfigured(f"{name} and {same[0]} must not be equal.")


def refuse_unknown(name: str, value: str, *, known: Iterable[str]) -> None:
    if value not in known:
        raise ImproperlyConfigured(f"{name} must be one of: {', '.join(known)}.")
