"""What is to be done outside of requests. The row is the truth, whoever runs it: a broker carries its number alone."""

import enum
import uuid

from django.db import models


class JobState(enum.StrEnum):
    """DUE includes what is to be tried again; FAILED has used up its tries."""

    DUE = "due"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Outcome(enum.StrEnum):
    """Of one try. LOST: its runner died, or stood still for too long."""

    DONE = "done"
    AGAIN = "again"
    FAILED = "failed"
    LOST = "lost"


class Job(models.Model):
    """One call of a registered task; `arguments` hold ids, never words."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    task = models.CharField(max_length=64)
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=16, choices=[(s, s) for s in JobState], default=JobState.DUE)
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    # While it runs: its runner is taken for dead after that, and it is due again.
    until = models.DateTimeField(null=True)
    made_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["state", "due_at"])]

    def __str__(self) -> str:
        return f"{self.task} {self.id}"


class Periodic(models.Model):
    """When a periodic task is due next: of two that look, one moves it. The sweep's own is when it was last done."""

    name = models.CharField(max_length=64, primary_key=True)
    due_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Tally(models.Model):
    """How many tries of a task ended how, ever, whoever ran them: jobs themselves are forgotten."""

    task = models.CharField(max_length=64)
    outcome = models.CharField(max_length=16, choices=[(o, o) for o in Outcome])
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "tallies"
        constraints = [models.UniqueConstraint(fields=["task", "outcome"], name="one_tally_per_outcome")]

    def __str__(self) -> str:
        return f"{self.task} {self.outcome}: {self.count}"
