"""The world that a journal gives back is the world that was lived, at every batch: whatever happens.

The contract tells a few fixed tales; here Hypothesis looks for one that goes wrong, and tells it shorter.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import event, given, strategies as st

from reaper.core.world import World
from reaper.errors import JournalError
from reaper.journal import MemoryJournal, SqliteJournal, writing
from reaper.plugins import Journal
from reaper.testing.journal_tale import MAX_GAP, START
from reaper.testing.worlds import differences, lasting
from tests.support.properties import HOUSE
from tests.support.tales import Told, tales

SOON, LATE = 3, writing.MANY_RECENT
PER_CENT = st.integers(0, 100)
PRUNED = st.none() | st.tuples(PER_CENT, PER_CENT)
"""After how much of the tale, and up to where on the way from its beginning to its end."""
EVERY = st.integers(1, 5)
"""Which batches are asked for: the last, and every so many before; to load each of every tale takes twice as long."""


async def _write_and_compare(
    journal: Journal, told: Told, pruned: tuple[int, int] | None, every: int
) -> None:
    """Late, as after a disk that was full: a batch says what was true when it was made."""
    before, last = None, len(told.batches)
    await journal.open(write=True)
    for batch in told.batches:
        await journal.write(batch)
        if pruned is not None and batch.seq == 1 + last * pruned[0] // 101:
            before = START + (told.now - START) * (pruned[1] / 100)
            event(f"pruned: {await journal.prune(before) > 0}")
    for seq in range(last, -1, -every):
        try:
            restored, world = World.restore(await journal.load(seq=seq), MAX_GAP), told.worlds[seq]
        except JournalError:
            assert before, "nothing was pruned, yet a batch is refused"
            assert seq < last, "pruned or not, the last one is there"
            continue
        if before is not None:
            restored, world = lasting(restored, before), lasting(world, before)
        assert differences(restored, world) == []


@HOUSE
@given(told=tales(20), pruned=PRUNED, every=EVERY, many_recent=st.sampled_from([LATE, SOON]))
async def test_memory_gives_back_the_world_of_every_batch(
    told: Told, pruned: tuple[int, int] | None, every: int, many_recent: int
):
    """Superseded runs collect in one table and are moved to another now and then: here also after every few."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(writing, "MANY_RECENT", many_recent)
        journal = MemoryJournal()
        await _write_and_compare(journal, told, pruned, every)
        await journal.close()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where a file is made for each example; in memory, if there is such a place: nothing here is about the disk."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="reaper-", dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


@HOUSE
@given(told=tales(8), pruned=PRUNED, every=EVERY)
async def test_a_file_gives_back_the_world_of_every_batch(
    folder: Path, told: Told, pruned: tuple[int, int] | None, every: int
):
    path = folder / "journal.db"
    journal = SqliteJournal(path)
    try:
        await _write_and_compare(journal, told, pruned, every)
    finally:
        await journal.close()
        path.unlink()
