"""What CloudWatch's datapoints say of an instance. Pure.

A datapoint speaks of a whole period, and comes five to ten minutes late. What is folded here is kept from look to look
(`Known`), so that each look asks about the time since the last one only.

Idleness is read from what was there, never from what was not: periods without a datapoint are counted, and too many of
them make a signal UNKNOWN.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from reaper.core.model import Activity

__all__ = [
    "FRESH",
    "HOUR",
    "PERIOD",
    "Known",
    "Point",
    "Said",
    "Series",
    "at_work",
    "busy_bytes",
    "fold",
    "fresh",
    "judge",
    "kept",
    "lag",
    "moments",
    "restored",
]

PERIOD = timedelta(minutes=5)
"""What one datapoint speaks of: basic monitoring gives no finer ones, and those of five minutes are kept 63 days."""

HOUR = timedelta(hours=1)

FRESH = timedelta(minutes=15)
"""The newest datapoint must end so recently: CloudWatch lags by five to ten minutes."""

_SETTLED_AFTER = timedelta(minutes=20)
"""A period that ended so long ago has its datapoint, or none."""

_LEAST_COVERAGE = 0.9

_LONG_GAP = 3
"""Periods without a datapoint in a row: anything may have happened in them, so what holds begins anew after them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Series = Mapping[datetime, float]
"""Datapoints by the instant at which their period begins."""


class Said(NamedTuple):
    """What a signal says, before it becomes an observation."""

    activity: Activity
    evidence_at: datetime | None
    value: str


