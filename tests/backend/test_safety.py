"""What a production deployment refuses to start with."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from backend.config.safety import refuse_unsafe_settings

SECRETS = {
    name: f"{name}-" + "r4nd0m" * 8
    for name in ("DJANGO_SECRET_KEY", "INTERNAL_API_SECRET", "LIVEKIT_API_SECRET", "API_KEY_ENCRYPTION_KEY")
}


def start(
    *, is_local: bool = False, is_debug: bool = False, hands_out_tokens: bool = False, **secrets: str
) -> None:
    refuse_unsafe_settings(
        is_local=is_local,
        is_debug=is_debug,
        hands_out_tokens=hands_out_tokens,
        secrets={**SECRETS, **secrets},
    )


def test_a_deployment_with_good_secrets_starts() -> None:
    start()


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("value", ["", "short", "django-insecure-" + "x" * 40, "changeme" * 6, "devkey" * 6])
def test_production_refuses_a_missing_short_or_known_secret_and_never_shows_it(name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=name) as refusal:
        start(**{name: value})
    assert not value or value not in str(refusal.value)


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_production_refuses_two_equal_secrets(name: str) -> None:
    other = next(value for key, value in SECRETS.items() if key != name)
    with pytest.raises(ImproperlyConfigured, match="must not be equal"):
        start(**{name: other})


def test_production_refuses_debug_and_open_connection_details() -> None:
    with pytest.raises(ImproperlyConfigured, match="DJANGO_DEBUG"):
        start(is_debug=True)
    with pytest.raises(ImproperlyConfigured, match="CONNECTION_DETAILS_ENABLED"):
        start(hands_out_tokens=True)


def test_a_local_run_needs_only_to_be_complete() -> None:
    start(
        is_local=True, is_debug=True, hands_out_tokens=True, DJANGO_SECRET_KEY="x", API_KEY_ENCRYPTION_KEY=""
    )
    with pytest.raises(ImproperlyConfigured, match="LIVEKIT_API_SECRET"):
        start(is_local=True, LIVEKIT_API_SECRET="")
