"""What a deployment must not start with."""

import re
from collections.abc import Iterable, Mapping, Sequence

from django.core.exceptions import ImproperlyConfigured

MIN_SECRET_CHARS = 32
MIN_DIFFERENT_CHARS = 10
KNOWN_DEFAULTS = ("django-insecure", "changeme", "change-me", "devkey")
ADDRESS_OR_PLACEHOLDER = re.compile(r"://|<\w+>")
"""With KNOWN_DEFAULTS, whatever of env.d is long enough for a passphrase."""


def refuse_unsafe_settings(
    *, is_local: bool, is_debug: bool, hands_out_tokens: bool, secrets: Mapping[str, str]
) -> None:
    """Raises ImproperlyConfigured, which names the setting and never its value. Local runs need only be complete."""
    for name, value in secrets.items():
        if not value:
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


def passphrases_as_secrets(name: str, passphrases: Sequence[str]) -> dict[str, str]:
    """A secret under a name of its own for each, so that none may be missing, short, known or another's."""
    first, *older = passphrases or [""]
    return {name: first, **{f"{name} ({number})": phrase for number, phrase in enumerate(older, start=2)}}


def refuse_weak_passphrases(name: str, passphrases: Iterable[str], *, is_local: bool) -> None:
    """Raises ImproperlyConfigured for what `refuse_unsafe_settings` lets pass and yet nobody made at random."""
    for phrase in passphrases:
        is_poor = len(set(phrase)) < MIN_DIFFERENT_CHARS or ADDRESS_OR_PLACEHOLDER.search(phrase)
        if is_poor and not is_local:
            raise ImproperlyConfigured(
                f"{name} must be random, of at least {MIN_DIFFERENT_CHARS} different characters."
            )


def refuse_unknown(name: str, value: str, *, known: Iterable[str]) -> None:
    if value not in known:
        raise ImproperlyConfigured(f"{name} must be one of: {', '.join(known)}.")
