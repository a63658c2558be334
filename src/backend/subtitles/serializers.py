from rest_framework import serializers

from backend.bodies import Text
from contract.status import Reason, State


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
    engine = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    started_by = serializers.CharField(allow_null=True, help_text="Participant identity.")
    reason = serializers.ChoiceField([r.value for r in Reason], allow_null=True)


class MeetAnswer(serializers.Serializer):  # type: ignore[type-arg]
    status = serializers.CharField()


class EngineOut(serializers.Serializer):  # type: ignore[type-arg]
    id = serializers.CharField()
    name = serializers.CharField()
    languages = serializers.ListField(child=serializers.CharField())


class ConfigOut(serializers.Serializer):  # type: ignore[type-arg]
    livekit_url = serializers.CharField()
    subtitles_enabled = serializers.BooleanField()
    connection_details_enabled = serializers.BooleanField()
    language = serializers.CharField(help_text="The one used when none is asked for.")
    engines = EngineOut(many=True)


class ErrorOut(serializers.Serializer):  # type: ignore[type-arg]
    code = serializers.CharField()
    detail = serializers.CharField()
