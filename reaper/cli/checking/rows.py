"""What runs, for how long, what it has cost, and whether it needs attention. Pure.

There may be tens of thousands of them, so a row is small, and becomes a document only when it is written.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from reaper.clients.prices import Price, PriceKey
from reaper.core.holds import hold_tags
from reaper.core.model import Resource, ResourceRef

__all__ = ["LEVELS", "Limits", "Row", "Tally", "document_of", "end_command", "exempt", "matches"]

LEVELS = ("critical", "warning", "ok")
"""The worst first."""

_SECONDS_AN_HOUR = 3600.0


class Limits(NamedTuple):
    """From when on something needs attention."""

    warning_after: timedelta
    critical_after: timedelta


@dataclass(slots=True, kw_only=True)
class Row:
    """One running thing.

    Attributes:
        kind: `ec2.instance`, `studio.app` ...
        id: The source's own.
        scope: `ACCOUNT/REGION`.
        name: What people call it.
        owner: Whose it is, if that is known.
        instance_type: What it runs on, if that is known.
        spot: Whether it is bought on the spot market; None: there is none for such things.
        runtime_s: For how long it runs; None: since when is not known.
        exempt: `protected`, `held` or None.
        end: The command that ends it, in words, but for the id where that is all that it lacks.
        key: What its price is asked by; None: it has none.
        price: What it costs, once that is known.
    """

    kind: str
    id: str
    scope: str
    name: str
    owner: str | None
    instance_type: str | None
    spot: bool | None
    runtime_s: float | None
    exempt: str | None
    end: tuple[str, ...]
    key: PriceKey | None = None
    price: Price | None = None

    def level(self, limits: Limits) -> str:
        """Say whether it needs attention; what runs for nobody knows how long does."""
        if self.exempt is not None:
            return "ok"
        if self.runtime_s is None:
            return "warning"
        if self.runtime_s >= limits.critical_after.total_seconds():
            return "critical"
        return "warning" if self.runtime_s >= limits.warning_after.total_seconds() else "ok"

    @property
    def cost(self) -> float | None:
        """What it has cost since it was started, in US dollars; None: unknown."""
        if self.price is None or self.runtime_s is None:
            return None
        return self.price.hourly * self.runtime_s / _SECONDS_AN_HOUR


class Tally:
    """Adds up rows.

    Args:
        limits: From when on something needs attention.
    """

    def __init__(self, limits: Limits) -> None:
        self.count = self.exempt = self.unpriced = 0
        self.levels = dict.fromkeys(LEVELS, 0)
        self.hourly = self.cost = 0.0
        self._limits = limits

    def add(self, row: Row) -> None:
        """Count a row."""
        self.count += 1
        self.levels[row.level(self._limits)] += 1
        self.exempt += row.exempt is not None
        self.unpriced += row.price is None
        self.hourly += 0.0 if row.price is None else row.price.hourly
        self.cost += row.cost or 0.0

    @property
    def attention(self) -> int:
        """How many need attention."""
        return self.levels["critical"] + self.levels["warning"]

    def document(self) -> dict[str, Any]:
        """Give the totals; where a price is unknown, costs are at least so much."""
        return {
            "resources": self.count,
            "attention": self.attention,
            "critical": self.levels["critical"],
            "warning": self.levels["warning"],
            "ok": self.levels["ok"],
            "exempt": self.exempt,
            "hourly_cost": round(self.hourly, 4),
            "cost": round(self.cost, 2),
            "currency": "USD",
            "unknown_prices": self.unpriced,
        }


def document_of(row: Row, limits: Limits) -> dict[str, Any]:
    """Give a row as the contract has it."""
    cost = row.cost
    return {
        "kind": row.kind,
        "id": row.id,
        "scope": row.scope,
        "name": row.name,
        "owner": row.owner,
        "instance_type": row.instance_type,
        "spot": row.spot,
        "runtime_s": None if row.runtime_s is None else round(row.runtime_s),
        "hourly_cost": None if row.price is None else row.price.hourly,
        "cost": None if cost is None else round(cost, 4),
        "currency": None if row.price is None else row.price.currency,
        "price_source": None if row.price is None else row.price.origin,
        "level": row.level(limits),
        "exempt": row.exempt,
        "end_command": end_command(row),
    }


def end_command(row: Row) -> str | None:
    """Write the command that ends it; None: there is none."""
    if not row.end:
        return None
    words = (*row.end, row.id) if row.kind == "ec2.instance" else row.end
    return f"aws {shlex.join(words)} --region {row.scope.partition('/')[2]}"


def exempt(tags: Mapping[str, str], now: datetime) -> str | None:
    """Tell whether its tags say that it is to run: `protected`, `held` or None. A hold that can't be read holds."""
    keys = {key.lower() for key in tags if key[:7].lower() == "reaper:"}
    if "reaper:protect" in keys:
        return "protected"
    if "reaper:hold-until" not in keys:
        return None
    ref = ResourceRef(kind="", scope="", id="", incarnation="")
    holds = hold_tags(Resource(ref=ref, name="", tags=tags))
    return "held" if any(until is None or until > now for _, until in holds) else None


def matches(globs: Iterable[str], *names: str) -> bool:
    """Tell whether one of its names is asked for; without globs everything is."""
    given = tuple(globs)
    return not given or any(fnmatchcase(name, glob) for glob in given for name in names)
