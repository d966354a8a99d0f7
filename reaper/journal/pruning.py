"""Drops what is too old to be asked for and not needed for what lives.

Works in small transactions, so that writes pass in between, and in an order that leaves a good journal
wherever it is cut off: first the horizon moves, then goes what no load from the horizon on needs.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.core.facts import HoldPlaced
from reaper.core.image import Image, Life
from reaper.journal.reading import Reading, last_seq, lately
from reaper.journal.rows import fact_from_row, micros
from reaper.journal.snapshot import Snapshot
from reaper.journal.writing import settle

__all__ = ["Horizon", "drop", "horizon", "shrink"]

_Deletion = tuple[str, tuple[object, ...]]

_MANY = 2000
"""Rows dropped in one transaction: some 10 ms."""
_VACUUM_PAGES = 256
_AHEAD = timedelta(days=1) // timedelta(microseconds=1)
"""How far a clock is set back when it is corrected, at most; what was dated later still was dated by a wrong one."""
_FIRST = """
    SELECT min(seq) FROM batches
    WHERE at >= :before AND at <= :ahead + (SELECT at FROM batches ORDER BY seq DESC LIMIT 1)"""
_OVER = "SELECT id, label, at FROM facts WHERE seq <= :seq AND until_seq <= :seq ORDER BY id"
_HOLDS = "SELECT id, type, body FROM facts WHERE type = 'HoldPlaced' AND until_seq IS NULL AND seq <= ?"
_VERSIONS = """
    DELETE FROM versions WHERE life = ? AND seq < (SELECT max(seq) FROM versions WHERE life = ? AND seq <= ?)"""
_OLDER = "SELECT first_seq FROM runs WHERE life = ? AND nr = ? AND first_seq < ? ORDER BY first_seq LIMIT ?"
_OLDEST = "SELECT max(rowid) FROM (SELECT rowid, seq FROM decisions ORDER BY rowid LIMIT ?) WHERE seq <= ?"
_UNNAMED = """
    DELETE FROM refs WHERE id >= ? AND id < ? AND id NOT IN (SELECT ref FROM lives)
        AND NOT EXISTS (SELECT 1 FROM decisions WHERE ref = refs.id)
        AND NOT EXISTS (SELECT 1 FROM facts WHERE ref = refs.id)"""
_FORGOTTEN = """
    SELECT id FROM sources WHERE id NOT IN (SELECT source FROM lives)
        AND id NOT IN (SELECT source FROM polls WHERE seq > :seq)
        AND id IS NOT (SELECT source FROM polls WHERE seq <= :seq ORDER BY seq DESC LIMIT 1)"""


@dataclass(frozen=True, slots=True)
class Horizon:
    """Up to where everything goes that what comes after does not need.

    Attributes:
        seq: The oldest batch that stays loadable.
        looks: Looks up to there whose rows are needed.
        lives: What was alive then.
        before: The instant asked for.
    """

    seq: int
    looks: frozenset[int]
    lives: tuple[Life, ...]
    before: datetime


def horizon(connection: sqlite3.Connection, before: datetime) -> Reading[Horizon | None]:
    """Find the batch before the first that is not older than an instant, and what it rests on.

    What is dated more than a day after the last batch says nothing of its age: one look in 2040, by a clock that was
    wrong, would keep everything after it until then.

    Args:
        connection: With a read transaction open, or nothing is written meanwhile.
        before: The instant.

    Returns:
        None: there is nothing as old as that.
    """
    (first,) = connection.execute(_FIRST, {"before": micros(before), "ahead": _AHEAD}).fetchone()
    seq = last_seq(connection) if first is None else first - 1
    (oldest,) = connection.execute("SELECT coalesce(min(seq), 0) FROM batches").fetchone()
    if seq < max(oldest, 1):
        return None
    snapshot = Snapshot(connection, seq)
    image: Image = yield from snapshot.image()
    return Horizon(seq=seq, looks=frozenset(snapshot.used), lives=image.lives, before=before)


def drop(connection: sqlite3.Connection, to: Horizon) -> Reading[int]:
    """Drop what lies before a horizon.

    Args:
        connection: To write with, in autocommit mode.
        to: What `horizon` found.

    Returns:
        How many rows went.
    """
    with _transaction(connection):
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('horizon', ?)", (to.seq,))
        settle(connection)
    yield
    gone = yield from _apply(connection, _deletions(connection, to))
    return gone + _forget_sources(
        connection, to.seq
    )  # the last, with no pause after it: the writer knows them


def shrink(connection: sqlite3.Connection) -> Reading[None]:
    """Give what dropped rows left free back to the file system."""
    while True:
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        if not free:
            break
        connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        (left,) = connection.execute("PRAGMA freelist_count").fetchone()
        if left >= free:
            break
        yield
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _apply(connection: sqlite3.Connection, deletions: Iterator[_Deletion]) -> Reading[int]:
    """Carry out deletions, many in a transaction; gives how many rows went."""
    gone, more = 0, True
    while more:
        work, more = 0, False
        with _transaction(connection):
            for statement, values in deletions:
                rows = connection.execute(statement, values).rowcount
                gone += rows
                work += rows + 1
                if work >= _MANY:
                    more = True
                    break
        yield
    return gone


def _deletions(connection: sqlite3.Connection, to: Horizon) -> Iterator[_Deletion]:
    """Give every deletion, none of more than some thousand rows; each reads what it needs when its turn comes."""
    seq = to.seq
    for number in _facts(connection, to):
        yield "DELETE FROM facts WHERE id = ?", (number,)
    yield from _decisions(connection, seq)
    yield from _evidence(connection, seq)
    for (poll,) in connection.execute("SELECT seq FROM polls WHERE seq <= ?", (seq,)).fetchall():
        if poll not in to.looks:
            yield "DELETE FROM polls WHERE seq = ?", (poll,)
    for (batch,) in connection.execute("SELECT seq FROM batches WHERE seq < ?", (seq,)).fetchall():
        yield "DELETE FROM batches WHERE seq = ?", (batch,)
    yield from _names(connection)
    yield "DELETE FROM configs WHERE digest NOT IN (SELECT label FROM facts WHERE type = 'ConfigLoaded')", ()


def _decisions(connection: sqlite3.Connection, seq: int) -> Iterator[_Deletion]:
    """Give the deletions of old decisions. They were written in order, so what is to go comes first."""
    while (last := connection.execute(_OLDEST, (_MANY, seq)).fetchone()[0]) is not None:
        yield "DELETE FROM decisions WHERE rowid <= ?", (last,)


def _names(connection: sqlite3.Connection) -> Iterator[_Deletion]:
    """Give the deletions of names that nothing has any more."""
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM refs").fetchone()
    for first in range(0, last + 1, _MANY):
        yield _UNNAMED, (first, first + _MANY)


def _evidence(connection: sqlite3.Connection, seq: int) -> Iterator[_Deletion]:
    """Give the deletions of runs and versions that others had taken the place of, and of lives that had ended."""
    known = "SELECT id, ended_seq FROM lives WHERE first_seq <= ? ORDER BY id"
    for life, ended_seq in connection.execute(known, (seq,)).fetchall():
        ended = ended_seq is not None and ended_seq <= seq
        heads = connection.execute("SELECT nr, first_seq FROM heads WHERE life = ?", (life,)).fetchall()
        for nr, head_seq in heads:
            needed = seq + 1 if ended else head_seq if head_seq <= seq else _newest(connection, life, nr, seq)
            while rows := connection.execute(_OLDER, (life, nr, needed, _MANY)).fetchall():
                yield "DELETE FROM runs WHERE life = ? AND nr = ? AND first_seq <= ?", (life, nr, rows[-1][0])
        if ended:
            yield "DELETE FROM heads WHERE life = ?", (life,)
            yield "DELETE FROM versions WHERE life = ?", (life,)
            yield "DELETE FROM lives WHERE id = ?", (life,)
        else:
            yield _VERSIONS, (life, life, seq)


def _forget_sources(connection: sqlite3.Connection, seq: int) -> int:
    """Drop what is known of sources where nothing lives and nothing was looked at since."""
    gone = 0
    with _transaction(connection):
        for source in connection.execute(_FORGOTTEN, {"seq": seq}).fetchall():
            gone += connection.execute("DELETE FROM polls WHERE source = ?", source).rowcount
            gone += connection.execute("DELETE FROM memos WHERE source = ?", source).rowcount
            gone += connection.execute("DELETE FROM sources WHERE id = ?", source).rowcount
    return gone


def _newest(connection: sqlite3.Connection, life: int, nr: int, seq: int) -> int:
    """Give where the run of a strand began that was the newest at a batch."""
    newest = "SELECT coalesce(max(first_seq), 0) FROM runs WHERE life = ? AND nr = ? AND first_seq <= ?"
    (first_seq,) = connection.execute(newest, (life, nr, seq)).fetchone()
    return int(first_seq)


def _facts(connection: sqlite3.Connection, to: Horizon) -> list[int]:
    """Find facts that matter no more: replaced, of a life that ended, or a hold that is over.

    The actions started within a day of the latest stay, for budgets. An expired hold stays while
    something lives that it protected: a notice from before its end is void.
    """
    recent = lately(connection, to.seq)
    rows = connection.execute(_OVER, {"seq": to.seq}).fetchall()
    old = [number for number, label, at in rows if label != "STARTED" or at <= recent]
    for number, kind, body in connection.execute(_HOLDS, (to.seq,)).fetchall():
        placed = fact_from_row(kind, body, None)
        if isinstance(placed, HoldPlaced) and _over(placed, to):
            old.append(number)
    return old


def _over(placed: HoldPlaced, to: Horizon) -> bool:
    end = placed.hold.expires_at
    if end is None or end >= to.before:
        return False
    return not any(
        life.first_seen_at <= end and placed.hold.matcher.matches(life.resource.ref) for life in to.lives
    )
