import logging

import pytest

from agents.rooms.backoff import backoff_s
from agents.runtime.errors import SettingsError
from agents.runtime.logs import Discreet, Facts
from agents.runtime.settings import SETTINGS, read_settings
from agents.stt.registry import ENGINES, Kind
from agents.workers.transcriber import require_installed
from contract.addresses import allowlist_of

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
    assert (settings.backlog_segments, settings.backlog_minutes) == (50, 10)
    assert {s.name for s in SETTINGS if s.default is None} == {
        "LIVEKIT_API_KEY",
        "LIVEKIT_API_SECRET",
        "INTERNAL_API_SECRET",
    }


def test_the_backlog_can_be_switched_off() -> None:
    assert read_settings({**GIVEN, "SUBTITLES_BACKLOG_SEGMENTS": "0"}).backlog_segments == 0


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
        ("SUBTITLES_BACKLOG_SEGMENTS", "1001"),
        ("SUBTITLES_BACKLOG_SEGMENTS", "-1"),
        ("SUBTITLES_BACKLOG_MINUTES", "1441"),
        ("WORKER_HEALTH_PORT", "70000"),
        ("BACKEND_URL", "ftp://backend"),
        ("LIVEKIT_URL", "livekit:7880"),
        ("ENGINE_ALLOWED_HOSTS", "http://speech.lan"),
        ("ENGINE_ALLOWED_HOSTS", "10.0.0.0/99"),
    ],
)
def test_a_wrong_setting_stops_the_worker_and_is_named_without_its_value(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({**GIVEN, name: value})

    assert name in str(refused.value)
    assert not value or value not in str(refused.value)


def test_hosts_that_engines_may_be_at_are_read_as_the_backend_reads_them() -> None:
    given = read_settings({**GIVEN, "ENGINE_ALLOWED_HOSTS": "speech.lan, riva.lan:50051,10.0.0.0/8,"})

    assert given.engine_allowed_hosts == allowlist_of(["speech.lan", "riva.lan:50051", "10.0.0.0/8"])


def test_a_provider_whose_extra_is_missing_is_told_from_one_that_does_not_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = Kind(make=ENGINES["embedded"].make, needs=("no_such_module",))
    monkeypatch.setitem(ENGINES, "elsewhere", missing)  # type: ignore[misc]
    require_installed("embedded")
    with pytest.raises(SettingsError, match="elsewhere, whose optional packages are not installed"):
        require_installed("elsewhere")
    with pytest.raises(SettingsError, match="not one of embedded, deepgram"):
        require_installed("none-such")


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


def test_retries_wait_longer_up_to_a_second_and_a_half() -> None:
    assert [backoff_s(attempt, jitter=0.0) for attempt in (1, 2, 3, 4, 5, 99)] == [
        0.2,
        0.4,
        0.8,
        1.5,
        1.5,
        1.5,
    ]
    assert backoff_s(5, jitter=1.0) == 0.75
    assert backoff_s(1, jitter=1.0) == 0.2
