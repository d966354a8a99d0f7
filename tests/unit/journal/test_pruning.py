"""What retention does with clocks that were wrong, and how long a write waits for it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reaper.core.batch import fold_facts, fold_look
from reaper.core.decide import decide
from reaper.core.facts import ClockSeen
from reaper.core.world import World
from reaper.errors import JournalError
from reaper.journal import MemoryJournal, pruning
from reaper.testing.journal_contract import RULES, a_look
from reaper.testing.journal_tale import MAX_GAP, START
from reaper.testing.worlds import differences, lasting

DAY = timedelta(days=1)


async def looked(journal: MemoryJournal, days: list[float]) -> World:
    """Look once at each of these days after the beginning, whatever their order."""
    world = World(max_gap=MAX_GAP)
    for number, day in enumerate(days, start=1):
        await journal.write(fold_look(world, a_look(number, START + day * DAY, value=str(number))))
    return world


@pytest.fixture
async def journal():
    journal = MemoryJournal()
    await journal.open(write=True)
    yield journal
    await journal.close()


async def test_a_moment_in_the_future_does_not_keep_everything_for_ever(journal):
    """A machine that starts with a wrong clock looks once in 2040; what comes later is as old as it is."""
    world = await looked(journal, [0, 1, 5000, *range(2, 60)])
    before = START + 50 * DAY
    assert await journal.prune(before) > 50
    with pytest.raises(JournalError, match="reaches back to"):
        await journal.load(seq=30)
    restored = World.restore(await journal.load(), MAX_GAP)
    assert differences(lasting(restored, before), lasting(world, before)) == []


async def test_a_clock_that_was_set_back_loses_nothing_that_is_new(journal):
    """The last hours seem to lie ahead: they stay until they are as old as that."""
    await looked(journal, [0, 1, 2, 10, 10.1, 9.9])
    await journal.prune(START + 5 * DAY)
    for seq in (4, 5, 6):
        assert (await journal.load(seq=seq)).seq == seq
    with pytest.raises(JournalError):
        await journal.load(seq=2)


async def test_a_clock_that_was_wrong_all_along_loses_nothing_that_is_needed(journal):
    world = await looked(journal, [5000, 5001, 5002, 0, 1])
    before = START - DAY
    await journal.prune(before)
    restored = World.restore(await journal.load(), MAX_GAP)
    assert differences(lasting(restored, before), lasting(world, before)) == []
    await journal.write(fold_facts(world, (ClockSeen(at=START + 2 * DAY, boot_id="b", offset_s=0.0),)))
    assert World.restore(await journal.load(), MAX_GAP) == world


async def test_however_many_decisions_there_are_a_write_waits_for_few(journal, monkeypatch):
    """Pruning lets writes pass between its steps; no step reads or drops more than its share."""
    monkeypatch.setattr(pruning, "_MANY", 50)
    world = await looked(journal, [0])
    for day in (0, 10):
        made = tuple(decide(world, RULES, START + day * DAY))
        many = tuple(replace(made[0], id=f"{day} {number}") for number in range(5000))
        await journal.write(fold_facts(world, (), many))
    store, steps = journal._store, list[int]()
    assert store is not None
    assert store._connection is not None
    pruned, done = store.prune(START + 5 * DAY), False
    while not done:
        counted: list[None] = []
        store._connection.set_progress_handler(lambda: counted.append(None), 100)  # noqa: B023 - within the step
        done = next(pruned, "end") == "end"
        steps.append(100 * len(counted))
    assert len(await journal.decisions(limit=20_000)) == 5000
    assert max(steps) < 20_000, f"the longest step took {max(steps)} of SQLite's instructions"
