"""A room's lines for those who are in it: read, corrected, written."""

from django.utils.http import parse_etags
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from backend.bodies import asked, parsed
from backend.error_responses import REFUSALS, ErrorOut
from backend.records.serializers import CorrectSegment, SegmentOut, SegmentsOut, SegmentsQuery, WriteSegment
from backend.tokens.permissions import claims_for_room
from backend.transcripts.captioning import Written, write_line
from backend.transcripts.corrections import correct_line
from backend.transcripts.pages import Page, Wanted, page_of, told
from backend.transcripts.readers import room_lines

# What was said is erased when it is promised to be, and a browser's cache would not know.
PRIVATE = {"Cache-Control": "private, no-store"}


class SegmentsView(APIView):
    @extend_schema(
        operation_id="read_segments",
        parameters=[SegmentsQuery],
        responses={200: SegmentsOut, 304: None, **REFUSALS},
    )
    def get(self, request: Request, room: str) -> Response:
        """Lines of the meeting's transcript in the order of their changes, for somebody who is in the room."""
        lines = room_lines(claims_for_room(request, room))
        page = page_of(lines, Wanted(**asked(SegmentsQuery, request)), known=_known(request))
        return _answer(page)

    @extend_schema(
        operation_id="write_segment",
        request=WriteSegment,
        responses={200: SegmentOut, 201: SegmentOut, 409: ErrorOut, **REFUSALS},
    )
    def post(self, request: Request, room: str) -> Response:
        """A human captioner's line: 201, or 200 when this `id` was sent before."""
        claims = claims_for_room(request, room)
        line, is_new = write_line(claims=claims, written=Written(**parsed(WriteSegment, request)))
        return Response(told(line), status=201 if is_new else 200, headers=PRIVATE)


class SegmentView(APIView):
    @extend_schema(
        operation_id="correct_segment", request=CorrectSegment, responses={200: SegmentOut, **REFUSALS}
    )
    def patch(self, request: Request, room: str, segment: str) -> Response:
        """Correct what a line says, for every viewer, the transcript and its exports; room admins only."""
        claims = claims_for_room(request, room)
        line = correct_line(claims=claims, segment_id=segment, text=parsed(CorrectSegment, request)["text"])
        return Response(told(line), headers=PRIVATE)


def _known(request: Request) -> frozenset[str]:
    """Ours are weak; a strong one of the same value is meant to be it."""
    tags = parse_etags(request.headers.get("If-None-Match", ""))
    return frozenset(f"W/{tag.removeprefix('W/')}" for tag in tags)


def _answer(page: Page) -> Response:
    headers = {"ETag": page.etag, **PRIVATE}
    if page.is_known:
        return Response(status=304, headers=headers)
    return Response({"segments": page.segments, "next": page.next}, headers=headers)
