"""Being due at an instant, and at rest by then where that is asked for: shared by rules of time. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.core.assess import Assessment, assess
from reaper.core.history import History
from reaper.core.model import Activity
from reaper.core.verdict import Finding, Reason, Verdict

__all__ = ["IDLE_FOR", "Term", "wants_rest"]

IDLE_FOR = timedelta(minutes=5)
"""How long nothing must have shown activity, by default and at most: nobody wants a kernel to go between two cells."""


def wants_rest(kind: str, *, only_if_idle: bool | None) -> bool:
    """Tell whether something at work is to be waited for; by default only for `jupyter.*`. Pure."""
    return kind.startswith("jupyter.") if only_if_idle is None else only_if_idle


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """When a rule of time says that something is to go, in the words of a finding.

    Attributes:
        due: When; what it does matters only then.
        since: Since when what the rule speaks of holds; it must not move when the term has come, or the
            warning of it would be void.
        reaped: The reason when it has come.
        waits: The reason before.
        detail: More for a person.
    """

    due: datetime
    since: datetime | None
    reaped: Reason
    waits: Reason
    detail: str = ""

    def find(self, now: datetime, policy: str) -> Finding:
        """Say whether it has come, whatever shows activity. Pure."""
        return self._by(self.due, now, policy, self.waits, self.since)

    def find_at_rest(self, history: History, now: datetime, policy: str, idle_for: timedelta) -> Finding:
        """Say whether it has come and nothing has shown activity for `idle_for`. Pure.

        Unknown is never idle; before the term it does not matter yet.
        """
        found = assess(history)
        early = now < self.due
        if found.activity is Activity.IDLE and found.since is not None:
            waits = self.waits if early else Reason.IDLE_NOT_LONG_ENOUGH
            since = found.since if self.since is None else max(self.since, found.since)
            return self._by(max(self.due, found.since + idle_for), now, policy, waits, since, found)
        due = self.due
        if found.reason is Reason.ACTIVE:
            due = max(due, history.last_seen_at + idle_for)
        waits_for = found.until if found.reason is Reason.SAMPLING and not early else due
        decided = found.reason in (Reason.ACTIVE, Reason.SAMPLING)
        return Finding(
            policy=policy,
            verdict=Verdict.WAIT if early or decided else Verdict.UNKNOWN,
            reason=self.waits if early else found.reason,
            since=None if early else found.since,
            due_at=waits_for if waits_for is not None and waits_for > now else None,
            evidence=found.signals,
            detail=self._detail(found),
        )

    def _by(
        self,
        due: datetime,
        now: datetime,
        policy: str,
        waits: Reason,
        since: datetime | None,
        found: Assessment | None = None,
    ) -> Finding:
        """Reap from an instant on, and wait for it before."""
        return Finding(
            policy=policy,
            verdict=Verdict.REAP if now >= due else Verdict.WAIT,
            reason=self.reaped if now >= due else waits,
            since=since,
            due_at=due,
            evidence=found.signals if found else (),
            detail=self._detail(found),
        )

    def _detail(self, found: Assessment | None) -> str:
        return "; ".join(filter(None, (self.detail, found.detail if found else "")))
