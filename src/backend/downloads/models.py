"""Exports that are too large to be made while somebody waits."""

import enum
import uuid

from django.db import models

from backend.exports.formats import Format


class ExportState(enum.StrEnum):
    PREPARING = "preparing"
    READY = "ready"


class ExportFile(models.Model):
    """What is to be in the file was settled when it was asked for; its words are those of when it is made."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    meeting = models.ForeignKey("meetings.Meeting", on_delete=models.CASCADE, related_name="exports")
    format = models.CharField(max_length=8, choices=[(f, f) for f in Format])
    # Of the lines; empty: all.
    language = models.CharField(max_length=35, blank=True)
    starts_at_ms = models.PositiveBigIntegerField()
    # What who asked might read then: nothing that ended before the first, or began after the second.
    since_ms = models.PositiveBigIntegerField()
    until_ms = models.PositiveBigIntegerField()
    # Of all the above but `until_ms`, hashed: who asks for the same while it is prepared gets the same.
    request = models.CharField(max_length=64)
    # As it is called when it is fetched.
    name = models.CharField(max_length=255)
    # As it is called in EXPORT_DIR, where no name says what is in it.
    path = models.CharField(max_length=64, unique=True)
    state = models.CharField(
        max_length=16, choices=[(s, s) for s in ExportState], default=ExportState.PREPARING
    )
    # Of the meeting when the file was made: whoever has hidden their name since then is not to be found in it.
    wishes_revision = models.PositiveBigIntegerField(default=0)
    # That makes it; not a key to it, for jobs are forgotten.
    job = models.UUIDField(null=True)
    asked_at = models.DateTimeField(auto_now_add=True)
    made_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["meeting", "request"],
                condition=models.Q(state=ExportState.PREPARING),
                name="one_export_of_a_kind_prepared",
            )
        ]

    def __str__(self) -> str:
        return f"{self.format} of {self.meeting_id}, {self.state}"
