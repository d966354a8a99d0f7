"""The instants that cron expressions name in a zone, over the changes of its clocks. Pure.

As Debian's cron, and as cronsim implements it: a time that the clock skips in spring comes at the first minute
after the gap; one that it shows twice in autumn comes once, unless the minute or the hour begins with `*`.

cronsim drops which of the two readings of an hour it starts from, and can then answer an instant of the past. So
it is started some hours early, always runs forward, and what is not wanted yet is passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from reaper.errors import ConfigError

__all__ = ["CronTimes", "check_expression", "check_zone"]

_EARLY = timedelta(hours=4)
"""More than any clock has been set back by since 1970 (Casey Station: 3 h)."""
_BACK = (
    timedelta(0),
    timedelta(days=1),
    timedelta(days=7),
    timedelta(days=32),
    timedelta(days=367),
    timedelta(days=366 * 8),
    timedelta(days=366 * 40),
)
"""How far to look back for the latest instant, one after the other: it costs as many steps as there were instants."""
_FIELDS = 5
_TRIAL = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CronTimes:
    """All instants that one of several expressions names.

    Attributes:
        expressions: Five fields each: minute, hour, day of the month, month, weekday.
        zone: IANA name of the zone that they are meant in.
    """

    expressions: tuple[str, ...]
    zone: str

    def after(self, at: datetime) -> datetime | None:
        """Give the first instant later than another; None: none in the next 50 years. Pure."""
        found = [next((one for one in self._from(text, at) if one > at), None) for text in self.expressions]
        return min([one for one in found if one is not None], default=None)

    def until(self, at: datetime) -> datetime | None:
        """Give the last instant that is not later than another; None: none in the 40 years before. Pure."""
        for back in _BACK:
            found = [self._last(text, at - back, at) for text in self.expressions]
            latest = max([one for one in found if one is not None], default=None)
            if latest is not None:
                return latest
        return None

    def _last(self, expression: str, start: datetime, at: datetime) -> datetime | None:
        last = None
        for one in self._from(expression, start):
            if one > at:
                break
            last = one
        return last

    def _from(self, expression: str, start: datetime) -> Iterator[datetime]:
        """Give the instants from some hours before another on, in UTC."""
        for local in CronSim(expression, (start - _EARLY).astimezone(ZoneInfo(self.zone))):
            yield local.astimezone(UTC)


def check_expression(rule: str, name: str, expression: str) -> None:
    """Refuse what is no cron expression, or names no instant.

    Raises:
        ConfigError: Names the rule's parameter, and what to write.
    """
    hint = 'write minute, hour, day, month and weekday, such as "0 19 * * MON-FRI"'
    if len(expression.split()) != _FIELDS:
        msg = f"rule {rule!r}, {name}: {expression!r} has not five fields: {hint}"
        raise ConfigError(msg)
    try:
        first = CronTimes(expressions=(expression,), zone="UTC").after(_TRIAL)
    except CronSimError as error:
        msg = f"rule {rule!r}, {name}: {expression!r} is no cron expression ({error}): {hint}"
        raise ConfigError(msg) from None
    if first is None:
        msg = f"rule {rule!r}, {name}: {expression!r} never comes: {hint}"
        raise ConfigError(msg)


def check_zone(rule: str, zone: str) -> None:
    """Refuse what is no zone.

    Raises:
        ConfigError: Names the parameter, and what to write.
    """
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        msg = f"rule {rule!r}, zone: there is no zone {zone!r}: write an IANA name, such as Europe/Berlin, or UTC"
        raise ConfigError(msg) from None
