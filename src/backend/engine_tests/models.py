"""Engines that are to be tried by a worker, and what came of it."""

import uuid

from django.db import models

from contract.engines import EngineTestResult


class EngineTest(models.Model):
    """One wish to know whether an engine works. The key is the credential's; none is copied here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    engine = models.CharField(max_length=64)
    event = models.ForeignKey("events.Event", on_delete=models.CASCADE, null=True, related_name="+")
    # Null: what the workers' own environment says is tried.
    credential = models.ForeignKey(
        "events.EngineCredential", on_delete=models.CASCADE, null=True, related_name="+"
    )
    language = models.CharField(max_length=35)
    # The account's name; empty: it was asked for on the command line.
    asked_by = models.CharField(max_length=150, blank=True)
    asked_at = models.DateTimeField(db_index=True)
    taken_by = models.CharField(max_length=255, blank=True)
    taken_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    result = models.CharField(max_length=32, blank=True)  # of EngineTestResult
    words = models.TextField(blank=True)
    word_error_rate = models.FloatField(null=True)
    latency_ms = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ["-asked_at"]

    def __str__(self) -> str:
        return f"{self.engine} ({self.result or 'under way'})"

    @property
    def is_over(self) -> bool:
        return self.finished_at is not None

    @property
    def is_ok(self) -> bool:
        return self.result == EngineTestResult.OK
