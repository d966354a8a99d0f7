"""Two at once, and sudden ends: one writer, and what was acknowledged is there."""

import contextlib
import os
import sqlite3

import pytest

from reaper.errors import JournalLocked
from reaper.journal import SqliteJournal
from reaper.testing.journal_tale import told
from tests.unit.journal.processes import in_a_process, restored, write, write_and_kill


async def test_a_limit_on_the_files_size_loses_nothing(path):
    """The kernel refuses a write in the middle, as a quota or a full disk does."""
    last, problem = write(path, seed=8, length=120, most_bytes=200_000)
    assert problem.startswith("JournalFull"), problem
    assert 0 < last < 120
    assert await restored(path) == told(8, 120)[1][last]


async def test_a_second_daemon_is_refused_with_the_pid_of_the_first(filled, path, tale):
    said = in_a_process(path, "write")
    assert said.startswith("JournalLocked"), said
    assert f"process {os.getpid()}" in said
    assert in_a_process(path, "read") == "20\n"  # reading goes on beside it
    await filled.write(tale[0][20])
    with pytest.raises(JournalLocked, match="this very process"):
        await SqliteJournal(path).open(write=True)
    await filled.close()
    assert in_a_process(path, "write") == "21\n"


async def test_somebody_elses_lock_in_the_file_is_an_error_that_says_so(filled, path, tale, monkeypatch):
    connection = filled._store._connection
    await filled._worker.run(lambda: connection.execute("PRAGMA busy_timeout = 20").fetchone())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalLocked, match="SQLite shell"):
            await filled.write(tale[0][20])
    await filled.write(tale[0][20])


@pytest.mark.timeout(180)
async def test_what_was_acknowledged_survives_sigkill(path):
    """Killed at any point of writing, again and again: it opens, and nothing that was acknowledged is missing."""
    worlds, last = told(9, 150)[1], 0
    for after in (1, 4, 9, 16, 25, 36):
        acknowledged = write_and_kill(path, seed=9, length=150, after=after)
        assert acknowledged > last
        world = await restored(path)
        assert world.seq in {acknowledged, acknowledged + 1}
        assert world == worlds[world.seq]
        last = world.seq
