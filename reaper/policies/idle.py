"""The rule `idle`: nothing has shown activity for a whole timeout."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reaper.core.assess import WORK_SIGNALS, Assessment, assess, busy_without_work
from reaper.core.history import History, Run
from reaper.core.model import Activity
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.policies import params as read

__all__ = ["IdleRule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleRule:
    """Reap what no signal has shown active for `timeout`.

    Three-valued: a signal that is ACTIVE means WAIT, whatever else is unknown; otherwise one
    that is UNKNOWN, lost or required and missing means UNKNOWN; only when all are IDLE does the
    time since the latest activity count.

    Attributes:
        timeout: How long nothing may have shown activity.
        busy_timeout: Off (None) by default. A kernel that says busy for longer, with no process or GPU
            evidence of work in that time, counts as idle since then. It never fires without such
            evidence, and can't tell a deadlock from waiting on a remote cluster.

    Example:
        ```toml
        [[policies]]
        name = "quiet-kernels"
        kind = "jupyter.kernel"
        rule = "idle"
        timeout = "2h"
        busy_timeout = "12h"
        ```
    """

    timeout: timedelta
    busy_timeout: timedelta | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> "IdleRule":
        """Build the rule from its parameters `timeout` and `busy_timeout`.

        Raises:
            ConfigError: A parameter is missing, unknown or no duration.
        """
        read.only("idle", params, ("timeout", "busy_timeout"))
        busy = read.duration("idle", params, "busy_timeout", timedelta(0))
        return cls(timeout=read.duration("idle", params, "timeout"), busy_timeout=busy or None)

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say whether it has been idle for the timeout. Pure."""
        busy = busy_without_work(history)
        if busy is not None:
            return self._busy(history, busy, now, policy)
        found = assess(history)
        if found.activity is Activity.IDLE and found.since is not None:
            reasons = Reason.IDLE, Reason.IDLE_NOT_LONG_ENOUGH
            return _by(found.since + self.timeout, now, policy, reasons, found.since, found)
        waits = found.reason in (Reason.ACTIVE, Reason.SAMPLING)
        due = history.last_seen_at + self.timeout if found.reason is Reason.ACTIVE else found.until
        return Finding(
            policy=policy,
            verdict=Verdict.WAIT if waits else Verdict.UNKNOWN,
            reason=found.reason,
            since=found.since,
            due_at=due if due is not None and due > now else None,
            evidence=found.signals,
            detail=found.detail,
        )

    def _busy(self, history: History, busy: Run, now: datetime, policy: str) -> Finding:
        """It says busy, and its processes show no work: `busy_timeout` says how long that is believed."""
        rest = assess(history, leave_out=(busy.signal,))
        if self.busy_timeout is None or rest.activity is not Activity.IDLE:
            due = history.last_seen_at + self.timeout
            return Finding(
                policy=policy,
                verdict=Verdict.WAIT,
                reason=Reason.BUSY_WITHOUT_WORK,
                due_at=due if due > now else None,
                evidence=(busy.signal,),
                detail=f"{busy.signal}: {busy.value}",
            )
        since = max(busy.held_since, *_quiet_since(history, busy, rest))
        reasons = Reason.BUSY_TIMEOUT, Reason.BUSY_WITHOUT_WORK
        found = replace(
            rest,
            signals=(busy.signal, *rest.signals),
            detail=f"{busy.signal}: {busy.value}; {rest.detail}",
        )
        return _by(since + self.busy_timeout, now, policy, reasons, since, found)


def _quiet_since(history: History, busy: Run, rest: Assessment) -> list[datetime]:
    """Date all that speaks against a kernel being stuck: output, saves, and time without process evidence."""
    covered = [run.held_since for run in history.current() if run.signal in WORK_SIGNALS]
    return [at for at in (busy.evidence_at, rest.since, *covered) if at is not None]


def _by(
    due: datetime,
    now: datetime,
    policy: str,
    reasons: tuple[Reason, Reason],
    since: datetime,
    found: Assessment,
) -> Finding:
    """Reap from an instant on (the first reason), and wait for it before (the second)."""
    return Finding(
        policy=policy,
        verdict=Verdict.REAP if now >= due else Verdict.WAIT,
        reason=reasons[0] if now >= due else reasons[1],
        since=since,
        due_at=due,
        evidence=found.signals,
        detail=found.detail,
    )
