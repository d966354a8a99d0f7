"""What may veto a reap. Each guard is a small pure function; `GUARDS` reads as the list it is."""

from collections.abc import Callable
from datetime import timedelta

from reaper.core.candidate import ONLY_SHOWN, Candidate
from reaper.core.facts import ActionState
from reaper.core.holds import tag_holds
from reaper.core.verdict import Reason, Veto
from reaper.core.warning import (
    WARNING,
    notice_blocked_since,
    notice_delivered_at,
    notice_retry_at,
)

__all__ = [
    "GUARDS",
    "WARNING",
    "Candidate",
    "allowed",
    "notice_delivered_at",
    "notice_retry_at",
    "vetoes",
]

BLOCKED_AFTER = timedelta(days=1)
_REASONS = {reason.value: reason for reason in Reason}
_COOLDOWN_FIRST, _COOLDOWN_LONGEST = timedelta(seconds=30), timedelta(hours=1)


def vetoes(candidate: Candidate) -> tuple[Veto, ...]:
    """Ask every guard. Pure."""
    found = []
    for guard in GUARDS:
        veto = guard(candidate)
        if veto is not None:
            found.append(veto)
    if candidate.history.resource.obstacles:
        found += _obstacles(candidate)
    return tuple(found)


def allowed(kind: str, action: str, actions: tuple[str, ...] | None) -> bool:
    """Tell whether `REAPER_ACTIONS` allows it on a kind: `jupyter.shutdown`, `jupyter.*`, `*`. Pure."""
    if actions is None or "*" in actions:
        return True
    family = kind.partition(".")[0]
    return f"{family}.{action}" in actions or f"{family}.*" in actions


def _protected(c: Candidate) -> Veto | None:
    tags = c.history.resource.tags
    keys = [key for key in tags if key.lower() == "reaper:protect"]
    if not keys:
        return None
    return Veto(guard="protected", reason=Reason.PROTECTED, detail=f"{min(keys)}={tags[min(keys)]}")


def _held(c: Candidate) -> Veto | None:
    holds = c.world.holds_on(c.history.ref, c.now) if c.world.holds else []
    if holds:
        longest = max(holds, key=lambda hold: (hold.expires_at is None, hold.expires_at or c.now, hold.id))
        detail = _said(f"{longest.id} by {longest.who}", longest.why)
        return Veto(guard="held", reason=Reason.HELD, until=longest.expires_at, detail=detail)
    for tag, until in tag_holds(c.history):
        if until is None:
            return Veto(guard="held", reason=Reason.HELD, detail=f"{tag} can't be read, so it holds")
        if c.now < until:
            return Veto(guard="held", reason=Reason.HELD, until=until, detail=tag)
    return None


def _paused(c: Candidate) -> Veto | None:
    pause = c.world.paused if c.world.pauses else None
    if pause is None or not c.world.is_paused(c.now):
        return None
    detail = _said(f"by {pause.who}", pause.why)
    return Veto(guard="paused", reason=Reason.PAUSED, until=pause.until, detail=detail)


def _said(who: str, why: str) -> str:
    return f"{who}: {why}" if why else who


def _newly_applied(c: Candidate) -> Veto | None:
    until = (c.applied_at or c.now) + min(c.policy.rule.timeout, c.ruleset.guards.apply_grace)
    if c.dead or c.now >= until:
        return None
    return Veto(guard="newly_applied", reason=Reason.NEWLY_APPLIED, until=until)


def _action_not_allowed(c: Candidate) -> Veto | None:
    kind, action = c.history.ref.kind, c.policy.action
    if allowed(kind, action, c.ruleset.guards.actions):
        return None
    ceiling = ",".join(c.ruleset.guards.actions or ()) or "an empty list"
    detail = f"{kind.partition('.')[0]}.{action} is not in {ceiling}"
    return Veto(guard="action_not_allowed", reason=Reason.ACTION_NOT_ALLOWED, detail=detail)


def _obstacles(c: Candidate) -> list[Veto]:
    return [
        Veto(
            guard=obstacle.reason,
            reason=_REASONS.get(obstacle.reason, Reason.OBSTACLE),
            detail=obstacle.detail,
        )
        for obstacle in c.history.resource.obstacles
        if not obstacle.actions or c.policy.action in obstacle.actions
    ]


def _mass_trip(c: Candidate) -> Veto | None:
    trip = c.world.tripped.get((c.history.ref.kind, c.history.ref.scope)) if c.world.tripped else None
    if trip is None:
        return None
    detail = f"{trip.newly} of {trip.total} at {trip.at:%F %T}Z; 'reaper resume' lets them go"
    return Veto(guard="mass_trip", reason=Reason.MASS_TRIP, detail=detail)


