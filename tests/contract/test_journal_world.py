"""The world that a journal gives back is the world that was lived, at every batch: whatever happens.

The contract tells a few fixed tales; here Hypothesis looks for one that goes wrong, and tells it shorter.
"""

import copy
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from reaper.core.world import World
from reaper.errors import JournalError
from reaper.journal import MemoryJournal, SqliteJournal, writing
from reaper.plugins import Journal
from reaper.testing.journal_tale import MAX_GAP, START, Tale, differences, lasting


async def _tell_and_compare(journal: Journal, data: st.DataObject, length: int) -> None:
    tale = Tale(lambda many: data.draw(st.integers(0, many - 1)))
    batches, worlds = [], [copy.deepcopy(tale.world)]
    for _ in range(length):
        batches.append(tale.go_on())
        worlds.append(copy.deepcopy(tale.world))
    pruned, before = data.draw(st.integers(0, length)), START
    for batch in batches:  # late, as after a disk that was full: a batch says what was true when it was made
        await journal.write(batch)
        if batch.seq == pruned:
            before = START + (tale.now - START) * data.draw(st.floats(0, 1))
            await journal.prune(before)
    for seq, world in enumerate(worlds):
        try:
            restored = World.restore(await journal.load(seq=seq), MAX_GAP)
        except JournalError:
            assert pruned, "nothing was pruned, yet a batch is refused"
            continue
        if pruned:
            restored, world = lasting(restored, before), lasting(world, before)  # noqa: PLW2901
        assert differences(restored, world) == []


@pytest.mark.timeout(600)
@settings(max_examples=max(50, settings().max_examples // 4))
@given(data=st.data())
async def test_memory_gives_back_the_world_of_every_batch(data: st.DataObject):
    journal = MemoryJournal()
    await journal.open(write=True)
    await _tell_and_compare(journal, data, data.draw(st.integers(1, 25)))
    await journal.close()


@settings(max_examples=max(10, settings().max_examples // 20))
@given(data=st.data())
async def test_a_file_gives_back_the_world_of_every_batch(data: st.DataObject):
    with tempfile.TemporaryDirectory() as folder:
        journal = SqliteJournal(Path(folder, "journal.db"))
        await journal.open(write=True)
        try:
            await _tell_and_compare(journal, data, data.draw(st.integers(1, 12)))
        finally:
            await journal.close()


@settings(max_examples=max(10, settings().max_examples // 20))
@given(data=st.data())
async def test_moving_rows_to_their_place_changes_nothing(data: st.DataObject):
    """Superseded runs collect in one table and are moved to another now and then: here after every few."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(writing, "MANY_RECENT", 3)
        journal = MemoryJournal()
        await journal.open(write=True)
        await _tell_and_compare(journal, data, 25)
        await journal.close()
