from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from backend.downloads.responses import answer_of
from backend.downloads.serializers import PreparingOut
from backend.downloads.services import fetch
from backend.error_responses import ErrorOut
from backend.exports.formats import CONTENT_TYPES, Format

FILES = {
    (200, kind.partition(";")[0]): OpenApiTypes.OBJECT if format is Format.JSON else OpenApiTypes.BINARY
    for format, kind in CONTENT_TYPES.items()
}


class AnyAccepted(DefaultContentNegotiation):
    """`format` is ours, not the framework's, and whoever fetches a file says what they like about `Accept`."""

    def select_renderer(
        self, request: Request, renderers: list[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class DownloadView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = AnyAccepted

    @extend_schema(
        operation_id="fetch_export",
        responses={**FILES, 202: PreparingOut, 403: ErrorOut, 404: ErrorOut, 503: ErrorOut},
    )
    def get(self, request: Request, token: str) -> HttpResponseBase:
        """The file of a large export, or 202 while it is made. The link is the secret: no token is needed."""
        return answer_of(fetch(token))
