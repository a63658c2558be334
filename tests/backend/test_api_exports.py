"""Transcripts as files: what is in them, who may have them, and how the large ones come."""

import io
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.signing import TimestampSigner
from django.test import Client
from docx import Document

from backend.dispatch.rooms import require_presence
from backend.downloads import files, services, tasks
from backend.downloads.models import ExportFile, ExportState
from backend.exports.formats import Format
from backend.jobs.models import Job, JobState
from backend.meetings.models import Action, AuditEntry, Meeting, Recording
from backend.transcripts.models import Line
from tests.backend.conftest import Api
from tests.backend.exported import BEGAN_MS, keep, kept_meeting
from tests.backend.test_leases_together import all_at_once
from tests.support.livekit import LiveKitServer

pytestmark = pytest.mark.django_db(transaction=True)

Join = Callable[..., Api]


@pytest.fixture(autouse=True)
def export_dir(settings: Any, tmp_path: Path) -> Path:
    settings.EXPORT_DIR = str(tmp_path / "exports")
    return tmp_path / "exports"


@pytest.fixture
def admin(as_participant: Join) -> Api:
    return as_participant("ada", room_admin=True)


@pytest.fixture
def meeting(admin: Api, room_name: str) -> Meeting:
    """Of the room that the admin is in."""
    return kept_meeting(room_name, require_presence(room=room_name, identity="ada").room_sid)