class Point(NamedTuple):
    """What one period shows: when it begins, whether there was work, whether everything in it was seen."""

    at: datetime
    active: bool
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one signal of one life of an instance.

    Attributes:
        active_at: End of the latest period with activity; else the launch, or as far back as was asked.
        seen: Whether that was activity that a datapoint shows.
        missing: Periods since then without a datapoint.
        whole_since: End of the latest long gap in them; `active_at` where there was none.
        missing_since: Periods since that without a datapoint.
        gap: How many of the latest periods in a row had none.
        settled_at: All periods that begin before this are counted.
        newest_at: End of the newest period with a datapoint; None: there was none ever.
    """

    active_at: datetime
    seen: bool = False
    missing: int = 0
    whole_since: datetime
    missing_since: int = 0
    gap: int = 0
    settled_at: datetime
    newest_at: datetime | None = None

    @classmethod
    def begin(cls, since: datetime) -> "Known":
        """Know nothing yet of the time after an instant; the period that holds it is not expected to be whole."""
        since = since.replace(microsecond=0)
        return cls(active_at=since, whole_since=since, settled_at=floor(since) + PERIOD)


def floor(at: datetime) -> datetime:
    """Give the beginning of the period that holds an instant. Pure."""
    return _EPOCH + (at - _EPOCH) // PERIOD * PERIOD


def moments(begin: datetime, end: datetime) -> Iterable[datetime]:
    """Give the beginnings of all periods that begin in a stretch of time. Pure."""
    at = begin
    while at < end:
        yield at
        at += PERIOD


def at_work(series: Sequence[Series], least: float) -> list[Point]:
    """Find work in the greatest values of one or several series: CPUs, GPUs. Pure.

    A period is whole only if all of them have it: an idle GPU says nothing of the one beside it.
    """
    instants = sorted(set().union(*series)) if series else []
    return [
        Point(at, any(one.get(at, 0.0) >= least for one in series), whole=all(at in one for one in series))
        for at in instants
    ]


def busy_bytes(series: Sequence[Series], per_hour: float) -> list[Point]:
    """Find work in counts of bytes that are added up: received and sent, read and written. Pure.

    A period shows work if its hour, up to its end, has as much as an hour of work must have, and it has its own share
    of that: agents chatter all the time, and what they say in three days is no work.
    """
    sums: dict[datetime, float] = {}
    for one in series:
        for at, value in one.items():
            sums[at] = sums.get(at, 0.0) + value
    share = per_hour * (PERIOD / HOUR)
    points = []
    for at in sorted(sums):
        begin = at + PERIOD - HOUR
        active = (
            sums[at] >= share and sum(sums.get(one, 0.0) for one in moments(begin, at + PERIOD)) >= per_hour
        )
        points.append(Point(at, active, whole=all(at in one for one in series)))
    return points


@dataclass(slots=True)
class _Tally:
    """`Known`, while periods are counted."""

    active_at: datetime
    seen: bool
    missing: int
    whole_since: datetime
    missing_since: int
    gap: int

    def count(self, at: datetime, point: Point | None) -> None:
        """Count a period."""
        if point is not None and point.active:
            self.active_at = self.whole_since = at + PERIOD
            self.seen = True
            self.missing = self.missing_since = self.gap = 0
        elif point is None or not point.whole:
            self.missing += 1
            self.missing_since += 1
            self.gap += 1
        else:
            if self.gap >= _LONG_GAP:
                self.whole_since, self.missing_since = at, 0
            self.gap = 0


def fold(known: Known, points: Iterable[Point], now: datetime) -> tuple[Known, Known]:
    """Count the periods that were asked about.

    Args:
        known: What was known before.
        points: From `known.settled_at` on; earlier ones are not counted again.
        now: The look's instant.

    Returns:
        What is to be kept: periods that are too young to be settled are counted again the next time. And what
        holds now.
    """
    found = {point.at: point for point in points if point.at >= known.settled_at and point.at < now}
    ends = [at + PERIOD for at, point in found.items() if point.whole or point.active]
    newest = max([*ends, *([] if known.newest_at is None else [known.newest_at])], default=None)
    tally = _Tally(
        known.active_at, known.seen, known.missing, known.whole_since, known.missing_since, known.gap
    )
    end = known.settled_at if newest is None else max(newest, known.settled_at)
    horizon = max(known.settled_at, min(end, floor(now - _SETTLED_AFTER)))
    for at in moments(known.settled_at, horizon):
        tally.count(at, found.get(at))
    settled = _known(tally, horizon, newest)
    for at in moments(horizon, end):
        tally.count(at, found.get(at))
    return settled, _known(tally, end, newest)


def _known(tally: _Tally, settled_at: datetime, newest: datetime | None) -> Known:
    return Known(
        active_at=tally.active_at,
        seen=tally.seen,
        missing=tally.missing,
        whole_since=tally.whole_since,
        missing_since=tally.missing_since,
        gap=tally.gap,
        settled_at=settled_at,
        newest_at=newest,
    )


def judge(held: Known, now: datetime, *, whole_for: timedelta, what: str, none: str) -> Said:
    """Say what a signal says.

    Args:
        held: What holds now.
        now: The look's instant.
        whole_for: After a long gap the samples must be whole for so long: the shortest timeout.
        what: What activity is, for a person: `0.5 core of CPU`.
        none: What is wrong where there was no datapoint ever.
    """
    if held.newest_at is None:
        return Said(Activity.UNKNOWN, None, none)
    if now - held.newest_at > FRESH:
        return Said(
            Activity.UNKNOWN, None, "not enough samples: CloudWatch's newest is more than 15 minutes old"
        )
    if held.whole_since > held.active_at:
        return _after_gap(held, held.newest_at, now, whole_for)
    if not _covered(held.active_at, held.newest_at, held.missing):
        since = f"{held.active_at:%Y-%m-%d %H:%M}Z"
        return Said(Activity.UNKNOWN, None, f"not enough samples: fewer than 90 % since {since}")
    value = f"{what} last then, by CloudWatch" if held.seen else f"never {what} since, by CloudWatch"
    return Said(Activity.IDLE, min(held.active_at, now), value)


def _after_gap(held: Known, newest: datetime, now: datetime, whole_for: timedelta) -> Said:
    """Judge by what came after the latest long gap alone: nothing is known of what was done in it."""
    since = f"{held.whole_since:%Y-%m-%d %H:%M}Z"
    if not _covered(held.whole_since, newest, held.missing_since):
        return Said(Activity.UNKNOWN, None, f"not enough samples: fewer than 90 % since {since}")
    if newest - held.whole_since < whole_for:
        detail = f"not enough samples: whole again since {since} only, after a gap of 15 minutes or more"
        return Said(Activity.UNKNOWN, None, detail)
    return Said(
        Activity.IDLE, min(held.whole_since, now), "nothing since CloudWatch has samples again, after a gap"
    )


def _covered(since: datetime, newest: datetime, missing: int) -> bool:
    expected = max(0, (newest - floor(since)) // PERIOD - 1)
    return missing <= expected * (1 - _LEAST_COVERAGE)


def fresh(points: Iterable[Point], now: datetime) -> bool:
    """Tell whether an answer itself has a datapoint of the last minutes. Pure.

    An answer that is complete and empty proves nothing: the newest datapoint that is known may be an earlier answer's.
    """
    return any((point.whole or point.active) and now - (point.at + PERIOD) <= FRESH for point in points)


def lag(held: Iterable[Known], now: datetime) -> timedelta:
    """Give how far behind the look the newest datapoints begin, rounded up to whole periods. Pure.

    Work that began in the last seconds of a period does not show in it: only one that begins afterwards is sure to.
    """
    newest = [one.newest_at for one in held if one.newest_at is not None]
    behind = max((now - at for at in newest if now - at <= FRESH), default=PERIOD)
    return max(timedelta(0), -(-behind // PERIOD) * PERIOD) + PERIOD


def kept(known: Known) -> list[int | None]:
    """Write it for the memo, short: there may be many. Pure."""
    return [
        _seconds(known.active_at),
        int(known.seen),
        known.missing,
        _seconds(known.whole_since),
        known.missing_since,
        known.gap,
        _seconds(known.settled_at),
        None if known.newest_at is None else _seconds(known.newest_at),
    ]


def restored(memo: object) -> Known | None:
    """Read it back; None: it can't be read, and everything is asked about anew. Pure."""
    if not isinstance(memo, list):
        return None
    try:
        active, seen, missing, whole, missing_since, gap, settled, newest = memo
        return Known(
            active_at=_instant(active),
            seen=bool(seen),
            missing=int(missing),
            whole_since=_instant(whole),
            missing_since=int(missing_since),
            gap=int(gap),
            settled_at=_instant(settled),
            newest_at=None if newest is None else _instant(newest),
        )
    except (OSError, OverflowError, TypeError, ValueError):
        return None


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
