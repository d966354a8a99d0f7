"""Decide. A pure function of the world, the rules and an instant; no clock, no side effects.

Decisions are consumed by `plan()`, which orders and limits them, and by the daemon, which acts on
them after deciding again on a fresh look: validation before an act is this function called twice.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from reaper.core.candidate import ONLY_SHOWN, Candidate
from reaper.core.decision import BLIND_AFTER, Decision, Evidence, Signals
from reaper.core.facts import PolicyApplied
from reaper.core.family import Families
from reaper.core.history import History
from reaper.core.ladder import step
from reaper.core.model import ResourceKey, ResourceRef
from reaper.core.outlook import Outlook, blind_since, consider, earnest, instants, speaker
from reaper.core.ruleset import PolicySpec, Ruleset
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.core.world import World

__all__ = ["BLIND_AFTER", "Decision", "Evidence", "decide", "decide_one", "newly_applied"]

_bare = object.__new__
"""Makes an object without `__init__`, which takes three times as long: a tick over 10,000 resources makes 30,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tick:
    """What all decisions of one tick share; `kept` fills up as they are made, children first."""

    world: World
    ruleset: Ruleset
    now: datetime
    instant: str
    digest: str
    families: Families
    kept: dict[ResourceKey, object]


def decide(world: World, ruleset: Ruleset, now: datetime) -> Iterator[Decision]:
    """Decide every live resource, children before what they live in. Pure.

    Lazy, so that a loop can yield in between.

    Args:
        world: Everything known; must not be changed by a caller that goes on deciding from the same iterator
            and expects one consistent tick.
        ruleset: The rules in force.
        now: The tick's instant.

    Yields:
        One decision a resource.
    """
    tick = _tick(world, ruleset, now)
    for history in tick.families.children_first():
        yield _decide(history, tick)


def decide_one(world: World, ruleset: Ruleset, now: datetime, ref: ResourceRef) -> Decision | None:
    """Decide one resource, and what lives in it first. Pure. None: that life has ended."""
    history = world.live.get(ref.key)
    if history is None or history.ref != ref:
        return None
    tick = _tick(world, ruleset, now)
    for child in tick.families.below(history):
        _decide(child, tick)
    return _decide(history, tick)


def newly_applied(world: World, ruleset: Ruleset, now: datetime) -> list[PolicyApplied]:
    """Give the facts to journal for policies, limits and modes that newly apply to a resource. Pure.

    One that applies no longer is noted too (with an empty digest): when a tag comes off or a policy
    comes back, it applies newly again.
    """
    facts = []
    digests = {policy.name: policy.digest(ruleset.mode) for policy in ruleset.policies}
    for history in world.live.values():
        resource = history.resource
        applying = {
            policy.name: digests[policy.name] for policy in ruleset.policies if policy.applies_to(resource)
        }
        before = {name: applied.digest for name, applied in history.applied.items() if applied.digest}
        if applying == before:
            continue
        for name in sorted(applying.keys() | before.keys()):
            digest = applying.get(name, "")
            if before.get(name, "") != digest:
                facts.append(PolicyApplied(at=now, ref=history.ref, policy=name, digest=digest))
    return facts


def _tick(world: World, ruleset: Ruleset, now: datetime) -> _Tick:
    return _Tick(
        world=world,
        ruleset=ruleset,
        now=now,
        instant=f"{now.timestamp()}|{world.seq}",
        digest=ruleset.digest(),
        families=Families(world=world, children=world.children(), now=now),
        kept={},
    )


def _decide(history: History, tick: _Tick) -> Decision:
    history = tick.families.joined(history)
    resource, now, dead = history.resource, tick.now, history.dead
    climbing = bool(resource.stopped is not None or history.climbed)
    outlooks = []
    for policy in tick.ruleset.policies:
        if policy.applies_to(resource):
            finding = _died(history, policy) if dead else _finding(history, policy, now)
            stands = policy.rung(0)
            if climbing:
                stands, finding = step(history, policy, finding, now)
            outlooks.append(consider(_candidate(history, stands, finding, tick)))
    decision = _conclude(history, outlooks, tick)
    if not decision.to_act:
        tick.kept[resource.ref.key] = None
    elif not decision.enforced:
        tick.kept[resource.ref.key] = ONLY_SHOWN
    return decision


