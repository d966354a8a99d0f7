"""The guard against a policy, or a source of evidence, that suddenly finds most of a fleet idle. Pure.

One error (a metric that is renamed, a threshold with a unit too many) makes everything idle at once. That many things
of one scope become due between two looks by chance is rarer.
"""

from collections.abc import Iterable, Mapping

from reaper.core.decision import Decision
from reaper.core.facts import MassTripped
from reaper.core.model import ResourceKey
from reaper.core.ruleset import Ruleset
from reaper.core.verdict import Reason, Verdict
from reaper.core.world import World

__all__ = ["mass_trips"]

_LEAST = 10
_WAITING = (
    Reason.DISRUPTION_BUDGET,
    Reason.ACTIVE_CHILD,
    Reason.MASS_TRIP,
    Reason.PAUSED,
    Reason.QUIET_HOURS,
)
"""Vetoes of what was due before, and waits for its turn, for the morning, or for a person who has looked by now."""


def mass_trips(
    before: Mapping[ResourceKey, Decision], decisions: Iterable[Decision], world: World, ruleset: Ruleset
) -> list[MassTripped]:
    """Find the scopes of which most became due at once: more than half of what runs there, and ten at least. Pure.

    Everything idle at two in the morning is normal on a Jupyter server: kernels and terminals don't count.

    Args:
        before: The decisions of the tick before, as the budgets left them.
        decisions: Those of this tick, before the budgets.
        world: Everything known.
        ruleset: The rules in force.
    """
    if not ruleset.guards.mass_trip:
        return []
    due: dict[tuple[str, str], list[Decision]] = {}
    for decision in decisions:
        if decision.to_act and decision.enforced and not decision.ref.kind.startswith("jupyter."):
            due.setdefault((decision.ref.kind, decision.ref.scope), []).append(decision)
    found = []
    for (kind, scope), reaped in due.items():
        newly = [one for one in reaped if _newly(one, before.get(one.ref.key), world, ruleset)]
        if len(newly) < _LEAST:
            continue
        total = sum(
            key.kind == kind and key.scope == scope and history.resource.stopped is None
            for key, history in world.live.items()
        )
        if 2 * len(newly) > total:
            names = {one.policy or "" for one in newly}
            found.append(
                MassTripped(
                    at=newly[0].at,
                    kind=kind,
                    scope=scope,
                    newly=len(newly),
                    total=total,
                    policies=tuple(sorted(names)),
                )
            )
    return found


def _newly(decision: Decision, before: Decision | None, world: World, ruleset: Ruleset) -> bool:
    """Tell whether it was not due at the tick before; after a start, whether it became so since the last looks."""
    if before is None:
        dues = [f.due_at for f in decision.findings if f.policy == decision.policy and f.due_at is not None]
        history = world.live.get(decision.ref.key)
        if not dues or history is None:
            return True
        return decision.at - min(dues) <= ruleset.guards.gap(history.source)
    if before.verdict is not Verdict.REAP:
        return True
    return any(veto.reason not in _WAITING for veto in before.vetoes)
