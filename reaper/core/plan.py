"""Order and limit what is to be done: children first, budgets applied. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reaper.core.budget import Spending
from reaper.core.decide import Decision
from reaper.core.history import History
from reaper.core.model import Resource, ResourceKey
from reaper.core.ruleset import Ruleset
from reaper.core.verdict import Reason, Veto
from reaper.core.world import World

__all__ = ["Plan", "PlanItem", "limited", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanItem:
    """One act to come.

    Attributes:
        decision: The decision behind it.
        resource: What it acts on.
        action: What it does.
        after: Resources whose acts must have succeeded first (what lives in it).
        dry_run: It is only shown.
    """

    decision: Decision
    resource: Resource
    action: str
    after: tuple[ResourceKey, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that would be done now, in order, and all decisions as the budgets left them."""

    at: datetime
    items: tuple[PlanItem, ...]
    decisions: tuple[Decision, ...]


def plan(decisions: Iterable[Decision], world: World, ruleset: Ruleset, now: datetime) -> Plan:
    """Make a plan of one tick's decisions. Pure.

    Budgets are given to what has been due longest, what lives in it first. What they don't allow keeps
    its REAP verdict and gets a veto, as does a parent whose child they don't allow. Dry-run items take
    nothing from a budget.

    Args:
        decisions: One a resource, children before parents, as `decide` gives them.
        world: The same world.
        ruleset: The same rules.
        now: The same instant.
    """
    everything = {decision.ref.key: decision for decision in decisions}
    children = world.children()
    spending = Spending(budgets=ruleset.budgets, recent=world.recent_actions, now=now)
    items: list[PlanItem] = []
    for key in _longest_due_first(everything, children):
        decision, resource = everything[key], world.live[key].resource
        below = [child.ref.key for child in children.get(key, ())]
        veto = _denied(decision, [everything[child] for child in below if child in everything])
        if veto is None and decision.enforced:
            veto = spending.take(decision.ref.kind, decision.ref.scope, resource.hourly_cost)
        if veto is not None:
            everything[key] = limited(decision, veto, _watched_since(world.live[key], decision.policy))
            continue
        items.append(
            PlanItem(
                decision=decision,
                resource=resource,
                action=decision.action or "",
                after=tuple(below),
                dry_run=not decision.enforced,
            )
        )
    return Plan(at=now, items=tuple(items), decisions=tuple(everything.values()))


def _longest_due_first(
    decisions: Mapping[ResourceKey, Decision], children: Mapping[ResourceKey, list[History]]
) -> list[ResourceKey]:
    """Order what is to be done by when it became due, never before what lives in it."""
    due: dict[ResourceKey, tuple[datetime, int, ResourceKey]] = {}
    for key, decision in decisions.items():  # children come first, so theirs are known
        if not decision.to_act:
            continue
        below = [due[child.ref.key] for child in children.get(key, ()) if child.ref.key in due]
        latest = max([_due_at(decision), *(at for at, _, _ in below)])
        due[key] = latest, 1 + max((height for _, height, _ in below), default=0), key
    return sorted(due, key=due.__getitem__)


def _denied(decision: Decision, below: Sequence[Decision]) -> Veto | None:
    kept = [child for child in below if not child.to_act or (decision.enforced and not child.enforced)]
    if not kept:
        return None
    names = ", ".join(sorted(f"{child.ref.kind} {child.ref.id}" for child in kept))
    return Veto(guard="active_child", reason=Reason.ACTIVE_CHILD, detail=names)


def limited(decision: Decision, veto: Veto, watched_since: datetime | None = None) -> Decision:
    """Put a veto that came after the guards onto a decision. Pure.

    Args:
        decision: The decision.
        veto: The veto.
        watched_since: Since when its policy watches the resource; with that, a resource that is
            due and denied for long counts as blind.
    """
    wakes = [at for at in (decision.wake_at, veto.until) if at is not None and at > decision.at]
    denied_since = decision.at if watched_since is None else max(_due_at(decision), watched_since)
    return replace(
        decision,
        vetoes=(*decision.vetoes, veto),
        reason=veto.reason,
        due_at=veto.until if veto.until is not None and veto.until > decision.at else None,
        wake_at=min(wakes, default=None),
        blind_since=decision.blind_since or denied_since,
    )


def _watched_since(history: History, policy: str | None) -> datetime:
    applied = history.applied.get(policy or "")
    return history.first_seen_at if applied is None else max(history.first_seen_at, applied.at)


def _due_at(decision: Decision) -> datetime:
    due = [f.due_at for f in decision.findings if f.policy == decision.policy and f.due_at is not None]
    return min([*due, decision.at])
