"""The shapes of the record over HTTP."""

import re

from rest_framework import serializers

from backend.bodies import Number, Text, Uuid
from backend.transcripts.accounts import DEFAULT_TRANSCRIPTS, MOST_TRANSCRIPTS
from backend.transcripts.pages import DEFAULT_LINES, MAX_CHANGE, MOST_LINES
from backend.transcripts.search import MAX_QUERY_CHARS
from contract.segments import MAX_TEXT_CHARS

MAX_CURSOR_CHARS = 64

LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


class SegmentsQuery(serializers.Serializer):  # type: ignore[type-arg]
    since = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_CHANGE,
        help_text="`next` of the last page; 0: from the beginning.",
    )
    limit = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_LINES,
        help_text=f"At most so many; {DEFAULT_LINES} by default.",
    )
    q = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=MAX_QUERY_CHARS,
        help_text="Only lines with all these words; the last one may be a beginning.",
    )


class SegmentOut(serializers.Serializer):  # type: ignore[type-arg]
    """As `pages.told` tells it: this is for the API's documentation, too slow for a thousand lines."""

    id = serializers.UUIDField()
    sequence = serializers.IntegerField(
        help_text="Display order; of two that are equal the earlier start comes first."
    )
    revision = serializers.IntegerField()
    change = serializers.IntegerField(help_text="Of this revision, within the meeting; 0: not kept.")
    text = serializers.CharField()
    speaker_identity = serializers.CharField(help_text="`speaker-N` of somebody who hides their name.")
    speaker_name = serializers.CharField(allow_blank=True)
    language = serializers.CharField(help_text="BCP 47.")
    start_ms = serializers.IntegerField(help_text="UTC epoch.")
    end_ms = serializers.IntegerField(help_text="UTC epoch.")
    engine = serializers.CharField(help_text="`human`: a person wrote it.")
    human = serializers.BooleanField()
    corrected = serializers.BooleanField()
    track_sid = serializers.CharField(allow_blank=True)


class SegmentsOut(serializers.Serializer):  # type: ignore[type-arg]
    segments = SegmentOut(many=True)
    next = serializers.IntegerField(help_text="The `since` of whoever has read this.")


class CorrectSegment(serializers.Serializer):  # type: ignore[type-arg]
    text = Text(max_length=MAX_TEXT_CHARS)


class WriteSegment(serializers.Serializer):  # type: ignore[type-arg]
    text = Text(max_length=MAX_TEXT_CHARS)
    language = Text(required=False, max_length=35, help_text="BCP 47; the room's by default.")
    start_ms = Number(required=False, min_value=0, help_text="UTC epoch.")
    end_ms = Number(required=False, min_value=0, help_text="UTC epoch; now by default.")
    id = Uuid(required=False, help_text="The same again is the same line: a request may be repeated.")

    def validate_language(self, value: str) -> str:
        if not LANGUAGE_TAG.fullmatch(value):
            raise serializers.ValidationError
        return value


class TranscriptsQuery(serializers.Serializer):  # type: ignore[type-arg]
    cursor = serializers.CharField(
        required=False,
        max_length=MAX_CURSOR_CHARS,
        help_text="`next` of the last page; without: from the newest.",
    )
    limit = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_TRANSCRIPTS,
        help_text=f"At most so many; {DEFAULT_TRANSCRIPTS} by default.",
    )
    q = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=MAX_QUERY_CHARS,
        help_text="Only meetings with a line that has all these words; the last one may be a beginning.",
    )


class TranscriptOut(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.UUIDField()
    room = serializers.CharField()
    event = serializers.CharField(allow_null=True, help_text="Its slug.")
    began_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    lines = serializers.IntegerField()
    languages = serializers.ListField(child=serializers.CharField())
    people = serializers.IntegerField(help_text="How many of them have said something.")
    kept_until = serializers.DateTimeField(
        allow_null=True, help_text="When it is to be erased; null: the meeting goes on."
    )


class TranscriptsOut(serializers.Serializer):  # type: ignore[type-arg]
    transcripts = TranscriptOut(many=True)
    next = serializers.CharField(
        allow_null=True, help_text="The `cursor` of the next page; null: this is the last."
    )


class TranscriptWithSegmentsOut(TranscriptOut):
    segments = SegmentOut(many=True)
    next = serializers.IntegerField(help_text="The `since` of whoever has read this.")
