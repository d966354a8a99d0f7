"""Reading a rule's parameters, with errors that name the key."""

import math
from collections.abc import Mapping
from datetime import timedelta

from reaper.core.durations import format_duration, parse_duration
from reaper.errors import ConfigError

__all__ = ["UNTIMED", "dollars", "duration", "flag", "only", "optional_duration", "optional_flag", "texts"]

UNTIMED = timedelta(hours=1)
"""The `timeout` of a rule that waits for no length of time: long enough for all of `REAPER_APPLY_GRACE`'s default.

Told from a rule's own hour by identity: among several rules it counts only where no other has a timeout.
"""


def only(rule: str, params: Mapping[str, object], known: tuple[str, ...]) -> None:
    """Refuse parameters that the rule does not have.

    Raises:
        ConfigError: Names the parameter and those that exist.
    """
    for name in params:
        if name not in known:
            msg = f"rule {rule!r} has no parameter {name!r}; it has {', '.join(known) or 'none'}"
            raise ConfigError(msg)


def duration(
    rule: str, params: Mapping[str, object], name: str, default: timedelta | None = None
) -> timedelta:
    """Read a duration: text with a unit, a timedelta, or seconds as journaled by ourselves (a float).

    Raises:
        ConfigError: It is missing and has no default, or is not a duration.
    """
    value = params.get(name)
    if value is None:
        if default is None:
            msg = f'rule {rule!r} needs {name!r}, such as {name} = "2h"'
            raise ConfigError(msg)
        return default
    try:
        found = _duration(value)
    except (OverflowError, ValueError) as error:
        msg = f"rule {rule!r}, {name}: {error}"
        raise ConfigError(msg) from None
    if found < timedelta(0):
        msg = f"rule {rule!r}, {name}: {format_duration(found)} is negative: a duration is zero or more"
        raise ConfigError(msg)
    return found


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    return timedelta(seconds=value) if isinstance(value, float) else parse_duration(str(value))


def flag(rule: str, params: Mapping[str, object], name: str, *, default: bool) -> bool:
    """Read a true or false.

    Raises:
        ConfigError: It is neither.
    """
    value = params.get(name, default)
    if not isinstance(value, bool):
        msg = f"rule {rule!r}, {name}: {value!r} is neither true nor false"
        raise ConfigError(msg)
    return value


def optional_flag(rule: str, params: Mapping[str, object], name: str) -> bool | None:
    """Read a true or false that may be left out.

    Raises:
        ConfigError: It is neither.
    """
    return None if params.get(name) is None else flag(rule, params, name, default=False)


def optional_duration(rule: str, params: Mapping[str, object], name: str) -> timedelta | None:
    """Read a duration that may be left out.

    Raises:
        ConfigError: It is not a duration.
    """
    return None if params.get(name) is None else duration(rule, params, name)


def dollars(rule: str, params: Mapping[str, object], name: str) -> float:
    """Read an amount of US dollars.

    Raises:
        ConfigError: It is missing, no number, or not more than 0.
    """
    value = params.get(name)
    if value is None:
        msg = f"rule {rule!r} needs {name!r}, such as {name} = 25: US dollars"
        raise ConfigError(msg)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        msg = f"rule {rule!r}, {name}: {value!r} is no number: write US dollars, such as 25 or 0.5"
        raise ConfigError(msg)
    if value <= 0:
        msg = f"rule {rule!r}, {name}: {value!r} is not more than 0"
        raise ConfigError(msg)
    return float(value)


def texts(rule: str, params: Mapping[str, object], name: str) -> tuple[str, ...]:
    """Read a text or a list of texts; nothing where it is left out.

    Raises:
        ConfigError: It is something else, or there is an empty one in it.
    """
    value = params.get(name)
    if value is None:
        return ()
    items = value if isinstance(value, (list, tuple)) else (value,)
    for item in items:
        if not isinstance(item, str) or not item.strip():
            msg = f"rule {rule!r}, {name}: {item!r} is no text in quotes"
            raise ConfigError(msg)
    return tuple(items)