@pytest.fixture
def account(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def path(room: str, query: str) -> str:
    return f"rooms/{room}/transcript/export/?{query}"


def text(answer: Any) -> str:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def run_jobs() -> None:
    for job in Job.objects.filter(task="make_export", state=JobState.DUE):
        tasks.make_export(**job.arguments)


@pytest.mark.parametrize("format", list(Format))
def test_a_transcript_is_had_in_every_format(admin: Api, meeting: Meeting, format: Format) -> None:
    keep(meeting, ["Good morning.", "Shall we begin?"])

    answer = admin.get(path(meeting.room, f"format={format}"))

    assert answer.status_code == 200
    assert answer["Cache-Control"] == "private, no-store"
    assert answer["Content-Disposition"] == f'attachment; filename="{meeting.room}-2026-09-21.{format}"'
    content = b"".join(answer.streaming_content)
    if format is Format.DOCX:
        said = "\n".join(paragraph.text for paragraph in Document(io.BytesIO(content)).paragraphs)
    else:
        said = content.decode()
    assert "Good morning." in said
    assert "Shall we begin?" in said
    assert "Ada" in said


@pytest.mark.parametrize("format", list(Format))
def test_a_meeting_without_lines_and_one_that_nobody_kept_give_an_empty_file(
    admin: Api, room_name: str, format: Format
) -> None:
    nobody_kept = admin.get(path(room_name, f"format={format}"))
    before = AuditEntry.objects.count()

    assert nobody_kept.status_code == 200
    content = b"".join(nobody_kept.streaming_content)
    assert content or format is Format.SRT
    assert before == 0


def test_times_are_from_the_first_line_the_given_start_or_the_recordings(
    admin: Api, meeting: Meeting
) -> None:
    keep(meeting, ["first", "second"], every_ms=10_000)
    for egress, started_at_ms, filename in (("EG_1", 0, "old.mp4"), ("EG_2", BEGAN_MS + 2_000, "weekly.mp4")):
        Recording.objects.create(
            meeting=meeting, egress_id=egress, started_at_ms=started_at_ms, filename=filename
        )

    def starts(query: str) -> tuple[str, list[str]]:
        answer = admin.get(path(meeting.room, f"format=vtt&{query}"))
        name = answer["Content-Disposition"].split('"')[1]
        return name, re.findall(r"^(\S+) -->", text(answer), flags=re.MULTILINE)

    unnamed = f"{meeting.room}-2026-09-21.vtt"
    assert starts("") == (unnamed, ["00:00:00.000", "00:00:10.000"])
    assert starts(f"starts_at={BEGAN_MS - 5_000}") == (unnamed, ["00:00:05.000", "00:00:15.000"])
    assert starts("starts_at=2026-09-21T14:13:21Z") == (unnamed, ["00:00:00.000", "00:00:09.000"])
    assert starts("starts_at=2026-09-21T16:13:15+02:00") == (unnamed, ["00:00:05.000", "00:00:15.000"])
    assert starts("recording=latest") == ("weekly.vtt", ["00:00:00.000", "00:00:08.000"])
    assert starts("recording=EG_2") == ("weekly.vtt", ["00:00:00.000", "00:00:08.000"])
    assert starts(f"recording=EG_2&starts_at={BEGAN_MS}") == ("weekly.vtt", ["00:00:00.000", "00:00:10.000"])
    assert admin.get(path(meeting.room, "format=vtt&recording=EG_3")).json()["code"] == "invalid_query"


def test_of_several_languages_each_line_says_its_own_or_one_is_picked(admin: Api, meeting: Meeting) -> None:
    keep(meeting, ["hello"])
    keep(meeting, ["bonjour"], language="fr")

    everything = text(admin.get(path(meeting.room, "format=vtt")))
    french = admin.get(path(meeting.room, "format=vtt&language=fr"))
    none = json.loads(text(admin.get(path(meeting.room, "format=json&language=de"))))

    assert "<lang en>hello</lang>" in everything
    assert "<lang fr>bonjour</lang>" in everything
    assert french["Content-Disposition"].endswith('.fr.vtt"')
    assert re.findall(r"<.*", whole := text(french)) == ["<v Ada>bonjour"]
    assert "\nLanguage: fr\n" in whole
    assert none["lines"] == []


@pytest.mark.parametrize("same", [{"sequence": 50}, {"sequence": 50, "start_ms": BEGAN_MS + 140_000}])
def test_lines_are_in_order_over_many_pages_whatever_they_have_the_same(
    admin: Api, meeting: Meeting, same: dict[str, int]
) -> None:
    keep(meeting, [f"line {number}" for number in range(500)])
    around_the_end_of_the_first_page = range(40, 60)
    Line.objects.filter(sequence__in=around_the_end_of_the_first_page).update(**same)

    found = json.loads(text(admin.get(path(meeting.room, "format=json"))))["lines"]

    assert [line["text"] for line in found] == [f"line {number}" for number in range(500)]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "format_unknown"),
        ("format=pdf", "format_unknown"),
        ("format=VTT", "format_unknown"),
        ("format=vtt%00", "format_unknown"),
        ("format=vtt&starts_at=yesterday", "invalid_query"),
        ("format=vtt&starts_at=-1", "invalid_query"),
        ("format=vtt&starts_at=1969-01-01T00:00:00Z", "invalid_query"),
        ("format=vtt&starts_at=999999999999999999", "invalid_query"),
        ("format=vtt&starts_at=%00", "invalid_query"),
        ("format=vtt&language=../x", "invalid_query"),
        ("format=vtt&language=" + "e" * 36, "invalid_query"),
        ("format=vtt&recording=latest", "invalid_query"),
        ("format=vtt&recording=%00", "invalid_query"),
    ],
)
def test_a_query_that_asks_for_nothing_there_is_is_400(
    admin: Api, meeting: Meeting, query: str, code: str
) -> None:
    answer = admin.get(path(meeting.room, query))

    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_only_who_is_in_the_meeting_gets_what_they_may_read(
    admin: Api, as_participant: Join, livekit: LiveKitServer, meeting: Meeting, settings: Any
) -> None:
    keep(meeting, ["long before anybody else came"])
    bob, elsewhere = as_participant("bob"), Api(livekit.token("another-room", "bob"))
    asked = path(meeting.room, "format=txt")

    assert "long before" in text(admin.get(asked))
    assert "long before" not in text(bob.get(asked))
    settings.TRANSCRIPT_READERS = "all"
    assert "long before" in text(bob.get(asked))
    settings.TRANSCRIPT_READERS = "admins"
    assert bob.get(asked).json()["code"] == "transcript_forbidden"
    assert elsewhere.get(asked).json()["code"] == "room_forbidden"
    assert Api(livekit.token(meeting.room, "eve")).get(asked).json()["code"] == "not_a_participant"
    assert Api(None).get(asked).status_code == 401


