"""What makes the files of large exports, and what forgets them."""

import datetime
import uuid

from django.utils import timezone

from backend.downloads import files
from backend.downloads.lines import extent_of, said_in
from backend.downloads.models import ExportFile, ExportState
from backend.exports.formats import Format, written
from backend.exports.said import Heading
from backend.jobs.services import every, task
from backend.transcripts.models import Line


@task
def make_export(*, export: str) -> None:
    """Two that make the same write the same."""
    row = ExportFile.objects.select_related("meeting").filter(pk=uuid.UUID(export)).first()
    if row is None or row.state != ExportState.PREPARING:
        return
    lines = Line.objects.filter(meeting=row.meeting_id, end_ms__gte=row.since_ms, start_ms__lte=row.until_ms)
    if row.language:
        lines = lines.filter(language=row.language)
    heading = Heading(
        room=row.meeting.room,
        starts_at_ms=row.starts_at_ms,
        language=row.language or extent_of(lines).language,
    )
    format = Format(row.format)
    with files.written(row.path) as file:
        for chunk in written(format, said_in(lines, format), heading):
            file.write(chunk)
    rows = ExportFile.objects.filter(pk=row.pk)
    rows.filter(state=ExportState.PREPARING).update(
        state=ExportState.READY, made_at=timezone.now(), wishes_revision=row.meeting.wishes_revision
    )
    if not rows.exists():  # erased meanwhile
        files.forget(row.path)


@every(datetime.timedelta(hours=1))
def forget_old_exports() -> None:
    for export in ExportFile.objects.filter(expires_at__lte=timezone.now()):
        export.delete()
        files.forget(export.path)
    for path in files.orphans(set(ExportFile.objects.values_list("path", flat=True))):
        files.forget(path)
