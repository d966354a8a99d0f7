"""The rule `spend`: it has cost too much since it was started."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.core.history import History
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.policies import params as read
from reaper.policies.rest import Term

__all__ = ["SpendRule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendRule:
    """Reap what has cost `limit` US dollars since it was started.

    Its cost an hour as of now times the hours since its start: what its source says, not the bill. Where no
    price is known nothing is known, and what costs nothing is never due.

    Attributes:
        limit: The greatest cost in US dollars.

    Example:
        ```toml
        [[policies]]
        name = "a-hundred-dollars"
        kind = "ec2.instance"
        rule = "spend"
        limit = 100
        action = "stop"
        ```
    """

    limit: float

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> "SpendRule":
        """Build the rule from its parameter `limit`.

        Raises:
            ConfigError: It is missing or no amount, or there is another parameter.
        """
        read.only("spend", params, ("limit",))
        return cls(limit=read.dollars("spend", params, "limit"))

    @property
    def timeout(self) -> timedelta:
        """How long it takes depends on the price."""
        return read.UNTIMED

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say whether it has cost as much. Pure."""
        started, hourly = history.started_at(), history.resource.hourly_cost
        if hourly is None:
            return Finding(
                policy=policy,
                verdict=Verdict.UNKNOWN,
                reason=Reason.COST_UNKNOWN,
                since=history.first_seen_at,
                detail="its source knows no price",
            )
        spent = hourly * max(0.0, (now - started).total_seconds()) / 3600
        detail = f"${spent:.2f} of ${self.limit:.2f}, at ${hourly:.4g} an hour"
        try:
            due = started + timedelta(hours=self.limit / hourly)
        except (OverflowError, ZeroDivisionError):
            due = None
        if due is None or hourly < 0:
            return Finding(policy=policy, verdict=Verdict.WAIT, reason=Reason.NOT_SPENT, detail=detail)
        term = Term(due=due, since=started, reaped=Reason.SPENT, waits=Reason.NOT_SPENT, detail=detail)
        return term.find(now, policy)