def test_exports_are_limited_and_noted_without_a_word(admin: Api, meeting: Meeting) -> None:
    keep(meeting, ["a needle"])

    statuses = [admin.get(path(meeting.room, "format=srt")).status_code for _ in range(11)]

    assert statuses == [200] * 10 + [429]
    noted = AuditEntry.objects.filter(action=Action.EXPORT)
    assert noted.count() == 10
    assert noted.first().facts == {"format": "srt", "lines": 1}  # type: ignore[union-attr]
    assert noted.first().actor == "participant:ada"  # type: ignore[union-attr]


def test_an_account_exports_what_it_may_see(account: Client) -> None:
    meeting = kept_meeting("weekly")
    keep(meeting, ["Good morning."])
    asked = f"/api/v1.0/transcripts/{meeting.pk}/export/?format=txt"
    stranger = Client()
    stranger.force_login(User.objects.create_user("stranger"))

    assert "Good morning." in text(account.get(asked))
    assert stranger.get(asked).json()["code"] == "transcript_absent"
    assert Client().get(asked).json()["code"] == "account_refused"
    assert AuditEntry.objects.get().actor == "user:root"
    for absent in ("00000000-0000-4000-8000-000000000000", "x", "%00"):
        answer = account.get(f"/api/v1.0/transcripts/{absent}/export/?format=txt")
        assert answer.json()["code"] == "transcript_absent"


