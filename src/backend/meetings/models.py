"""Meetings, and what each keeps of its people: wishes, first joins, who switched the transcript, what was posted."""

import enum
import uuid

from django.db import models


class Meeting(models.Model):
    """One life of a LiveKit room. Made when somebody first wants something of it; it holds no words."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    room = models.CharField(max_length=256)
    # Another one after LiveKit was away and forgot the room: the session that waited for it goes on, and so does this.
    room_sid = models.CharField(max_length=64)
    event = models.ForeignKey("events.Event", on_delete=models.SET_NULL, null=True, related_name="meetings")
    began_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    # Since when the keeper has not found its room; one listing may lag.
    absent_since = models.DateTimeField(null=True)
    # Since when what is said is kept, without a break; null: it is not.
    kept_since = models.DateTimeField(null=True)
    # When its record was last erased; what is handed in later of speech before that is refused.
    erased_at = models.DateTimeField(null=True)
    # Numbers given out, each under a lock of this row: of a stored revision, of a posted segment, of a pseudonym.
    last_change = models.PositiveBigIntegerField(default=0)
    last_posted = models.PositiveBigIntegerField(default=0)
    # Up to which posted segments are gone, so that a heartbeat need not look for any.
    posted_done = models.PositiveBigIntegerField(default=0)
    last_pseudonym = models.PositiveIntegerField(default=0)
    # Another whenever somebody's wish is; its agent is then told all of them.
    wishes_revision = models.PositiveBigIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["room", "room_sid"], name="one_meeting_per_life_of_a_room")
        ]
        indexes = [
            models.Index(fields=["event", "-began_at"]),
            models.Index(fields=["ended_at"]),
        ]
        ordering = ["-began_at"]

    def __str__(self) -> str:
        return f"{self.room}, {self.began_at:%Y-%m-%d %H:%M}"

    @property
    def is_kept(self) -> bool:
        return self.kept_since is not None


class Person(models.Model):
    """A participant of one meeting, by identity: made for a wish, a line, or a join while a transcript is kept."""

    meeting = models.ForeignKey(Meeting, on_delete=models.CASCADE, related_name="people")
    identity = models.CharField(max_length=256)
    wants_captions = models.BooleanField(default=True)
    # Since when they do not want any: what of theirs is handed in of speech after that is refused.
    opted_out_at = models.DateTimeField(null=True)
    hides_name = models.BooleanField(default=False)
    # Of the pseudonym, which stays the same however often the name is hidden and shown; null: never hidden.
    number = models.PositiveIntegerField(null=True)
    # Noted only while a transcript is kept.
    first_joined_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "people"
        constraints = [
            models.UniqueConstraint(
                fields=["meeting", "identity"], name="one_person_per_identity_in_a_meeting"
            )
        ]

    def __str__(self) -> str:
        return self.pseudonym or self.identity

    @property
    def pseudonym(self) -> str:
        """Empty: the name is not hidden."""
        return f"Speaker {self.number}" if self.hides_name else ""

    @property
    def shown_identity(self) -> str:
        """In transcripts and exports."""
        return f"speaker-{self.number}" if self.hides_name else self.identity


class KeptPeriod(models.Model):
    """While what was said was kept. What is handed in later, from a spool, belongs to the period it was said in."""

    meeting = models.ForeignKey(Meeting, on_delete=models.CASCADE, related_name="kept_periods")
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["since"]

    def __str__(self) -> str:
        return f"{self.since} to {self.until or 'now'}"


class Posted(models.Model):
    """A final that somebody posted, until the agent has published it or it is too late to: then it is deleted."""

    meeting = models.ForeignKey(Meeting, on_delete=models.CASCADE, related_name="posted")
    number = models.PositiveBigIntegerField()
    # A contract.segments.Segment.
    segment = models.JSONField()
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        verbose_name_plural = "posted"
        constraints = [
            models.UniqueConstraint(fields=["meeting", "number"], name="one_posted_segment_per_number")
        ]

    def __str__(self) -> str:
        return f"{self.meeting}: {self.number}"


class Recording(models.Model):
    """A recording of the room, as LiveKit's egress webhooks told: exports can be timed to it and named like it."""

    meeting = models.ForeignKey(Meeting, on_delete=models.CASCADE, related_name="recordings")
    egress_id = models.CharField(max_length=64, unique=True)
    # UTC epoch.
    started_at_ms = models.PositiveBigIntegerField()
    # Without its folders; empty until LiveKit has told it.
    filename = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["started_at_ms"]

    def __str__(self) -> str:
        return self.filename or self.egress_id


class ErasedSpeaker(models.Model):
    """Somebody whose words of this meeting were erased, without their name; see backend.meetings.erased."""

    meeting = models.ForeignKey(Meeting, on_delete=models.CASCADE, related_name="erased_speakers")
    fingerprint = models.CharField(max_length=64)
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["meeting", "fingerprint"], name="one_erased_speaker_per_fingerprint"
            )
        ]

    def __str__(self) -> str:
        return f"{self.meeting}: until {self.until}"


class Action(enum.StrEnum):
    """What the audit log notes."""

    KEEP = "keep"
    STOP_KEEPING = "stop_keeping"
    CORRECT = "correct"
    EXPORT = "export"
    ERASE_MEETING = "erase_meeting"
    ERASE_SPEAKER = "erase_speaker"
    ERASE_EVENT = "erase_event"
    EXPIRE = "expire"


class AuditEntry(models.Model):
    """Who did what with a transcript, and when. It outlives what it is about, so it holds no words and no names."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    action = models.CharField(max_length=32, choices=[(a, a) for a in Action])
    # A participant identity, `user:<name>` of an account, `retention`, `room` (it ended) or `policy` (another one).
    actor = models.CharField(max_length=300)
    # Without a key to it: the meeting may be gone.
    meeting = models.UUIDField(null=True, db_index=True)
    room = models.CharField(max_length=256, blank=True)
    event = models.ForeignKey("events.Event", on_delete=models.SET_NULL, null=True, related_name="audit")
    # Of KEEP: the engines and where each one's audio goes; of an erasure: the receipt's counts.
    facts = models.JSONField(default=dict)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.action}"
