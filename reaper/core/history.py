"""What is known of one life of one resource: a fold over observations, kept up to date.

Nothing here reads older rows again: each signal keeps its newest run of equal evidence and, from
all runs before it, the one figure decisions need, the latest activity.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reaper.core.facts import LedgerEntry, NoticeGiven, PolicyApplied
from reaper.core.model import Activity, Observation, Poll, Resource, ResourceRef

__all__ = ["Climbed", "History", "Run", "active_at", "gap_of", "later"]

_bare = object.__new__
_ACTIVE = Activity.ACTIVE  # looked up once: each of 50,000 signals is compared


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class Run:
    """A run of equal evidence of one signal: one row of the journal. Never changed, though not frozen.

    A look at 10,000 resources makes 50,000 of these, and frozen ones take nearly twice as long.

    Attributes:
        signal: Which signal.
        activity: What it said all along.
        evidence_at: As in `Observation`.
        value: As in `Observation`.
        covers_from: Since when it has been saying so without a break, where that is longer than this run:
            the start of its sampled interval or of several that join, or of the first of several runs
            that were split only by their texts or by a look that was not about this resource.
        first_at: When it was seen first.
        last_at: When it was seen last.
        looks: How many looks saw it.
        active_before: The latest activity that earlier runs of this signal showed.
    """

    signal: str
    activity: Activity
    evidence_at: datetime | None
    value: str
    covers_from: datetime | None
    first_at: datetime
    last_at: datetime
    looks: int = 1
    active_before: datetime | None = None

    @property
    def active_at(self) -> datetime | None:
        """The latest activity this signal has shown up to `last_at`; None: none so far."""
        return active_at(self)

    @property
    def held_since(self) -> datetime:
        """Since when it has been saying so without a break, earlier runs included."""
        return self.first_at if self.covers_from is None else self.covers_from

    def continued_by(self, observation: Observation, at: datetime, joins: datetime | None) -> "Run | None":
        """Give this run with one more look that saw the same; None: the observation opens another. Pure.

        A run is split on any change, when a look at its source in between did not see it, and
        at a gap that is too long (a past decision must replay with what was known then).

        Made without `__init__`, which takes three times as long: a look at 10,000 resources extends 50,000.

        Args:
            observation: What the look saw.
            at: When.
            joins: The look before it, if it is near enough to join on to.
        """
        if not (
            observation.activity is self.activity
            and joins == self.last_at
            and observation.evidence_at == self.evidence_at
            and observation.value == self.value
        ):
            return None
        run = _bare(Run)
        run.signal = self.signal
        run.activity = self.activity
        run.evidence_at = self.evidence_at
        run.value = self.value
        run.covers_from = self.covers_from
        run.first_at = self.first_at
        run.last_at = at
        run.looks = self.looks + 1
        run.active_before = self.active_before
        return run

    @classmethod
    def opened_by(
        cls, observation: Observation, at: datetime, before: "Run | None", max_gap: timedelta
    ) -> "Run":
        """Open a run that continues no other. Pure.

        Args:
            observation: What it says first.
            at: The look that saw it.
            before: The signal's newest run so far.
            max_gap: Looks further apart say nothing of the time between them by themselves.
        """
        return cls(
            signal=observation.signal,
            activity=observation.activity,
            evidence_at=observation.evidence_at,
            value=observation.value,
            covers_from=_covers_from(observation, at, before, max_gap),
            first_at=at,
            last_at=at,
            active_before=None if before is None else before.active_at,
        )


def _covers_from(
    observation: Observation, at: datetime, before: Run | None, max_gap: timedelta
) -> datetime | None:
    """Say since when a new run's word has held, looking back at the run before it where the two join."""
    told = observation.covers_from
    if before is None or before.activity is not observation.activity:
        return told
    if observation.activity is Activity.UNKNOWN:
        return before.held_since
    near = at - before.last_at <= max_gap
    if told is not None:
        return min(told, before.held_since) if near or told <= before.last_at else told
    dated = observation.evidence_at is not None
    same = observation.evidence_at == before.evidence_at and observation.value == before.value
    quiet = observation.activity is Activity.IDLE and not dated and before.evidence_at is None
    if (same and (near or dated)) or (quiet and near):
        return before.held_since
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbed:
    """The last act of a policy's ladder on a resource that succeeded.

    Attributes:
        action: What was done.
        started_at: When it was asked for.
        at: When it had succeeded; the next step counts from here.
    """

    action: str
    started_at: datetime
    at: datetime


