"""The guard against a policy, or a source of evidence, that suddenly finds most of a fleet idle. Pure.

One error (a metric that is renamed, a threshold with a unit too many) makes everything idle at once. That many things
of one scope become due between two looks by chance is rarer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reaper.core.decision import Decision
from reaper.core.facts import MassTripped
from reaper.core.model import ResourceKey
from reaper.core.ruleset import Ruleset
from reaper.core.verdict import Reason, Verdict
from reaper.core.world import World

__all__ = ["MassWatch"]

_LEAST = 10
_FORETOLD = (Reason.OFF_HOURS, Reason.PAST_DEADLINE, Reason.LADDER)
"""What people set for an instant themselves: that much of a fleet is due then is what they asked for."""
_PASSING = (
    Reason.NEWLY_APPLIED,
    Reason.START_GRACE,
    Reason.MINIMUM_AGE,
    Reason.EVIDENCE_BEHIND,
    Reason.NOTICE_UNDELIVERED,
    Reason.NOTICE_GRACE,
    Reason.QUIET_HOURS,
    Reason.PAUSED,
    Reason.CLOCK_JUMP,
    Reason.DISRUPTION_BUDGET,
)
"""Vetoes that end by themselves, or with one word: what they keep will go."""


@dataclass(slots=True, kw_only=True)
class MassWatch:
    """Remembers what became due lately. Everybody's own: one a daemon.

    Attributes:
        looked_at: After a start: when the last look before it was; None: there was none.
        fell: When each thing became due that did so within the last looks.
    """

    looked_at: datetime | None = None
    fell: dict[ResourceKey, datetime] = field(default_factory=dict)

    def trips(
        self,
        before: Mapping[ResourceKey, Decision],
        decisions: Sequence[Decision],
        world: World,
        ruleset: Ruleset,
        now: datetime,
    ) -> list[MassTripped]:
        """Find the scopes of which most became due at once: more than half of what runs there, and ten at least.

        What becomes due counts, not what is acted on: warnings, graces and budgets spread the acts over hours.
        Everything idle at two in the morning is normal on a Jupyter server: kernels and terminals don't count.

        Args:
            before: The decisions of the tick before.
            decisions: Those of this tick.
            world: Everything known.
            ruleset: The rules in force.
            now: The tick's instant.
        """
        if not ruleset.guards.mass_trip:
            return []
        due: dict[tuple[str, str], list[Decision]] = {}
        for decision in decisions:
            key = decision.ref.key
            if not _counts(decision, world):
                self.fell.pop(key, None)
            elif key in self.fell or self._newly(decision, before.get(key), world, ruleset):
                since = self.fell.setdefault(key, now)
                if now - since <= _one_poll(key, world, ruleset):
                    due.setdefault((key.kind, key.scope), []).append(decision)
        found = []
        for (kind, scope), newly in due.items():
            total = sum(
                key.kind == kind and key.scope == scope and history.resource.stopped is None
                for key, history in world.live.items()
            )
            if len(newly) < _LEAST or 2 * len(newly) <= total or (kind, scope) in world.tripped:
                continue
            for one in newly:  # told of once: a person who resumes has looked
                self.fell[one.ref.key] = datetime.min.replace(tzinfo=now.tzinfo)
            policies = tuple(sorted({one.policy or "" for one in newly}))
            found.append(
                MassTripped(at=now, kind=kind, scope=scope, newly=len(newly), total=total, policies=policies)
            )
        return found

    def _newly(self, decision: Decision, before: Decision | None, world: World, ruleset: Ruleset) -> bool:
        """Tell whether it was not due at the tick before; after a start, whether it became so since the last look."""
        if before is not None and before.ref == decision.ref:
            return not _due(before)
        if self.looked_at is None:
            return True
        history = world.live[decision.ref.key]
        applied = history.applied.get(decision.policy or "")
        since = self.looked_at - ruleset.guards.apply_grace
        if applied is None or applied.at >= since:  # a policy that newly matches most of a fleet
            return True
        dues = [f.due_at for f in decision.findings if f.policy == decision.policy and f.due_at is not None]
        return not dues or min(dues) > self.looked_at


def _due(decision: Decision) -> bool:
    return decision.verdict is Verdict.REAP and all(
        veto.reason in (*_PASSING, Reason.MASS_TRIP) for veto in decision.vetoes
    )


def _counts(decision: Decision, world: World) -> bool:
    """Tell whether a thing is due in earnest, by what it shows and not by the calendar, and runs."""
    history = world.live.get(decision.ref.key)
    return (
        _due(decision)
        and decision.enforced
        and not decision.ref.kind.startswith("jupyter.")
        and history is not None
        and history.resource.stopped is None
        and not any(f.policy == decision.policy and f.reason in _FORETOLD for f in decision.findings)
    )


def _one_poll(key: ResourceKey, world: World, ruleset: Ruleset) -> timedelta:
    """Give how long what became due counts as one event: as long as two looks may lie apart."""
    return ruleset.guards.gap(world.live[key].source) / 3
