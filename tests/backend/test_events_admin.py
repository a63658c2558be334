"""Events and engine keys in the admin: what is kept, what is refused and in which words, and what nobody is shown."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db.models.signals import pre_save
from django.utils import timezone
from django.views.debug import ExceptionReporter

from backend.events.chains import engines_of
from backend.events.models import EngineCredential, Event, EventRoom
from backend.leases.models import Session, Worker
from backend.meetings import keeping
from backend.meetings.models import Action
from backend.meetings.services import note, opened_meeting
from contract.addresses import allowlist_of
from contract.engines import CATALOGUE
from tests.backend.admin_pages import Admin, errors_of, form_of, messages_of
from tests.backend.test_event_chains import KEY, OTHER_KEY, made_event, made_key

pytestmark = pytest.mark.django_db

ADD_KEY = "events/enginecredential/add/"
PUBLIC = "https://93.184.216.34/v1"


@pytest.fixture
def operator(db: None) -> Admin:
    return Admin(User.objects.create_superuser("operator"))


@pytest.fixture
def event() -> Event:
    return made_event("main-hall", slug="spring", name="Spring", chain=["deepgram", "openai"])


@pytest.fixture
def worker_with() -> Callable[..., Worker]:
    def make(*engines: str, silent_s: float = 0) -> Worker:
        heard = timezone.now() - datetime.timedelta(seconds=silent_s)
        name = f"worker-{Worker.objects.count()}"
        return Worker.objects.create(
            name=name, heartbeat_at=heard, capacity=8, engines=["embedded", *engines]
        )

    return make


def page_of(row: Event | EngineCredential) -> str:
    return f"events/{row._meta.model_name}/{row.pk}/change/"


# Events


def test_an_event_is_made_with_its_rooms_engines_and_keys_on_one_page(operator: Admin) -> None:
    done = operator.save(
        "events/event/add/",
        name="Spring",
        slug="spring",
        chain=["openai", "deepgram", "openai"],
        language="fr",
        glossary="Ada\nEventyay",
        rooms__TOTAL_FORMS="1",
        rooms__0__name="Main hall",
        credentials__TOTAL_FORMS="1",
        credentials__0__engine="openai",
        credentials__0__key=KEY,
    )

    event = Event.objects.get()
    assert (event.chain, event.language, event.terms) == (["openai", "deepgram"], "fr", ("Ada", "Eventyay"))
    assert engines_of("Main hall").event == event
    credential = EngineCredential.objects.get()
    assert (credential.event, credential.open_key()) == (event, KEY)
    warning, added = messages_of(done)
    assert warning == "There is no key for Deepgram: until there is one, the next engine takes over."
    assert "Spring</a>” was added successfully." in added


def test_a_page_that_is_saved_as_it_is_changes_nothing(operator: Admin, event: Event) -> None:
    made_key("deepgram", event=event, options={"a": "b"}, model="nova-2")
    Event.objects.update(glossary="Ada\nEventyay", monthly_budget_hours="1.5")
    Session.objects.create(room="main-hall", event=event, room_sid="RM", language="en", engine="deepgram")

    def kept() -> list[Any]:
        rows = (Event, EventRoom, EngineCredential, Session)
        return [
            {k: v for k, v in row.items() if k != "updated_at"}
            for kind in rows
            for row in kind.objects.values()
        ]

    before = kept()
    EngineCredential.objects.update(options={})
    operator.save(page_of(event))
    EngineCredential.objects.update(options={"a": "b"})

    assert kept() == before


def test_the_order_of_engines_is_what_was_sent_and_may_be_none(operator: Admin, event: Event) -> None:
    operator.save(page_of(event), chain=["", "openai", "", "deepgram"])
    event.refresh_from_db()
    assert event.chain == ["openai", "deepgram"]

    operator.save(page_of(event), chain=[""])
    event.refresh_from_db()
    assert (event.chain, event.engines) == ([], ("embedded",))


def test_an_engine_that_is_on_no_worker_is_refused_by_its_name(
    operator: Admin, event: Event, worker_with: Callable[..., Worker]
) -> None:
    worker_with("deepgram")
    worker_with("openai", "whisper", silent_s=60)

    refused = operator.save(page_of(event), chain=["deepgram", "whisper"])

    why = "Whisper on an OpenAI-compatible server is on no worker of this deployment: install it there"
    assert why in errors_of(refused)
    # One that the event has had before is let pass: its worker may be away just now.
    assert not errors_of(operator.save(page_of(event), chain=["openai", "deepgram"]))
    assert "OpenAI, by request (on no worker)" in operator.get(page_of(event)).content.decode()


def test_while_no_worker_is_there_any_engine_may_be_picked(operator: Admin, event: Event) -> None:
    assert not errors_of(operator.save(page_of(event), chain=["whisper"]))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"chain": ["nemotron"], "language": "fr"},
            "Nemotron on an OpenAI-compatible server, the first engine, does not",
        ),
        (
            {"chain": [], "language": "fr"},
            "Basic offline recogniser, the first engine, does not understand French.",
        ),
        ({"language": "tlh"}, "Select a valid choice"),
        ({"chain": ["whispering"]}, "There is no such engine."),
        ({"glossary": "x\n" * 3 + "\n".join(str(n) for n in range(201))}, "A glossary has at most 200 terms"),
        ({"glossary": "y" * 81}, "A term has at most 80 characters"),
        ({"monthly_budget_hours": "0"}, "greater than or equal to 0.01"),
        ({"monthly_budget_hours": "-1"}, "greater than or equal to 0.01"),
        ({"monthly_budget_hours": "NaN"}, "Enter a number"),
        ({"transcript_policy": "everybody"}, "Select a valid choice"),
        ({"transcript_retention_days": "0"}, "greater than or equal to 1"),
        ({"slug": "two words"}, "valid “slug”"),
        ({"rooms__0__name": ""}, "This field is required"),
        ({"rooms__0__name": " main-hall"}, "begins or ends with a blank"),
        ({"rooms__0__name": "a\0b"}, "Null characters"),
        ({"rooms__0__name": "taken"}, "This room is in an event already."),
    ],
)
def test_what_makes_no_sense_is_refused_in_plain_words_and_nothing_is_saved(
    operator: Admin, event: Event, changes: dict[str, Any], why: str
) -> None:
    made_event("taken", slug="other", name="Other")
    before = Event.objects.values().get(pk=event.pk)

    refused = operator.save(page_of(event), **changes)

    assert refused.status_code == 200
    assert why in errors_of(refused)
    assert "Other" not in errors_of(refused)
    assert Event.objects.values().get(pk=event.pk) == before
    assert EventRoom.objects.get(event=event).name == "main-hall"


def test_who_saves_the_same_as_somebody_else_in_that_moment_is_told_so(operator: Admin, event: Event) -> None:
    def be_first(instance: EventRoom, **_: object) -> None:
        pre_save.disconnect(be_first, sender=EventRoom)
        EventRoom.objects.create(event=event, name=instance.name)

    pre_save.connect(be_first, sender=EventRoom)
    done = operator.save(page_of(event), rooms__TOTAL_FORMS="2", rooms__1__name="second-room")

    assert messages_of(done) == ["Somebody else has just saved the same. Look again."]
    assert done.status_code == 200


def test_a_change_reaches_running_sessions_in_the_same_moment(operator: Admin, event: Event) -> None:
    Session.objects.create(room="main-hall", event=event, room_sid="RM", language="en", engine="deepgram")

    def revision() -> int:
        return Session.objects.get().engines_revision

    operator.save(page_of(event), chain=["openai"])
    assert revision() == 2
    operator.save(
        page_of(event), credentials__TOTAL_FORMS="1", credentials__0__engine="openai", credentials__0__key=KEY
    )
    assert revision() == 3
    operator.save(page_of(EngineCredential.objects.get()), key=OTHER_KEY)
    assert revision() == 4
    operator.save(ADD_KEY, engine="deepgram", key=KEY)
    assert revision() == 5
    of_all = EngineCredential.objects.get(event=None)
    operator.post(f"events/enginecredential/{of_all.pk}/delete/", {"post": ["yes"]})
    assert revision() == 6
    chosen = {"action": ["delete_selected"], "_selected_action": [str(event.pk)], "post": ["yes"]}
    operator.post("events/event/", chosen)
    assert revision() == 7
    assert not Event.objects.exists()


# Transcripts


def test_who_may_keep_a_transcript_and_for_how_long_is_said_on_the_events_page(
    operator: Admin, event: Event
) -> None:
    assert "as the deployment says" in operator.get(page_of(event)).content.decode()

    operator.save(page_of(event), transcript_policy="off", transcript_retention_days="7")

    event.refresh_from_db()
    assert (event.transcript_policy, event.transcript_retention_days) == ("off", 7)
    operator.save(page_of(event), transcript_policy="", transcript_retention_days="")
    event.refresh_from_db()
    assert (event.transcript_policy, event.transcript_retention_days) == ("", None)


def test_the_log_says_in_words_where_audio_went(operator: Admin, event: Event) -> None:
    meeting = opened_meeting(room="main-hall", room_sid="RM", event_id=event.pk)
    keeping.begin_keeping(meeting)
    engines = [{"engine": "deepgram", "audio_goes_to": "api.deepgram.com"}]
    entry = note(Action.KEEP, actor="ada", meeting=meeting, engines=engines)

    for path in ("meetings/auditentry/", f"meetings/auditentry/{entry.pk}/change/"):
        shown = operator.get(path).content.decode()
        assert "audio went to api.deepgram.com (deepgram)" in shown and "main-hall" in shown
    found = operator.get(f"meetings/auditentry/?q={meeting.pk}").content.decode()
    assert "1 audit entry" in found
    assert " to now" in operator.get(f"meetings/meeting/{meeting.pk}/change/").content.decode()


# Keys


def test_a_stored_key_is_shown_by_its_last_characters_and_never_again(operator: Admin, event: Event) -> None:
    operator.save(ADD_KEY, engine="deepgram", event=str(event.pk), key=KEY)
    credential = EngineCredential.objects.get()

    pages = [
        page_of(credential),
        page_of(event),
        "events/enginecredential/",
        f"events/enginecredential/{credential.pk}/history/",
        f"events/enginecredential/{credential.pk}/delete/",
        "events/event/",
        "",
    ]
    for path in pages:
        shown = operator.get(path).content.decode()
        assert KEY not in shown and credential.ciphertext not in shown, path
    assert "•••• cdef" in operator.get(page_of(credential)).content.decode()
    assert "•••• cdef" in operator.get("events/enginecredential/").content.decode()
    assert KEY not in str([vars(entry) for entry in LogEntry.objects.all()])


@pytest.mark.parametrize("sent", ["", "   ", "•••• cdef", "••••", None])
def test_a_key_that_is_not_typed_anew_stays(operator: Admin, sent: str | None) -> None:
    credential = made_key("deepgram")

    done = operator.save(page_of(credential), key=sent, model="nova-2")

    assert not errors_of(done)
    credential.refresh_from_db()
    assert (credential.open_key(), credential.last_four, credential.model) == (KEY, "cdef", "nova-2")


def test_a_key_is_replaced_by_another_and_forgotten_only_when_asked_to(operator: Admin) -> None:
    credential = made_key("deepgram")

    operator.save(page_of(credential), key=f" {OTHER_KEY} ")
    credential.refresh_from_db()
    assert (credential.open_key(), credential.last_four) == (OTHER_KEY, "dcba")

    refused = operator.save(page_of(credential), key=KEY, **{"key-forget": "on"})
    assert "Either paste another key, or have this one forgotten." in errors_of(refused)

    done = operator.save(page_of(credential), **{"key-forget": "on"})
    credential.refresh_from_db()
    assert (credential.has_key, credential.last_four, credential.key_fingerprint) == (False, "", "")
    assert messages_of(done)[0] == "Deepgram needs a key: without one this entry counts for nothing."


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"key": "a•b"}, "This is a mask"),
        ({"key": f"{KEY} {OTHER_KEY}"}, "one word"),
        ({"key": "ключ"}, "one word"),
        ({"key": "k" * 5000}, "at most 4096"),
        ({"options": "tries=2"}, "Deepgram has no option tries."),
        ({"options": "tries"}, "Write one option a line, as name=value."),
        ({"engine": "openai", "options": "temperature=2"}, "has no option temperature; it has: tries."),
        ({"engine": "whisper"}, "needs the address of its server"),
        ({"engine": "embedded"}, "Select a valid choice"),
        ({"engine": "openai"}, "There is a key of this engine for all events already"),
        ({"event": "0"}, "Select a valid choice"),
    ],
)
def test_a_key_that_cannot_work_is_refused_and_what_was_typed_is_not_repeated(
    operator: Admin, changes: dict[str, str], why: str
) -> None:
    made_key("openai")

    refused = operator.save(ADD_KEY, **{"engine": "deepgram", "key": OTHER_KEY, **changes})

    assert why in errors_of(refused)
    assert EngineCredential.objects.count() == 1
    page = refused.content.decode()
    assert OTHER_KEY not in page and not (len(changes.get("key", "")) > 3 and changes["key"] in page)


def test_an_engine_has_one_key_in_an_event(operator: Admin, event: Event) -> None:
    made_key("openai", event=event)

    refused = operator.save(ADD_KEY, engine="openai", event=str(event.pk), key=KEY)

    assert "This event has a key of this engine already" in errors_of(refused)


def test_what_a_key_is_for_cannot_be_changed_later(operator: Admin, event: Event) -> None:
    credential = made_key("deepgram", event=event)

    operator.save(page_of(credential), engine="openai", event="")

    credential.refresh_from_db()
    assert (credential.engine, credential.event) == ("deepgram", event)


def test_another_address_wants_the_key_again(operator: Admin) -> None:
    credential = made_key("deepgram", base_url=PUBLIC)

    refused = operator.save(page_of(credential), base_url="https://93.184.216.35/v1")
    assert "The address is another one: paste the key for it again." in errors_of(refused)
    credential.refresh_from_db()
    assert credential.base_url == PUBLIC

    operator.save(page_of(credential), base_url="https://93.184.216.35/v1", key=OTHER_KEY)
    credential.refresh_from_db()
    assert (credential.base_url, credential.open_key()) == ("https://93.184.216.35/v1", OTHER_KEY)


def test_an_address_that_stays_may_be_away_just_now(operator: Admin) -> None:
    credential = made_key("deepgram", base_url="https://away.invalid")

    assert not errors_of(operator.save(page_of(credential), model="nova-2"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://169.254.169.254", "leads into a private network"),
        ("http://[::1]", "leads into a private network"),
        ("https://[::ffff:10.0.0.1]/", "leads into a private network"),
        ("https://0.0.0.0/", "leads into a private network"),
        ("https://localhost/", "leads into a private network"),
        ("https://no-such-host.invalid/", "There is no such host"),
        ("file:///etc/passwd", "An address begins with"),
        ("gopher://a.example/", "An address begins with"),
        ("https://a@b.example/", "holds no user name"),
        ("https://a.example/#x", "no part that begins with #"),
        ("https://0177.0.0.1/", "could mean another one"),
        ("https://2130706433/", "could mean another one"),
        ("a.example", "is not an address"),
        ("ws://93.184.216.34/", "would not be encrypted"),
        ("http://93.184.216.34/", "would not be encrypted"),
    ],
)
def test_an_address_where_no_engine_should_be_is_refused_in_plain_words(
    operator: Admin, settings: Any, url: str, why: str
) -> None:
    settings.IS_LOCAL = False

    refused = operator.save(ADD_KEY, engine="deepgram", key=KEY, base_url=url)

    assert why in errors_of(refused)
    assert not EngineCredential.objects.exists()


def test_the_operators_list_names_what_is_private_or_not_encrypted(operator: Admin, settings: Any) -> None:
    settings.IS_LOCAL = False
    settings.ENGINE_ALLOWED_HOSTS = allowlist_of(["speech.lan:9000", "127.0.0.0/8"])

    for number, url in enumerate(("http://speech.lan:9000/v1", "ws://localhost:9001/", "http://127.0.0.1/")):
        engine = ("deepgram", "openai", "whisper")[number]
        assert not errors_of(operator.save(ADD_KEY, engine=engine, key=KEY, base_url=url)), url
    refused = operator.save(ADD_KEY, engine="nemotron", base_url="http://10.0.0.1/")
    assert "ENGINE_ALLOWED_HOSTS" in errors_of(refused)


def test_a_local_run_may_use_unencrypted_public_addresses_and_no_private_ones(operator: Admin) -> None:
    assert not errors_of(operator.save(ADD_KEY, engine="whisper", base_url="http://93.184.216.34/"))
    refused = operator.save(ADD_KEY, engine="nemotron", base_url="http://127.0.0.1/")
    assert "private network" in errors_of(refused)


def test_a_report_of_an_error_shows_neither_what_was_sent_nor_what_variables_held(
    operator: Admin, settings: Any
) -> None:
    settings.DEBUG = True
    request = operator.get("").wsgi_request
    request.POST = {"key": KEY}

    def fail(key: str) -> None:
        raise RuntimeError("constant")

    try:
        fail(KEY)
    except RuntimeError as error:
        reporter = ExceptionReporter(request, type(error), error, error.__traceback__)
        # The lines around the failure are shown, and the key is in none.
        page, text = reporter.get_traceback_html(), reporter.get_traceback_text()

    assert "RuntimeError" in page
    assert KEY not in page + text
    assert settings.API_KEY_ENCRYPTION_KEY[0] not in page + text


def test_every_engine_has_words_for_its_form(operator: Admin) -> None:
    page = operator.get(ADD_KEY)

    assert set(form_of(page)["engine"]) == {""}
    for engine in CATALOGUE.values():
        assert (engine.id == "embedded") or engine.name in page.content.decode()
