"""How commands end that count what needs attention: `coverage`, and others to come."""

from enum import StrEnum

import typer

__all__ = ["MOST", "NOTHING_SEEN", "SEEN_IN_PART", "ExitHow", "ExitStatusOption", "Sight", "counted"]

MOST, NOTHING_SEEN, SEEN_IN_PART = 99, 100, 101
_NAGIOS_OK, _NAGIOS_WARNING, _NAGIOS_CRITICAL, _NAGIOS_UNKNOWN = range(4)


class ExitHow(StrEnum):
    """What the exit status tells."""

    COUNT = "count"
    NAGIOS = "nagios"
    ZERO = "zero"


ExitStatusOption = typer.Option(
    "--exit-status",
    help="How many need attention (99 at most; 100 nothing could be seen, 101 seen in part); as Nagios plugins; or 0.",
)
"""`--exit-status count|nagios|zero`."""


class Sight(StrEnum):
    """How much could be seen."""

    WHOLE = "whole"
    PART = "part"
    NOTHING = "nothing"


def counted(how: ExitHow, count: int, sight: Sight, *, critical: int = 0) -> int:
    """Give the exit status. Pure.

    Args:
        how: What it is to tell.
        count: How many need attention.
        sight: What could not be seen may need it too, so a part is never a count.
        critical: How many of them at once.
    """
    match how:
        case ExitHow.ZERO:
            return 0
        case ExitHow.NAGIOS:
            if sight is Sight.NOTHING:
                return _NAGIOS_UNKNOWN
            if count:
                return _NAGIOS_CRITICAL if critical else _NAGIOS_WARNING
            return _NAGIOS_UNKNOWN if sight is Sight.PART else _NAGIOS_OK
        case _:
            return {Sight.NOTHING: NOTHING_SEEN, Sight.PART: SEEN_IN_PART}.get(sight, min(count, MOST))
