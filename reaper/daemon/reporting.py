"""Report what was saved, from a journal alone: the daemon's own, or one that no daemon has open."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.savings import COUNTED_FOR, GROUPS, report_document, savings
from reaper.errors import UsageError
from reaper.plugins import Journal, LedgerQuery

__all__ = ["report"]

_ALL = 1_000_000
"""Rows of the ledger to read at most: more than any journal keeps."""
_LONGEST_S = timedelta(days=3660).total_seconds()


async def report(journal: Journal, now: datetime, request: Mapping[str, object]) -> dict[str, object]:
    """Give the report document.

    Args:
        journal: Open.
        now: The instant it speaks of.
        request: `since_s`: how far back reaps are in it, in seconds, 30 days without it; `by`: one of `GROUPS`.

    Raises:
        UsageError: One of them can't be used.
    """
    since, by = now - _reach(request.get("since_s")), request.get("by")
    if by is not None and by not in GROUPS:
        raise UsageError(f"{str(by)[:40]!r} is nothing to put savings together by: write {', '.join(GROUPS)}")
    rows = await journal.facts(LedgerQuery(types=("LedgerEntry",), since=since, limit=_ALL))
    entries = [row for row in rows if isinstance(row, LedgerEntry) and row.state is ActionState.SUCCEEDED]
    lives = await journal.lives({entry.ref.key for entry in entries}, since=since) if entries else []
    return report_document(savings(entries, lives, now), now, since, None if by is None else str(by))


def _reach(seconds: object) -> timedelta:
    if seconds is None:
        return COUNTED_FOR
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
        raise UsageError(f"since_s: {str(seconds)[:40]!r} is no number of seconds")
    if not 0 < seconds <= _LONGEST_S:
        raise UsageError(f"since_s: {seconds:g} is no time to look back: from 1 second to ten years")
    return timedelta(seconds=seconds)
