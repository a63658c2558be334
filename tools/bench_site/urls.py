"""The product's addresses, and views that anybody would write without it."""

from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from backend.config.urls import urlpatterns as product
from backend.leases.models import Session


class Plain(APIView):
    """No token, no database: what Django and REST framework cost by themselves."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request, room: str) -> Response:
        return Response(
            {
                "room": room,
                "state": "live",
                "generation": 1,
                "language": "en",
                "engine": "embedded",
                "since": "2026-01-01T00:00:00Z",
                "started_by": "ada",
                "reason": None,
            }
        )


class PlainRow(Plain):
    """The same with one row read, which any view of a state has to do."""

    def get(self, request: Request, room: str) -> Response:
        Session.objects.filter(room=room, ended_at=None).first()
        return super().get(request, room)


urlpatterns = [
    *product,
    path("bench/plain/<str:room>/", Plain.as_view()),
    path("bench/row/<str:room>/", PlainRow.as_view()),
]
