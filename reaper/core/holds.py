"""Holds that sources tell of, and those that people write into a tag. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from reaper.core.codec import instant_from_text
from reaper.core.facts import Fact, HoldPlaced, HoldReleased, HoldTagSeen
from reaper.core.history import History
from reaper.core.model import Collected, Hold, Resource

__all__ = ["LONGEST_HOLD", "hold_tags", "new_hold_tags", "tag_holds", "told_holds"]

LONGEST_HOLD = timedelta(days=30)
"""No hold lasts longer, however it was made: who wants more renews it, or sets `reaper:protect`."""

_TAG = "reaper:hold-until"
_DRIFT = timedelta(seconds=30)


def hold_tags(resource: Resource) -> list[tuple[str, datetime | None]]:
    """Give each `reaper:hold-until` tag as written, with its end; None where that can't be read."""
    found: list[tuple[str, datetime | None]] = []
    for key, value in resource.tags.items():
        if len(key) == len(_TAG) and key.lower() == _TAG:  # asked of each resource in each tick
            try:
                found.append((f"{key}={value}", instant_from_text(value)))
            except (TypeError, ValueError):
                found.append((f"{key}={value}", None))
    return sorted(found, key=lambda tag: tag[0])


def tag_holds(history: History) -> list[tuple[str, datetime | None]]:
    """Give each hold tag of a resource with the end that counts: the longest hold after it was first seen, at most."""
    tags = hold_tags(history.resource) if history.resource.tags else []
    found: list[tuple[str, datetime | None]] = []
    for tag, until in tags:
        most = history.hold_tags.get(tag, history.last_seen_at) + LONGEST_HOLD
        if until is not None and until > most:
            found.append((f"{tag}, {LONGEST_HOLD.days} days at most", most))
        else:
            found.append((tag, until))
    return found


def new_hold_tags(history: History, at: datetime) -> list[HoldTagSeen]:
    """Give the facts to journal for hold tags that a look sees for the first time."""
    return [
        HoldTagSeen(at=at, ref=history.ref, tag=tag)
        for tag, _ in hold_tags(history.resource)
        if tag not in history.hold_tags
    ]


def told_holds(collected: Collected, known: Iterable[Hold]) -> list[Fact]:
    """Give the facts to journal where a look tells of other holds than the one before."""
    poll = collected.poll
    whole = poll.complete and poll.targets is None  # what can't be read still protects
    prefix = f"{poll.source}#"
    told = {hold.id: hold for hold in (_owned(hold, prefix) for hold in collected.holds)}
    facts: list[Fact] = []
    for before in [hold for hold in known if hold.id.startswith(prefix)]:
        fresh = told.get(before.id)
        if fresh is None and not whole:
            continue
        if fresh is None:
            facts.append(HoldReleased(at=poll.started_at, hold_id=before.id, who=poll.source))
        elif _same_hold(before, fresh):
            del told[before.id]
    return [*facts, *(HoldPlaced(at=poll.started_at, hold=hold) for hold in told.values())]


def _owned(hold: Hold, prefix: str) -> Hold:
    """A source's holds carry its name, or no later look could end them."""
    return hold if hold.id.startswith(prefix) else replace(hold, id=prefix + hold.id)


def _same_hold(known: Hold, fresh: Hold) -> bool:
    """A remaining time counted down from two looks drifts by milliseconds: that is the same hold."""
    if known.expires_at is None or fresh.expires_at is None:
        return known.expires_at == fresh.expires_at and known.matcher == fresh.matcher
    return known.matcher == fresh.matcher and abs(known.expires_at - fresh.expires_at) < _DRIFT
