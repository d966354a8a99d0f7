"""The recorder: in order, nothing lost, and a bound to what it keeps."""

import asyncio

import pytest
import structlog.testing

from reaper.core.batch import Batch
from reaper.core.facts import Resumed
from reaper.core.world import World
from reaper.daemon import recorder as module
from reaper.daemon.recorder import Recorder
from reaper.errors import JournalCorrupt, JournalFull
from reaper.journal.memory import MemoryJournal
from reaper.testing import T0


class FailingJournal(MemoryJournal):
    """Fails as told, and remembers in which order it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self.asked: list[int] = []
        self.written: list[int] = []
        self.slow = asyncio.Event()
        self.slow.set()

    async def write(self, batch: Batch) -> None:
        self.asked.append(batch.seq)
        await self.slow.wait()
        if self.failure is not None:
            raise self.failure
        await super().write(batch)
        self.written.append(batch.seq)


@pytest.fixture
async def journal():
    journal = FailingJournal()
    await journal.open(write=True)
    yield journal
    await journal.close()


def fact(number: int) -> Resumed:
    return Resumed(at=T0, who=str(number))


async def test_batches_stay_in_order_through_failures(journal):
    recorder = Recorder(World(), journal)
    recorder.facts(fact(1))
    await recorder.flush()
    journal.failure = JournalFull("disk full")
    for number in (2, 3, 4):
        recorder.facts(fact(number))
        await recorder.flush()
    assert (recorder.pending, recorder.healthy) == (3, False)
    assert journal.written == [1]
    assert set(journal.asked) == {1, 2}, "nothing overtakes what can't be written"
    journal.failure = None
    recorder.facts(fact(5))
    await recorder.flush()
    assert journal.written == [1, 2, 3, 4, 5]
    assert (recorder.pending, recorder.healthy, recorder.failure) == (0, True, None)


async def test_the_world_is_ahead_of_the_journal_meanwhile(journal):
    recorder = Recorder(World(), journal)
    journal.failure = JournalFull("disk full")
    recorder.facts(fact(1))
    await recorder.flush()
    assert recorder.world.seq == 1


async def test_a_failure_and_its_end_are_logged_once(journal):
    recorder = Recorder(World(), journal)
    journal.failure = JournalFull("disk full")
    with structlog.testing.capture_logs() as logs:
        for number in range(4):
            recorder.facts(fact(number))
            await recorder.flush()
        journal.failure = None
        await recorder.flush()
    assert [entry["event"] for entry in logs] == ["journal failed", "journal recovered"]


async def test_durable_raises_what_keeps_it_from_being_written(journal):
    recorder = Recorder(World(), journal)
    journal.failure = JournalCorrupt("damaged")
    recorder.facts(fact(1))
    with pytest.raises(JournalCorrupt, match="damaged"):
        await recorder.durable()
    journal.failure = None
    await recorder.durable()
    assert journal.written == [1]


async def test_durable_goes_on_when_its_caller_is_cancelled(journal):
    recorder = Recorder(World(), journal)
    journal.slow.clear()
    recorder.facts(fact(1))
    waiting = asyncio.create_task(recorder.durable())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    journal.slow.set()
    await recorder.flush()
    assert journal.written == [1]
    assert recorder.pending == 0


async def test_two_flushes_at_once_write_each_batch_once(journal):
    recorder = Recorder(World(), journal)
    journal.slow.clear()
    for number in range(5):
        recorder.facts(fact(number))
    flushing = [asyncio.create_task(recorder.flush()) for _ in range(3)]
    await asyncio.sleep(0)
    journal.slow.set()
    await asyncio.gather(*flushing)
    assert journal.asked == [1, 2, 3, 4, 5]


async def test_it_ends_the_process_rather_than_eat_the_memory(journal, monkeypatch):
    monkeypatch.setattr(module, "MOST_PENDING", 3)
    recorder = Recorder(World(), journal)
    journal.failure = JournalFull("disk full")
    for number in range(3):
        recorder.facts(fact(number))
        await recorder.flush()
    with pytest.raises(RuntimeError, match="3 batches could not be written to the journal"):
        recorder.facts(fact(4))


async def test_a_bug_in_the_journal_is_not_taken_for_a_full_disk(journal):
    recorder = Recorder(World(), journal)
    journal.failure = ZeroDivisionError("a bug")
    recorder.facts(fact(1))
    with pytest.raises(ZeroDivisionError):
        await recorder.flush()
