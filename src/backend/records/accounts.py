"""Transcripts of the meetings an account looks after: of those that are over, and of those that go on."""

import re
from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, TokenAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from backend.bodies import asked
from backend.error_responses import ErrorOut
from backend.errors import AccountRefused
from backend.records.erasure import RECEIPTS, answer
from backend.records.segments import PRIVATE
from backend.records.serializers import (
    SegmentsQuery,
    TranscriptOut,
    TranscriptsOut,
    TranscriptsQuery,
    TranscriptWithSegmentsOut,
)
from backend.retention import requests
from backend.transcripts.accounts import list_transcripts, read_transcript
from backend.transcripts.pages import Wanted

KEY = re.compile(r"(?i:token) ([0-9a-f]{40})\Z")
SESSION_KEY = re.compile(r"[0-9a-z]{32}\Z")

REFUSALS = dict.fromkeys((400, 401, 503), ErrorOut)


class AccountAuthentication(BaseAuthentication):
    """A session of the admin, whose changes need its CSRF token, or `Authorization: Token …`. Raises AccountRefused.

    Whoever sends a header is judged by it alone; a participant's token is no account.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any]:
        header = request.META.get("HTTP_AUTHORIZATION")
        try:
            found = _by_session(request) if header is None else _by_token(header)
        except (exceptions.AuthenticationFailed, exceptions.PermissionDenied):
            raise AccountRefused from None
        if found is None:
            raise AccountRefused
        return found

    def authenticate_header(self, _request: Request) -> str:
        return TokenAuthentication.keyword


class AccountScheme(OpenApiAuthenticationExtension):
    """How the API's documentation names the two."""

    target_class = AccountAuthentication
    name: ClassVar = ["AccountToken", "AccountSession"]

    def get_security_definition(self, _auto_schema: AutoSchema) -> list[dict[str, str]]:
        return [
            {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "`Token <key>`, with a key that was made in the admin.",
            },
            {
                "type": "apiKey",
                "in": "cookie",
                "name": settings.SESSION_COOKIE_NAME,
                "description": "Of the admin; a request that changes something needs `X-CSRFToken` too.",
            },
        ]


class AccountView(APIView):
    authentication_classes = (AccountAuthentication,)


class TranscriptsView(AccountView):
    @extend_schema(
        operation_id="list_transcripts",
        parameters=[TranscriptsQuery],
        responses={200: TranscriptsOut, **REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """Transcripts of the account's meetings, the newest first."""
        found = list_transcripts(request.user, **asked(TranscriptsQuery, request))
        return Response(TranscriptsOut(found).data, headers=PRIVATE)


class TranscriptView(AccountView):
    @extend_schema(
        operation_id="read_transcript",
        parameters=[SegmentsQuery],
        responses={200: TranscriptWithSegmentsOut, 404: ErrorOut, **REFUSALS},
    )
    def get(self, request: Request, transcript: str) -> Response:
        """One of them, with a page of its lines in the order of their changes."""
        wanted = Wanted(**asked(SegmentsQuery, request))
        summary, page = read_transcript(request.user, transcript, wanted)
        body = {**TranscriptOut(summary).data, "segments": page.segments, "next": page.next}
        return Response(body, headers=PRIVATE)

    @extend_schema(
        operation_id="erase_transcript",
        responses=RECEIPTS | dict.fromkeys((401, 403, 404, 503), ErrorOut),
    )
    def delete(self, request: Request, transcript: str) -> Response:
        """Erase a meeting's record, whenever it was."""
        return answer(requests.erase_for_account(user=request.user, transcript=transcript))


def _by_session(request: Request) -> tuple[Any, Any] | None:
    # Before a database is asked: a cookie may hold what none can look up.
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return SessionAuthentication().authenticate(request) if SESSION_KEY.match(key) else None


def _by_token(header: str) -> tuple[Any, Any] | None:
    key = KEY.match(header)
    return TokenAuthentication().authenticate_credentials(key[1]) if key else None
