"""What all signals of a resource say together: three-valued, the one reading that every rule shares. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from reaper.core.history import History, Run, active_at, later
from reaper.core.model import Activity
from reaper.core.verdict import Reason

__all__ = ["WORK_SIGNALS", "Assessment", "assess", "busy_without_work"]

_signal = attrgetter("signal")
_bare = object.__new__
_ACTIVE, _IDLE = Activity.ACTIVE, Activity.IDLE  # looked up once: each of 50,000 signals is compared

WORK_SIGNALS = ("process", "gpu", "peers")
"""Signals of work itself, against which a kernel's claim to be busy can be held."""


@dataclass(slots=True, kw_only=True)  # made and dropped for each resource of a tick: frozen costs twice
class Assessment:
    """What the latest look says of a resource.

    Attributes:
        activity: ACTIVE, IDLE, or UNKNOWN: one signal at work decides, else one that is not known.
        reason: Why, in the words of a finding; IDLE where it is idle, however short.
        since: Since when: idle since, unknown since. None: at work, or its first interval is not complete.
        until: SAMPLING alone: when the first interval is complete.
        signals: The signals that decided it.
        detail: What they said, for a person.
    """

    activity: Activity
    reason: Reason
    since: datetime | None = None
    until: datetime | None = None
    signals: tuple[str, ...] = ()
    detail: str = ""


def assess(history: History, leave_out: Collection[str] = ()) -> Assessment:
    """Read all signals of the latest look, but for those left out. Pure."""
    if history.failing_since is not None:
        return Assessment(
            activity=Activity.UNKNOWN,
            reason=Reason.SOURCE_FAILING,
            since=history.failing_since,
            detail=history.failure,
        )
    seen, active, unknown = history.current(), [], []
    if leave_out:
        seen = [run for run in seen if run.signal not in leave_out]
    for run in seen:
        activity = run.activity
        if activity is _IDLE:
            continue
        if activity is _ACTIVE:
            active.append(run)
        else:
            unknown.append(run)
    if active:
        return _said(Activity.ACTIVE, Reason.ACTIVE, active, None)
    if unknown:
        since = min([run.held_since for run in unknown])
        return _said(Activity.UNKNOWN, Reason.EVIDENCE_UNKNOWN, unknown, since)
    missing = history.missing()
    if missing:
        return _missing(history, missing)
    if not seen:
        return _nothing(history)
    return _said(Activity.IDLE, Reason.IDLE, seen, _idle_since(history, seen, leave_out))


def busy_without_work(history: History) -> Run | None:
    """Give the run of `execution_state` where it alone says active, and evidence of work says idle. Pure."""
    busy = history.runs.get("execution_state")
    if busy is None or busy.activity is not Activity.ACTIVE or history.failing_since is not None:
        return None
    seen = history.current()
    if [run for run in seen if run.activity is Activity.ACTIVE] != [busy]:
        return None
    work = [run for run in seen if run.signal in WORK_SIGNALS]
    if any(run.signal == "process" for run in work) and all(run.activity is Activity.IDLE for run in work):
        return busy
    return None


def _said(activity: Activity, reason: Reason, runs: list[Run], since: datetime | None) -> Assessment:
    """Say what some signals say. Made without `__init__`, which takes three times as long."""
    runs.sort(key=_signal)
    said = _bare(Assessment)
    said.activity = activity
    said.reason = reason
    said.since = since
    said.until = None
    said.signals = tuple([run.signal for run in runs])
    said.detail = "; ".join([f"{run.signal}: {run.value}" for run in runs])
    return said


def _missing(history: History, missing: Sequence[str]) -> Assessment:
    """A required signal is not there: wait for a sampled one's first interval, else it is lost."""
    names = ", ".join(missing)
    first = history.first_seen_at + timedelta(seconds=history.resource.sample_interval_s)
    lost = [run.last_at for name in missing if (run := history.latest(name)) is not None]
    if not lost and history.last_seen_at < first:
        return Assessment(
            activity=Activity.UNKNOWN,
            reason=Reason.SAMPLING,
            until=first,
            signals=tuple(missing),
            detail=f"{names}: first interval not complete",
        )
    return Assessment(
        activity=Activity.UNKNOWN,
        reason=Reason.EVIDENCE_LOST,
        since=min(lost, default=history.first_seen_at),
        signals=tuple(missing),
        detail=f"{names}: required, but not there",
    )


def _nothing(history: History) -> Assessment:
    """The look saw that it is there, and nothing of what it does."""
    last = [run.last_at for run in history.runs.values()]
    return Assessment(
        activity=Activity.UNKNOWN,
        reason=Reason.EVIDENCE_LOST if last else Reason.NO_EVIDENCE,
        since=max(last, default=history.first_seen_at),
        signals=tuple(sorted(history.runs)),
        detail="the latest look brought no signal at all",
    )


def _idle_since(history: History, seen: Sequence[Run], leave_out: Collection[str]) -> datetime | None:
    """Date the latest activity that any signal shows, ever in this life.

    A source's own time of the last activity proves idleness back to itself. Where no signal has
    one, sampled signals prove no more than the time they cover: idle since they all cover it.
    """
    latest: datetime | None = None
    for run in history.runs.values():
        if run.signal not in leave_out:
            latest = later(latest, active_at(run))
    for run in seen:
        if run.evidence_at is not None:
            return latest
    for run in seen:
        latest = later(latest, run.held_since)
    return latest
