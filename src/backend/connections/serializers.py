from rest_framework import serializers

from backend.bodies import Text
from backend.tokens.names import MAX_NAME_BYTES, is_name


class ConnectionDetailsIn(serializers.Serializer):  # type: ignore[type-arg]
    """LiveKit's standard token request."""

    room_name = Text(required=False, max_length=MAX_NAME_BYTES)
    participant_identity = Text(required=False, max_length=MAX_NAME_BYTES)
    participant_name = Text(required=False, allow_blank=True, max_length=MAX_NAME_BYTES)
    participant_metadata = Text(required=False, allow_blank=True, max_length=4096)
    participant_attributes = serializers.DictField(required=False, child=Text(allow_blank=True))
    room_config = serializers.DictField(required=False)

    def validate_room_name(self, value: str) -> str:
        return _name(value)

    def validate_participant_identity(self, value: str) -> str:
        return _name(value)


def _name(value: str) -> str:
    if not is_name(value):
        raise serializers.ValidationError
    return value


class ConnectionDetailsOut(serializers.Serializer):  # type: ignore[type-arg]
    server_url = serializers.CharField()
    participant_token = serializers.CharField()
    room_name = serializers.CharField()
    participant_name = serializers.CharField()
