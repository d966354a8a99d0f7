"""Journals opened and written in other processes."""

import subprocess
import sys
from pathlib import Path

from reaper.core.world import World
from reaper.journal import SqliteJournal
from reaper.testing.journal_tale import MAX_GAP

_WRITER = """
import asyncio, resource, sys
from reaper.errors import JournalError
from reaper.journal import SqliteJournal
from reaper.testing.journal_tale import told

async def main(path, seed, length, most_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    journal = SqliteJournal(path)
    await journal.open(write=True)
    last = (await journal.load()).seq
    print("open", flush=True)
    for batch in told(seed, length)[0][last:]:
        try:
            await journal.write(batch)
        except JournalError as error:
            print(type(error).__name__, error, flush=True)
            break
        print(batch.seq, flush=True)
    await journal.close()

asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""

_OPEN = """
import asyncio, os, sys
from reaper.errors import JournalError
from reaper.journal import SqliteJournal

async def main(path, write):
    journal = SqliteJournal(path)
    try:
        await journal.open(write=write)
        print((await journal.load()).seq)
    except JournalError as error:
        print(type(error).__name__, error)
    await journal.close()

if "powerless" in sys.argv and os.geteuid() == 0:  # root may do anything
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
asyncio.run(main(sys.argv[1], sys.argv[2] == "write"))
"""


def in_a_process(*arguments: object) -> str:
    """Open a journal in another process; gives what that prints: the last batch, or the error."""
    command = [sys.executable, "-c", _OPEN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout


def write(path: Path, seed: int, length: int, most_bytes: int) -> tuple[int, str]:
    """Write a tale until it ends or a file would grow beyond `most_bytes`.

    Returns:
        The last batch that was acknowledged, and the error.
    """
    command = [sys.executable, "-c", _WRITER, *map(str, (path, seed, length, most_bytes))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    *_, last, problem = done.stdout.split("\n")[:-1]
    return int(last), problem


def write_and_kill(path: Path, seed: int, length: int, after: int) -> int:
    """Go on writing a tale in a process that is killed at some point after so many batches.

    Returns:
        The last batch that was acknowledged.
    """
    command = [sys.executable, "-c", _WRITER, *map(str, (path, seed, length, 1 << 30))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        last = [writer.stdout.readline() for _ in range(after)][-1]
        writer.kill()
        rest = writer.stdout.read().split("\n")[:-1]
    return int(rest[-1] if rest else last)


async def restored(path: Path) -> World:
    """Give the world that a journal describes."""
    journal = SqliteJournal(path)
    await journal.open(write=True)
    try:
        return World.restore(await journal.load(), MAX_GAP)
    finally:
        await journal.close()
