from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from backend.bodies import parsed
from backend.connections.serializers import ConnectionDetailsIn, ConnectionDetailsOut
from backend.connections.services import connection_details
from backend.error_responses import ErrorOut


class ConnectionDetailsView(APIView):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="connection_details",
        request=ConnectionDetailsIn,
        responses={201: ConnectionDetailsOut, **dict.fromkeys((400, 401, 403, 404, 409, 503), ErrorOut)},
    )
    def post(self, request: Request) -> Response:
        """A LiveKit token; with a valid token in `Authorization` and an empty body, that token renewed."""
        details = connection_details(wanted=parsed(ConnectionDetailsIn, request), caller=request.auth)
        return Response(ConnectionDetailsOut(details).data, status=201)
