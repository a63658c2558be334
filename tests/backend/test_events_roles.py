"""Who may see and change what in the admin: every page, each role, own objects and others'."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from backend.events.handouts import EnginesHandout
from backend.events.models import EngineCredential, Event, EventRoom
from backend.events.roles import GROUPS, ORGANISERS, READERS
from backend.leases.models import Session
from backend.meetings.models import Action, AuditEntry, Meeting
from backend.meetings.services import note, opened_meeting
from tests.backend.admin_pages import Admin, errors_of, form_of
from tests.backend.test_event_chains import KEY, OTHER_KEY, made_event, made_key

pytestmark = pytest.mark.django_db


@dataclass(frozen=True, kw_only=True)
class World:
    """Two events, all that belongs to each, and what belongs to none."""

    own: Event
    foreign: Event
    own_key: EngineCredential
    foreign_key: EngineCredential
    deployment_key: EngineCredential
    own_session: Session
    foreign_session: Session
    loose_session: Session
    own_handout: EnginesHandout
    foreign_handout: EnginesHandout
    own_meeting: Meeting
    foreign_meeting: Meeting
    loose_meeting: Meeting
    own_entry: AuditEntry
    foreign_entry: AuditEntry


def _session(room: str, event: Event | None) -> tuple[Session, EnginesHandout]:
    session = Session.objects.create(room=room, event=event, room_sid="RM", language="en", engine="embedded")
    handout = EnginesHandout.objects.create(
        session=session, generation=1, worker="w", cause="start", engines=["embedded"]
    )
    return session, handout


def _meeting(room: str, event: Event | None) -> tuple[Meeting, AuditEntry]:
    meeting = opened_meeting(room=room, room_sid="RM", event_id=event.pk if event else None)
    return meeting, note(Action.KEEP, actor="ada", meeting=meeting, engines=[])


@pytest.fixture
def world(db: None) -> World:
    own = made_event("own-room", slug="own", name="Own event", chain=["deepgram"])
    foreign = made_event("foreign-room", slug="foreign", name="Foreign event")
    own_meeting, own_entry = _meeting("own-room", own)
    foreign_meeting, foreign_entry = _meeting("foreign-room", foreign)
    own_session, own_handout = _session("own-room", own)
    foreign_session, foreign_handout = _session("foreign-room", foreign)
    return World(
        own=own,
        foreign=foreign,
        own_key=made_key("deepgram", event=own),
        foreign_key=made_key("deepgram", event=foreign, key="foreign-0123456789wxyz"),
        deployment_key=made_key("deepgram", key="deployment-0123456789stuv"),
        own_session=own_session,
        foreign_session=foreign_session,
        loose_session=_session("loose-room", None)[0],
        own_handout=own_handout,
        foreign_handout=foreign_handout,
        own_meeting=own_meeting,
        foreign_meeting=foreign_meeting,
        loose_meeting=_meeting("loose-room", None)[0],
        own_entry=own_entry,
        foreign_entry=foreign_entry,
    )


@pytest.fixture
def people(world: World) -> Mapping[str, Admin]:
    """One of each role; `staff` may enter the admin and nothing more, `organiser of none` has only the group."""
    users = {name: User.objects.create_user(name, is_staff=True) for name in ROLES if name != "operator"}
    users["operator"] = User.objects.create_superuser("operator")
    for name, group in (("organiser", ORGANISERS), ("organiser of none", ORGANISERS), ("reader", READERS)):
        users[name].groups.add(Group.objects.get(name=group))
    # Named as an organiser, but without the group: the group gives the right, the event says where.
    world.own.organisers.add(users["organiser"], users["staff"])
    return {name: Admin(user) for name, user in users.items()}


ROLES = ("operator", "organiser", "organiser of none", "reader", "staff")

CHANGES, SEES, NOT_THERE, FORBIDDEN = "changes", "sees", "not there", "forbidden"

# For each kind of object: what the operator, the organiser, an organiser of other events, a reader and staff may do.
OBJECTS: Mapping[str, tuple[str, ...]] = {
    "own": (CHANGES, CHANGES, NOT_THERE, SEES, FORBIDDEN),
    "foreign": (CHANGES, NOT_THERE, NOT_THERE, SEES, FORBIDDEN),
    "own_key": (CHANGES, CHANGES, NOT_THERE, SEES, FORBIDDEN),
    "foreign_key": (CHANGES, NOT_THERE, NOT_THERE, SEES, FORBIDDEN),
    "deployment_key": (CHANGES, NOT_THERE, NOT_THERE, SEES, FORBIDDEN),
    "own_session": (SEES, SEES, NOT_THERE, SEES, FORBIDDEN),
    "foreign_session": (SEES, NOT_THERE, NOT_THERE, SEES, FORBIDDEN),
    "loose_session": (SEES, NOT_THERE, NOT_THERE, SEES, FORBIDDEN),
    "own_handout": (SEES, SEES, NOT_THERE, SEES, FORBIDDEN),
    "foreign_handout": (SEES, NOT_THERE, NOT_THERE, SEES, FORBIDDEN),
    "own_meeting": (SEES, SEES, NOT_THERE, SEES, FORBIDDEN),
    "foreign_meeting": (SEES, NOT_THERE, NOT_THERE, SEES, FORBIDDEN),
    "loose_meeting": (SEES, NOT_THERE, NOT_THERE, SEES, FORBIDDEN),
    "own_entry": (SEES, SEES, NOT_THERE, SEES, FORBIDDEN),
    "foreign_entry": (SEES, NOT_THERE, NOT_THERE, SEES, FORBIDDEN),
}
ACCESS = [
    (kind, role, access) for kind, row in OBJECTS.items() for role, access in zip(ROLES, row, strict=True)
]


def folder(row: Any) -> str:
    return f"{row._meta.app_label}/{row._meta.model_name}/"


def what_is_answered(page: Any) -> str:
    if page.status_code == 403:
        return FORBIDDEN
    if page.status_code == 302:
        assert page["Location"] == "/admin/"
        return NOT_THERE
    assert page.status_code == 200
    return CHANGES if 'name="_save"' in page.content.decode() else SEES


@pytest.mark.parametrize(("kind", "role", "access"), ACCESS)
def test_each_role_sees_and_changes_its_own_objects_alone(
    world: World, people: Mapping[str, Admin], kind: str, role: str, access: str
) -> None:
    row, who = getattr(world, kind), people[role]
    page = who.get(f"{folder(row)}{row.pk}/change/")

    assert what_is_answered(page) == access
    history = who.get(f"{folder(row)}{row.pk}/history/")
    assert (what_is_answered(history) == SEES) == (access in (CHANGES, SEES))
    for key in (KEY, "foreign-0123456789wxyz", "deployment-0123456789stuv"):
        assert key not in page.content.decode() + history.content.decode()


@pytest.mark.parametrize(("kind", "role", "access"), ACCESS)
def test_whoever_may_not_change_an_object_cannot_by_sending_its_form_either(
    world: World, people: Mapping[str, Admin], kind: str, role: str, access: str
) -> None:
    row, who = getattr(world, kind), people[role]
    before = type(row).objects.values().get(pk=row.pk)
    form = form_of(people["operator"].get(f"{folder(row)}{row.pk}/change/"))
    # What would be changed if it could be: the event's name, the key's model.
    form["name" if isinstance(row, Event) else "model"] = ["changed"]

    answer = who.post(f"{folder(row)}{row.pk}/change/", form)

    after = type(row).objects.values().get(pk=row.pk)
    assert (after != before) == (access == CHANGES)
    assert (answer.status_code == 302 and answer["Location"] != "/admin/") == (access == CHANGES)


# Whose objects a role may delete: an organiser the keys of their events, and no event.
DELETES = {("operator", kind) for kind in ("own", "foreign", "own_key", "foreign_key", "deployment_key")}
DELETES |= {("organiser", "own_key")}


@pytest.mark.parametrize(("kind", "role"), [(kind, role) for kind in OBJECTS for role in ROLES])
def test_whoever_may_not_delete_an_object_cannot_alone_nor_with_others(
    world: World, people: Mapping[str, Admin], kind: str, role: str
) -> None:
    row, who = getattr(world, kind), people[role]
    selected = {"action": ["delete_selected"], "_selected_action": [str(row.pk)], "post": ["yes"]}

    def is_left() -> bool:
        return type(row).objects.filter(pk=row.pk).exists()

    if (role, kind) not in DELETES:
        who.post(f"{folder(row)}{row.pk}/delete/", {"post": ["yes"]})
        who.post(folder(row), selected)
        assert is_left()
    else:
        who.post(folder(row), selected)
        assert not is_left()


@pytest.mark.parametrize(
    ("role", "sees_own", "sees_foreign"),
    [
        ("operator", True, True),
        ("organiser", True, False),
        ("organiser of none", False, False),
        ("reader", True, True),
    ],
)
@pytest.mark.parametrize(
    "model", ["event", "enginecredential", "engineshandout", "session", "meeting", "auditentry"]
)
def test_lists_searches_and_filters_hold_what_a_role_may_see(
    world: World, people: Mapping[str, Admin], model: str, role: str, sees_own: bool, sees_foreign: bool
) -> None:
    app = {"session": "leases", "meeting": "meetings", "auditentry": "meetings"}.get(model, "events")
    shown = {
        kind
        for kind in OBJECTS
        if (row := getattr(world, kind))._meta.model_name == model
        and f"{folder(row)}{row.pk}/change/" in people[role].get(f"{app}/{model}/").content.decode()
    }

    assert any(kind.startswith("own") for kind in shown) == sees_own
    assert any(not kind.startswith("own") for kind in shown) == sees_foreign


def test_a_search_does_not_find_others_rooms(world: World, people: Mapping[str, Admin]) -> None:
    found = people["organiser"].get("events/event/?q=foreign-room").content.decode()

    assert "0 events" in found
    assert "Foreign event" not in found


@pytest.mark.parametrize(
    "lookup", ["ciphertext__startswith=g", "key_fingerprint__startswith=0", "last_four=cdef"]
)
def test_no_filter_of_a_list_feels_for_what_is_sealed(people: Mapping[str, Admin], lookup: str) -> None:
    answer = people["reader"].get(f"events/enginecredential/?{lookup}")

    assert answer.status_code == 400


@pytest.mark.parametrize("role", ROLES)
def test_only_operators_make_events_and_keys_for_all_of_them(
    world: World, people: Mapping[str, Admin], role: str
) -> None:
    who = people[role]
    is_operator = role == "operator"
    form = form_of(people["operator"].get("events/event/add/"))
    who.post("events/event/add/", {**form, "name": ["New"], "slug": ["new"]})
    assert Event.objects.filter(slug="new").exists() == is_operator

    form = form_of(people["operator"].get("events/enginecredential/add/"))
    who.post("events/enginecredential/add/", {**form, "engine": ["openai"], "key": [KEY]})
    assert EngineCredential.objects.filter(engine="openai").exists() == is_operator


def test_an_organiser_gives_keys_to_own_events_alone(world: World, people: Mapping[str, Admin]) -> None:
    organiser = people["organiser"]
    page = organiser.get("events/enginecredential/add/").content.decode()
    assert "Own event" in page and "Foreign event" not in page and "All events" not in page

    refused = organiser.save(
        "events/enginecredential/add/", engine="openai", key=KEY, event=str(world.foreign.pk)
    )
    assert "Select a valid choice" in errors_of(refused)
    refused = organiser.save("events/enginecredential/add/", engine="openai", key=KEY, event="")
    assert "This field is required" in errors_of(refused)

    organiser.save("events/enginecredential/add/", engine="openai", key=KEY, event=str(world.own.pk))
    assert EngineCredential.objects.get(engine="openai").event == world.own


def test_an_organiser_changes_rooms_engines_and_keys_of_an_event_and_not_what_it_may_spend(
    world: World, people: Mapping[str, Admin]
) -> None:
    people["organiser"].save(
        f"events/event/{world.own.pk}/change/",
        name="Renamed",
        slug="taken-over",
        monthly_budget_hours="1000",
        external_event_id="7",
        organisers=[str(people["staff"].user.pk)],
        chain=["openai"],
        rooms__TOTAL_FORMS="2",
        rooms__1__name="second-room",
        credentials__0__key=OTHER_KEY,
    )

    world.own.refresh_from_db()
    assert (world.own.name, world.own.chain) == ("Renamed", ["openai"])
    assert [room.name for room in world.own.rooms.all()] == ["own-room", "second-room"]
    world.own_key.refresh_from_db()
    assert world.own_key.open_key() == OTHER_KEY
    assert (world.own.slug, world.own.monthly_budget_hours, world.own.external_event_id) == (
        "own",
        None,
        None,
    )
    assert people["organiser"].user in world.own.organisers.all()


def test_a_room_of_another_event_can_neither_be_taken_nor_is_it_said_whose_it_is(
    world: World, people: Mapping[str, Admin]
) -> None:
    organiser, page = people["organiser"], f"events/event/{world.own.pk}/change/"
    foreign_room = EventRoom.objects.get(event=world.foreign)

    refused = organiser.save(page, rooms__TOTAL_FORMS="2", rooms__1__name="foreign-room")
    assert "This room is in an event already." in errors_of(refused)
    assert "Foreign" not in refused.content.decode()

    # Not by the other room's number either, nor by the number of another event's key.
    organiser.save(page, rooms__0__id=str(foreign_room.pk), rooms__0__name="mine-now")
    organiser.save(page, credentials__0__id=str(world.foreign_key.pk), credentials__0__model="mine-now")

    foreign_room.refresh_from_db()
    assert (foreign_room.event, foreign_room.name) == (world.foreign, "foreign-room")
    world.foreign_key.refresh_from_db()
    assert (world.foreign_key.event, world.foreign_key.model) == (world.foreign, "")


def test_a_reader_sees_that_a_key_exists(world: World, people: Mapping[str, Admin]) -> None:
    assert (
        "•••• cdef"
        in people["reader"].get(f"events/enginecredential/{world.own_key.pk}/change/").content.decode()
    )
    assert "•••• cdef" in people["reader"].get(f"events/event/{world.own.pk}/change/").content.decode()


# What the admin has beside the pages of objects, for somebody who is not the operator.
ELSEWHERE: Mapping[str, Callable[[int], bool]] = {
    "auth/user/": lambda status: status == 403,
    "auth/user/add/": lambda status: status == 403,
    "auth/group/": lambda status: status == 403,
    "autocomplete/?app_label=events&model_name=event&field_name=organisers": lambda status: status == 403,
    "leases/session/add/": lambda status: status == 403,
    "leases/worker/add/": lambda status: status == 403,
    "events/engineshandout/add/": lambda status: status == 403,
    "meetings/meeting/add/": lambda status: status == 403,
    "meetings/auditentry/add/": lambda status: status == 403,
    "jsi18n/": lambda status: status == 200,
    "": lambda status: status == 200,
}


@pytest.mark.parametrize("role", ["organiser", "organiser of none", "reader", "staff"])
@pytest.mark.parametrize("path", ELSEWHERE)
def test_the_rest_of_the_admin_is_the_operators(people: Mapping[str, Admin], path: str, role: str) -> None:
    page = people[role].get(path)

    assert ELSEWHERE[path](page.status_code)


def test_only_readers_and_operators_see_workers(people: Mapping[str, Admin]) -> None:
    seen = {role: people[role].get("leases/worker/").status_code == 200 for role in ROLES}

    assert [role for role, sees in seen.items() if sees] == ["operator", "reader"]


def test_the_groups_hold_what_was_meant_and_every_right_there_is() -> None:
    for name, labels in GROUPS.items():
        rights = Group.objects.get(name=name).permissions.select_related("content_type")
        assert {f"{right.content_type.app_label}.{right.codename}" for right in rights} == set(labels)


@pytest.mark.parametrize("path", ["", "events/event/", "events/enginecredential/add/"])
def test_who_is_not_logged_in_or_not_staff_is_asked_to(path: str) -> None:
    guest = Admin(User.objects.create_user("guest"))

    assert guest.get(path)["Location"].startswith("/admin/login/")
    guest.client.logout()
    assert guest.get(path)["Location"].startswith("/admin/login/")
