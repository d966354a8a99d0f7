"""Ladders: what becomes of a resource after a policy's first act on it. Pure.

A later step acts only on what the same ladder stopped itself: the same life, stopped, at the time of our own act. What
anybody else stopped or started is left alone for good.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.history import Climbed, History
from reaper.core.model import Resource, Stopped
from reaper.core.ruleset import PolicySpec
from reaper.core.verdict import Finding, Reason, Verdict

__all__ = ["IN_TRANSITION", "changing", "found_stopped", "rung", "step", "stopped_by_us"]

IN_TRANSITION = "in_transition"
"""Reason of the obstacle of a thing between two states."""

_MARKS = frozenset({"tag"})
"""Acts after which a thing runs on: the next step asks its rule again."""

_BEFORE, _AFTER = timedelta(minutes=5), timedelta(minutes=10)
"""How far the time of a stop, by its source's clock, may lie from a request of ours that was answered."""
_FOUND_BEFORE, _FOUND_AFTER = timedelta(seconds=5), timedelta(seconds=90)
"""The same of one whose answer was lost: a person who was just told may have stopped it instead, minutes later."""


def changing(resource: Resource) -> bool:
    """Tell whether it is between two states, so that what an act on it came to is still open. Pure."""
    return any(obstacle.reason == IN_TRANSITION for obstacle in resource.obstacles)


def stopped_by_us(stopped: Stopped | None, requested_at: datetime) -> bool:
    """Tell whether it was stopped by a request of that time. Pure."""
    if stopped is None or stopped.at is None:
        return False
    return requested_at - _BEFORE <= stopped.at <= requested_at + _AFTER


def found_stopped(history: History) -> LedgerEntry | None:
    """Give the success, to journal, of an act in doubt on what a look finds stopped at that time. Pure."""
    action, tried = history.action, history.tried
    if action is None or action.state is not ActionState.UNKNOWN or tried is None:
        return None
    stopped = history.resource.stopped
    if tried.action_id != action.action_id or stopped is None or stopped.at is None:
        return None
    if not tried.at - _FOUND_BEFORE <= stopped.at <= tried.at + _FOUND_AFTER:
        return None
    return replace(action, state=ActionState.SUCCEEDED, outcome="it is stopped, as a look shows")


def rung(history: History, policy: PolicySpec) -> PolicySpec:
    """Give the policy as it stands for a resource, by the steps that its ladder has done on it. Pure."""
    climbed = _climbed(history, policy)
    return policy.rung(0 if climbed is None else _done(climbed, policy))


def step(history: History, policy: PolicySpec, finding: Finding, now: datetime) -> tuple[PolicySpec, Finding]:
    """Give what a policy would do next, and what it finds about that. Pure.

    Args:
        history: The resource.
        policy: The whole policy.
        finding: What its rule finds; of no account for what is stopped.
        now: The tick's instant.
    """
    climbed, stopped = _climbed(history, policy), history.resource.stopped
    if stopped is not None:
        return _of_stopped(history, policy, climbed, stopped, now)
    if climbed is None or climbed.action not in _MARKS or not _still(finding, climbed):
        return policy.rung(0), finding
    return _next(
        policy, climbed, now, reason=finding.reason, evidence=finding.evidence, detail=finding.detail
    )


def _climbed(history: History, policy: PolicySpec) -> Climbed | None:
    """Give how far a ladder came; None: it has not begun, or was another ladder under the same name."""
    climbed = history.climbed.get(policy.name)
    return climbed if climbed is not None and climbed.action in policy.acts else None


def _still(finding: Finding, climbed: Climbed) -> bool:
    """Tell whether what a mark was set for has held since: any activity starts the ladder over."""
    return finding.verdict is Verdict.REAP and (finding.since is None or finding.since <= climbed.at)


def _of_stopped(
    history: History, policy: PolicySpec, climbed: Climbed | None, stopped: Stopped, now: datetime
) -> tuple[PolicySpec, Finding]:
    said = f"stopped at {stopped.at:%F %T}Z" if stopped.at is not None else "stopped"
    said = f"{said}: {stopped.why}" if stopped.why else said
    if climbed is None or climbed.action in _MARKS:
        return policy.rung(0), Finding(
            policy=policy.name, verdict=Verdict.WAIT, reason=Reason.STOPPED, detail=said
        )
    if stopped.at is None:
        unread = Finding(
            policy=policy.name,
            verdict=Verdict.UNKNOWN,
            reason=Reason.EVIDENCE_UNKNOWN,
            since=climbed.at,
            detail=f"{said}; when, and so by whom, can't be read",
        )
        return rung(history, policy), unread
    if not stopped_by_us(stopped, climbed.started_at):
        ended = f"{said}, not by the act of {climbed.started_at:%F %T}Z: the ladder has ended"
        return policy.rung(0), Finding(
            policy=policy.name, verdict=Verdict.WAIT, reason=Reason.STOPPED, detail=ended
        )
    return _next(policy, climbed, now, reason=Reason.LADDER, detail=said)


def _next(
    policy: PolicySpec,
    climbed: Climbed,
    now: datetime,
    *,
    reason: Reason,
    evidence: tuple[str, ...] = (),
    detail: str = "",
) -> tuple[PolicySpec, Finding]:
    done = _done(climbed, policy)
    next_rung = policy.rung(done)
    if done >= len(policy.acts):
        over = Finding(
            policy=policy.name,
            verdict=Verdict.WAIT,
            reason=Reason.LADDER_DONE,
            detail=f"{climbed.action}: {detail}",
        )
        return next_rung, over
    due = climbed.at + next_rung.after
    return next_rung, Finding(
        policy=policy.name,
        verdict=Verdict.REAP if now >= due else Verdict.WAIT,
        reason=reason if now >= due else Reason.LADDER_WAITS,
        since=climbed.at,
        due_at=due,
        evidence=evidence,
        detail=detail,
    )


def _done(climbed: Climbed, policy: PolicySpec) -> int:
    """Count the acts up to the one that was done."""
    return policy.acts.index(climbed.action) + 1