def _candidate(history: History, policy: PolicySpec, finding: Finding, tick: _Tick) -> Candidate:
    applied = history.applied.get(policy.name)
    current = applied is not None and applied.digest == policy.digest(tick.ruleset.mode)
    candidate = _bare(Candidate)
    candidate.history = history
    candidate.policy = policy
    candidate.finding = finding
    candidate.ruleset = tick.ruleset
    candidate.world = tick.world
    candidate.families = tick.families
    candidate.kept = tick.kept
    candidate.now = tick.now
    candidate.applied_at = applied.at if applied is not None and current else None
    return candidate


def _conclude(history: History, outlooks: Sequence[Outlook], tick: _Tick) -> Decision:
    now, basis, ref = tick.now, tick.world.seq, history.ref
    findings = tuple([outlook.finding for outlook in outlooks])
    outlooks = earnest(outlooks)
    chosen = speaker(outlooks)
    name = _decision_id(ref, tick.instant)
    evidence = Signals(tuple(history.runs.values()), history.last_seen_at)
    if chosen is None:
        return Decision(id=name, at=now, basis=basis, ref=ref, evidence=evidence, config_digest=tick.digest)
    finding, policy, standing = chosen.finding, chosen.candidate.policy, chosen.standing
    vetoed = finding.verdict is Verdict.REAP and standing
    due_at, wake_at = instants(outlooks, chosen, now)
    decision = _bare(Decision)
    decision.id = name
    decision.at = now
    decision.basis = basis
    decision.ref = ref
    decision.verdict = finding.verdict
    decision.reason = standing[0].reason if vetoed else finding.reason
    decision.policy = policy.name
    decision.action = policy.action
    decision.since = finding.since
    decision.due_at = due_at
    decision.wake_at = wake_at
    decision.enforced = chosen.candidate.enforced
    decision.notify = chosen.notify
    decision.blind_since = blind_since(chosen)
    decision.findings = findings
    decision.vetoes = standing
    decision.evidence = evidence
    decision.config_digest = tick.digest
    return decision


def _died(history: History, policy: PolicySpec) -> Finding:
    died = history.runs["execution_state"].held_since
    return Finding(
        policy=policy.name,
        verdict=Verdict.REAP,
        reason=Reason.DEAD,
        since=died,
        due_at=died,
        evidence=("execution_state",),
    )


def _finding(history: History, policy: PolicySpec, now: datetime) -> Finding:
    try:
        finding = policy.rule.evaluate(history, now, policy.name)
        _check(finding, policy.name)
    except Exception as error:  # noqa: BLE001 - a rule may be anybody's; one bad resource must not stop the others
        return Finding(
            policy=policy.name,
            verdict=Verdict.UNKNOWN,
            reason=Reason.RULE_FAILED,
            since=history.first_seen_at,
            detail=f"{type(error).__name__}: {error}",
        )
    return finding


def _check(finding: object, policy: str) -> None:
    """Refuse what a rule must not answer, before it can confuse the guards."""
    if not isinstance(finding, Finding):
        msg = f"the rule answered {type(finding).__name__}, not a Finding"
        raise TypeError(msg)
    if finding.policy != policy:
        msg = f"the rule answered in the name of {finding.policy!r}"
        raise ValueError(msg)
    for instant in (finding.since, finding.due_at):
        if instant is not None and instant.tzinfo is None:
            msg = f"the rule answered {instant}, an instant without a zone"
            raise ValueError(msg)


def _decision_id(ref: ResourceRef, instant: str) -> str:
    text = f"{ref.kind}|{ref.scope}|{ref.id}|{ref.incarnation}|{instant}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