@dataclass(slots=True, kw_only=True)
class History:
    """All that is known of one life of one resource.

    Attributes:
        resource: As the latest look saw it.
        source: Name of the source that sees it.
        first_seen_at: First look that saw this life.
        last_seen_at: Latest look that saw it.
        failing_since: Since when looks at its source are incomplete and do not see it; None: seen.
        failure: What was wrong with the latest such look.
        runs: The newest run of each signal.
        applied: By policy name, since when it applies in its present form.
        notices: Latest delivered notice by (policy, topic).
        attempts: First and latest undelivered attempt, and their number, by (policy, topic), since the
            latest delivery.
        action: The latest ledger entry of an action on it.
        failures: Failed actions in a row.
        tried: The latest STARTED entry of an action on it.
        climbed: How far each policy's ladder came, by policy name.
        hold_tags: Since when each tag that holds it is there, by the tag as written.
        children_active_at: The latest activity of anything that lived in it and is gone; a child that we did not
            reap was active when it left.
    """

    resource: Resource
    source: str
    first_seen_at: datetime
    last_seen_at: datetime
    failing_since: datetime | None = None
    failure: str = ""
    runs: dict[str, Run] = field(default_factory=dict)
    applied: dict[str, PolicyApplied] = field(default_factory=dict)
    notices: dict[tuple[str, str], NoticeGiven] = field(default_factory=dict)
    attempts: dict[tuple[str, str], tuple[datetime, datetime, int]] = field(default_factory=dict)
    action: LedgerEntry | None = None
    failures: int = 0
    tried: LedgerEntry | None = None
    climbed: dict[str, Climbed] = field(default_factory=dict)
    hold_tags: dict[str, datetime] = field(default_factory=dict)
    children_active_at: datetime | None = None

    @property
    def ref(self) -> ResourceRef:
        """Which life of which thing."""
        return self.resource.ref

    def latest(self, signal: str) -> Run | None:
        """Give the newest run of a signal, also when the latest look did not see it. Pure."""
        return self.runs.get(signal)

    def current(self) -> list[Run]:
        """Give the runs that the latest look at it saw. Pure."""
        seen = self.last_seen_at
        return [run for run in self.runs.values() if run.last_at == seen]

    def missing(self) -> list[str]:
        """Give the required signals that the latest look at it did not bring. Pure."""
        seen = self.last_seen_at
        return [
            name
            for name in self.resource.required_signals
            if (run := self.runs.get(name)) is None or run.last_at != seen
        ]

    def idle_since(self) -> datetime | None:
        """Give the latest activity that any signal shows, ever in this life; None: none shows any. Pure."""
        latest: datetime | None = None
        for run in self.runs.values():
            latest = later(latest, active_at(run))
        return latest

    @property
    def dead(self) -> bool:
        """Whether the latest look found it dead: it holds nothing and goes at once."""
        run = self.runs.get("execution_state")
        return run is not None and run.value == "dead" and run.last_at == self.last_seen_at

    def note_failure(self, poll: Poll) -> None:
        """Remember a look that was to see it and did not."""
        if self.failing_since is None:
            self.failing_since = poll.started_at
        self.failure = poll.error or ""

    def note_notice(self, notice: NoticeGiven) -> None:
        """Remember a try to tell people of it."""
        key = (notice.policy, notice.topic)
        if notice.delivered:
            self.notices[key] = notice
            self.attempts.pop(key, None)
            return
        first, _, count = self.attempts.get(key, (notice.at, notice.at, 0))
        self.attempts[key] = (first, notice.at, count + 1)

    def coverage(self, signal: str) -> tuple[datetime, datetime] | None:
        """Give the interval that a sampled signal's newest evidence speaks of; None: none yet. Pure."""
        run = self.runs.get(signal)
        if run is None or run.covers_from is None:
            return None
        return run.covers_from, run.last_at

    def started_at(self) -> datetime:
        """Give when this life began, or when it was first seen where no source knows. Pure."""
        return self.resource.started_at or self.first_seen_at


def gap_of(source: str, usual: timedelta, slow: Mapping[str, timedelta]) -> timedelta:
    """Give the longest gap between two looks at a source that its evidence bridges. Pure.

    Args:
        source: Its name.
        usual: That of sources in general.
        slow: That of sources that are looked at more seldom, by the beginning of their names.
    """
    for prefix, gap in slow.items():
        if source.startswith(prefix):
            return gap
    return usual


def active_at(run: Run) -> datetime | None:
    """Give the latest activity that a run has shown up to its last look; None: none. Pure."""
    before, at = run.active_before, run.evidence_at
    if before is not None and (at is None or before > at):
        at = before
    if run.activity is _ACTIVE and (at is None or run.last_at > at):
        at = run.last_at
    return at


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """Give the later of two instants, either of which may be unknown. Pure."""
    if one is None:
        return other
    return one if other is None else max(one, other)
