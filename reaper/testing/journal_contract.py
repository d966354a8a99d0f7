"""What every journal must do, as tests: for ours, and for those of plugin authors.

Subclass `JournalContract` in a test module under a name that pytest collects, say how to make a journal,
and the tests come along (they are coroutines: pytest-asyncio in auto mode)::

    class TestPostgresJournal(JournalContract):
        @pytest.fixture
        async def journal(self, database):
            journal = PostgresJournal.from_address(database.url)
            await journal.open(write=True)
            yield journal
            await journal.close()

The journal is empty, open for writing, and may be closed and opened again by a test. The heart of it:
whatever was looked at and happened, `World.restore(await journal.load(seq=k))` is the world as it stood
when batch k was folded, field by field. `reaper.testing.journal_tale.Tale` makes up what happens.
"""

# ruff: noqa: S101, PLR2004 - a suite of tests that is shipped: assert is its tool, numbers are what it compares

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from reaper.core.batch import Batch, fold_facts, fold_look
from reaper.core.decide import Decision, decide
from reaper.core.facts import ConfigLoaded, Fact, HoldPlaced, LedgerEntry, NoticeGiven, Paused, SettingChanged
from reaper.core.history import History
from reaper.core.model import (
    Activity,
    Collected,
    Hold,
    HoldMatcher,
    Observation,
    Poll,
    Resource,
    ResourceKey,
    ResourceRef,
)
from reaper.core.ruleset import PolicySpec, Ruleset, Step
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.core.world import World
from reaper.errors import JournalError
from reaper.plugins import Journal, LedgerQuery
from reaper.testing.journal_tale import MAX_GAP, START, Tale

__all__ = ["JournalContract", "told", "worlds_differ"]


def told(seed: int, length: int = 40) -> tuple[list[Batch], list[World]]:
    """Tell a tale.

    Returns:
        Its batches, and the world before the first and after each: `worlds[k]` is that of batch k.
    """
    tale = Tale(random.Random(seed).randrange)  # noqa: S311 - made up to be told again, not to be a secret
    batches, worlds = [], [copy.deepcopy(tale.world)]
    for _ in range(length):
        batches.append(tale.go_on())
        worlds.append(copy.deepcopy(tale.world))
    return batches, worlds


def worlds_differ(restored: World, lived: World, forgotten_before: datetime | None = None) -> str:
    """Say in what two worlds differ; empty: in nothing.

    Args:
        restored: From a journal.
        lived: As it was folded.
        forgotten_before: When the journal was pruned up to an instant: holds that were over by then, and sources
            where nothing lived any more, may be missing.
    """
    lived = copy.deepcopy(lived)
    if forgotten_before is not None:
        for name, hold in list(lived.holds.items()):
            over = hold.expires_at is not None and hold.expires_at < forgotten_before
            if over and name not in restored.holds:
                del lived.holds[name]
        for name in set(lived.sources) - set(restored.sources):
            if not any(history.source == name for history in lived.live.values()):
                lived = replace(lived, sources={**lived.sources}, _by_source={})
    return ""


class JournalContract:
    """The tests."""
