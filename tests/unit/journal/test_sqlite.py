"""What the file journal does beyond the contract: its thread, its readers, its disk."""

import asyncio
import contextlib
import gc
import sqlite3
import stat
import threading
import warnings
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import structlog

from reaper.core.batch import fold_facts, fold_look
from reaper.core.facts import ConfigLoaded
from reaper.core.world import World
from reaper.errors import JournalLocked
from reaper.journal import SqliteJournal, opening, pruning, reading, snapshot
from reaper.journal.store import Store
from reaper.plugins import LedgerQuery
from reaper.testing.journal_contract import a_look
from reaper.testing.journal_tale import MAX_GAP, START
from reaper.testing.worlds import differences, lasting


def pragma(journal: SqliteJournal, name: str) -> object:
    store = journal._store
    assert store is not None
    assert store._connection is not None
    return store._connection.execute(f"PRAGMA {name}").fetchone()[0]


async def ask(journal: SqliteJournal, name: str) -> Any:
    assert journal._worker is not None
    return await journal._worker.run(lambda: pragma(journal, name))


# --- the file ----------------------------------------------------------------------------------------------------


async def test_every_write_is_synced_to_a_write_ahead_log(filled):
    assert await ask(filled, "journal_mode") == "wal"
    assert await ask(filled, "synchronous") == 2
    assert await ask(filled, "auto_vacuum") == 2
    assert await ask(filled, "user_version") == 1
    assert await ask(filled, "quick_check") == "ok"
    assert filled.notes == ()


async def test_files_are_the_owners_alone(filled, path):
    names = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert names == dict.fromkeys(
        ("journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"), 0o600
    )


async def test_closing_leaves_the_file_and_an_empty_lock(filled, path):
    await filled.close()
    assert {file.name: file.stat().st_size > 0 for file in path.parent.iterdir()} == {
        "journal.db": True,
        "journal.db.lock": False,
    }


async def test_missing_folders_are_made(tmp_path, tale):
    journal = SqliteJournal(tmp_path / "new" / "state" / "journal.db")
    await journal.open(write=True)
    await journal.write(tale[0][0])
    await journal.close()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


async def test_a_person_can_read_the_evidence_with_a_sqlite_shell(path):
    journal, world = SqliteJournal(path), World(max_gap=MAX_GAP)
    await journal.open(write=True)
    for number, value in enumerate(("busy", "idle", "idle"), start=1):
        await journal.write(
            fold_look(world, a_look(number, START + number * timedelta(minutes=1), value=value))
        )
    await journal.close()
    with contextlib.closing(sqlite3.connect(path)) as shell:
        rows = shell.execute(
            "SELECT kind, signal, activity, value, first_at, last_at, evidence_at FROM evidence"
            " WHERE key = 'k1' ORDER BY first_at"
        ).fetchall()
    kernel = ("jupyter.kernel", "execution_state", "idle")
    assert rows == [
        (*kernel, "busy", "2026-11-22 21:01:00", "2026-11-22 21:01:00", "2026-11-22 21:00:00"),
        (*kernel, "idle", "2026-11-22 21:02:00", None, "2026-11-22 21:00:00"),  # it lasts
    ]


async def test_decisions_may_be_thrown_away(filled, path, tale):
    """They are derived: nothing else depends on them, numbering neither."""
    world = World.restore(await filled.load(), MAX_GAP)
    await filled.write(fold_facts(world, ()))
    await filled.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("DELETE FROM decisions")
    await filled.open(write=True)
    assert World.restore(await filled.load(), MAX_GAP) == world


async def test_equal_evidence_is_one_row(path):
    journal, world = SqliteJournal(path), World(max_gap=MAX_GAP)
    await journal.open(write=True)
    for number in range(1, 51):
        await journal.write(fold_look(world, a_look(number, START + number * timedelta(minutes=1))))
    await journal.close()
    with contextlib.closing(sqlite3.connect(path)) as shell:
        counts = shell.execute(
            """SELECT (SELECT count(*) FROM heads), (SELECT count(*) FROM recent), (SELECT count(*) FROM runs),
                (SELECT count(*) FROM polls)"""
        ).fetchone()
    assert counts == (4, 0, 0, 50)  # two lives: presence and a signal each


