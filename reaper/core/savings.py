"""What was saved: each reap, what it freed an hour, and for how long that counts. Pure.

A reap counts from its success until the same thing is seen in a later life (somebody needed it and started it again),
for 30 days at most: after that nobody can say that it would still run. What is unknown adds nothing, and totals
say that they are the least that was saved. Dry runs, and acts that failed or whose outcome is unknown, do not count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from reaper.core.codec import to_json
from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.model import Resource, ResourceKey, ResourceRef

__all__ = ["COUNTED_FOR", "GROUPS", "Ended", "Saving", "Sighting", "report_document", "savings"]

COUNTED_FOR = timedelta(days=30)
"""How long a reap counts at most."""

GROUPS = ("kind", "policy", "scope", "owner")
"""What savings can be put together by."""

_HOUR = timedelta(hours=1)
_WITHOUT_PRICE = "jupyter."
"""Beginning of the kinds that cost nothing by themselves: what they live in costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One life of a resource, as the journal knows it.

    Attributes:
        resource: As it was seen last.
        first_seen_at: The first look that saw it.
        ended_at: When a look no longer saw it; None: it was there at the latest look.
    """

    resource: Resource
    first_seen_at: datetime
    ended_at: datetime | None


class Ended(StrEnum):
    """Why a reap no longer counts: `no_effect` was done again, `reaped_before` is a further rung of a ladder."""

    STARTED_AGAIN = "started_again"
    LIMIT = "limit"
    NO_EFFECT = "no_effect"
    REAPED_BEFORE = "reaped_before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """One reap and what it saved.

    Attributes:
        entry: The row of the ledger that says that it succeeded.
        owner: Whose it was, if known.
        until: Until when it counts; the instant of the report while it still does.
        ended: Why it does not count any longer; None: it still does.
        priced: It is of a kind that costs something by itself.
    """

    entry: LedgerEntry
    owner: str | None
    until: datetime
    ended: Ended | None
    priced: bool

    @property
    def hours(self) -> float:
        """For how many hours it counts."""
        return max(0.0, (self.until - self.entry.at) / _HOUR)

    @property
    def saved(self) -> float | None:
        """US dollars; None is unknown. What costs nothing by itself, and what freed nothing, saved 0."""
        if not self.priced or self.ended in (Ended.NO_EFFECT, Ended.REAPED_BEFORE):
            return 0.0
        return None if self.entry.hourly_cost is None else self.entry.hourly_cost * self.hours


def savings(entries: Iterable[LedgerEntry], sightings: Iterable[Sighting], now: datetime) -> list[Saving]:
    """Tell what each reap saved, oldest first.

    Args:
        entries: Rows of the ledger, in order; those that say nothing of success are passed over.
        sightings: The lives of the same things that were there at or after the first of them.
        now: The instant that this speaks of.
    """
    lives: dict[ResourceKey, list[Sighting]] = {}
    for sighting in sightings:
        lives.setdefault(sighting.resource.ref.key, []).append(sighting)
    succeeded: dict[str, LedgerEntry] = {}
    for entry in entries:
        if entry.state is ActionState.SUCCEEDED and entry.at <= now:
            succeeded.setdefault(entry.action_id, entry)
    latest = {(entry.ref, entry.action): entry for entry in succeeded.values()}
    found: list[Saving] = []
    reaped: set[ResourceRef] = set()
    for entry in succeeded.values():
        saving = _saving(entry, lives.get(entry.ref.key, ()), now)
        if latest[entry.ref, entry.action] is not entry:  # it had to be done again
            saving = replace(saving, until=entry.at, ended=Ended.NO_EFFECT)
        elif entry.ref in reaped:
            saving = replace(saving, until=entry.at, ended=Ended.REAPED_BEFORE)
        else:
            reaped.add(entry.ref)
        found.append(saving)
    return found


def _saving(entry: LedgerEntry, lives: Sequence[Sighting], now: datetime) -> Saving:
    limit = entry.at + COUNTED_FOR
    until, ended = (limit, Ended.LIMIT) if limit <= now else (now, None)
    again = min((_began(life, entry) for life in lives if _later(life, entry)), default=None)
    if again is not None and again < until:
        until, ended = again, Ended.STARTED_AGAIN
    own = next((life.resource for life in lives if life.resource.ref == entry.ref), None)
    return Saving(
        entry=entry,
        owner=entry.owner or (None if own is None else own.owner),
        until=until,
        ended=ended,
        priced=not entry.ref.kind.startswith(_WITHOUT_PRICE),
    )


def _later(life: Sighting, entry: LedgerEntry) -> bool:
    """Tell whether it is another life, that began after the act."""
    return life.resource.ref != entry.ref and life.first_seen_at > entry.at


def _began(life: Sighting, entry: LedgerEntry) -> datetime:
    """Give when a later life began: by its source, if that can be; else when it was seen first."""
    began = life.resource.started_at
    return life.first_seen_at if began is None else min(life.first_seen_at, max(began, entry.at))


def report_document(
    found: Sequence[Saving], now: datetime, since: datetime, by: str | None
) -> dict[str, object]:
    """Give the report document.

    Args:
        found: What `savings` gave.
        now: The instant it speaks of.
        since: From when on reaps are in it.
        by: What they are put together by (`GROUPS`); None: by nothing.
    """
    groups: dict[str | None, list[Saving]] = {}
    for saving in found:
        groups.setdefault(_group(saving, by), []).append(saving)
    return {
        "schema": 1,
        "at": to_json(now),
        "since": to_json(since),
        "currency": "USD",
        "by": by,
        "rows": [_row(saving) for saving in found],
        "groups": []
        if by is None
        else [{"name": name, **_totals(of)} for name, of in _dearest_first(groups)],
        "totals": _totals(found),
    }


def _group(saving: Saving, by: str | None) -> str | None:
    if by == "owner":
        return saving.owner
    if by == "policy":
        return saving.entry.policy
    return None if by is None else str(getattr(saving.entry.ref, by))


def _dearest_first(groups: Mapping[str | None, list[Saving]]) -> list[tuple[str | None, list[Saving]]]:
    def order(item: tuple[str | None, list[Saving]]) -> tuple[float, int, str]:
        name, of = item
        return -sum(saving.saved or 0.0 for saving in of), -len(of), name or ""

    return sorted(groups.items(), key=order)


def _totals(found: Sequence[Saving]) -> dict[str, object]:
    """Add up what is known; how many prices are not is told beside it."""
    unknown = sum(saving.saved is None for saving in found)
    counting = [saving for saving in found if saving.priced and saving.ended is None]
    return {
        "reaps": len(found),
        "saved": _cents(sum(saving.saved or 0.0 for saving in found)),
        "hours": round(sum(saving.hours for saving in found if saving.priced), 2),
        "hourly_cost": _cents(sum(saving.entry.hourly_cost or 0.0 for saving in counting)),
        "unknown_prices": unknown,
        "at_least": unknown > 0,
    }


def _row(saving: Saving) -> dict[str, object]:
    entry = saving.entry
    return {
        **to_json(entry.ref),
        "at": to_json(entry.at),
        "action_id": entry.action_id,
        "name": entry.name or entry.ref.id,
        "owner": saving.owner,
        "policy": entry.policy,
        "action": entry.action,
        "hourly_cost": entry.hourly_cost,
        "price_source": entry.price_source or None,
        "until": to_json(saving.until),
        "ended": None if saving.ended is None else saving.ended.value,
        "hours": round(saving.hours, 2),
        "saved": None if saving.saved is None else _cents(saving.saved),
    }


def _cents(amount: float) -> float:
    return round(amount, 4)
