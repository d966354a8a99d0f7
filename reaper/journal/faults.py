"""What SQLite's errors mean to a person."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reaper.errors import JournalCorrupt, JournalError, JournalFull, JournalLocked

__all__ = ["RESCUE", "cannot_write", "legible", "translate", "translated"]

RESCUE = (
    "Nothing was deleted. Stop reaper and move the file aside, and with it those of the same name that end in -wal and "
    "-shm (a new journal is made: what Jupyter itself remembers of idleness survives, holds and notices do not); then "
    "put a backup in its place if there is one (journal.db.bak-*), or save what can be read with "
    "`sqlite3 FILE .recover`"
)
"""With its write-ahead log beside it, which is another file's, a backup would be damaged too."""

# Primary result codes of sqlite3.h; the low byte of an extended one.
_PERM, _BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _AUTH, _FORMAT, _NOTADB = (
    *(3, 5, 6, 8, 10, 11, 13, 14),
    *(23, 24, 26),
)
_READING = {1, 2, 32, 33}  # IOERR_READ, IOERR_SHORT_READ, IOERR_DATA, IOERR_CORRUPTFS


def cannot_write(path: Path, why: str) -> JournalFull:
    """Make the error for a journal that can't be created or written."""
    return JournalFull(
        f"the journal {path} can't be written: {why}. Nothing of it was lost; make room or give access"
    )


def translate(
    error: sqlite3.Error, path: Path | str, connection: sqlite3.Connection | None = None
) -> JournalError:
    """Say what an error of SQLite means.

    Args:
        error: The error.
        path: The journal, for the message.
        connection: Where `PRAGMA quick_check` can be asked what is damaged.
    """
    code: int = getattr(error, "sqlite_errorcode", 0) or 0
    primary, detail = code & 0xFF, code >> 8
    if primary == _FULL:
        return cannot_write(Path(path), f"{error} ({_room(path)})")
    if primary in (_READONLY, _PERM, _CANTOPEN, _AUTH) or (primary == _IOERR and detail not in _READING):
        return cannot_write(Path(path), str(error))
    if primary in (_BUSY, _LOCKED):
        return JournalLocked(
            f"the journal {path} is locked by another program ({error}); is a SQLite shell open on it?"
        )
    missing = str(error).startswith(("no such table", "no such column"))
    if primary in (_CORRUPT, _NOTADB, _FORMAT, _IOERR) or missing:
        return JournalCorrupt(f"the journal {path} is damaged: {error}{_damage(connection)}. {RESCUE}")
    return JournalError(f"the journal {path} can't be used: {error}")


@contextmanager
def translated(path: Path | str, connection: sqlite3.Connection | None = None) -> Iterator[None]:
    """Turn what SQLite raises into our errors.

    Raises:
        JournalFull, JournalCorrupt, JournalLocked, JournalError: As `translate` says.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path, connection) from error


@contextmanager
def legible(path: Path | str, connection: sqlite3.Connection | None = None) -> Iterator[None]:
    """Turn what reading damaged rows raises into our errors, and what SQLite raises.

    Raises:
        JournalFull, JournalCorrupt, JournalLocked, JournalError: As `translate` says.
    """
    try:
        with translated(path, connection):
            yield
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}{_damage(connection)}"
        raise JournalCorrupt(f"the journal {path} holds what can't be read: {what}. {RESCUE}") from error


def _damage(connection: sqlite3.Connection | None) -> str:
    """Ask SQLite what is damaged."""
    if connection is None:
        return ""
    try:
        rows = connection.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.Error as error:
        return f"; quick_check: {error}"
    return "; quick_check: " + "; ".join(" ".join(str(text).split()) for (text,) in rows)


def _room(path: Path | str) -> str:
    try:
        return f"{shutil.disk_usage(os.path.dirname(path) or '.').free // 1_000_000} MB free"  # noqa: PTH120
    except OSError:
        return "free space unknown"
