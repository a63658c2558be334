"""How much audio engines were sent, and how an event's budget stands."""

from django.db import models

from backend.usage.budgets import Standing


class EngineUsage(models.Model):
    """By one job: the most it has told of an engine, so that a report which comes again counts once."""

    session = models.ForeignKey("leases.Session", on_delete=models.CASCADE, related_name="usage")
    generation = models.PositiveIntegerField()
    engine = models.CharField(max_length=64)
    audio_ms = models.PositiveBigIntegerField()

    class Meta:
        verbose_name_plural = "engine usage"
        constraints = [
            models.UniqueConstraint(
                fields=["session", "generation", "engine"], name="one_usage_per_job_and_engine"
            )
        ]

    def __str__(self) -> str:
        return f"{self.engine} in {self.session}"


class MonthUsage(models.Model):
    """The sum of an event's jobs in a calendar month (UTC), kept as it grows; without an event, of all other rooms."""

    event = models.ForeignKey("events.Event", on_delete=models.CASCADE, null=True, related_name="month_usage")
    month = models.DateField()
    engine = models.CharField(max_length=64)
    audio_ms = models.PositiveBigIntegerField()

    class Meta:
        verbose_name_plural = "usage by month"
        constraints = [
            models.UniqueConstraint(
                fields=["month", "engine", "event"], name="one_sum_per_month_engine_and_event"
            ),
            # NULLs are never equal, so the constraint above says nothing about rooms of no event.
            models.UniqueConstraint(
                fields=["month", "engine"],
                condition=models.Q(event__isnull=True),
                name="one_sum_per_month_and_engine_of_no_event",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.engine}, {self.month:%Y-%m}"


class BudgetStanding(models.Model):
    """How an event's budget stood when its rooms' engines were last chosen by it."""

    event = models.OneToOneField(
        "events.Event", on_delete=models.CASCADE, primary_key=True, related_name="budget_standing"
    )
    month = models.DateField()
    standing = models.CharField(max_length=16, choices=[(s, s) for s in Standing])

    def __str__(self) -> str:
        return f"{self.event}: {self.standing}"
