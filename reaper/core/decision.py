"""What a decision is: all that `explain` prints. Pure values."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.core.model import Activity, ResourceRef
from reaper.core.verdict import Finding, Reason, Verdict, Veto

__all__ = ["BLIND_AFTER", "Decision", "Evidence"]

BLIND_AFTER = timedelta(days=1)


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class Evidence:
    """One signal as it stood when the decision was made. Never changed, though not frozen.

    A tick over 10,000 resources makes 50,000 of these, and frozen ones take nearly twice as long.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to become of one resource, and why: all that `explain` prints.

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
    evidence: tuple[Evidence, ...] = ()
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
            tuple(veto.reason for veto in self.vetoes),
        )
