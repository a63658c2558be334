"""The one place that turns errors into HTTP."""

import logging
import traceback
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import Error as DatabaseProblem
from django.http import Http404
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.views import exception_handler

from backend.errors import AppError, DatabaseUnavailable, InvalidBody, RoomForbidden, TokenRefused

logger = logging.getLogger(__name__)


class ErrorOut(serializers.Serializer):  # type: ignore[type-arg]
    code = serializers.CharField()
    detail = serializers.CharField()


REFUSALS = dict.fromkeys((400, 401, 403, 404, 429, 503), ErrorOut)
"""Of what takes a room token, for the API's documentation."""


def response_of(error: AppError) -> Response:
    response = Response({"code": error.code, "detail": error.detail}, status=error.status)
    if error.retry_after_s is not None:
        response["Retry-After"] = str(error.retry_after_s)
    return response


# What Django and DRF raise themselves, in our shape. 400 is InvalidBody's.
FRAMEWORK_CODES = {
    404: ("not_found", "There is nothing here."),
    405: ("method_not_allowed", "This method is not allowed here."),
    406: ("not_acceptable", "Only JSON is spoken here."),
    415: ("unsupported_media_type", "Only JSON is understood here."),
}


def to_response(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler."""
    if isinstance(error, AppError):
        response = response_of(error)
        if error.status == 401:
            view, request = context.get("view"), context.get("request")
            if view is not None and request is not None and (header := view.get_authenticate_header(request)):
                response["WWW-Authenticate"] = header
        return response
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return to_response(TokenRefused(), context)
    if isinstance(error, exceptions.PermissionDenied | PermissionDenied):
        return response_of(RoomForbidden())
    if isinstance(error, exceptions.ParseError | exceptions.ValidationError | SuspiciousOperation):
        return response_of(InvalidBody())
    if isinstance(error, DatabaseProblem):
        return response_of(DatabaseUnavailable())
    response = exception_handler(error, context)
    if response is not None and (isinstance(error, Http404 | exceptions.APIException)):
        code, detail = FRAMEWORK_CODES.get(response.status_code, ("error", "Something went wrong."))
        response.data = {"code": code, "detail": detail}
    if response is None:
        # The type and the place alone: an exception's text may quote what a client sent.
        where = traceback.extract_tb(error.__traceback__)[-1:]
        facts = {
            "error": type(error).__name__,
            "where": [f"{frame.filename}:{frame.lineno}" for frame in where],
        }
        logger.error("request failed", extra=facts)
        return response_of(AppError())
    return response
