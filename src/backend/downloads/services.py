"""A transcript in a file: at once, or when it is large by a job, to be fetched by a link that expires."""

import datetime
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from backend.downloads import files, links
from backend.downloads.lines import Extent, extent_of, said_in
from backend.downloads.models import ExportFile, ExportState
from backend.downloads.tasks import make_export
from backend.errors import InvalidQuery, TranscriptAbsent
from backend.exports.filenames import file_name
from backend.exports.formats import Format, written
from backend.exports.said import Heading
from backend.jobs.models import Job, JobState
from backend.jobs.services import enqueue
from backend.meetings.keeping import epoch_ms
from backend.meetings.models import Action, Meeting, Recording
from backend.meetings.services import account_actor, note, participant_actor
from backend.presence import presence_lately
from backend.throttles.services import EXPORTS_OF_ONE, take
from backend.tokens.claims import RoomClaims
from backend.transcripts.accounts import visible_transcript
from backend.transcripts.models import Line
from backend.transcripts.readers import meeting_now, readable_lines

MOST_LINES_AT_ONCE = {Format.DOCX: 2_000}
MOST_LINES_AT_ONCE_ELSE = 50_000
LATEST = "latest"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """`starts_at_ms` (UTC epoch) wins over where the recording starts; `recording` is an egress id or LATEST."""

    format: Format
    language: str = ""
    starts_at_ms: int | None = None
    recording: str = ""


@dataclass(frozen=True, kw_only=True)
class Export:
    """A file; `size` None: it is made as it is read."""

    name: str
    format: Format
    chunks: Iterator[bytes]
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """`token` is of the link."""

    token: str


def export_room(*, claims: RoomClaims, wanted: Wanted) -> Export | Preparing:
    """What the caller may read of the meeting they are in."""
    take(EXPORTS_OF_ONE, claims.room, claims.identity)
    presence = presence_lately(claims)
    meeting = meeting_now(presence, room=claims.room)
    lines = readable_lines(meeting=meeting, claims=claims, presence=presence)
    return _export(lines, wanted, meeting=meeting, room=claims.room, actor=participant_actor(claims.identity))


def export_transcript(*, user: AbstractBaseUser, transcript: str, wanted: Wanted) -> Export | Preparing:
    take(EXPORTS_OF_ONE, "account", str(user.pk))
    meeting = visible_transcript(user, transcript)
    lines = Line.objects.filter(meeting=meeting)
    return _export(lines, wanted, meeting=meeting, room=meeting.room, actor=account_actor(user))


def fetch(token: str) -> Export | Preparing:
    """Raises LinkExpired; TranscriptAbsent for what was erased, is no longer to be seen, or could not be made."""
    made = ExportFile.objects.select_related("meeting").filter(expires_at__gt=timezone.now())
    export = made.filter(pk=links.export_of(token)).first()
    if export is None or _has_failed(export):
        raise TranscriptAbsent
    if export.state == ExportState.PREPARING:
        return Preparing(token=token)
    size = files.size_of(export.path)
    if size is None or export.wishes_revision != export.meeting.wishes_revision:
        raise TranscriptAbsent
    return Export(name=export.name, format=Format(export.format), chunks=files.chunks(export.path), size=size)


def forget_exports_of(meeting: Meeting) -> int:
    """How many there were. Their links lead nowhere from now on."""
    exports = list(ExportFile.objects.filter(meeting=meeting))
    for export in exports:
        export.delete()
        files.forget(export.path)
    return len(exports)


def _export(
    lines: QuerySet[Line], wanted: Wanted, *, meeting: Meeting | None, room: str, actor: str
) -> Export | Preparing:
    if wanted.language:
        lines = lines.filter(language=wanted.language)
    extent = extent_of(lines)
    recording = _recording(meeting, wanted.recording)
    starts_at_ms = _start(wanted, recording, extent, meeting)
    name = file_name(
        format=wanted.format,
        room=room,
        starts_at_ms=starts_at_ms,
        recording=recording.filename if recording else "",
        language=wanted.language,
    )
    if meeting is not None:
        note(Action.EXPORT, actor=actor, meeting=meeting, format=wanted.format, lines=extent.count)
        if extent.count > MOST_LINES_AT_ONCE.get(wanted.format, MOST_LINES_AT_ONCE_ELSE):
            return _prepared(meeting, wanted, extent, starts_at_ms=starts_at_ms, name=name)
    heading = Heading(room=room, starts_at_ms=starts_at_ms, language=extent.language or wanted.language)
    return Export(
        name=name,
        format=wanted.format,
        chunks=written(wanted.format, said_in(lines, wanted.format), heading),
    )


def _recording(meeting: Meeting | None, wanted: str) -> Recording | None:
    """Raises InvalidQuery where there is none such."""
    if not wanted:
        return None
    found = Recording.objects.filter(meeting=meeting) if meeting else Recording.objects.none()
    if wanted != LATEST:
        found = found.filter(egress_id=wanted)
    if (recording := found.last()) is None:
        raise InvalidQuery
    return recording


def _start(wanted: Wanted, recording: Recording | None, extent: Extent, meeting: Meeting | None) -> int:
    if wanted.starts_at_ms is not None:
        return wanted.starts_at_ms
    if recording is not None:
        return recording.started_at_ms
    if extent.first_ms is not None:
        return extent.first_ms
    return epoch_ms(meeting.began_at if meeting else timezone.now())


def _prepared(meeting: Meeting, wanted: Wanted, extent: Extent, *, starts_at_ms: int, name: str) -> Preparing:
    """The file that is being prepared already, or a new one."""
    asked = {
        "format": wanted.format,
        "language": wanted.language,
        "starts_at_ms": starts_at_ms,
        "since_ms": extent.first_end_ms or 0,
        "name": name,
    }
    request = hashlib.sha256(repr(sorted(asked.items())).encode()).hexdigest()
    same = ExportFile.objects.filter(meeting=meeting, request=request, state=ExportState.PREPARING)
    export = same.first()
    if export is not None and _has_failed(export):
        same.filter(pk=export.pk).delete()
        export = None
    if export is None:
        try:
            export = _begun(ExportFile(meeting=meeting, request=request, **asked))
        except IntegrityError:  # another was first, and it may be ready by now
            export = ExportFile.objects.filter(meeting=meeting, request=request).last()
    if export is None:  # erased meanwhile
        raise TranscriptAbsent
    return Preparing(token=links.token_of(export.pk))


def _begun(export: ExportFile) -> ExportFile:
    now = timezone.now()
    export.path, export.until_ms = files.new_path(), epoch_ms(now)
    export.expires_at = now + datetime.timedelta(hours=settings.EXPORT_LINK_HOURS)
    with transaction.atomic():
        export.job = enqueue(make_export, export=str(export.pk)).pk
        export.save(force_insert=True)
    return export


def _has_failed(export: ExportFile) -> bool:
    is_preparing = export.state == ExportState.PREPARING
    return is_preparing and Job.objects.filter(pk=export.job, state=JobState.FAILED).exists()
