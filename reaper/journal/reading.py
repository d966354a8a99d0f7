"""Reads a journal back: facts, decisions, configurations, and which batch an instant means.

Long readings are generators that yield now and then, so that whoever runs them can let a write pass in
between; what they return is their answer.
"""

import json
import sqlite3
from collections.abc import Collection, Generator, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from reaper.core.decide import Decision
from reaper.core.facts import Fact
from reaper.core.model import ResourceKey, ResourceRef
from reaper.core.savings import Sighting
from reaper.errors import JournalError, JournalSchema
from reaper.journal.rows import (
    decision_from_body,
    fact_from_row,
    instant,
    micros,
    resource_from_body,
    text_in,
    text_out,
)
from reaper.plugins import LedgerQuery

__all__ = [
    "SLICE",
    "Reading",
    "config",
    "decisions",
    "facts",
    "facts_as_of",
    "last_seq",
    "lately",
    "lives",
    "resolve",
]

T = TypeVar("T")
Reading = Generator[None, None, T]
"""A reading in slices: yields between them and returns its answer."""

SLICE = 250
"""Rows read before another's turn: with what core makes of them about 10 ms."""

_DAY = timedelta(days=1) // timedelta(microseconds=1)

_FACTS = """
    SELECT type, facts.body, configs.body FROM facts
    LEFT JOIN configs ON type = 'ConfigLoaded' AND configs.digest = label"""
_MATTERING = "SELECT id FROM facts WHERE until_seq IS NULL"
_MATTERED = "SELECT id FROM facts WHERE seq <= :seq AND (until_seq IS NULL OR until_seq > :seq)"
_LATELY = (
    "SELECT id FROM facts WHERE label = 'STARTED' AND type = 'LedgerEntry' AND seq <= :seq AND at > :since"
)
_LATEST = """
    SELECT at FROM facts WHERE label = 'STARTED' AND type = 'LedgerEntry' AND seq <= ?
    ORDER BY id DESC LIMIT 1"""

_LIVES = """
    SELECT lives.id, lives.ref FROM lives LEFT JOIN batches ON batches.seq = ended_seq
    WHERE ended_seq IS NULL OR batches.at >= ? ORDER BY lives.id"""
_LIFE = """
    SELECT kind, scope, key, incarnation, first_seen_at, batches.at, body
    FROM lives JOIN refs ON refs.id = lives.ref JOIN versions ON life = lives.id
        LEFT JOIN batches ON batches.seq = ended_seq
    WHERE lives.id = ? ORDER BY versions.seq DESC LIMIT 1"""


