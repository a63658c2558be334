import datetime
import re
from typing import ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from backend.exports.formats import Format

EPOCH_MS = re.compile(r"[0-9]{1,15}\Z")
# A `+` that nobody encoded arrives as a space.
LOST_PLUS = re.compile(r"(?<=\d) (?=\d\d:?\d\d\Z)")
MOST_CHARACTERS = 40
MOST_MS = 253_402_300_800_000
"""The year 10000."""


@extend_schema_field(OpenApiTypes.STR)
class Moment(serializers.Field):  # type: ignore[type-arg]
    """UTC epoch in ms, from that or from ISO 8601; in UTC, if it does not say."""

    default_error_messages: ClassVar = {"invalid": "Not a moment."}

    def to_internal_value(self, data: object) -> int:
        if not isinstance(data, str) or len(data) > MOST_CHARACTERS:
            self.fail("invalid")
        at_ms = int(data) if EPOCH_MS.match(data) else self._of_iso(data)
        if not 0 <= at_ms < MOST_MS:
            self.fail("invalid")
        return at_ms

    def _of_iso(self, text: str) -> int:
        try:
            moment = datetime.datetime.fromisoformat(LOST_PLUS.sub("+", text))
        except ValueError:
            self.fail("invalid")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return round((moment - datetime.datetime.fromtimestamp(0, datetime.UTC)).total_seconds() * 1000)


class ExportQuery(serializers.Serializer):  # type: ignore[type-arg]
    format = serializers.ChoiceField([f.value for f in Format])
    language = serializers.RegexField(
        r"\A[A-Za-z0-9-]{0,35}\Z",
        default="",
        allow_blank=True,
        help_text="BCP 47: lines in this one alone.",
    )
    starts_at = Moment(default=None, help_text="When the recording started: UTC epoch in ms, or ISO 8601.")
    recording = serializers.CharField(
        max_length=64,
        default="",
        allow_blank=True,
        help_text="LiveKit's id of the egress, or `latest`: its start and its name.",
    )


class PreparingOut(serializers.Serializer):  # type: ignore[type-arg]
    status = serializers.ChoiceField(["preparing"])
    download = serializers.CharField(help_text="Path of the link; ask there until it is 200.")
