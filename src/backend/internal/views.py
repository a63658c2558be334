"""The workers' door."""

import json
import uuid
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from backend.errors import InternalTokenRefused, InvalidBody
from backend.internal.authentication import WorkerAuthentication
from backend.leases import placement
from backend.leases import services as leases
from backend.leases.heartbeats import record_heartbeat
from contract.errors import ContractError
from contract.shapes import T, from_json, to_json
from contract.workers import ClaimAnswer, ClaimRequest, WorkerHeartbeat


class RawParser(BaseParser):
    """The contract parses."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> bytes:
        return bytes(stream.read(1_000_001))


class InternalView(APIView):
    authentication_classes = (WorkerAuthentication,)
    parser_classes = (RawParser,)

    def message(self, shape: type[T]) -> T:
        try:
            return from_json(shape, self.request.data)
        except ContractError as exc:
            raise InvalidBody from exc


@extend_schema(exclude=True)
class HeartbeatView(InternalView):
    def post(self, request: Request, worker: str) -> Response:
        if request.user.name != worker:
            raise InternalTokenRefused
        answer = record_heartbeat(name=worker, heartbeat=self.message(WorkerHeartbeat))
        return Response(json.loads(to_json(answer)))


@extend_schema(exclude=True)
class ClaimView(InternalView):
    def post(self, request: Request, session: uuid.UUID) -> Response:
        wanted = self.message(ClaimRequest)
        lease, first_sequence = leases.claim(
            session_id=session, generation=wanted.generation, worker=request.user.name
        )
        if wanted.generation == lease.generation:
            placement.announce(lease)
        answer = ClaimAnswer(
            session=str(lease.pk),
            generation=wanted.generation,
            room=lease.room,
            agent_identity=lease.identity_of(wanted.generation),
            language=lease.language,
            engine=lease.engine,
            first_sequence=first_sequence,
            screen_share_audio=settings.SUBTITLES_SCREEN_SHARE_AUDIO,
        )
        return Response(json.loads(to_json(answer)))
