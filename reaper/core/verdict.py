"""Verdicts, their reasons, and how the findings of several policies become one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

__all__ = ["Finding", "Reason", "Verdict", "Veto", "merge"]


class Verdict(StrEnum):
    """What a policy, or all of them together, say of a resource."""

    KEEP = "keep"
    WAIT = "wait"
    REAP = "reap"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why: stable codes, part of the public API and a metric label, each with a line of prose."""

    prose: str

    def __new__(cls, code: str, prose: str) -> Self:
        """Make a member whose value is the code and which knows its prose."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.prose = prose
        return member

    # findings: why a policy says what it says
    ACTIVE = "active", "a signal shows work right now"
    BUSY_WITHOUT_WORK = "busy_without_work", "it says busy, but no process or GPU shows any work"
    IDLE = "idle", "no signal has shown activity for the whole timeout"
    IDLE_NOT_LONG_ENOUGH = "idle_not_long_enough", "it is idle, but not yet for the timeout"
    BUSY_TIMEOUT = "busy_timeout", "busy for longer than busy_timeout without any process or GPU evidence"
    SAMPLING = "sampling", "its first sampled interval is not complete yet"
    TOO_OLD = "too_old", "older than the policy allows"
    YOUNG_ENOUGH = "young_enough", "not yet as old as the policy allows"
    DEAD = "dead", "it is dead and holds nothing"
    NO_POLICY = "no_policy", "no policy applies to it"
    NO_EVIDENCE = "no_evidence", "no signal says when it was last active"
    EVIDENCE_UNKNOWN = "evidence_unknown", "a signal could not be read, and unknown is never idle"
    EVIDENCE_LOST = "evidence_lost", "a signal that was seen before, or is required, is missing"
    SOURCE_FAILING = "source_failing", "its source could not be read completely, so nothing is known of it"
    RULE_FAILED = "rule_failed", "the policy's rule raised an error on this resource"
    OFF_HOURS = "off_hours", "its schedule says that it is to be off"
    ON_HOURS = "on_hours", "its schedule lets it run now"
    STARTED_OFF_HOURS = (
        "started_off_hours",
        "it was started while it was to be off, and is left alone until the next off time",
    )
    NO_OWNER = "no_owner", "nobody is named as its owner"
    HAS_OWNER = "has_owner", "its owner is known"
    SPENT = "spent", "it has cost as much as the policy allows"
    NOT_SPENT = "not_spent", "it has not yet cost as much as the policy allows"
    COST_UNKNOWN = "cost_unknown", "what it costs is unknown, and unknown is never nothing"
    PAST_DEADLINE = "past_deadline", "its deadline has passed"
    BEFORE_DEADLINE = "before_deadline", "its deadline is still to come"
    NO_DEADLINE = "no_deadline", "it has no deadline"
    DEADLINE_UNREADABLE = "deadline_unreadable", "it has a deadline that can't be read"
    CONDITION_TRUE = "condition_true", "the policy's condition holds"
    CONDITION_FALSE = "condition_false", "the policy's condition does not hold"
    CONDITION_FAILED = "condition_failed", "the policy's condition can't be evaluated on it, which keeps it"
    NEGATED = "negated", "the rule under `not` waits, so this policy is due"
    NEGATED_DUE = "negated_due", "the rule under `not` is due, so this policy waits"
    STOPPED = "stopped", "it is stopped, and this policy did not stop it"
    LADDER = "ladder", "this policy's ladder stopped it, and the next step is due"
    LADDER_WAITS = "ladder_waits", "this policy's ladder acted on it, and the next step is not due yet"
    LADDER_DONE = "ladder_done", "this policy's ladder has done its last step"
    # vetoes: why a reap must not happen now
    PROTECTED = "protected", "the tag reaper:protect is on it"
    HELD = "held", "a hold protects it"
    PAUSED = "paused", "reaper is paused"
    NEWLY_APPLIED = "newly_applied", "the policy, limit or mode applies to it only since a short while"
    ACTION_NOT_ALLOWED = "action_not_allowed", "REAPER_ACTIONS does not allow the action"
    MINIMUM_AGE = "minimum_age", "it is younger than the policy's minimum age"
    START_GRACE = "start_grace", "it started a short while ago"
    STALE_EVIDENCE = "stale_evidence", "the last complete look at it is too long ago"
    INCOMPLETE_POLL = "incomplete_poll", "the last look at its source was incomplete"
    ACTIVE_CHILD = "active_child", "something that lives in it is not to be reaped"
    IN_FLIGHT = "in_flight", "an action on it is under way"
    OUTCOME_UNKNOWN = (
        "outcome_unknown",
        "an action on it had no known outcome; a complete look must come first",
    )
    COOLDOWN = "cooldown", "an action on it failed a short while ago"
    DISRUPTION_BUDGET = "disruption_budget", "the disruption budget is used up"
    CLOCK_JUMP = "clock_jump", "the clock jumped or the machine slept; time asleep is not idle time"
    NOTICE_UNDELIVERED = "notice_undelivered", "its warning has not been delivered yet"
    NOTICE_GRACE = "notice_grace", "its warning was delivered; the grace period runs"
    BLOCKED = "blocked", "its warning could not be delivered for a day"
    QUIET_HOURS = "quiet_hours", "quiet hours"
    EVIDENCE_BEHIND = (
        "evidence_behind",
        "its signals are behind: they do not speak of the time since it was due",
    )
    MASS_TRIP = (
        "mass_trip",
        "most of its scope became due at once, which is more likely an error; a person must look",
    )
    AUTO_SCALING = "auto_scaling", "an Auto Scaling group would replace it"
    SERVICE_MANAGED = "service_managed", "another service manages it"
    RESERVED_CAPACITY = "reserved_capacity", "it uses reserved capacity, which is paid for all the same"
    INSTANCE_STORE = "instance_store", "stopping it erases its instance store"
    ONE_TIME_SPOT = "one_time_spot", "a one-time spot instance can't be stopped, only terminated"
    STOP_PROTECTION = "stop_protection", "its stop protection is on"
    TERMINATION_PROTECTION = "termination_protection", "its termination protection is on"
    HIBERNATION_UNSUPPORTED = "hibernation_unsupported", "it can't hibernate"
    IN_TRANSITION = "in_transition", "it is between two states"
    OBSTACLE = "obstacle", "its source says that this must not be done to it"
    WOULD_BE_DENIED = "would_be_denied", "AWS would not let reaper do it"
    CHANGED = "changed", "the fresh look right before the act did not agree"


@dataclass(
    slots=True, kw_only=True, unsafe_hash=True
)  # one a policy and resource of a tick: frozen costs twice
class Finding:
    """What one policy says of one resource. Never changed, though not frozen.

    Attributes:
        policy: The policy's name.
        verdict: KEEP, WAIT, REAP or UNKNOWN.
        reason: Why.
        since: Since when that which it speaks of holds (idle since, unknown since); activity after a
            warning shows here, and makes the warning void. None while it waits: nothing holds yet, every
            look moves `due_at`, and nobody is warned of it.
        due_at: The earliest instant at which the verdict can change if nothing happens; in the
            future, or None. For REAP: when it became due.
        evidence: Names of the signals that decided it.
        detail: More for a person: which signal, what value.
    """

    policy: str
    verdict: Verdict
    reason: Reason
    since: datetime | None = None
    due_at: datetime | None = None
    evidence: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Veto:
    """Why a reap must not happen now.

    Attributes:
        guard: Which guard says so.
        reason: Why.
        until: When it ends by itself, if it does.
        detail: More for a person: which hold, which tag.
    """

    guard: str
    reason: Reason
    until: datetime | None = None
    detail: str = ""


_PRECEDENCE = {Verdict.KEEP: 0, Verdict.REAP: 1, Verdict.UNKNOWN: 2, Verdict.WAIT: 3}


def merge(findings: Sequence[Finding]) -> Finding | None:
    """Choose the finding that speaks for all. Pure.

    A policy is one alternative: any KEEP keeps; else any REAP reaps by that policy's action (the
    one due first); else any UNKNOWN is unknown; else wait until the earliest `due_at`. A dead
    resource goes whatever the others say. None: there are no findings.
    """
    if not findings:
        return None
    dead = [finding for finding in findings if finding.reason is Reason.DEAD]
    return min(dead or findings, key=_rank)


def _rank(finding: Finding) -> tuple[int, bool, float]:
    due = finding.due_at
    return _PRECEDENCE[finding.verdict], due is None, due.timestamp() if due else 0.0
