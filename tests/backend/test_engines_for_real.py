"""Keys tested and budgets kept, with a backend, a worker, a room, and engines that speak their wires."""

import asyncio
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from agents.stt.trial.clip import read_clip
from contract.status import Reason, State
from tests.backend.running_backend import ROOT
from tests.backend.running_service import RunningService
from tests.support.clips import at_level, clip, silence
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker, Viewer
from tests.support.scripted_deepgram import ScriptedDeepgram

KEY = "a-key-that-nobody-may-see"
WORDS = read_clip().words
ENGINE_HOST = "127.0.0.1"
SENTENCE = at_level(clip("slt"), 30_000)[: 2 * 16_000]


@pytest.fixture(scope="module")
def engine() -> Iterator[ScriptedDeepgram]:
    with ScriptedDeepgram() as engine:
        yield engine


@pytest.fixture(scope="module")
def service(
    livekit_server: LiveKitServer, engine: ScriptedDeepgram, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    with RunningService(
        tmp_path_factory.mktemp("service"), livekit_server, ENGINE_ALLOWED_HOSTS=ENGINE_HOST
    ) as service:
        yield service


def manage(service: RunningService, *arguments: str, given: str = "") -> tuple[int, str]:
    """Exit status, and what was said."""
    ended = subprocess.run(
        [sys.executable, str(ROOT / "src/backend/manage.py"), *arguments],
        env=service.backend.environment,
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stdout + ended.stderr


def try_key(service: RunningService) -> tuple[int, str]:
    """Asked again, as it says, by who finds the machine too busy."""
    for _ in range(3):
        status, said = manage(service, "test_engine", "--engine", "deepgram")
        if "not_tried" not in said:
            break
    return status, said


def until_counted_on(service: RunningService) -> None:
    """Until the backend has heard of the worker."""
    deadline_s = time.monotonic() + 10
    while not service.backend.request("GET", "/readyz").json()["workers"]["live"]:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_key_is_stored_and_tested_from_the_command_line_alone(
    service: RunningService, engine: ScriptedDeepgram
) -> None:
    engine.set(hears="energy", says=WORDS, accepted_key=KEY)
    stored, said = manage(
        service, "set_engine_key", "--engine", "deepgram", "--base-url", engine.url, given=KEY
    )
    assert stored == 0, said
    status, said = try_key(service)
    assert status == 1 and "not_installed" in said, said

    with service.worker(ENGINE_ALLOWED_HOSTS=ENGINE_HOST):
        until_counted_on(service)
        status, said = try_key(service)
        assert status == 0, said
        assert f"Words: {WORDS}" in said and "Wrong words: 0%" in said
        engine.set(accepted_key="another")
        status, said = try_key(service)
        assert status == 1 and "bad_key: The engine does not accept the key" in said, said

    assert KEY not in service.backend.log()


AN_EVENT = """
from django.utils import timezone
from backend.events.models import EngineCredential, Event, EventRoom
from backend.usage.budgets import month_of
from backend.usage.models import MonthUsage
event = Event.objects.create(slug="summit", name="Summit", chain=["deepgram"], monthly_budget_hours="0.01")
EventRoom.objects.create(event=event, name="{room}")
credential = EngineCredential(engine="deepgram", event=event, base_url="{url}")
credential.seal("{key}")
credential.save()
MonthUsage.objects.create(event=event, month=month_of(timezone.now()), engine="deepgram", audio_ms=34_000)
"""
"""Two seconds of speech are left to it."""
A_RAISED_BUDGET = """
from backend.events.models import Event
Event.objects.update(monthly_budget_hours=1)
"""


async def test_a_room_whose_budget_is_spent_goes_on_with_the_embedded_engine_and_comes_back_with_a_higher_one(
    service: RunningService, engine: ScriptedDeepgram, room_name: str
) -> None:
    engine.reset()
    engine.set(hears="energy", accepted_key=KEY)
    made, said = await asyncio.to_thread(
        manage, service, "shell", "-c", AN_EVENT.format(room=room_name, url=engine.url, key=KEY)
    )
    assert made == 0, said

    with service.worker(ENGINE_ALLOWED_HOSTS=ENGINE_HOST):
        async with (
            Viewer(service.livekit, room_name) as viewer,
            Speaker(service.livekit, room_name, "ada") as ada,
        ):
            await asyncio.to_thread(until_counted_on, service)
            assert (await service.ask("POST", room_name, "ada")).status == 201
            await viewer.until(lambda v: is_told(v, State.LIVE))
            talking = asyncio.create_task(talk(ada))
            await viewer.until(lambda v: engines_of(v) == ["deepgram"])
            await viewer.until(lambda v: is_told(v, State.DEGRADED, Reason.BUDGET_SPENT))
            await viewer.until(lambda v: engines_of(v) == ["deepgram", "embedded"])
            raised, said = await asyncio.to_thread(manage, service, "shell", "-c", A_RAISED_BUDGET)
            assert raised == 0, said
            await viewer.until(lambda v: is_told(v, State.LIVE))
            await viewer.until(lambda v: engines_of(v) == ["deepgram", "embedded", "deepgram"])
            talking.cancel()
            await asyncio.wait({talking})


async def talk(speaker: Speaker) -> None:
    """In short sentences, until cancelled."""
    while True:
        await speaker.say(np.concatenate([SENTENCE, silence(0.6)]))


def is_told(viewer: Viewer, state: State, reason: Reason | None = None) -> bool:
    """Whether that is how it stands."""
    return bool(viewer.notices) and (viewer.notices[-1].status.state, viewer.notices[-1].status.reason) == (
        state,
        reason,
    )


def engines_of(viewer: Viewer) -> list[str]:
    """Whose words were shown, in turn."""
    return [engine for engine, _ in itertools.groupby(c.segment.engine for c in viewer.captions)]