@pytest.fixture
def large(account: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Asks for a document of a transcript that is large, as few lines as it has."""
    monkeypatch.setitem(services.MOST_LINES_AT_ONCE, Format.DOCX, 2)
    meeting = kept_meeting("weekly")
    keep(meeting, ["one", "two", "three"])

    def ask(query: str = "format=docx") -> Any:
        return account.get(f"/api/v1.0/transcripts/{meeting.pk}/export/?{query}")

    return ask


def test_a_large_one_is_prepared_and_fetched_by_its_link_alone(
    large: Callable[..., Any], export_dir: Path
) -> None:
    asked = large()
    link = asked.json()["download"]
    early = Client().get(link)
    run_jobs()
    fetched = Client().get(link)

    assert (asked.status_code, asked.json()["status"]) == (202, "preparing")
    assert (early.status_code, early.json()) == (202, asked.json())
    assert int(early["Retry-After"]) > 0
    content = b"".join(fetched.streaming_content)
    assert [p.text for p in Document(io.BytesIO(content)).paragraphs][1:] == ["[00:00:00] Ada: one two three"]
    assert fetched["Content-Length"] == str(len(content))
    assert fetched["Content-Disposition"] == 'attachment; filename="weekly-2026-09-21.docx"'
    assert fetched["Cache-Control"] == "private, no-store"
    assert fetched["Referrer-Policy"] == "no-referrer"
    [file] = export_dir.iterdir()
    assert (file.stat().st_mode & 0o777, export_dir.stat().st_mode & 0o777) == (0o600, 0o700)
    assert re.fullmatch(r"[0-9a-f]{32}", file.name)


def test_the_same_asked_again_while_it_is_prepared_is_the_same_file(large: Callable[..., Any]) -> None:
    for query in ("format=docx", "format=docx", "format=docx&starts_at=1"):
        assert large(query).status_code == 202
    assert (ExportFile.objects.count(), Job.objects.count()) == (2, 2)

    run_jobs()
    large()
    assert ExportFile.objects.count() == 3  # what was said since then is to be in it


def test_many_who_ask_at_once_get_one_file(large: Callable[..., Any]) -> None:
    statuses = all_at_once(lambda _: large().status_code)

    assert set(statuses) <= {202, 429}
    assert ExportFile.objects.count() == Job.objects.count() == 1


def test_a_file_is_made_once_whoever_makes_it_and_holds_what_might_be_read_when_it_was_asked_for(
    large: Callable[..., Any], export_dir: Path
) -> None:
    link = large().json()["download"]
    export = ExportFile.objects.get()
    later = int(time.time() * 1000) + 60_000
    Line.objects.filter(text="three").update(start_ms=later, end_ms=later + 1_000)

    all_at_once(lambda _: tasks.make_export(export=str(export.pk)))
    made_at = ExportFile.objects.get().made_at
    tasks.make_export(export=str(export.pk))

    [_, said] = Document(io.BytesIO(b"".join(Client().get(link).streaming_content))).paragraphs
    assert said.text == "[00:00:00] Ada: one two"
    assert ExportFile.objects.get().made_at == made_at
    assert len(list(export_dir.iterdir())) == 1


def test_links_that_are_old_or_forged_or_of_what_is_gone_lead_nowhere(
    large: Callable[..., Any], settings: Any, export_dir: Path
) -> None:
    link = large().json()["download"]
    run_jobs()
    export = ExportFile.objects.get()
    forged = [
        link[:-3] + "xx/",
        link.replace(export.pk.hex, "0" * 32),
        f"/api/v1.0/downloads/{TimestampSigner(salt='another').sign(export.pk.hex)}/",
        "/api/v1.0/downloads/%00/",
        f"/api/v1.0/downloads/{'x' * 5_000}/",
    ]

    for path in forged:
        answer = Client().get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "link_expired")

    settings.EXPORT_LINK_HOURS = -1
    assert Client().get(link).json()["code"] == "link_expired"
    settings.EXPORT_LINK_HOURS = 1
    next(export_dir.iterdir()).unlink()
    assert Client().get(link).json()["code"] == "transcript_absent"
    export.delete()
    assert Client().get(link).json()["code"] == "transcript_absent"


def test_a_file_that_names_somebody_who_has_hidden_their_name_since_is_not_handed_out(
    large: Callable[..., Any],
) -> None:
    link = large().json()["download"]
    run_jobs()
    assert Client().get(link).status_code == 200

    Meeting.objects.update(wishes_revision=2)

    assert Client().get(link).json()["code"] == "transcript_absent"
    anew = large().json()["download"]
    run_jobs()
    assert Client().get(anew).status_code == 200


def test_erasing_a_meeting_takes_its_files_made_and_under_way(
    large: Callable[..., Any], export_dir: Path
) -> None:
    made = large().json()["download"]
    run_jobs()
    under_way = large("format=docx&starts_at=1").json()["download"]
    export = ExportFile.objects.get(state=ExportState.PREPARING)
    (export_dir / f"{export.path}.0a0a0a0a").write_text("half of it")

    assert services.forget_exports_of(Meeting.objects.get()) == 2

    tasks.make_export(export=str(export.pk))
    assert list(export_dir.iterdir()) == []
    for link in (made, under_way):
        assert Client().get(link).json()["code"] == "transcript_absent"


def test_what_is_erased_while_it_is_written_is_not_there_afterwards(
    large: Callable[..., Any], export_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large()
    export = ExportFile.objects.get()
    with pytest.raises(FileNotFoundError), files.written(export.path) as file:
        file.write(b"half of it")
        services.forget_exports_of(export.meeting)

    assert list(export_dir.iterdir()) == []


def test_old_exports_are_forgotten_and_so_are_files_nobody_knows_of(
    large: Callable[..., Any], export_dir: Path
) -> None:
    link = large().json()["download"]
    run_jobs()
    large("format=docx&starts_at=1")
    ages_ago = time.time() - files.ORPHANED_AFTER_S - 1
    for name, made_at in (("a" * 32, ages_ago), ("b" * 32, time.time()), ("c" * 32 + ".0a0a0a0a", ages_ago)):
        (export_dir / name).write_text("whatever")
        os.utime(export_dir / name, (made_at, made_at))
    ready = ExportFile.objects.get(state=ExportState.READY)
    ExportFile.objects.filter(pk=ready.pk).update(expires_at=ready.asked_at)

    assert Client().get(link).json()["code"] == "transcript_absent"
    tasks.forget_old_exports()

    assert ExportFile.objects.get().state == ExportState.PREPARING
    assert [found.name for found in export_dir.iterdir()] == ["b" * 32]


def test_one_that_cannot_be_made_is_said_to_be_absent_and_asked_for_anew(large: Callable[..., Any]) -> None:
    link = large().json()["download"]
    Job.objects.update(state=JobState.FAILED)

    assert Client().get(link).json()["code"] == "transcript_absent"

    anew = large().json()["download"]
    run_jobs()
    assert Client().get(anew).status_code == 200