async def test_the_file_shrinks(path):
    journal, world = SqliteJournal(path), World(max_gap=MAX_GAP)
    await journal.open(write=True)
    for number in range(1, 101):
        at = START + number * timedelta(minutes=1)
        look = a_look(number, at, value=f"{number} " + "x" * 2000)
        await journal.write(fold_look(world, look))
    before = await ask(journal, "page_count")
    assert await journal.prune(START + timedelta(minutes=95)) > 150
    after = await ask(journal, "page_count")
    assert after < before / 2
    await journal.close()
    assert path.stat().st_size == after * 4096


# --- the thread --------------------------------------------------------------------------------------------------


async def test_there_is_one_thread_while_it_is_open(path, tale):
    def threads() -> list[str]:
        return sorted(thread.name for thread in threading.enumerate())

    before = threads()
    journal = SqliteJournal(path)
    await journal.open(write=True)
    assert threads() == sorted([*before, "journal journal.db"])
    await asyncio.gather(journal.write(tale[0][0]), journal.load(), journal.facts(LedgerQuery()))
    assert threads() == sorted([*before, "journal journal.db"])
    await journal.close()
    assert threads() == before


async def test_a_failed_opening_leaves_nothing_open(filled, path):
    threads = threading.active_count()
    for _ in range(3):
        with pytest.raises(JournalLocked):
            await SqliteJournal(path).open(write=True)
    assert threading.active_count() == threads
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()


async def test_writes_pass_a_long_reading(filled, tale, monkeypatch):
    """A reading in the daemon goes in slices, and sees the state of its beginning all the same."""
    monkeypatch.setattr(snapshot, "SLICE", 1)
    monkeypatch.setattr(reading, "SLICE", 1)
    batches, worlds = tale
    order, loop = [], asyncio.get_running_loop()
    load = loop.create_task(filled.load())
    load.add_done_callback(lambda _: order.append("load"))
    await asyncio.sleep(0)
    for batch in batches[20:25]:
        await filled.write(batch)
        order.append("write")
    image = await load
    assert order.index("write") < order.index("load")
    assert World.restore(image, MAX_GAP) == worlds[image.seq]
    assert World.restore(await filled.load(), MAX_GAP) == worlds[25]


async def test_a_write_whose_waiter_was_cancelled_is_written(filled, tale):
    writing = asyncio.get_running_loop().create_task(filled.write(tale[0][20]))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert (await filled.load()).seq == 21


async def test_closing_finishes_what_is_being_written(path, tale):
    journal = SqliteJournal(path)
    await journal.open(write=True)
    writes = [asyncio.get_running_loop().create_task(journal.write(batch)) for batch in tale[0][:5]]
    await asyncio.sleep(0)
    await journal.close()
    await asyncio.gather(*writes)
    await journal.open(write=False)
    assert (await journal.load()).seq == 5
    await journal.close()


async def test_what_is_written_is_what_the_batch_said_when_it_was_handed_over(path):
    """A provider may go on changing the memo it gave."""
    journal, world, memo = SqliteJournal(path), World(max_gap=MAX_GAP), {"cpu": [1]}
    await journal.open(write=True)
    writing = journal.write(fold_look(world, replace(a_look(1, START), memo=memo)))
    memo["cpu"].append(2)
    await writing
    assert (await journal.load()).memos == {"jupyter:test": {"cpu": [1]}}
    await journal.close()


async def test_a_defect_in_a_batch_leaves_nothing_of_it(filled, tale):
    """What has no JSON form is a defect, not a damaged journal: it is raised as it is, and the next batch goes in."""
    batches, worlds = tale
    world = World.restore(await filled.load(), MAX_GAP)
    bad = fold_facts(
        world, (ConfigLoaded(at=START, digest="ok"), ConfigLoaded(at=START, digest="x", body={"x": object()}))
    )
    with pytest.raises(TypeError, match="no JSON form"):
        await filled.write(bad)
    assert World.restore(await filled.load(), MAX_GAP) == worlds[20]
    await filled.write(batches[20])
    assert World.restore(await filled.load(), MAX_GAP) == worlds[21]


# --- readers beside the writer -----------------------------------------------------------------------------------


async def test_a_reader_beside_the_writer_sees_each_batch(filled, path, tale):
    reader = SqliteJournal(path)
    await reader.open(write=False)
    for batch in tale[0][20:25]:
        await filled.write(batch)
        assert World.restore(await reader.load(), MAX_GAP) == tale[1][batch.seq]
    await reader.close()


async def test_readers_change_nothing(filled, path):
    await filled.close()
    before = path.read_bytes()
    for _ in range(2):
        await filled.open(write=False)
        await filled.load()
        await filled.close()
    assert path.read_bytes() == before
    assert path.with_name("journal.db.lock").read_bytes() == b""


