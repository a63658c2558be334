"""Transcripts as files: of the room one is in, and of those an account may see."""

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from backend.bodies import asked
from backend.downloads.responses import answer_of
from backend.downloads.serializers import ExportQuery, PreparingOut
from backend.downloads.services import Wanted, export_room, export_transcript
from backend.downloads.views import FILES, AnyAccepted
from backend.error_responses import REFUSALS
from backend.errors import FormatUnknown
from backend.exports.formats import Format
from backend.records.accounts import AccountView
from backend.tokens.permissions import claims_for_room

ANSWERS = {**FILES, 202: PreparingOut, **REFUSALS}


class RoomExportView(APIView):
    content_negotiation_class = AnyAccepted

    @extend_schema(operation_id="export_room", parameters=[ExportQuery], responses=ANSWERS)
    def get(self, request: Request, room: str) -> HttpResponseBase:
        """What the caller may read of this meeting's transcript, as a file; large ones are prepared (202)."""
        claims = claims_for_room(request, room)
        return answer_of(export_room(claims=claims, wanted=wanted_of(request)))


class TranscriptExportView(AccountView):
    content_negotiation_class = AnyAccepted

    @extend_schema(operation_id="export_transcript", parameters=[ExportQuery], responses=ANSWERS)
    def get(self, request: Request, transcript: str) -> HttpResponseBase:
        """A transcript that the account may see, as a file; large ones are prepared (202)."""
        wanted = wanted_of(request)
        return answer_of(export_transcript(user=request.user, transcript=transcript, wanted=wanted))


def wanted_of(request: Request) -> Wanted:
    """Raises FormatUnknown, InvalidQuery."""
    if request.query_params.get("format") not in set(Format):
        raise FormatUnknown
    query = asked(ExportQuery, request)
    return Wanted(
        format=Format(query["format"]),
        language=query["language"],
        starts_at_ms=query["starts_at"],
        recording=query["recording"],
    )
