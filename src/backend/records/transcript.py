"""The room's transcript: its switch, and its end."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from backend.bodies import Flag, parsed
from backend.records.erasure import RECEIPTS, answer, asked_speaker
from backend.retention import requests
from backend.subtitles.serializers import SubtitlesStateOut
from backend.subtitles.services import state_now
from backend.subtitles.views import REFUSALS
from backend.tokens.permissions import claims_for_room
from backend.transcripts.keeping import switch


class SwitchTranscript(serializers.Serializer):  # type: ignore[type-arg]
    keep = Flag()


class TranscriptView(APIView):
    @extend_schema(
        operation_id="switch_transcript",
        request=SwitchTranscript,
        responses={200: SubtitlesStateOut, **REFUSALS},
    )
    def put(self, request: Request, room: str) -> Response:
        """Keep what is said from now on, or stop it, for everybody in the room; subtitles need not run yet."""
        claims = claims_for_room(request, room)
        presence = switch(claims=claims, keep=parsed(SwitchTranscript, request)["keep"])
        return Response(SubtitlesStateOut(state_now(claims, presence)).data)

    @extend_schema(
        operation_id="erase_transcript_of_room",
        parameters=[
            OpenApiParameter("speaker", str, description="This participant's lines alone, by identity.")
        ],
        responses=RECEIPTS | REFUSALS,
    )
    def delete(self, request: Request, room: str) -> Response:
        """Erase this meeting's record (room admins), or what one speaker said (they themself too)."""
        claims = claims_for_room(request, room)
        return answer(requests.erase_for_participant(claims=claims, speaker=asked_speaker(request)))