# --- network file systems ----------------------------------------------------------------------------------------


async def test_on_a_network_file_system_there_is_no_shared_memory(path, tale, monkeypatch):
    """WAL needs memory that two hosts can't share: a rollback journal, and the file for one process alone."""
    batches, worlds = tale
    journal = SqliteJournal(path)
    await journal.open(write=True)  # it was on a local disk once
    await journal.write(batches[0])
    await journal.close()
    monkeypatch.setattr("reaper.journal.place.file_system", lambda _: "nfs4")
    with structlog.testing.capture_logs() as logs:
        await journal.open(write=True)
    assert [log["note"] for log in logs] == list(journal.notes)
    assert "nfs4" in journal.notes[0]
    assert await ask(journal, "journal_mode") == "truncate"
    assert await ask(journal, "synchronous") == 2
    for batch in batches[1:30]:
        await journal.write(batch)
    assert World.restore(await journal.load(seq=12), MAX_GAP) == worlds[12]
    assert await journal.prune(START + timedelta(minutes=5)) >= 0
    assert {file.name for file in path.parent.iterdir()} <= {
        "journal.db",
        "journal.db-journal",
        "journal.db.lock",
    }
    monkeypatch.setattr(opening, "_BUSY_S", 0.05)
    with pytest.raises(JournalLocked):
        await SqliteJournal(path).open(write=False)
    await journal.close()
    await journal.open(write=False)
    assert World.restore(await journal.load(), MAX_GAP) == worlds[30]
    await journal.close()
    monkeypatch.undo()
    await journal.open(write=True)  # and back
    assert await ask(journal, "journal_mode") == "wal"
    assert World.restore(await journal.load(), MAX_GAP) == worlds[30]
    await journal.close()


# --- pruning, cut off --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches_before", [10, 35])
async def test_pruning_that_is_cut_off_leaves_a_good_journal(tmp_path, tale, monkeypatch, batches_before):
    """Killed between two of its transactions: what can be loaded is right, and the next pruning goes on."""
    monkeypatch.setattr(pruning, "_MANY", 1)
    monkeypatch.setattr(pruning, "_VACUUM_PAGES", 1)
    batches, worlds = tale
    before = max(fact.at for batch in batches[:batches_before] for fact in batch.facts)
    path, steps = tmp_path / "journal.db", 1
    journal = SqliteJournal(path)
    await journal.open(write=True)
    for batch in batches:
        await journal.write(batch)
    finished = False
    while not finished:
        assert journal._worker is not None
        assert journal._store is not None
        finished = await journal._worker.run(partial(_prune_so_far, journal._store, before, steps))
        await journal.close()
        await journal.open(write=True)
        steps += 7
        restored = World.restore(await journal.load(), MAX_GAP)
        assert differences(lasting(restored, before), lasting(worlds[-1], before)) == []
        if (oldest := await _oldest(journal)) is not None:
            restored = World.restore(await journal.load(seq=oldest), MAX_GAP)
            assert differences(lasting(restored, before), lasting(worlds[oldest], before)) == []
    await journal.close()


def _prune_so_far(store: Store, before: datetime, steps: int) -> bool:
    pruned = store.prune(before)
    for _ in range(steps):
        try:
            next(pruned)
        except StopIteration:
            return True
    pruned.close()
    return False


async def _oldest(journal: SqliteJournal) -> int | None:
    def read() -> int | None:
        assert journal._store is not None
        row = journal._store._reader.execute("SELECT value FROM meta WHERE name = 'horizon'").fetchone()
        return None if row is None else int(row[0])

    assert journal._worker is not None
    return await journal._worker.run(read)


def test_the_path_may_be_anything(tmp_path):
    assert SqliteJournal(str(tmp_path / "ü ?#%.db")).path == tmp_path / "ü ?#%.db"


async def test_a_name_that_means_something_in_a_url_is_only_a_name(tmp_path, tale):
    path = tmp_path / "a?mode=memory#%41 ü.db"
    journal = SqliteJournal(path)
    await journal.open(write=True)
    await journal.write(tale[0][0])
    await journal.close()
    assert path.stat().st_size > 4096
    await journal.open(write=False)
    assert (await journal.load()).seq == 1
    await journal.close()
    allowed = {path.name + suffix for suffix in ("", ".lock", "-shm", "-wal")}
    assert {file.name for file in tmp_path.iterdir()} <= allowed
