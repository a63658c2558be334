"""Which engines a room of an event is transcribed with, and what that means for who starts subtitles there."""

from collections.abc import Callable
from typing import Any

import pytest

from backend.events import services
from backend.events.chains import engines_of, lacks_key, setups_of
from backend.events.models import EngineCredential, Event, EventRoom
from backend.keeper.rounds import keep
from backend.leases.models import Session, Worker
from backend.sealing import seals
from contract.engines import EngineSetup, NamedValue
from tests.backend.conftest import Api

Join = Callable[..., Api]
database = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)

KEY, OTHER_KEY = "dg-0123456789abcdef", "dg-9876543210fedcba"


def made_event(*rooms: str, **of: Any) -> Event:
    event = Event.objects.create(**{"slug": f"event-{Event.objects.count()}", "name": "Event", **of})
    for room in rooms:
        EventRoom.objects.create(event=event, name=room)
    return event


def made_key(engine: str, *, event: Event | None = None, key: str = KEY, **of: Any) -> EngineCredential:
    credential = EngineCredential(engine=engine, event=event, **of)
    if key:
        credential.seal(key)
    credential.save()
    return credential


def setups(room: str, *, language: str = "en") -> tuple[EngineSetup, ...]:
    return setups_of(engines_of(room), language=language)


@database
@pytest.mark.parametrize(
    ("stored", "engines"),
    [
        ([], ("embedded",)),
        (["embedded"], ("embedded",)),
        (["deepgram"], ("deepgram", "embedded")),
        (["embedded", "deepgram", "openai", "deepgram"], ("deepgram", "openai", "embedded")),
        (["whispering", "openai"], ("openai", "embedded")),
    ],
)
def test_an_events_chain_ends_with_the_embedded_engine_whatever_was_stored(
    stored: list[str], engines: tuple[str, ...]
) -> None:
    made_event("r", chain=stored)

    assert engines_of("r").chain == engines


@database
@pytest.mark.parametrize("room", ["R", "r ", "r.", " r", "r\0"])
def test_only_the_exact_name_of_a_room_is_in_the_event(room: str, settings: Any) -> None:
    made_event("r", chain=["deepgram"])
    settings.STT_PROVIDER, settings.STT_FALLBACK = "openai", []

    assert engines_of("r").chain == ("deepgram", "embedded")
    assert engines_of(room.replace("\0", "0")).chain == ("openai",)


@database
def test_an_event_uses_its_own_key_then_the_deployments_then_what_workers_have() -> None:
    event = made_event("r", chain=["deepgram"])
    assert setups("r") == (EngineSetup(engine="deepgram"), EngineSetup(engine="embedded"))

    made_key("deepgram", key=OTHER_KEY, model="nova-2")
    assert setups("r")[0] == EngineSetup(engine="deepgram", api_key=OTHER_KEY, model="nova-2")

    made_key("deepgram", event=made_event("other"), key="key-of-another-event")
    assert setups("r")[0].api_key == OTHER_KEY

    made_key("deepgram", event=event)
    assert setups("r")[0] == EngineSetup(engine="deepgram", api_key=KEY)


@database
def test_a_key_never_meets_the_address_that_stands_beside_another() -> None:
    event = made_event("r", chain=["deepgram"])
    made_key("deepgram", key=OTHER_KEY)
    own = made_key("deepgram", event=event, key="", base_url="https://ours.example")

    assert setups("r")[0] == EngineSetup(engine="deepgram", api_key=OTHER_KEY)

    own.seal(KEY)
    own.save()
    assert setups("r")[0] == EngineSetup(
        engine="deepgram", api_key=KEY, base_url="https://ours.example", is_typed=True
    )


@database
def test_an_engine_that_needs_no_key_is_told_its_address_and_options() -> None:
    made_event("r", chain=["openai_compatible"])
    made_key("openai_compatible", key="", base_url="https://a.example/v1", options={"tries": "2"})

    assert setups("r")[0] == EngineSetup(
        engine="openai_compatible",
        base_url="https://a.example/v1",
        options=(NamedValue(name="tries", value="2"),),
        is_typed=True,
    )


@database
def test_the_deployments_keys_are_used_in_rooms_of_no_event_too(settings: Any) -> None:
    settings.STT_PROVIDER, settings.STT_FALLBACK = "deepgram", ["openai", "embedded"]
    made_key("openai", event=made_event("elsewhere"))
    made_key("deepgram")

    assert setups("r") == (
        EngineSetup(engine="deepgram", api_key=KEY),
        EngineSetup(engine="openai"),
        EngineSetup(engine="embedded"),
    )


