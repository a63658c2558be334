"""What was said in meetings whose transcript is kept: finals alone, each in its newest revision, with its history."""

from django.db import models


class Line(models.Model):
    """A final as it stands. Who is shown as its speaker stands here, so that reading needs no other table."""

    meeting = models.ForeignKey("meetings.Meeting", on_delete=models.CASCADE, related_name="lines")
    # By the agent, or by us for what a person posts.
    segment_id = models.UUIDField()
    # Of the stored revision, within the meeting: the cursor of whoever reads what has changed.
    change = models.PositiveBigIntegerField()
    revision = models.PositiveIntegerField()
    # Display order: sequence, then start.
    sequence = models.PositiveBigIntegerField()
    start_ms = models.PositiveBigIntegerField()
    end_ms = models.PositiveBigIntegerField()
    person = models.ForeignKey("meetings.Person", on_delete=models.CASCADE, related_name="lines")
    speaker_identity = models.CharField(max_length=256)
    speaker_name = models.CharField(max_length=256, blank=True)
    track_sid = models.CharField(max_length=64, blank=True)
    language = models.CharField(max_length=35)
    # `human` for what a captioner wrote.
    engine = models.CharField(max_length=64)
    is_corrected = models.BooleanField(default=False)
    text = models.TextField()
    # By which agent; null: a person posted it.
    session = models.ForeignKey("leases.Session", on_delete=models.SET_NULL, null=True, related_name="lines")
    generation = models.PositiveIntegerField(default=0)
    stored_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["meeting", "segment_id"], name="one_line_per_segment"),
            models.UniqueConstraint(fields=["meeting", "change"], name="one_line_per_change"),
        ]
        indexes = [
            models.Index(fields=["meeting", "sequence", "start_ms"], name="lines_in_order"),
            # What a list says of each transcript.
            models.Index(fields=["meeting", "language", "person"], name="lines_by_language"),
        ]

    def __str__(self) -> str:
        return f"{self.segment_id}, revision {self.revision}"


class LineRevision(models.Model):
    """A revision that another has replaced."""

    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="history")
    revision = models.PositiveIntegerField()
    text = models.TextField()
    # Who replaced it: an identity, `user:<name>`; empty: the agent.
    replaced_by = models.CharField(max_length=300, blank=True)
    replaced_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line", "revision"], name="one_history_entry_per_revision")
        ]
        ordering = ["revision"]

    def __str__(self) -> str:
        return f"{self.line_id}, revision {self.revision}"
