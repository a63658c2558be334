"""Counted requests."""

from django.db import models


class Count(models.Model):
    """How often something was done within one window of time. The key is a hash: no name stands in it."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.count} until {self.until:%H:%M:%S}"
