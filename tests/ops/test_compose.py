"""compose.yml runs what `make run` runs. Where the compose plugin is installed, it reads the file too."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.workers import transcriber
from backend.jobs import broker
from tools.local_settings import local_settings
from tools.local_stack import programs_of

ROOT = Path(__file__).resolve().parents[2]
RUNS_ONCE = {"migrate"}
CELERY = {"celery", "celery-beat"}
"""Where there is a broker; without one the keeper does their work."""
OURS = {"migrate", "backend", "keeper", "subtitles", "speech"} | CELERY


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yml").read_text())["services"]
    return found


def stages() -> dict[str, str]:
    """The text of each stage of the Dockerfile."""
    text = (ROOT / "docker/Dockerfile").read_text()
    parts = re.split(r"^FROM \S+ AS (\w+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_compose_names_its_processes_as_make_run_does(services: dict[str, Any]) -> None:
    here = programs_of(local_settings({}), livekit=Path("livekit-server"))

    assert set(services) == {program.name for program in here} | {"postgres", "redis"} | RUNS_ONCE | CELERY


def test_every_process_that_keeps_running_has_a_health_check(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == RUNS_ONCE
    for name in set(services) - RUNS_ONCE:
        assert services[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert services[name]["restart"] == "unless-stopped", name


def test_nothing_runs_as_root(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["user"] not in ("root", "0", 0), name
    for name in OURS:
        stage = stages()[services[name]["build"]["target"]]
        assert re.findall(r"^USER (\d+)$", stage, flags=re.MULTILINE) == [services[name]["user"]], name


def test_our_images_hold_their_own_side_alone(services: dict[str, Any]) -> None:
    copied = {
        name: set(re.findall(r"^COPY src/(\w+) ", text, flags=re.MULTILINE))
        for name, text in stages().items()
    }

    assert copied["backend"] == {"contract", "backend"}
    assert copied["subtitles"] == {"contract", "agents", "vllm_realtime"}
    assert copied["speech"] == {"speech"}


def test_what_images_install_is_pinned_by_hash() -> None:
    installs = re.findall(
        r"^RUN pip install .*$", (ROOT / "docker/Dockerfile").read_text(), flags=re.MULTILINE
    )

    assert len(installs) == 3
    assert all("--require-hashes -r requirements/" in line for line in installs)


def test_the_workers_image_can_be_built_with_every_engine_or_without_what_most_do_without(
    services: dict[str, Any],
) -> None:
    asked = services["subtitles"]["build"]["args"]["REQUIREMENTS"]
    assert asked == "${SUBTITLES_REQUIREMENTS:-agents}"
    assert "ARG REQUIREMENTS=agents\n" in stages()["subtitles"]

    base, all_of_them = (pinned(name) for name in ("agents", "agents-engines"))
    assert base < all_of_them
    assert "nvidia-riva-client" in all_of_them - base


def pinned(name: str) -> set[str]:
    """The packages in a file of requirements."""
    text = (ROOT / f"requirements/{name}.txt").read_text()
    return set(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,-]+\])?==", text, flags=re.MULTILINE))


def test_workers_can_be_scaled(services: dict[str, Any]) -> None:
    for name in ("subtitles", "celery"):
        assert not {"container_name", "ports", "hostname"} & set(services[name]), name
    assert "WORKER_NAME" not in (ROOT / "env.d/development/subtitles.env").read_text()


def test_a_worker_is_given_the_time_it_takes_to_leave_its_rooms(services: dict[str, Any]) -> None:
    leaves_within_s = (
        transcriber.JOBS_LEAVE_WITHIN_S
        + transcriber.LAST_BEAT_WITHIN_S
        + transcriber.CLOSE_WITHIN_S
        + transcriber.CHILDREN_END_WITHIN_S
    )

    assert int(services["subtitles"]["stop_grace_period"].removesuffix("s")) > leaves_within_s


def test_only_media_is_reachable_from_elsewhere(services: dict[str, Any]) -> None:
    public = [
        port
        for service in services.values()
        for port in service.get("ports", [])
        if not port.startswith("127.0.0.1:")
    ]

    assert public == ["7881:7881", "7882:7882/udp"]


def test_the_keepers_health_check_reads_the_same_settings_as_the_keeper(services: dict[str, Any]) -> None:
    keeper = services["keeper"]

    assert keeper["healthcheck"]["test"] == ["CMD", *keeper["command"], "--check"]


def test_celery_has_a_broker_and_listens_to_every_queue(services: dict[str, Any]) -> None:
    backend = (ROOT / "env.d/development/backend.env").read_text()
    assert re.search(r"^CELERY_BROKER_URL=redis://redis:6379/\d+$", backend, flags=re.MULTILINE)

    for name in CELERY:
        assert services[name]["env_file"] == services["keeper"]["env_file"]
        assert services[name]["command"][2:5] == ["celery", "-A", "backend.config.celery"]
    command = services["celery"]["command"]
    queues = command[command.index("--queues") + 1]
    assert set(queues.split(",")) == {queue.name for queue in broker.app.conf.task_queues}


def test_every_file_that_compose_mounts_or_reads_is_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for path in service.get("env_file", []):
            assert (ROOT / path.replace("${ROOMSCRIBE_ENV:-development}", "development")).is_file()
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).is_file()


def test_compose_itself_accepts_the_file() -> None:
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        return  # the tests above have read it
    read = subprocess.run(
        ["docker", "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True
    )
    assert read.returncode == 0, read.stderr
