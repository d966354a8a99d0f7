"""Reading a rule's parameters, with errors that name the key."""

from collections.abc import Mapping
from datetime import timedelta

from reaper.core.durations import format_duration, parse_duration
from reaper.errors import ConfigError

__all__ = ["duration", "flag", "only"]


def only(rule: str, params: Mapping[str, object], known: tuple[str, ...]) -> None:
    """Refuse parameters that the rule does not have.

    Raises:
        ConfigError: Names the parameter and those that exist.
    """
    for name in params:
        if name not in known:
            msg = f"rule {rule!r} has no parameter {name!r}; it has {', '.join(known)}"
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
