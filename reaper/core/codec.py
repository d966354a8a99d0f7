"""Turn core's dataclasses into JSON values and back. Pure.

The journal keeps facts and decisions as JSON. Instants are written in RFC 3339 with microseconds
in UTC, durations in seconds, enumerations by value, so that a written value reads back equal.
"""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["from_json", "instant_from_text", "instant_to_text", "to_json"]

T = TypeVar("T")


def instant_to_text(instant: datetime) -> str:
    """Write an aware instant as `2026-11-22T21:51:00.000000Z`."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def instant_from_text(text: str) -> datetime:
    """Read an RFC 3339 instant, with or without microseconds; a naive one is refused.

    Raises:
        ValueError: Not an instant, or one without a zone.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        msg = f"{text!r} has no time zone: write it with Z or an offset"
        raise ValueError(msg)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        msg = f"{text!r} lies outside the years 1 to 9999 in UTC"
        raise ValueError(msg) from None


def to_json(value: Any) -> Any:
    """Turn a value made of dataclasses, instants, durations, enums and containers into JSON values."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return instant_to_text(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, time):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_json(getattr(value, name)) for name in _fields(type(value))}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [to_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_json(item) for item in value)
    msg = f"{type(value).__name__} has no JSON form"
    raise TypeError(msg)


def from_json(kind: type[T], value: Any) -> T:
    """Read a value of a dataclass (or other annotated type) back from JSON values.

    Unknown keys are ignored and missing keys take the field's default, so that rows written by an
    earlier reaper can be read.

    Raises:
        ValueError, TypeError, KeyError: The value is not of that kind.
    """
    result: T = _decode(kind, value)
    return result


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode(kind: Any, value: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), value)
    if value is None or kind is Any or kind is object:
        return value
    if origin is not None:
        return _decode_container(origin, get_args(kind), value)
    return _decode_plain(kind, value)


def _decode_container(origin: Any, inner: tuple[Any, ...], value: Any) -> Any:
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:  # noqa: PLR2004 - tuple[T, ...]
            return tuple(_decode(inner[0], item) for item in value)
        return tuple(_decode(one, item) for one, item in zip(inner, value, strict=True))
    if origin is Sequence:
        return tuple(_decode(inner[0], item) for item in value)
    if origin is frozenset:
        return frozenset(_decode(inner[0], item) for item in value)
    if isinstance(value, Mapping):
        return {key: _decode(inner[1], item) for key, item in value.items()}
    return value


def _decode_plain(kind: Any, value: Any) -> Any:
    if kind is datetime:
        return instant_from_text(value)
    if kind is timedelta:
        return timedelta(seconds=value)
    if kind is time:
        return time.fromisoformat(value)
    if not isinstance(kind, type):
        return value
    if issubclass(kind, Enum):
        return kind(value)
    if issubclass(kind, tuple):
        return kind(*value)  # a NamedTuple
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _decode(hints[name], value[name]) for name in _fields(kind) if name in value})
    return value


def _decode_union(options: tuple[Any, ...], value: Any) -> Any:
    if value is None:
        return None
    concrete = [option for option in options if option is not types.NoneType]
    if len(concrete) == 1:
        return _decode(concrete[0], value)
    if isinstance(value, list):  # JSON has one kind of list: it is the option that is a tuple
        return next((_decode(option, value) for option in concrete if get_origin(option) is tuple), value)
    return value
