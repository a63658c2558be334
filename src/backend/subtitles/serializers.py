from rest_framework import serializers

from backend.bodies import Text
from contract.status import Reason, State
from contract.transcripts import Transcript


class StartSubtitles(serializers.Serializer):  # type: ignore[type-arg]
    language = Text(required=False, max_length=35, help_text="BCP 47; see `config/` for those available.")


class ChangeLanguage(serializers.Serializer):  # type: ignore[type-arg]
    language = Text(max_length=35, help_text="BCP 47; see `config/` for those available.")


class SubtitlesStateOut(serializers.Serializer):  # type: ignore[type-arg]
    room = serializers.CharField()
    state = serializers.ChoiceField([s.value for s in State])
    generation = serializers.IntegerField(
        help_text="Grows with every agent that takes over; 0 before the first."
    )
    language = serializers.CharField()
    engine = serializers.CharField(help_text="The one that transcribes now; see `config/`.")
    since = serializers.DateTimeField(allow_null=True)
    started_by = serializers.CharField(allow_null=True, help_text="Participant identity.")
    reason = serializers.ChoiceField([r.value for r in Reason], allow_null=True)
    transcript = serializers.ChoiceField(
        [t.value for t in Transcript], help_text="Whether what is said is being kept."
    )


class MeetAnswer(serializers.Serializer):  # type: ignore[type-arg]
    status = serializers.CharField()


class EngineOut(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.CharField()
    name = serializers.CharField()
    languages = serializers.ListField(child=serializers.CharField())


class ConfigOut(serializers.Serializer):  # type: ignore[type-arg]
    livekit_url = serializers.CharField()
    subtitles_enabled = serializers.BooleanField()
    transcripts_enabled = serializers.BooleanField(
        help_text="Whether transcripts may be kept at all; a room's event may forbid it."
    )
    transcript_readers = serializers.ChoiceField(
        ["joined", "all", "admins"], help_text="What participants may read of a meeting's transcript."
    )
    transcript_retention_days = serializers.IntegerField(
        help_text="How long transcripts are kept; a room's event may say otherwise."
    )
    connection_details_enabled = serializers.BooleanField()
    language = serializers.CharField(help_text="The one used when none is asked for.")
    engines = EngineOut(many=True, help_text="As they are tried. The first one's languages can be chosen.")
