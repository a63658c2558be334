"""What `make run` makes of its environment, before it touches anything."""

import socket
from pathlib import Path

import pytest

from tests.support.ports import free_ports_in_a_row
from tools.local_settings import NotPossible, busy_ports, local_settings, process_environment
from tools.local_stack import programs_of


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BACKEND_PORT", "http"),
        ("BACKEND_PORT", "0"),
        ("BACKEND_PORT", "65536"),
        ("LIVEKIT_PORT", "65534"),  # two more have to follow it
        ("SPEECH_PORT", "-1"),
        ("SUBTITLES_WORKERS", "0"),
        ("SUBTITLES_WORKERS", "²"),
    ],
)
def test_a_number_that_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(NotPossible, match=name):
        local_settings({name: value})


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert local_settings({"BACKEND_PORT": "", "LIVEKIT_URL": ""}) == local_settings({})


def test_one_worker_is_subtitles_and_several_are_numbered() -> None:
    assert local_settings({}).subtitles_names == ("subtitles",)
    assert local_settings({"SUBTITLES_WORKERS": "2"}).subtitles_names == ("subtitles-1", "subtitles-2")


def test_each_worker_knows_its_name() -> None:
    programs = programs_of(local_settings({"SUBTITLES_WORKERS": "2"}), livekit=None)

    assert [p.environment["WORKER_NAME"] for p in programs if p.name.startswith("subtitles")] == [
        "subtitles-1",
        "subtitles-2",
    ]


def test_each_worker_serves_its_metrics_on_a_port_of_its_own_if_at_all() -> None:
    def ports(**environment: str) -> list[str]:
        programs = programs_of(local_settings({"SUBTITLES_WORKERS": "2", **environment}), livekit=None)
        return [p.environment["WORKER_METRICS_PORT"] for p in programs if p.name.startswith("subtitles")]

    assert ports() == ["0", "0"]
    assert ports(WORKER_METRICS_PORT="9102") == ["9102", "9103"]


def test_ports_wanted_twice_are_named() -> None:
    first = str(free_ports_in_a_row(3))

    lines = busy_ports(local_settings({"LIVEKIT_PORT": first, "BACKEND_PORT": str(int(first) + 2)}))

    assert any(f"port {int(first) + 2} is wanted twice: set BACKEND_PORT" in line for line in lines)


def test_a_busy_media_port_is_named(tmp_path: Path) -> None:
    first = free_ports_in_a_row(5)
    settings = local_settings(
        {"LIVEKIT_PORT": str(first), "BACKEND_PORT": str(first + 3), "SPEECH_PORT": str(first + 4)}
    )
    assert busy_ports(settings) == []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", first + 2))

        [line] = busy_ports(settings)

    assert line.startswith(f"port {first + 2} is busy: set LIVEKIT_PORT")


def test_an_existing_livekit_needs_its_keys(tmp_path: Path) -> None:
    caller = {"ROOMSCRIBE_DATA_DIR": str(tmp_path), "LIVEKIT_URL": "wss://livekit.example.org"}
    settings = local_settings(caller)

    with pytest.raises(NotPossible, match="LIVEKIT_API_KEY"):
        process_environment(settings, caller)


def test_with_an_existing_livekit_none_is_started_and_its_ports_are_not_wanted(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        first = free_ports_in_a_row(2)
        settings = local_settings(
            {
                "LIVEKIT_URL": "wss://livekit.example.org",
                "LIVEKIT_PORT": str(other.getsockname()[1]),
                "BACKEND_PORT": str(first),
                "SPEECH_PORT": str(first + 1),
            }
        )

        assert busy_ports(settings) == []
        assert not settings.starts_livekit


def test_what_the_caller_sets_reaches_the_processes(tmp_path: Path) -> None:
    caller = {
        "ROOMSCRIBE_DATA_DIR": str(tmp_path),
        "LIVEKIT_API_KEY": "mine",
        "CORS_ALLOWED_ORIGINS": "https://meet.example.org",
        "STT_PROVIDER": "deepgram",
        "STT_BASE_URL": "http://127.0.0.1:9401/v1/listen",
        "STT_MODEL": "nova-3",
        "STT_API_KEY": "x",
        "STT_FALLBACK": "",
        "DJANGO_SECRET_KEY": "",
    }

    told = process_environment(local_settings(caller), caller)

    assert told["LIVEKIT_API_KEY"] == "mine"
    assert told["CORS_ALLOWED_ORIGINS"] == "https://meet.example.org"
    engine = {name: value for name, value in caller.items() if name.startswith("STT_")}
    assert {
        name: told.get(name) for name in engine
    } == engine  # an empty STT_FALLBACK is none, not the default
    assert len(told["DJANGO_SECRET_KEY"]) >= 43  # set, but empty: made


def test_keys_are_made_once(tmp_path: Path) -> None:
    caller = {"ROOMSCRIBE_DATA_DIR": str(tmp_path)}
    first = process_environment(local_settings(caller), caller)

    assert process_environment(local_settings(caller), caller) == first