def _evidence_behind(c: Candidate) -> Veto | None:
    """What was done right before it became due, or before people were told, must show first."""
    lag = c.history.resource.evidence_lag_s
    if not lag or not c.finding.evidence or c.dead:
        return None
    since = c.finding.due_at or c.finding.since or c.applied_at or c.now
    told = notice_delivered_at(c)
    mornings = [hours.ended(c.now) for hours in c.ruleset.guards.quiet_hours]  # when people begin to work
    until = max([since, *[at for at in (told, *mornings) if at is not None]]) + timedelta(seconds=lag)
    if c.history.last_seen_at >= until:
        return None
    detail = f"a look at {until:%T}Z or later shows what was done before"
    return Veto(
        guard="evidence_behind",
        reason=Reason.EVIDENCE_BEHIND,
        until=until if until > c.now else None,
        detail=detail,
    )


def _minimum_age(c: Candidate) -> Veto | None:
    until = c.history.started_at() + c.policy.minimum_age
    if c.dead or c.now >= until:
        return None
    return Veto(guard="minimum_age", reason=Reason.MINIMUM_AGE, until=until)


def _start_grace(c: Candidate) -> Veto | None:
    until = c.history.started_at() + c.ruleset.guards.start_grace
    if c.dead or c.now >= until:
        return None
    return Veto(guard="start_grace", reason=Reason.START_GRACE, until=until)


def _stale_evidence(c: Candidate) -> Veto | None:
    history = c.history
    if c.now - history.last_seen_at <= c.ruleset.guards.gap(history.source):
        return None
    return Veto(
        guard="stale_evidence",
        reason=Reason.STALE_EVIDENCE,
        detail=f"last seen {history.last_seen_at:%F %T}Z",
    )


def _incomplete_poll(c: Candidate) -> Veto | None:
    source = c.world.sources.get(c.history.source)
    failed = source is not None and not source.last.complete and source.last.failed_to_see(c.history.ref)
    if c.history.failing_since is None and not failed:
        return None
    error = source.last.error if source is not None and failed else None
    return Veto(guard="incomplete_poll", reason=Reason.INCOMPLETE_POLL, detail=error or c.history.failure)


def _active_child(c: Candidate) -> Veto | None:
    kept = []
    for child in c.families.before(c.history):
        state = c.kept.get(child.ref.key, c)
        if state is None or (state == ONLY_SHOWN and c.enforced):
            kept.append(child)
    if not kept:
        return None
    names = ", ".join(sorted(f"{child.ref.kind} {child.resource.name}" for child in kept))
    return Veto(guard="active_child", reason=Reason.ACTIVE_CHILD, detail=names)


def _in_flight(c: Candidate) -> Veto | None:
    action = c.history.action
    if action is None:
        return None
    if action.state is ActionState.STARTED:
        return Veto(
            guard="in_flight", reason=Reason.IN_FLIGHT, detail=f"{action.action} since {action.at:%F %T}Z"
        )
    if action.state is ActionState.UNKNOWN:
        return Veto(guard="in_flight", reason=Reason.OUTCOME_UNKNOWN, detail=action.outcome)
    if action.state is ActionState.SUCCEEDED:
        return Veto(guard="in_flight", reason=Reason.IN_FLIGHT, detail="done; the next look will show it")
    return None


def _cooldown(c: Candidate) -> Veto | None:
    action = c.history.action
    if action is None or action.state is not ActionState.FAILED:
        return None
    wait = min(_COOLDOWN_LONGEST, _COOLDOWN_FIRST * 2 ** min(c.history.failures - 1, 10))
    if c.now >= action.at + wait:
        return None
    return Veto(guard="cooldown", reason=Reason.COOLDOWN, until=action.at + wait, detail=action.outcome)


def _clock_jump(c: Candidate) -> Veto | None:
    jump = c.world.clock_jumped
    if jump is None:
        return None
    until = jump.at + min(c.policy.rule.timeout, c.ruleset.guards.clock_jump_grace)
    if c.now >= until:
        return None
    return Veto(guard="clock_jump", reason=Reason.CLOCK_JUMP, until=until, detail=f"by {jump.seconds:+.0f} s")


def _notice(c: Candidate) -> Veto | None:
    gap = c.policy.notice_gap
    if c.dead or gap is None:
        return None
    delivered = notice_delivered_at(c)
    if delivered is not None:
        if c.now >= delivered + gap:
            return None
        return Veto(guard="notice", reason=Reason.NOTICE_GRACE, until=delivered + gap)
    blocked = notice_blocked_since(c)
    if blocked is not None and c.now - blocked >= BLOCKED_AFTER:
        return Veto(guard="notice", reason=Reason.BLOCKED, detail=f"no try succeeded since {blocked:%F %T}Z")
    return Veto(guard="notice", reason=Reason.NOTICE_UNDELIVERED)


def _quiet_hours(c: Candidate) -> Veto | None:
    for hours in c.ruleset.guards.quiet_hours:
        until = hours.until(c.now)
        if until is not None:
            return Veto(guard="quiet_hours", reason=Reason.QUIET_HOURS, until=until)
    return None


GUARDS: tuple[Callable[[Candidate], Veto | None], ...] = (
    _protected,
    _held,
    _paused,
    _mass_trip,
    _action_not_allowed,
    _in_flight,
    _incomplete_poll,
    _stale_evidence,
    _active_child,
    _newly_applied,
    _start_grace,
    _minimum_age,
    _clock_jump,
    _cooldown,
    _quiet_hours,
    _evidence_behind,
    _notice,
)
