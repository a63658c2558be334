"""Where LiveKit's webhooks come in."""

import time

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from backend.bodies import MAX_BODY_BYTES
from backend.errors import InvalidBody
from backend.webhooks.hints import heed
from backend.webhooks.signatures import verified_event


class WebhookView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    parser_classes: tuple[type[BaseParser], ...] = ()

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        body = request._request.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise InvalidBody
        event = verified_event(
            body=body,
            authorization=request.headers.get("Authorization", ""),
            keys=settings.LIVEKIT_KEYS,
            now_s=time.time(),
        )
        heed(event)
        return Response({})
