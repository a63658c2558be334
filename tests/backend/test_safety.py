"""What a production deployment refuses to start with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from backend.config.safety import (
    passphrases_as_secrets,
    refuse_unsafe_settings,
    refuse_weak_passphrases,
)

ROOT = Path(__file__).resolve().parents[2]

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
        is_local=True, is_debug=True, hands_out_tokens=True, DJANGO_SECRET_KEY="x", API_KEY_ENCRYPTION_KEY="y"
    )
    with pytest.raises(ImproperlyConfigured, match="LIVEKIT_API_SECRET"):
        start(is_local=True, LIVEKIT_API_SECRET="")


ENCRYPTION = "API_KEY_ENCRYPTION_KEY"
NEW, OLD = "new-0123456789-abcdefghijklmnopqrstuvwxyz", "old-0123456789-abcdefghijklmnopqrstuvwxyz"


def start_with_passphrases(*passphrases: str) -> None:
    others = {name: value for name, value in SECRETS.items() if name != ENCRYPTION}
    refuse_unsafe_settings(
        is_local=False,
        is_debug=False,
        hands_out_tokens=False,
        secrets={**others, **passphrases_as_secrets(ENCRYPTION, passphrases)},
    )
    refuse_weak_passphrases(ENCRYPTION, passphrases, is_local=False)


def values_of_env_d() -> list[str]:
    """Each as it would be read, so without commas."""
    lines = [line for path in ROOT.glob("env.d/*/*.env") for line in path.read_text().splitlines()]
    values = [line.partition("=")[2].strip('"') for line in lines if not line.startswith("#")]
    return sorted({part for value in values for part in value.split(",") if part})


@pytest.mark.parametrize("passphrases", [(NEW,), (NEW, OLD)])
def test_one_good_passphrase_is_enough_and_older_ones_may_follow(passphrases: tuple[str, ...]) -> None:
    start_with_passphrases(*passphrases)


@pytest.mark.parametrize(
    "passphrases",
    [
        (),
        ("short",),
        ("abcdefgh1" * 5,),
        (NEW, "short"),
        (NEW, "abcdefgh1" * 5),
        (NEW, NEW),
        (NEW, OLD, NEW),
        (NEW, SECRETS["INTERNAL_API_SECRET"]),
        *((value,) for value in values_of_env_d()),
        *((NEW, value) for value in values_of_env_d() if len(value) >= 32),
    ],
)
def test_a_passphrase_anybody_could_know_or_guess_is_refused_and_never_shown(
    passphrases: tuple[str, ...],
) -> None:
    with pytest.raises(ImproperlyConfigured, match=ENCRYPTION) as refusal:
        start_with_passphrases(*passphrases)
    assert not any(phrase in str(refusal.value) for phrase in passphrases if len(phrase) > 8)


@pytest.mark.parametrize(
    ("given", "starts"),
    [("", False), ("x" * 40, False), (f"{NEW},short", False), (NEW, True), (f"{NEW} , {OLD}\n", True)],
)
def test_manage_check_reads_the_passphrases_from_a_file_and_refuses_bad_ones(
    tmp_path: Path, given: str, starts: bool
) -> None:
    (tmp_path / "passphrases").write_text(given)
    others = {name: value for name, value in SECRETS.items() if name != ENCRYPTION}

    check = subprocess.run(
        [sys.executable, "src/backend/manage.py", "check"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": "src",
            "LIVEKIT_API_KEY": "key",
            f"{ENCRYPTION}_FILE": str(tmp_path / "passphrases"),
            **others,
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert (check.returncode == 0) == starts, check.stderr
    assert starts or ENCRYPTION in check.stderr
    assert not (given and given in check.stderr)
