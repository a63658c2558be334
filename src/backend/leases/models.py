"""Sessions and workers: the rows that decide who transcribes."""

import uuid

from django.db import models

from contract.names import agent_identity
from contract.status import Reason, State


class Session(models.Model):
    """Subtitles of one room, from start to end. At most one of a room is active; that row is the lease."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    room = models.CharField(max_length=256)
    room_sid = models.CharField(max_length=64)
    state = models.CharField(max_length=32, choices=[(s, s) for s in State], default=State.REQUESTED)
    reason = models.CharField(max_length=32, choices=[(r, r) for r in Reason], null=True)  # noqa: DJ001 (the API says null)
    language = models.CharField(max_length=35)
    engine = models.CharField(max_length=64)
    started_by = models.CharField(max_length=256)
    since = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    # Part of the agent's identity. No API shows it, so no participant can take that identity first.
    agent = models.UUIDField(default=uuid.uuid4, editable=False)
    generation = models.PositiveIntegerField(default=1)
    dispatched_at = models.DateTimeField(null=True)
    worker = models.CharField(max_length=255, blank=True)
    heartbeat_at = models.DateTimeField(null=True)
    last_sequence = models.BigIntegerField(default=0)
    # What its agent says it transcribes with; empty: it has not said.
    reported_engine = models.CharField(max_length=64, blank=True)
    spoken_at = models.DateTimeField(null=True)
    empty_since = models.DateTimeField(null=True)
    # The one its room was in when it was started.
    event = models.ForeignKey("events.Event", on_delete=models.SET_NULL, null=True, related_name="sessions")
    # One life of its room; it stays the same when LiveKit forgets the room and it comes back.
    meeting = models.ForeignKey(
        "meetings.Meeting", on_delete=models.SET_NULL, null=True, related_name="sessions"
    )
    # Another whenever its chain or a key of it is; its agent then asks again.
    engines_revision = models.PositiveBigIntegerField(default=1)

    # The agent that is about to take over from one whose worker drains; generation 0: there is none.
    standby_generation = models.PositiveIntegerField(default=0)
    standby_dispatched_at = models.DateTimeField(null=True)
    standby_worker = models.CharField(max_length=255, blank=True)
    standby_heartbeat_at = models.DateTimeField(null=True)
    standby_is_ready = models.BooleanField(default=False)
    heard_until = models.JSONField(null=True)
    # Traces of an earlier generation may be left in LiveKit.
    has_ghosts = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["room"], condition=models.Q(ended_at__isnull=True), name="one_active_session_per_room"
            )
        ]
        indexes = [models.Index(fields=["room", "-since"])]

    def __str__(self) -> str:
        return f"{self.room} ({self.state})"

    @property
    def agent_identity(self) -> str:
        return self.identity_of(self.generation)

    def identity_of(self, generation: int) -> str:
        return agent_identity(agent=self.agent.hex, generation=generation)

    @property
    def engine_in_use(self) -> str:
        return self.reported_engine or self.engine

    @property
    def is_active(self) -> bool:
        return self.ended_at is None


class Worker(models.Model):
    """A subtitles worker, as its last heartbeat described it."""

    name = models.CharField(max_length=255, primary_key=True)
    heartbeat_at = models.DateTimeField()
    capacity = models.PositiveIntegerField()
    speaking = models.PositiveIntegerField(default=0)
    is_draining = models.BooleanField(default=False)
    engines = models.JSONField(default=list)

    def __str__(self) -> str:
        return self.name


class KeeperTurn(models.Model):
    """Which keeper acts, and what the next one has to know. One row."""

    holder = models.CharField(max_length=255)
    until = models.DateTimeField()
    livekit_lost = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.holder
