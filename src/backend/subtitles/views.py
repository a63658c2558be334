from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from backend.bodies import parsed
from backend.error_responses import REFUSALS
from backend.subtitles import services
from backend.subtitles.languages import engines_to_choose_from
from backend.subtitles.serializers import (
    ChangeLanguage,
    ConfigOut,
    MeetAnswer,
    StartSubtitles,
    SubtitlesStateOut,
)
from backend.tokens.permissions import claims_for_room
from backend.transcripts.policy import Policy


class ConfigView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="read_config", responses={200: ConfigOut})
    def get(self, request: Request) -> Response:
        """What a page needs to know before anybody joins."""
        config = {
            "livekit_url": settings.LIVEKIT_PUBLIC_URL,
            "subtitles_enabled": settings.SUBTITLES_ENABLED,
            "transcripts_enabled": settings.TRANSCRIPTS_POLICY != Policy.OFF,
            "transcript_readers": settings.TRANSCRIPT_READERS,
            "transcript_retention_days": settings.TRANSCRIPT_RETENTION_DAYS,
            "connection_details_enabled": settings.CONNECTION_DETAILS_ENABLED,
            "language": settings.SUBTITLES_LANGUAGE,
            "engines": engines_to_choose_from(),
        }
        return Response(ConfigOut(config).data)


class SubtitlesView(APIView):
    @extend_schema(operation_id="read_subtitles", responses={200: SubtitlesStateOut, **REFUSALS})
    def get(self, request: Request, room: str) -> Response:
        """The state, for somebody who is in the room."""
        state = services.read_state(claims=claims_for_room(request, room))
        return Response(SubtitlesStateOut(state).data)

    @extend_schema(
        operation_id="start_subtitles",
        request=StartSubtitles,
        responses={200: SubtitlesStateOut, 201: SubtitlesStateOut, **REFUSALS},
    )
    def post(self, request: Request, room: str) -> Response:
        """Start: 201 when they were not running, 200 when they already were."""
        claims = claims_for_room(request, room)
        state, is_new = services.start_subtitles(
            claims=claims, language=parsed(StartSubtitles, request).get("language")
        )
        return Response(SubtitlesStateOut(state).data, status=201 if is_new else 200)

    @extend_schema(
        operation_id="change_subtitles_language",
        request=ChangeLanguage,
        responses={200: SubtitlesStateOut, **REFUSALS},
    )
    def patch(self, request: Request, room: str) -> Response:
        """Change the language, for everybody in the room. Where no subtitles run, nothing changes."""
        claims = claims_for_room(request, room)
        language = parsed(ChangeLanguage, request)["language"]
        return Response(SubtitlesStateOut(services.change_language(claims=claims, language=language)).data)

    @extend_schema(operation_id="stop_subtitles", responses={200: SubtitlesStateOut, **REFUSALS})
    def delete(self, request: Request, room: str) -> Response:
        """Stop, for everybody in the room."""
        state = services.stop_subtitles(claims=claims_for_room(request, room))
        return Response(SubtitlesStateOut(state).data)


class MeetStartView(APIView):
    @extend_schema(
        operation_id="meet_start_subtitle", request=StartSubtitles, responses={200: MeetAnswer, **REFUSALS}
    )
    def post(self, request: Request, room: str) -> Response:
        """`start` under the name La Suite Meet's frontend calls."""
        claims = claims_for_room(request, room)
        services.start_subtitles(claims=claims, language=parsed(StartSubtitles, request).get("language"))
        return Response({"status": "success"})


class MeetStopView(APIView):
    @extend_schema(operation_id="meet_stop_subtitle", request=None, responses={200: MeetAnswer, **REFUSALS})
    def post(self, request: Request, room: str) -> Response:
        """`stop` in the same style."""
        services.stop_subtitles(claims=claims_for_room(request, room))
        return Response({"status": "success"})