def last_seq(connection: sqlite3.Connection) -> int:
    """Give the number of the last batch; 0: there is none."""
    (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM batches").fetchone()
    return int(seq)


def resolve(connection: sqlite3.Connection, seq: int | None, at: datetime | None) -> int:
    """Give the batch that is meant: by number, the last one not after an instant, or the last one.

    Raises:
        JournalError: What it needs was pruned.
    """
    last = last_seq(connection)
    wanted = last if seq is None else min(seq, last)
    if at is not None:
        not_after = "SELECT seq FROM batches WHERE seq <= ? AND at <= ? ORDER BY seq DESC LIMIT 1"
        row = connection.execute(not_after, (wanted, micros(at))).fetchone()
        wanted = 0 if row is None else row[0]
    horizon = "SELECT seq, at FROM meta JOIN batches ON seq = value WHERE name = 'horizon'"
    row = connection.execute(horizon).fetchone()
    if row is not None and wanted < row[0]:
        reach = f"batch {row[0]} of {instant(row[1]):%F %T}Z"
        raise JournalError(f"the journal reaches back to {reach}; what was before has been pruned")
    return wanted


def lately(connection: sqlite3.Connection, seq: int) -> int:
    """Give the instant after which a started action counts among the recent ones, in microseconds."""
    row = connection.execute(_LATEST, (seq,)).fetchone()
    return 0 if row is None else int(row[0]) - _DAY


def facts_as_of(connection: sqlite3.Connection, seq: int) -> Reading[tuple[Fact, ...]]:
    """Read the facts that mattered at a batch, in order.

    Those are, of each life that was alive, all; of everything else the newest of its slot unless that
    ended it; and the actions started within a day of the latest.
    """
    names = {"seq": seq, "since": lately(connection, seq)}
    select = _MATTERING if seq == last_seq(connection) else _MATTERED
    ids = {number for (number,) in connection.execute(select, names)}
    ids.update(number for (number,) in connection.execute(_LATELY, names))
    found = yield from _facts(connection, sorted(ids))
    return tuple(found)


def _facts(connection: sqlite3.Connection, ids: Iterable[int]) -> Reading[list[Fact]]:
    found: list[Fact] = []
    for number in ids:
        row = connection.execute(_FACTS + " WHERE id = ?", (number,)).fetchone()
        if row is not None:  # it may have been pruned between two slices
            found.append(_fact(*row))
        if not len(found) % SLICE:
            yield
    return found


def _fact(kind: str, body: str, rules: str | None) -> Fact:
    try:
        return fact_from_row(kind, body, rules)
    except KeyError as error:
        raise JournalSchema(
            f"the journal holds a fact of type {kind!r} that this reaper does not know ({error}): "
            "a newer reaper wrote it; use that one"
        ) from error


def facts(connection: sqlite3.Connection, query: LedgerQuery) -> Reading[list[Fact]]:
    """Read facts, oldest first, the newest `query.limit` of those asked for."""
    where, values = ["1"], list[object]()
    if query.types:
        where.append(f"type IN ({', '.join('?' * len(query.types))})")
        values.extend(query.types)
    if query.since is not None:
        where.append("at >= ?")
        values.append(micros(query.since))
    if query.until is not None:
        where.append("at <= ?")
        values.append(micros(query.until))
    if query.ref is not None:
        where.append("ref = ?")
        values.append(_ref_id(connection, query.ref))
    select = "SELECT id FROM facts WHERE " + " AND ".join(where) + " ORDER BY id DESC LIMIT ?"  # noqa: S608 - our own words; values are bound
    ids = [number for (number,) in connection.execute(select, (*values, query.limit)).fetchall()]
    return (yield from _facts(connection, reversed(ids)))


def decisions(
    connection: sqlite3.Connection, ref: ResourceRef | None, decision_id: str | None, limit: int
) -> Reading[list[Decision]]:
    """Read decisions, oldest first, the newest `limit` of those asked for."""
    where, values = ["1"], list[object]()
    if decision_id is not None:
        where.append("id >= ? AND id <= ?")
        values.extend((text_in(decision_id), text_in(decision_id + "\U0010ffff")))
    if ref is not None:
        where.append("ref = ?")
        values.append(_ref_id(connection, ref))
    select = "SELECT rowid FROM decisions WHERE " + " AND ".join(where) + " ORDER BY rowid DESC LIMIT ?"  # noqa: S608 - the same
    numbers = [number for (number,) in connection.execute(select, (*values, limit)).fetchall()]
    found: list[Decision] = []
    for number in reversed(numbers):
        row = connection.execute("SELECT body FROM decisions WHERE rowid = ?", (number,)).fetchone()
        if row is not None:  # it may have been pruned between two slices
            found.append(decision_from_body(row[0]))
        if not len(found) % SLICE:
            yield
    return found


def lives(
    connection: sqlite3.Connection, keys: Collection[ResourceKey], since: datetime
) -> Reading[list[Sighting]]:
    """Read the lives of some resources that had not ended at an instant, in the order they were seen first."""
    names = "SELECT id FROM refs WHERE kind = ? AND scope = ? AND key = ?"
    refs: set[int] = set()
    for count, key in enumerate(keys, start=1):
        refs.update(number for (number,) in connection.execute(names, tuple(map(text_in, key))))
        if not count % SLICE:
            yield
    wanted = [life for life, ref in connection.execute(_LIVES, (micros(since),)).fetchall() if ref in refs]
    found: list[Sighting] = []
    for life in wanted:
        row = connection.execute(_LIFE, (life,)).fetchone()
        if row is not None:  # it may have been pruned between two slices
            *words, first_seen_at, ended_at, body = row
            kind, scope, key_, incarnation = map(text_out, words)
            ref = ResourceRef(kind=kind, scope=scope, id=key_, incarnation=incarnation)
            found.append(
                Sighting(
                    resource=resource_from_body(body, ref),
                    first_seen_at=instant(first_seen_at),
                    ended_at=None if ended_at is None else instant(ended_at),
                )
            )
        if not len(found) % SLICE:
            yield
    return found


def config(connection: sqlite3.Connection, digest: str) -> Mapping[str, object] | None:
    """Read the rules with this digest; None: they were never in force, or are pruned."""
    row = connection.execute("SELECT body FROM configs WHERE digest = ?", (text_in(digest),)).fetchone()
    return None if row is None else json.loads(row[0])


def _ref_id(connection: sqlite3.Connection, ref: ResourceRef) -> int | None:
    names = (text_in(ref.kind), text_in(ref.scope), text_in(ref.id), text_in(ref.incarnation))
    find = "SELECT id FROM refs WHERE kind = ? AND scope = ? AND key = ? AND incarnation = ?"
    row = connection.execute(find, names).fetchone()
    return None if row is None else row[0]
