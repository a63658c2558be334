"""JSON bodies and queries: bounded, and never an error of ours whatever they hold."""

import json
import uuid
from collections.abc import Mapping
from typing import IO, Any

from rest_framework import exceptions, parsers, serializers
from rest_framework.request import Request

from backend.errors import InvalidQuery

MAX_BODY_BYTES = 64 * 1024


class BoundedJSONParser(parsers.JSONParser):
    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        raw = stream.read(MAX_BODY_BYTES + 1)
        if len(raw) > MAX_BODY_BYTES:
            raise exceptions.ParseError
        try:
            return json.loads(raw, parse_constant=_refuse_constant) if raw.strip() else {}
        except (ValueError, RecursionError):
            raise exceptions.ParseError from None


class Text(serializers.CharField):
    """A string, and nothing that could be made into one."""

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class Flag(serializers.BooleanField):
    """True or false, and nothing that could be made into one."""

    def to_internal_value(self, data: object) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class Number(serializers.IntegerField):
    """A whole number, and nothing that could be made into one."""

    def to_internal_value(self, data: object) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class Uuid(serializers.UUIDField):
    """As a string; a number could be made into one too."""

    def to_internal_value(self, data: object) -> uuid.UUID:
        if not isinstance(data, str):
            self.fail("invalid", value="")
        return uuid.UUID(str(super().to_internal_value(data)))


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def parsed(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The body as the serializer's fields. Raises ValidationError, which clients see as `invalid_body`."""
    form = serializer(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def asked(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The query's parameters as the serializer's fields. Raises InvalidQuery."""
    form = serializer(data=request.query_params)
    if not form.is_valid():
        raise InvalidQuery
    return dict(form.validated_data)
