"""The workers' door."""

import dataclasses
import json
import uuid
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from backend.engine_tests import services as engine_tests
from backend.errors import InternalTokenRefused, InvalidBody
from backend.events import handouts
from backend.internal.authentication import WorkerAuthentication
from backend.leases import placement
from backend.leases import services as leases
from backend.leases.heartbeats import record_heartbeat
from backend.meetings.keeping import kept_since_ms
from backend.meetings.wishes import wishes_of
from backend.transcripts.ingest import take_in
from backend.usage.services import record_usage
from contract.engines import EnginesRequest, EngineTestOutcome
from contract.errors import ContractError
from contract.shapes import T, from_json, to_json
from contract.transcripts import SegmentsBatch
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
        heartbeat = self.message(WorkerHeartbeat)
        answer = record_heartbeat(name=worker, heartbeat=heartbeat)
        record_usage(heartbeat.jobs)
        if not heartbeat.draining:
            answer = dataclasses.replace(answer, engine_tests=engine_tests.offers(heartbeat.engines))
        return Response(json.loads(to_json(answer)))


@extend_schema(exclude=True)
class ClaimView(InternalView):
    def post(self, request: Request, session: uuid.UUID) -> Response:
        wanted = self.message(ClaimRequest)
        lease, first_sequence = leases.claim(
            session_id=session, generation=wanted.generation, worker=request.user.name
        )
        first, *fallback = handouts.engines_of_session(lease).for_language(lease.language)
        if wanted.generation == lease.generation:
            placement.announce(lease)
        answer = ClaimAnswer(
            session=str(lease.pk),
            generation=wanted.generation,
            room=lease.room,
            agent_identity=lease.identity_of(wanted.generation),
            language=lease.language,
            engine=first,
            fallback=tuple(fallback),
            first_sequence=first_sequence,
            screen_share_audio=settings.SUBTITLES_SCREEN_SHARE_AUDIO,
            wishes=wishes_of(lease.meeting),
            kept_since_ms=kept_since_ms(lease.meeting),
        )
        return Response(json.loads(to_json(answer)))


@extend_schema(exclude=True)
class SegmentsView(InternalView):
    def post(self, request: Request, session: uuid.UUID) -> Response:
        """Committed when it is answered."""
        answer = take_in(session_id=session, batch=self.message(SegmentsBatch))
        return Response(json.loads(to_json(answer)))


@extend_schema(exclude=True)
class EngineTestTakeView(InternalView):
    def post(self, request: Request, test: uuid.UUID) -> Response:
        task = engine_tests.take_test(test_id=test, worker=request.user.name)
        return Response(json.loads(to_json(task)))


@extend_schema(exclude=True)
class EngineTestView(InternalView):
    def post(self, request: Request, test: uuid.UUID) -> Response:
        outcome = self.message(EngineTestOutcome)
        engine_tests.finish(test_id=test, worker=request.user.name, outcome=outcome)
        return Response({})


@extend_schema(exclude=True)
class EnginesView(InternalView):
    def post(self, request: Request, session: uuid.UUID) -> Response:
        answer = handouts.hand_out(
            session_id=session, worker=request.user.name, request=self.message(EnginesRequest)
        )
        return Response(json.loads(to_json(answer)), headers={"Cache-Control": "no-store"})
