"""What a decision is: all that `explain` prints. Pure values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import overload

from reaper.core.history import Run
from reaper.core.model import Activity, ResourceRef
from reaper.core.verdict import Finding, Reason, Verdict, Veto

__all__ = ["BLIND_AFTER", "Decision", "Evidence", "Signals"]

BLIND_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One signal as it stood when the decision was made.

    Attributes:
        signal: Its name.
        activity: What it said.
        value: What was seen.
        evidence_at: The source's own time of the last activity.
        observed_at: The last look that saw it say so; its age is the decision's `at` minus this.
        active_at: The latest activity it ever showed in this life.
        covers_from: Since when it has been saying so without a break, where that is known: sampled
            signals of an interval, unknown ones since the first look that could not read them.
        current: The latest look at the resource saw it.
    """

    signal: str
    activity: Activity
    value: str
    evidence_at: datetime | None
    observed_at: datetime
    active_at: datetime | None
    covers_from: datetime | None
    current: bool


class Signals(Sequence[Evidence]):
    """All evidence of one decision, made when it is read; equal to the tuple of it.

    A tick over 10,000 resources rests on 50,000 signals, and of few decisions anybody reads them. The runs
    are never changed, so it does not matter when that is.
    """

    __slots__ = ("_runs", "_seen_at")

    def __init__(self, runs: Sequence[Run], seen_at: datetime) -> None:
        """Take the newest run of each signal, and when the latest look saw the resource."""
        self._runs = runs
        self._seen_at = seen_at

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Evidence]:
        return iter(self._made())

    @overload
    def __getitem__(self, index: int) -> Evidence: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Evidence, ...]: ...
    def __getitem__(self, index: int | slice) -> Evidence | tuple[Evidence, ...]:
        return self._made()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (Signals, tuple)) and self._made() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._made())

    def __repr__(self) -> str:
        return repr(self._made())

    def _made(self) -> tuple[Evidence, ...]:
        return tuple(
            Evidence(
                signal=run.signal,
                activity=run.activity,
                value=run.value,
                evidence_at=run.evidence_at,
                observed_at=run.last_at,
                active_at=run.active_at,
                covers_from=run.covers_from,
                current=run.last_at == self._seen_at,
            )
            for run in sorted(self._runs, key=_by_signal)
        )


_by_signal = attrgetter("signal")


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class Decision:
    """What is to become of one resource, and why: all that `explain` prints. Never changed, though not frozen.

    A tick over 10,000 resources makes as many of these, and frozen ones take three times as long to make.
    The defaults are those of something that no policy is about.

    Attributes:
        id: Names it; made from `ref`, `at` and `basis`.
        at: The tick's instant.
        basis: Number of the last journal batch that it rests on.
        ref: The resource.
        verdict: All policies together.
        reason: Why; the first veto's when a reap is vetoed.
        policy: The policy that speaks for all.
        action: What that policy does in the end.
        since: Since when what the verdict rests on holds (idle since ...).
        due_at: The earliest instant at which it could be reaped if nothing happens; in the future, or None.
        wake_at: The earliest instant at which anything about it can change if nothing happens.
        enforced: Whether the verdict would be acted on (mode).
        notify: A warning is to be sent now.
        blind_since: Since when it is unknown or vetoed.
        findings: What each policy says.
        vetoes: What stands against a reap.
        evidence: Every signal.
        config_digest: The rules it was made under.
    """

    id: str
    at: datetime
    basis: int
    ref: ResourceRef
    verdict: Verdict = Verdict.KEEP
    reason: Reason = Reason.NO_POLICY
    policy: str | None = None
    action: str | None = None
    since: datetime | None = None
    due_at: datetime | None = None
    wake_at: datetime | None = None
    enforced: bool = False
    notify: bool = False
    blind_since: datetime | None = None
    findings: tuple[Finding, ...] = ()
    vetoes: tuple[Veto, ...] = ()
    evidence: Sequence[Evidence] = ()
    config_digest: str

    @property
    def to_act(self) -> bool:
        """Whether nothing stands against the act now."""
        return self.verdict is Verdict.REAP and not self.vetoes

    @property
    def blind(self) -> bool:
        """Whether it has been unknown or vetoed for more than a day."""
        return self.blind_since is not None and self.at - self.blind_since > BLIND_AFTER

    def essence(self) -> tuple[object, ...]:
        """Give what makes a decision worth a row of its own: of two in a row with equal essence one. Pure.

        While it waits, every use moves `since`; the evidence has that, one row a use is enough.
        """
        return (
            self.ref,
            self.verdict,
            self.reason,
            self.policy,
            self.action,
            self.enforced,
            self.blind,
            self.config_digest,
            None if self.verdict is Verdict.WAIT else self.since,
            tuple([veto.reason for veto in self.vetoes]),
        )
