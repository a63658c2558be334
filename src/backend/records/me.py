"""A participant's own rights."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from backend.bodies import Flag, parsed
from backend.subtitles.views import REFUSALS
from backend.tokens.permissions import claims_for_room
from backend.transcripts.rights import HIDDEN, SHOWN, change_rights, read_rights


class ChangeRights(serializers.Serializer):  # type: ignore[type-arg]
    """One of the two at least."""

    captions = Flag(required=False, help_text="False: no microphone of theirs is listened to.")
    name = serializers.ChoiceField([SHOWN, HIDDEN], required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError
        return attrs


class RightsOut(serializers.Serializer):  # type: ignore[type-arg]
    captions = serializers.BooleanField()
    name = serializers.ChoiceField([SHOWN, HIDDEN])
    pseudonym = serializers.CharField(
        allow_null=True, help_text="Shown instead of a hidden name, all through the meeting."
    )
    may_keep = serializers.BooleanField(help_text="Whether the caller may have a transcript kept here.")


class MeView(APIView):
    @extend_schema(operation_id="read_rights", responses={200: RightsOut, **REFUSALS})
    def get(self, request: Request, room: str) -> Response:
        """What holds for the caller in this meeting."""
        rights = read_rights(claims=claims_for_room(request, room))
        return Response(RightsOut(rights).data)

    @extend_schema(operation_id="change_rights", request=ChangeRights, responses={200: RightsOut, **REFUSALS})
    def put(self, request: Request, room: str) -> Response:
        """Opt out of captions and transcript, or back in; hide one's name, or show it again."""
        claims = claims_for_room(request, room)
        rights = change_rights(claims=claims, **parsed(ChangeRights, request))
        return Response(RightsOut(rights).data)