@database
def test_a_key_that_cannot_be_read_leaves_its_engine_out_and_no_other_is_used_instead(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    event = made_event("r", chain=["deepgram"])
    made_key("deepgram", event=event)
    settings.API_KEY_ENCRYPTION_KEY = ["another-passphrase-that-is-long-enough"]
    made_key("deepgram", key=OTHER_KEY)

    assert setups("r") == (EngineSetup(engine="embedded"),)
    assert [record.message for record in caplog.records] == ["engine key unreadable"]
    assert KEY not in caplog.text


@database
def test_engines_that_do_not_speak_the_language_are_left_out() -> None:
    made_event("r", chain=["nemotron", "deepgram"])

    assert [setup.engine for setup in setups("r")] == ["nemotron", "deepgram", "embedded"]
    assert [setup.engine for setup in setups("r", language="fr")] == ["deepgram"]
    # None speaks it: somebody has to wait for a language that can be understood.
    assert [setup.engine for setup in setups("r", language="tlh")] == ["nemotron"]


@database
def test_who_lacks_a_key_is_told_of_each_way_to_have_one(settings: Any) -> None:
    event = made_event(chain=["deepgram", "openai", "openai_realtime", "whisper"])
    settings.STT_PROVIDER = "openai_realtime"
    made_key("openai")

    assert [name for name in event.engines if lacks_key(event, name)] == ["deepgram"]

    made_key("deepgram", event=event)
    assert not lacks_key(event, "deepgram")


@committed
def test_subtitles_start_with_the_events_engine_and_in_its_language(
    as_participant: Join, idle_worker: Worker, room_name: str
) -> None:
    event = made_event(room_name, chain=["deepgram"], language="fr")
    ada, path = as_participant(), f"rooms/{room_name}/subtitles/"

    state = ada.get(path).json()
    assert (state["state"], state["language"], state["engine"]) == ("idle", "fr", "deepgram")
    refused = ada.post(path, {"language": "tlh"})
    assert (refused.status_code, refused.json()["code"]) == (400, "language_not_available")

    state = ada.post(path).json()
    assert (state["language"], state["engine"]) == ("fr", "deepgram")
    session = Session.objects.get()
    assert (session.event, session.engine) == (event, "deepgram")
    assert ada.patch(path, {"language": "de"}).json()["language"] == "de"
    assert ada.patch(path, {"language": "tlh"}).json()["code"] == "language_not_available"


@committed
def test_a_room_of_no_event_is_not_given_the_languages_of_one(as_participant: Join, room_name: str) -> None:
    made_event("elsewhere", chain=["deepgram"], language="fr")

    answer = as_participant().post(f"rooms/{room_name}/subtitles/", {"language": "fr"})

    assert answer.json()["code"] == "language_not_available"


@committed
def test_an_event_that_wants_no_subtitles_refuses_a_start_and_ends_what_runs(
    as_participant: Join, idle_worker: Worker, room_name: str
) -> None:
    event = made_event(room_name)
    ada, path = as_participant(), f"rooms/{room_name}/subtitles/"
    assert ada.post(path).status_code == 201

    Event.objects.filter(pk=event.pk).update(transcription_enabled=False)
    keep(workers_judged=True)

    state = ada.get(path).json()
    assert (state["state"], state["reason"]) == ("idle", "policy")
    for refused in (ada.post(path), ada.post(f"rooms/{room_name}/start-subtitle/")):
        assert (refused.status_code, refused.json()["code"]) == (403, "event_disabled")

    Event.objects.filter(pk=event.pk).update(transcription_enabled=True)
    assert ada.post(path).status_code == 201


@database
def test_a_change_concerns_the_running_sessions_of_its_event_and_no_others() -> None:
    first, second = made_event("one", "two"), made_event("other")
    for room, event in (("one", first), ("other", second), ("none", None), ("ended", first)):
        Session.objects.create(room=room, event=event, room_sid="RM", language="en", engine="embedded")
    Session.objects.filter(room="ended").update(ended_at="2026-01-01T00:00:00Z")
    # Its room has come to the event since it was started.
    Session.objects.create(room="two", room_sid="RM", language="en", engine="embedded")

    def revisions() -> dict[str, int]:
        return dict(Session.objects.values_list("room", "engines_revision"))

    services.note_change(first)
    assert revisions() == {"one": 2, "two": 2, "other": 1, "none": 1, "ended": 1}

    services.note_change(None)
    assert revisions() == {"one": 3, "two": 3, "other": 2, "none": 2, "ended": 1}

    services.delete_event(first, actor="user:ada")
    assert revisions() == {"one": 4, "two": 4, "other": 2, "none": 2, "ended": 1}
    assert Session.objects.get(room="one").event is None


@database
def test_what_was_read_before_a_rotation_does_not_bring_back_what_it_held() -> None:
    stale = made_key("deepgram")
    sealed = seals().seal(OTHER_KEY)
    EngineCredential.objects.update(ciphertext=sealed.ciphertext, last_four="dcba")

    stale.model = "nova-2"
    stale.save()

    now = EngineCredential.objects.get()
    assert (now.model, now.open_key(), now.last_four) == ("nova-2", OTHER_KEY, "dcba")
