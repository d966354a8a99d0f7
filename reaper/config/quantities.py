"""Quantities: durations with units, rates, thresholds.

A validator says what is wrong with a value in a `ValueError` that does not name the setting: its caller knows that.
"""

import math
import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from reaper.core.durations import format_duration, parse_duration

__all__ = [
    "Duration",
    "OptionalDuration",
    "PositiveDuration",
    "Rate",
    "Threshold",
    "duration_text",
    "rate_text",
]

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b(?:/s)?", re.IGNORECASE)
_BYTES = {"": 1, "k": 1000, "ki": 1024, "m": 1000**2, "mi": 1024**2, "g": 1000**3, "gi": 1024**3}
_OFF = {"off", "none", "never"}


# Durations


def duration_text(duration: timedelta) -> str:
    """Write a duration so that it reads back equal, to the microsecond."""
    text = format_duration(duration)
    return text if parse_duration(text) == duration else f"{duration.total_seconds():f}s"


def _read_duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return parse_duration(str(value))
    raise ValueError('must be a duration as text, such as "45s", "120m", "1h30m" or "3d"')


def _read_optional_duration(value: object) -> timedelta | None:
    if value is None or (isinstance(value, str) and value.strip().lower() in _OFF):
        return None
    return _read_duration(value)


def _positive(value: timedelta | None) -> timedelta | None:
    if value is not None and value <= timedelta(0):
        raise ValueError("must be more than 0s")
    return value


_DURATION_PATTERN = r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$|^P"
_DURATION_SCHEMA = {
    "type": "string",
    "pattern": _DURATION_PATTERN,
    "examples": ["45s", "120m", "1h30m", "3d"],
}
_OFF_SCHEMA = {"type": "string", "pattern": rf"{_DURATION_PATTERN}|^off$", "examples": ["12h", "off"]}
_write = PlainSerializer(duration_text, return_type=str)
_write_optional = PlainSerializer(lambda v: "off" if v is None else duration_text(v), return_type=str)

Duration = Annotated[timedelta, BeforeValidator(_read_duration), _write, WithJsonSchema(_DURATION_SCHEMA)]
"""A length of time: text with a unit. Zero is one."""

PositiveDuration = Annotated[
    timedelta,
    BeforeValidator(_read_duration),
    AfterValidator(_positive),
    _write,
    WithJsonSchema(_DURATION_SCHEMA),
]
"""A length of time longer than zero."""

OptionalDuration = Annotated[
    timedelta | None,
    BeforeValidator(_read_optional_duration),
    AfterValidator(_positive),
    _write_optional,
    WithJsonSchema(_OFF_SCHEMA),
]
"""A length of time longer than zero, or `off`."""


# Rates


def rate_text(rate: float) -> str:
    """Write bytes a second so that they read back equal."""
    for unit, size in (("MiB/s", 1024**2), ("KiB/s", 1024)):
        if rate >= size and rate % size == 0:
            return f"{rate / size:.0f}{unit}"
    return f"{rate:.0f}B/s" if rate % 1 == 0 else f"{rate:f}B/s"


def _read_rate(value: object) -> float:
    text = str(value).strip()
    found = _RATE.fullmatch(text) if isinstance(value, (str, int, float)) else None
    if found is None:
        raise ValueError(f"{text!r} is no rate: write it with a unit, such as 64KiB/s")
    rate = float(found[1]) * _BYTES[(found[2] or "").lower()]
    if not 0 < rate < math.inf:
        raise ValueError("must be more than 0B/s")
    return rate


Rate = Annotated[
    float,
    BeforeValidator(_read_rate),
    PlainSerializer(rate_text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["64KiB/s", "1MB/s"]}),
]
"""Bytes a second: text with a unit."""

Threshold = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A number above zero."""
