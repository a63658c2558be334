"""JSON in and out of the frozen dataclasses of this package."""

import dataclasses
import enum
import functools
import json
import types
import typing
from typing import Any, TypeVar

from contract.errors import ContractError

T = TypeVar("T")

MAX_JSON_CHARS = 1_000_000


def to_json(value: Any) -> str:
    """Compact JSON of one of this package's dataclasses."""
    return json.dumps(dataclasses.asdict(value), ensure_ascii=False, separators=(",", ":"))


def from_json(shape: type[T], text: str | bytes | None, *, max_chars: int = MAX_JSON_CHARS) -> T:
    """Parse JSON into `shape`; unknown keys are ignored so that an older reader meets a newer writer.

    Raises ContractError, which names the first field that does not fit.
    """
    if not text or len(text) > max_chars:
        raise ContractError("$")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ContractError("$") from None
    return from_value(shape, value)


def from_value(shape: type[T], value: Any) -> T:
    """The same from an already decoded JSON value."""
    return typing.cast(T, _fit(shape, value, "$"))


def _fit(shape: Any, value: Any, path: str) -> Any:
    if type(value) is shape:  # nearly all there is, and the rest of this takes time
        return value
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if origin in (types.UnionType, typing.Union):
        inner = next(a for a in arguments if a is not type(None))
        return None if value is None else _fit(inner, value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise ContractError(path)
        return tuple(_fit(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if dataclasses.is_dataclass(shape):
        if not isinstance(value, dict):
            raise ContractError(path)
        hints = _hints(typing.cast(type, shape))
        known = [f for f in dataclasses.fields(shape) if f.name in value or _required(f)]
        for f in known:
            if f.name not in value:
                raise ContractError(f"{path}.{f.name}")
        fitted = {f.name: _fit(hints[f.name], value[f.name], f"{path}.{f.name}") for f in known}
        return typing.cast(Any, shape)(**fitted)
    if isinstance(shape, type) and issubclass(shape, enum.StrEnum):
        try:
            return shape(value)
        except ValueError:
            raise ContractError(path) from None
    # bool is an int to Python and must not pass for a number here.
    if not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        raise ContractError(path)
    return value


@functools.cache
def _hints(shape: type) -> dict[str, Any]:
    return typing.get_type_hints(shape)


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
