"""Disruption budgets: how much may be ended in a window, whatever the verdicts say. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reaper.core.durations import format_duration
from reaper.core.facts import LedgerEntry
from reaper.core.ruleset import Budget
from reaper.core.verdict import Reason, Veto

__all__ = ["Spending"]


@dataclass(slots=True, kw_only=True)
class Spending:
    """What the budgets still allow, counting what was started in their windows and what is planned.

    Attributes:
        budgets: The budgets.
        recent: STARTED entries of at least the longest window. Actions in flight are among them.
        now: The tick's instant.
        planned: What this tick has taken so far, as (kind, scope, dollars an hour).
    """

    budgets: Sequence[Budget]
    recent: Sequence[LedgerEntry]
    now: datetime
    planned: list[tuple[str, str, float]] = field(default_factory=list)

    _spent: dict[tuple[int, str], list[tuple[datetime, float]]] = field(default_factory=dict)

    def take(self, kind: str, scope: str, hourly_cost: float | None) -> Veto | None:
        """Take one action out of every budget that covers it, or none and say which one is used up.

        Returns:
            None when it fits. A veto otherwise, with the instant at which room is made by time alone.
        """
        cost = hourly_cost or 0.0
        covering = [(i, budget) for i, budget in enumerate(self.budgets) if budget.covers(kind, scope)]
        for i, budget in covering:
            veto = self._exceeded(budget, self._in_window(i, budget, scope), scope, cost)
            if veto is not None:
                return veto
        for i, budget in covering:
            self._in_window(i, budget, scope).append((self.now, cost))
        self.planned.append((kind, scope, cost))
        return None

    def _in_window(self, i: int, budget: Budget, scope: str) -> list[tuple[datetime, float]]:
        """Give what was taken in a budget's window in a scope, oldest first; gathered once a tick."""
        if (i, scope) not in self._spent:
            self._spent[i, scope] = sorted(
                (entry.at, entry.hourly_cost or 0.0)
                for entry in self.recent
                if entry.ref.scope == scope
                and self.now - entry.at < budget.window
                and budget.covers(entry.ref.kind, scope)
            )
        return self._spent[i, scope]

    def _exceeded(
        self, budget: Budget, spent: list[tuple[datetime, float]], scope: str, cost: float
    ) -> Veto | None:
        limits = []
        if budget.actions is not None and len(spent) + 1 > budget.actions:
            limits.append(f"{budget.actions} actions")
        if budget.dollars_per_hour is not None and sum(c for _, c in spent) + cost > budget.dollars_per_hour:
            limits.append(f"${budget.dollars_per_hour:g}/h")
        if not limits:
            return None
        return Veto(
            guard="disruption_budget",
            reason=Reason.DISRUPTION_BUDGET,
            until=_room_at(budget, spent, cost),
            detail=f"{budget.name}: {' and '.join(limits)} in {format_duration(budget.window)} in {scope}",
        )


def _room_at(budget: Budget, spent: list[tuple[datetime, float]], cost: float) -> datetime | None:
    """Give when enough of what was spent has left the window; None: even an empty one has no room."""
    left = list(spent)
    while left:
        at, _ = left.pop(0)
        few = budget.actions is None or len(left) < budget.actions
        total = sum(c for _, c in left) + cost
        if few and (budget.dollars_per_hour is None or total <= budget.dollars_per_hour):
            return at + budget.window
    return None
