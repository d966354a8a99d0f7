"""Durations as people write them: `45s`, `120m`, `1h30m`, `3d`. Pure."""

import re
from datetime import timedelta

__all__ = ["format_duration", "parse_duration"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_ISO = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII)
_SPACE = re.compile(r" +(?=[a-z])|(?<=[a-z]) +", re.IGNORECASE)
"""Space beside a unit; between two digits it would make one number of two."""
_LONGEST = timedelta(days=36500)
_HINT = "write it with a unit, such as 45s, 120m, 1h30m or 3d"


def parse_duration(text: str) -> timedelta:
    """Read a duration with units.

    Args:
        text: One or more numbers, each with its unit (`ms`, `s`, `m` minutes, `h`, `d`, `w`), biggest
            first and each once, or an ISO 8601 duration such as `PT2H`.

    Raises:
        ValueError: It is a bare number (120 of what?), negative, empty or malformed. The message
            says what to write instead, without naming the setting: the caller knows it.
    """
    compact = _SPACE.sub("", text.strip())
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", compact):
        msg = f"{text!r} has no unit: {_HINT}"
        raise ValueError(msg)
    if compact.startswith("-"):
        msg = f"{text!r} is negative: a duration is zero or more"
        raise ValueError(msg)
    parts = _PART.findall(compact.lower())
    order = [list(_UNITS).index(unit) for _, unit in parts]
    if (
        parts
        and "".join(n + u for n, u in parts) == compact.lower()
        and sorted(set(order), reverse=True) == order
    ):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    elif compact.upper().rstrip("T") not in {"", "P"} and (iso := _ISO.fullmatch(compact.upper())):
        weeks, days, hours, minutes, secs = (float(group or 0) for group in iso.groups())
        seconds = ((weeks * 7 + days) * 24 + hours) * 3600 + minutes * 60 + secs
    else:
        msg = f"{text!r} is not a duration: {_HINT}"
        raise ValueError(msg)
    if seconds > _LONGEST.total_seconds():
        msg = f"{text!r} is more than a hundred years: {_HINT}"
        raise ValueError(msg)
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Write a duration so that `parse_duration` reads it back (to the millisecond): `1h30m`, `0s`."""
    sign = "-" if duration < timedelta(0) else ""
    left = round(abs(duration).total_seconds() * 1000)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            text += f"{count}{unit}"
    return sign + (text or "0s")
