"""LiveKit's hints. The keeper finds out by itself; a hint makes it sooner."""

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
from backend.leases import services as leases
from backend.webhooks.signatures import verified_event
from contract.status import Reason


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
        if event.event == "room_finished":
            leases.end_meeting(room=event.room.name, room_sid=event.room.sid, reason=Reason.ROOM_EMPTY)
        return Response({})
