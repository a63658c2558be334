"""The chain of engines: read from the environment, told to pages and workers, and which of it is in use."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from livekit import rtc

from backend.config.settings import env
from backend.events.chains import engines_of
from backend.leases import services as leases
from backend.leases.models import Session, Worker
from contract.engines import CATALOGUE
from contract.names import PATH_CLAIM, PATH_HEARTBEAT
from contract.shapes import from_value
from contract.status import Reason, State
from contract.workers import ClaimAnswer, ClaimRequest, HeartbeatAnswer, JobReport, WorkerHeartbeat
from tests.backend.conftest import Api, People, WorkerApi

ROOT = Path(__file__).resolve().parents[2]
PRINT_CHAIN = "import django; django.setup(); from backend.engines import chain; print(*chain())"

Join = Callable[..., Api]
database = pytest.mark.django_db(transaction=True)


def started(**environment: str) -> subprocess.CompletedProcess[str]:
    """What a process of the backend makes of its environment."""
    secrets = ("DJANGO_SECRET_KEY", "INTERNAL_API_SECRET", "LIVEKIT_API_SECRET", "API_KEY_ENCRYPTION_KEY")
    return subprocess.run(
        [sys.executable, "-c", PRINT_CHAIN],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": "src",
            "DJANGO_SETTINGS_MODULE": "backend.config.settings",
            "DJANGO_ENV": "local",
            **{name: f"{name}-{'x' * 32}" for name in secrets},
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "chain"),
    [
        ({}, "embedded"),
        ({"STT_PROVIDER": "deepgram"}, "deepgram embedded"),
        ({"STT_PROVIDER": "deepgram", "STT_FALLBACK": ""}, "deepgram"),
        ({"STT_FALLBACK": "deepgram"}, "embedded deepgram"),
        ({"STT_PROVIDER": "deepgram", "STT_FALLBACK": "embedded, deepgram,embedded"}, "deepgram embedded"),
    ],
)
def test_the_chain_is_the_provider_and_then_the_fallback_each_engine_once(
    environment: dict[str, str], chain: str
) -> None:
    assert started(**environment).stdout.strip() == chain


@pytest.mark.parametrize("name", ["STT_PROVIDER", "STT_FALLBACK"])
def test_an_engine_there_is_not_is_refused_at_start_by_the_settings_name(name: str) -> None:
    refused = started(**{name: "whispering"})

    assert refused.returncode != 0
    known = ", ".join(CATALOGUE)
    assert f"{name} must be one of: {known}." in refused.stderr


def test_the_backend_needs_no_key_of_an_engine_and_reads_none() -> None:
    assert started(STT_PROVIDER="deepgram").returncode == 0
    assert "STT_API_KEY" not in env.scheme


@pytest.fixture
def deepgram_first(settings: Any) -> None:
    settings.STT_PROVIDER, settings.STT_FALLBACK = "deepgram", ["embedded"]


@pytest.fixture
def session(db: None, deepgram_first: None) -> Session:
    made, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="deepgram", started_by="ada"
    )
    return made


@pytest.fixture
def path(room_name: str) -> str:
    return f"rooms/{room_name}/subtitles/"


def claim(worker: WorkerApi, session: Session, generation: int = 1) -> ClaimAnswer:
    answer = worker.post(PATH_CLAIM.format(session=session.pk), ClaimRequest(generation=generation))
    assert answer.status_code == 200
    return from_value(ClaimAnswer, answer.json())


def report(worker: WorkerApi, session: Session, **changes: Any) -> HeartbeatAnswer:
    job = JobReport(**{"session": str(session.pk), "generation": 1, "state": State.LIVE, **changes})
    beat = WorkerHeartbeat(capacity=8, draining=False, engines=("embedded", "deepgram"), jobs=(job,))
    answer = worker.post(PATH_HEARTBEAT.format(worker=worker.name), beat)
    assert answer.status_code == 200
    return from_value(HeartbeatAnswer, answer.json())


def in_use(session: Session) -> str:
    session.refresh_from_db()
    return session.engine_in_use


@pytest.mark.django_db
def test_an_engine_that_does_not_speak_the_language_does_not_step_in(deepgram_first: None) -> None:
    assert engines_of("r").for_language("en") == ("deepgram", "embedded")
    assert engines_of("r").for_language("fr") == ("deepgram",)


@database
def test_a_session_that_began_with_another_provider_goes_on_with_the_chain_of_now(
    worker_api: WorkerApi, session: Session, settings: Any
) -> None:
    settings.STT_PROVIDER, settings.STT_FALLBACK = "embedded", ["deepgram"]

    given = claim(worker_api, session)

    assert (given.engine, given.fallback) == ("embedded", ("deepgram",))
    assert in_use(session) == "embedded"


@database
def test_a_claim_names_the_chain_for_the_sessions_language(worker_api: WorkerApi, session: Session) -> None:
    given = claim(worker_api, session)
    assert (given.engine, given.fallback) == ("deepgram", ("embedded",))

    leases.change_language(session, "fr")

    given = claim(worker_api, session)
    assert (given.language, given.engine, given.fallback) == ("fr", "deepgram", ())


def test_config_lists_the_chain_with_the_languages_that_can_be_chosen(
    deepgram_first: None, settings: Any
) -> None:
    def listed() -> dict[str, list[str]]:
        config = Client().get("/api/v1.0/config/").json()
        return {engine["id"]: engine["languages"] for engine in config["engines"]}

    assert list(listed()) == ["deepgram", "embedded"]
    assert {"en", "fr", "zh"} < set(listed()["deepgram"])
    assert listed()["embedded"] == ["en"]

    settings.STT_PROVIDER, settings.STT_FALLBACK = "embedded", ["deepgram"]

    assert listed() == {"embedded": ["en"], "deepgram": ["en"]}


@database
def test_subtitles_start_in_a_language_of_the_provider_and_in_no_other(
    as_participant: Join, deepgram_first: None, settings: Any, path: str
) -> None:
    ada = as_participant()

    refused = ada.post(path, {"language": "tlh"})
    assert (refused.status_code, refused.json()["code"]) == (400, "language_not_available")
    started = ada.post(path, {"language": "fr"})
    assert (started.status_code, started.json()["engine"]) == (201, "deepgram")
    ada.delete(path)

    settings.STT_PROVIDER, settings.STT_FALLBACK = "embedded", ["deepgram"]

    assert ada.post(path, {"language": "fr"}).json()["code"] == "language_not_available"


@database
def test_the_state_names_the_engine_in_use_and_so_is_the_room_told(
    as_participant: Join,
    people: People,
    deepgram_first: None,
    idle_worker: Worker,
    worker_api: WorkerApi,
    path: str,
    room_name: str,
) -> None:
    ada = as_participant()
    viewer, told = people.join(room_name, "viewer"), asyncio.Event()

    def hear(packet: rtc.DataPacket) -> None:
        status = json.loads(packet.data)
        if (status["language"], status["engine"]) == ("fr", "embedded"):
            told.set()

    viewer.on("data_received", hear)
    assert ada.post(path, {"language": "en"}).json()["engine"] == "deepgram"
    session = Session.objects.get()
    claim(worker_api, session)

    report(worker_api, session, state=State.DEGRADED, reason=Reason.ENGINE_DOWN, engine="embedded")

    state = ada.get(path).json()
    assert (state["state"], state["reason"], state["engine"]) == ("degraded", "engine_down", "embedded")
    ada.patch(path, {"language": "fr"})
    people.do(asyncio.wait_for(told.wait(), 2))

    report(worker_api, session, engine="deepgram")

    assert ada.get(path).json()["engine"] == "deepgram"


@database
@pytest.mark.parametrize("said", [None, "", "none-such", "x" * 10_000])
def test_what_is_no_engine_changes_nothing(worker_api: WorkerApi, session: Session, said: str | None) -> None:
    claim(worker_api, session)
    report(worker_api, session, engine="embedded")

    report(worker_api, session, engine=said)

    assert in_use(session) == "embedded"


@database
def test_only_who_holds_the_lease_says_which_engine_is_in_use(
    worker_api: WorkerApi, session: Session, settings: Any
) -> None:
    claim(worker_api, session)

    report(WorkerApi(settings.INTERNAL_API_SECRET, name="worker-2"), session, engine="embedded")

    assert in_use(session) == "deepgram"


@database
@pytest.mark.parametrize("change", ["next generation", "standby", "ended", "room gone"])
def test_what_one_agent_used_is_not_said_of_the_next_nor_of_none(
    worker_api: WorkerApi, session: Session, change: str
) -> None:
    claim(worker_api, session)
    report(worker_api, session, engine="embedded")
    session.refresh_from_db()

    if change == "next generation":
        assert leases.next_generation(session, reason=Reason.WORKER_LOST)
    elif change == "standby":
        opened = leases.open_standby(session)
        assert opened is not None
        claim(worker_api, session, generation=2)
        opened.refresh_from_db()
        assert leases.promote_standby(opened)
    elif change == "ended":
        assert leases.end_session(session)
    else:
        leases.end_meeting(room="r", room_sid="RM_1", reason=Reason.ROOM_EMPTY)

    assert in_use(session) == "deepgram"
