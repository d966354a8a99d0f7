"""Durations given on the command line."""

from datetime import timedelta

from reaper.core.durations import parse_duration
from reaper.errors import UsageError

__all__ = ["duration"]


def duration(option: str, text: str) -> timedelta:
    """Read a duration that must be more than nothing.

    Raises:
        UsageError: It is none; the message names the option and says what to write.
    """
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if found <= timedelta(0):
        raise UsageError(f"{option}: {text!r} is no time at all")
    return found
