import logging

import pytest

from agents.rooms.backoff import backoff_s
from agents.runtime.errors import SettingsError
from agents.runtime.logs import Discreet, Facts
from agents.runtime.settings import SETTINGS, read_settings

GIVEN = {
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "l" * 32 + "\n",
    "INTERNAL_API_SECRET": "i" * 32,
    "WORKER_NAME": "w",
}


def test_settings_have_defaults_but_for_keys_and_lose_the_newline_of_a_secret_file() -> None:
    settings = read_settings(GIVEN)

    assert settings.livekit_api_secret == "l" * 32
    assert (settings.capacity, settings.health_port, settings.worker_name) == (8, 0, "w")
    assert {s.name for s in SETTINGS if s.default is None} == {
        "LIVEKIT_API_KEY",
        "LIVEKIT_API_SECRET",
        "INTERNAL_API_SECRET",
    }


def test_two_workers_without_a_name_do_not_share_one() -> None:
    unnamed = {**GIVEN, "WORKER_NAME": ""}

    assert read_settings(unnamed).worker_name != read_settings(unnamed).worker_name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIVEKIT_API_KEY", ""),
        ("LIVEKIT_API_SECRET", "hunter2"),
        ("INTERNAL_API_SECRET", ""),
        ("INTERNAL_API_SECRET", "l" * 32),
        ("SUBTITLES_CAPACITY", "2345"),
        ("SUBTITLES_CAPACITY", "many"),
        ("WORKER_HEALTH_PORT", "70000"),
        ("BACKEND_URL", "ftp://backend"),
        ("LIVEKIT_URL", "livekit:7880"),
    ],
)
def test_a_wrong_setting_stops_the_worker_and_is_named_without_its_value(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({**GIVEN, name: value})

    assert name in str(refused.value)
    assert not value or value not in str(refused.value)


def test_on_ones_own_machine_short_secrets_are_allowed() -> None:
    read_settings({**GIVEN, "LIVEKIT_API_SECRET": "short", "DJANGO_ENV": "local"})


def test_no_secret_shows_in_what_a_settings_object_looks_like() -> None:
    assert "iiii" not in repr(read_settings(GIVEN)) and "llll" not in repr(read_settings(GIVEN))


def logged(
    name: str, message: str, *args: object, error: BaseException | None = None, **facts: object
) -> str:
    record = logging.LogRecord(
        name, logging.WARNING, "f.py", 1, message, args, (type(error), error, None) if error else None
    )
    vars(record).update(facts)
    Discreet().filter(record)
    return Facts().format(record)


def test_our_logs_are_a_sentence_and_its_facts_on_one_line() -> None:
    line = logged("agents.rooms", "segment sent", segment_id="a\nb", chars=3)

    assert line.endswith('WARNING agents.rooms segment sent segment_id="a\\nb" chars=3')


def test_of_other_peoples_logs_only_the_template_and_the_kind_of_error_are_kept() -> None:
    line = logged(
        "root",
        "error running user callback for %s: %s",
        "x",
        "spoken words",
        error=ValueError("secret"),
        body="words",
    )

    assert "spoken" not in line and "secret" not in line and "body" not in line
    assert "error running user callback for %s: %s" in line and "ValueError" in line


def test_retries_wait_longer_up_to_two_seconds() -> None:
    assert [backoff_s(attempt, jitter=0.0) for attempt in (1, 2, 3, 4, 5, 99)] == [
        0.2,
        0.4,
        0.8,
        1.6,
        2.0,
        2.0,
    ]
    assert backoff_s(5, jitter=1.0) == 1.0
    assert backoff_s(1, jitter=1.0) == 0.2
