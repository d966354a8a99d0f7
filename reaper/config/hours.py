"""Quiet hours: daily windows, each in a time zone."""

import re
from datetime import time
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from reaper.config.lists import LIST_SCHEMA, items_of
from reaper.core.ruleset import QuietHours

__all__ = ["QuietHoursList"]

_HOURS = re.compile(r"(\d{1,2}:\d\d)\s*-\s*(\d{1,2}:\d\d)(?:\s+(\S+))?")


def _read_hours(value: object) -> QuietHours:
    if isinstance(value, QuietHours):
        return value
    if isinstance(value, str):
        found = _HOURS.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"{value!r} are no hours: write 22:00-07:00 Europe/Berlin")
        start, end, zone = found[1], found[2], found[3] or "UTC"
    elif isinstance(value, dict) and {"start", "end"} <= set(value) <= {"start", "end", "zone"}:
        start, end, zone = value["start"], value["end"], value.get("zone", "UTC")
    else:
        raise ValueError(
            'must be hours such as "22:00-07:00 Europe/Berlin", or tables of start, end and zone'
        )
    hours = QuietHours(start=_read_time(start), end=_read_time(end), zone=str(zone))
    if hours.start == hours.end:
        raise ValueError(
            f"{start}-{end} is the whole day: nothing would ever be reaped; 'reaper pause' does that"
        )
    try:
        ZoneInfo(hours.zone)
    except (KeyError, OSError, ValueError):  # not found (a KeyError), a directory such as Europe, ../..
        raise ValueError(f"{zone!r} is no time zone: write a name such as Europe/Berlin or UTC") from None
    return hours


def _read_time(value: object) -> time:
    if isinstance(value, time) and value.tzinfo is None:
        return value
    try:
        return time.fromisoformat(str(value).strip().zfill(5))
    except ValueError:
        raise ValueError(f"{str(value)!r} is no time of day: write 07:00") from None


def _all_hours(value: object) -> tuple[QuietHours, ...]:
    if isinstance(value, dict):
        return (_read_hours(value),)
    return tuple(_read_hours(item) for item in items_of(value))


QuietHoursList = Annotated[
    tuple[QuietHours, ...],
    BeforeValidator(_all_hours),
    PlainSerializer(lambda v: [f"{h.start:%H:%M}-{h.end:%H:%M} {h.zone}" for h in v], return_type=list[str]),
    WithJsonSchema({**LIST_SCHEMA, "examples": [["22:00-07:00 Europe/Berlin"]]}),
]
"""Daily windows, each in a time zone."""
