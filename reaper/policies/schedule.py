"""The rule `schedule`: off at times that cron expressions name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from reaper.core.history import History
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.policies import params as read
from reaper.policies.crontimes import CronTimes, check_expression, check_zone
from reaper.policies.rest import IDLE_FOR, Term, wants_rest

__all__ = ["ScheduleRule"]

_INSTANT = timedelta(microseconds=1)
_JOINED = 1000
"""So many stretches of off time may follow one another without a break; then the beginning is no longer looked for."""
_MOST_TIES = 60
"""So many instants in a row that both `off` and `on` name; then there is no beginning to be expected."""
_LEAP = 9
"""A day of the year comes again within so many years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """What a schedule says from one instant on, up to another.

    Attributes:
        at: From when.
        ends_at: Up to when; it may say the same after that.
        off_since: When the off time began that it is in; None: it is in none.
        latest: The latest instant that `off` names.
        next_off: The next beginning.
    """

    at: datetime
    ends_at: datetime
    off_since: datetime | None
    latest: datetime | None
    next_off: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRule:
    """Reap what runs when it is to be off.

    An off time begins at an instant that `off` names, and ends at the next that `on` names. What was started in
    it is left alone until `off` comes again: somebody meant to. Where both name the same instant it is on. In
    spring, a time that the clock skips comes right after the gap; in autumn, one that it shows twice comes once.

    Attributes:
        off: When it is to be off: a cron expression (minute, hour, day, month, weekday) or a list of them.
        on: When that ends: the same.
        zone: The zone of these and of `holidays`: an IANA name. By default UTC.
        holidays: Days to be off from midnight to midnight whatever `on` says: `"2026-12-25"`, or `"12-25"` for
            every year.
        only_if_idle: Wait while a signal shows activity. By default true for `jupyter.*`, false elsewhere.
        idle_for: With `only_if_idle`, how long nothing must have shown activity: 5 minutes by default.

    Example:
        ```toml
        [[policies]]
        name = "nights-and-weekends"
        kind = "ec2.instance"
        rule = "schedule"
        off = "0 19 * * MON-FRI"
        on = "0 8 * * MON-FRI"
        zone = "Europe/Berlin"
        holidays = ["12-25", "12-26", "2027-03-26"]
        action = "stop"
        ```
    """

    off: tuple[str, ...]
    on: tuple[str, ...]
    zone: str = "UTC"
    holidays: tuple[str, ...] = ()
    only_if_idle: bool | None = None
    idle_for: timedelta | None = None
    _frames: list[_Frame] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> "ScheduleRule":
        """Build the rule from its parameters.

        Raises:
            ConfigError: A parameter is missing, unknown, or can't be used; it names the parameter.
        """
        read.only("schedule", params, ("off", "on", "zone", "holidays", "only_if_idle", "idle_for"))
        off, on = (_expressions(params, name) for name in ("off", "on"))
        for text in off:
            if text in on:
                msg = f"rule 'schedule', on: {text!r} is in 'off' too: it would never be off"
                raise ConfigError(msg)
        zone = params.get("zone", "UTC")
        if not isinstance(zone, str):
            msg = f"rule 'schedule', zone: {zone!r} is no text in quotes"
            raise ConfigError(msg)
        check_zone("schedule", zone)
        holidays = read.texts("schedule", params, "holidays")
        for text in holidays:
            _check_day(text)
        return cls(
            off=off,
            on=on,
            zone=zone,
            holidays=holidays,
            only_if_idle=read.optional_flag("schedule", params, "only_if_idle"),
            idle_for=read.optional_duration("schedule", params, "idle_for"),
        )

    @property
    def timeout(self) -> timedelta:
        """It waits for no length of time."""
        return read.UNTIMED

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say whether it is to be off now. Pure."""
        started = history.started_at()
        term = self._term(started, now)
        if term is None:
            return Finding(policy=policy, verdict=Verdict.WAIT, reason=Reason.ON_HOURS)
        if not wants_rest(history.ref.kind, only_if_idle=self.only_if_idle):
            return term.find(now, policy)
        return term.find_at_rest(history, now, policy, IDLE_FOR if self.idle_for is None else self.idle_for)

    def due(self, started: datetime, now: datetime) -> datetime | None:
        """Give when what was started then is to be off: since when, or when next; None: never. Pure."""
        term = self._term(started, now)
        return None if term is None else term.due

    def _term(self, started: datetime, now: datetime) -> Term | None:
        """Give the beginning that counts for what started then: the first not before, else the next to come."""
        frame = self._frame(now)
        due, waits = frame.next_off, Reason.ON_HOURS
        if frame.off_since is not None:
            due = frame.off_since
            if started > due:
                due, waits = self._first_since(started, frame), Reason.STARTED_OFF_HOURS
        if due is None:
            return None
        said = "off since" if due <= now else "off from"
        local = due.astimezone(ZoneInfo(self.zone))
        return Term(
            due=due,
            since=started,
            reaped=Reason.OFF_HOURS,
            waits=waits,
            detail=f"{said} {local:%Y-%m-%d %H:%M} {self.zone}",
        )

    def _first_since(self, started: datetime, frame: _Frame) -> datetime | None:
        """Give when `off` comes first, for what was started within an off time."""
        if frame.latest is None or started > frame.latest:
            return frame.next_off
        return self._times(self.off).after(started - _INSTANT)

    # The calendar. The same for every resource, so it is worked out once and kept while it holds.

    def _frame(self, now: datetime) -> _Frame:
        if not self._frames or not self._frames[0].at <= now < self._frames[0].ends_at:
            self._frames[:] = [self._framed(now)]
        return self._frames[0]

    def _framed(self, now: datetime) -> _Frame:
        off, on = self._times(self.off), self._times(self.on)
        ends = [off.after(now), on.after(now)]
        if self.holidays:
            today = now.astimezone(ZoneInfo(self.zone)).date()
            ends += [self._begin_of(today + timedelta(days=ahead)) for ahead in (1, 2)]
        return _Frame(
            at=now,
            ends_at=min([at for at in ends if at is not None and at > now], default=now),
            off_since=self._off_since(now),
            latest=off.until(now),
            next_off=self._next_off(now),
        )

    def _off_since(self, at: datetime) -> datetime | None:
        """Give when the off time began that holds an instant; None: it is on then."""
        begin = None
        for _ in range(_JOINED):
            start = self._stretch_start(at)
            if start is None:
                break
            begin = start
            at = start - _INSTANT
        return begin

    def _stretch_start(self, at: datetime) -> datetime | None:
        """Give when the holiday began, or else the stretch from `off` to `on`, that holds an instant."""
        day = at.astimezone(ZoneInfo(self.zone)).date()
        if self._is_holiday(day):
            return self._begin_of(day)
        off, on = self._times(self.off), self._times(self.on)
        last_off, last_on = off.until(at), on.until(at)
        if last_off is None or last_on is None:
            return last_off
        return off.after(last_on) if last_off > last_on else None

    def _next_off(self, now: datetime) -> datetime | None:
        """Give the next beginning: an instant of `off`, or the midnight of a holiday that finds it on."""
        off, on, zone = self._times(self.off), self._times(self.on), ZoneInfo(self.zone)
        edge, ties = off.after(now), 0
        while (
            edge is not None and on.until(edge) == edge and not self._is_holiday(edge.astimezone(zone).date())
        ):
            ties += 1
            edge = off.after(edge) if ties < _MOST_TIES else None
        for midnight in self._holidays_after(now):
            if edge is not None and midnight >= edge:
                break
            if self._stretch_start(midnight - _INSTANT) is None:
                return midnight
        return edge

    def _holidays_after(self, now: datetime) -> Iterator[datetime]:
        """Give the midnights at which holidays begin, the next one first."""
        year = now.astimezone(ZoneInfo(self.zone)).year
        for ahead in range(_LEAP):
            days = [day for text in self.holidays if (day := _day_in(text, year + ahead)) is not None]
            for day in sorted(days):
                begin = self._begin_of(day)
                if begin is not None and begin > now:
                    yield begin

    def _is_holiday(self, day: date) -> bool:
        return bool(self.holidays) and (f"{day:%Y-%m-%d}" in self.holidays or f"{day:%m-%d}" in self.holidays)

    def _begin_of(self, day: date) -> datetime | None:
        """Give the first instant of a day; None: the zone left it out."""
        zone = ZoneInfo(self.zone)
        begin = datetime.combine(day, time(), zone).astimezone(UTC)
        return begin if begin.astimezone(zone).date() == day else None

    def _times(self, expressions: tuple[str, ...]) -> CronTimes:
        return CronTimes(expressions=expressions, zone=self.zone)


def _expressions(params: Mapping[str, object], name: str) -> tuple[str, ...]:
    texts = read.texts("schedule", params, name)
    if not texts:
        hour = 19 if name == "off" else 8
        msg = f"rule 'schedule' needs {name!r}, such as {name} = \"0 {hour} * * MON-FRI\": a cron expression"
        raise ConfigError(msg)
    for text in texts:
        check_expression("schedule", name, text)
    return texts


def _check_day(text: str) -> None:
    for year in (2024, None):  # a leap year: the 29th of February is a day of the year
        try:
            if year is None:
                good = date.fromisoformat(text).isoformat() == text
            else:
                good = date.fromisoformat(f"{year}-{text}").strftime("%m-%d") == text
        except ValueError:
            continue
        if good:
            return
    msg = f'rule \'schedule\', holidays: {text!r} is no day: write "2026-12-25", or "12-25" for every year'
    raise ConfigError(msg)


def _day_in(text: str, year: int) -> date | None:
    """Give the day that a holiday means in a year; None: it has none."""
    try:
        day = date.fromisoformat(text if text.count("-") > 1 else f"{year}-{text}")
    except ValueError:
        return None
    return day if day.year == year else None
