"""Writes batches: turns what a look changed into rows, in one transaction.

With the mirror of what is open a look that changed nothing is one row, whatever it saw, and a change is
found without reading. After a failed write the mirror is thrown away and read again: the file is the truth.
"""

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from reaper.core.facts import (
    ConfigLoaded,
    Fact,
    HoldPlaced,
    HoldReleased,
    LedgerEntry,
    MassCleared,
    MassTripped,
    Paused,
    Resumed,
    SettingChanged,
    fact_to_json,
)
from reaper.core.history import Run
from reaper.core.model import Poll, Resource, ResourceKey, ResourceRef
from reaper.journal.entry import Entry
from reaper.journal.mirror import PRESENCE, Feed, Line, Mirror, Strand
from reaper.journal.rows import activity_number, ago, body, decision_body, micros, resource_body, text_in

__all__ = ["Writer", "settle"]

MANY_RECENT = 16384
"""Rows that collect before they are moved: some two hundred looks at 200 resources, moved in some 30 ms."""

_ARCHIVE = """
    INSERT INTO recent SELECT life, nr, first_seq, coalesce(last_seq, ?), activity, evidence_ago, covers_ago,
        active_ago, value, extra FROM heads WHERE life = ? AND nr = ?"""
_BEGIN = "INSERT INTO heads VALUES (?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, 0)"
_REPLACE = """
    UPDATE heads SET first_seq = ?, last_seq = NULL, activity = ?, evidence_ago = ?, covers_ago = ?,
        active_ago = ?, value = ?, extra = 0 WHERE life = ? AND nr = ?"""
_FACT = """
    INSERT INTO facts (seq, at, type, ref, life, slot, until_seq, label, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def settle(connection: sqlite3.Connection) -> None:
    """Move what has collected in `recent` to its place in `runs`, inside the caller's transaction."""
    connection.execute("INSERT INTO runs SELECT * FROM recent ORDER BY life, nr, first_seq")
    connection.execute("DELETE FROM recent")


@dataclass(slots=True)
class _Rows:
    """What one look adds to and changes in the strands' tables."""

    archived: list[tuple[int, int, int]] = field(default_factory=list)
    begun: list[tuple[object, ...]] = field(default_factory=list)
    replaced: list[tuple[object, ...]] = field(default_factory=list)
    closed: list[tuple[int, int, int]] = field(default_factory=list)
    extra: list[tuple[int, int]] = field(default_factory=list)


class Writer:
    """Writes batches into an open journal.

    Args:
        connection: In autocommit mode, on a journal of this version.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._mirror: Mirror | None = None

    def write(self, entry: Entry) -> None:
        """Write one batch in one transaction; one that is there already is left alone.

        Raises:
            RuntimeError: A batch before this one is missing, or the journal does not know what it speaks of:
                its maker and the journal disagree, which only a restart can mend.
            sqlite3.Error: Nothing of it was written.
        """
        try:
            mirror = self._mirror = self._mirror or Mirror(self._connection)
            if entry.seq <= mirror.seq:
                return
            if entry.seq > mirror.seq + 1:
                msg = f"batch {entry.seq} can't be written: the last one in the journal is {mirror.seq}"
                raise RuntimeError(msg)  # noqa: TRY301 - undone below like any other failure
            self._connection.execute("BEGIN IMMEDIATE")
            self._write(entry, mirror)
            self._connection.execute("COMMIT")
            mirror.seq = entry.seq
        except BaseException:
            self._mirror = None
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def forget(self) -> None:
        """Read the mirror again before the next batch: something else changed the tables."""
        self._mirror = None

    def _write(self, entry: Entry, mirror: Mirror) -> None:
        execute = self._connection.execute
        (before,) = execute(
            "SELECT coalesce(max(at), 0) FROM batches WHERE seq = ?", (mirror.seq,)
        ).fetchone()
        execute("INSERT INTO batches VALUES (?, ?)", (entry.seq, max(_instants(entry), default=before)))
        if entry.poll is not None:
            self._look(entry, entry.poll, mirror)
        for fact in entry.facts:
            self._fact(fact, entry.seq, mirror)
        for one in entry.decisions:
            row = (text_in(one.id), entry.seq, micros(one.at), self._ref_id(one.ref), decision_body(one))
            execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?)", row)

    # --- looks ------------------------------------------------------------------------------------------

    def _look(self, entry: Entry, poll: Poll, mirror: Mirror) -> None:
        feed, seq, rows = mirror.feed(poll.source), entry.seq, _Rows()
        passing = [ref for ref in entry.gone if mirror.line(ref) is None]
        for ref in entry.gone:
            self._end(mirror.line(ref), seq, mirror)
        for resource, first_seen_at in entry.appeared:
            self._begin(mirror.begin(resource.ref, feed, seq), resource, first_seen_at, seq)
        for ref in passing:  # of two lives of one thing in one look the first has ended
            self._end(mirror.line(ref), seq, mirror)
        for resource in entry.changed:
            if (line := mirror.line(resource.ref)) is not None:
                self._version(line, resource, seq)
        touched = self._evidence(entry, mirror, rows)
        covered, also = _covered(entry, poll, feed, touched)
        for line in covered:
            _close(line, entry.seen, seq, rows)
        self._strands(rows, mirror)
        if poll.targets is None:
            feed.whole_seq = seq
            feed.nth += 1
        else:
            for line in covered:
                line.targeted_seq = seq
        self._poll(entry, poll, feed, also, mirror)

    def _begin(self, line: Line, resource: Resource, first_seen_at: datetime, seq: int) -> None:
        row = (line.id, self._ref_id(line.ref), line.source.id, seq, micros(first_seen_at))
        self._connection.execute("INSERT INTO lives VALUES (?, ?, ?, ?, ?, NULL)", row)
        self._connection.execute(_BEGIN, (line.id, PRESENCE, "", seq, 0, None, None, None, ""))
        self._version(line, resource, seq)

    def _version(self, line: Line, resource: Resource, seq: int) -> None:
        row = (line.id, seq, resource_body(resource))
        self._connection.execute("INSERT OR REPLACE INTO versions VALUES (?, ?, ?)", row)

    def _end(self, line: Line | None, seq: int, mirror: Mirror) -> None:
        if line is None:
            return
        mirror.end(line)
        execute = self._connection.execute
        execute("UPDATE lives SET ended_seq = ? WHERE id = ?", (seq, line.id))
        close = "UPDATE heads SET last_seq = ? WHERE life = ? AND last_seq IS NULL"
        execute(close, (line.covered_seq, line.id))
        execute("UPDATE facts SET until_seq = ? WHERE life = ? AND until_seq IS NULL", (seq, line.id))

    def _evidence(self, entry: Entry, mirror: Mirror, rows: _Rows) -> list[Line]:
        """Note what was seen of each strand; gives the lives it was seen of, where a look was targeted."""
        seq, targeted = entry.seq, entry.poll is not None and entry.poll.targets is not None
        touched: list[Line] = []
        known: ResourceRef | None = None  # signals of one life mostly come together: it is looked up once
        line: Line
        for ref, signal in entry.extended:
            if ref is not known:
                line, known = _alive(ref, mirror), ref
            strand = line.strands[signal]
            strand.mark = seq
            if targeted:
                rows.extra.append((line.id, strand.nr))
                touched.append(line)
        for ref, run in entry.opened:
            if ref is not known:
                line, known = _alive(ref, mirror), ref
            _open(line, run, seq, rows)
            if targeted:
                touched.append(line)
        return touched

    def _strands(self, rows: _Rows, mirror: Mirror) -> None:
        many = self._connection.executemany
        many(_ARCHIVE, rows.archived)
        many(_REPLACE, rows.replaced)
        many(_BEGIN, rows.begun)
        many("UPDATE heads SET last_seq = ? WHERE life = ? AND nr = ?", rows.closed)
        many("UPDATE heads SET extra = extra + 1 WHERE life = ? AND nr = ?", rows.extra)
        mirror.recent += len(rows.archived)
        if mirror.recent >= MANY_RECENT:
            settle(self._connection)
            mirror.recent = 0

    def _poll(self, entry: Entry, poll: Poll, feed: Feed, also: list[int], mirror: Mirror) -> None:
        mirror.polls += 1
        mirror.top_id = max(mirror.top_id, poll.id)
        started = micros(poll.started_at)
        row = (
            entry.seq,
            poll.id,
            feed.id,
            started,
            micros(poll.finished_at) - started,
            poll.complete,
            None if poll.error is None else text_in(poll.error),
            None if poll.targets is None else body(poll.targets),
            body(poll.failed_kinds) if poll.failed_kinds else None,
            body(also) if also else None,
            feed.nth,
            mirror.polls,
            mirror.top_id,
        )
        execute = self._connection.execute
        execute("INSERT INTO polls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        if entry.memo is not None:
            execute("INSERT OR REPLACE INTO memos VALUES (?, ?, ?)", (feed.id, entry.seq, entry.memo))

    # --- facts ------------------------------------------------------------------------------------------

    def _fact(self, fact: Fact, seq: int, mirror: Mirror) -> None:
        execute = self._connection.execute
        kind, values = fact_to_json(fact)
        label = fact.state.value if isinstance(fact, LedgerEntry) else None
        if isinstance(fact, ConfigLoaded):
            label = fact.digest
            config = (text_in(fact.digest), body(values.pop("body")))
            execute("INSERT OR REPLACE INTO configs VALUES (?, ?)", config)
        ref: ResourceRef | None = getattr(fact, "ref", None)
        line = None if ref is None else mirror.line(ref)
        slot, until = None, None
        if ref is None:
            slot, ends = _slot(fact)
            replaced = "UPDATE facts SET until_seq = ? WHERE life IS NULL AND slot = ? AND until_seq IS NULL"
            execute(replaced, (seq, text_in(slot)))
            until = seq if ends else None
        elif line is None:
            until = seq  # it is about nothing that lives
        row = (
            seq,
            micros(fact.at),
            kind,
            None if ref is None else self._ref_id(ref),
            None if line is None else line.id,
            None if slot is None else text_in(slot),
            until,
            None if label is None else text_in(label),
            body(values),
        )
        execute(_FACT, row)

    def _ref_id(self, ref: ResourceRef) -> int:
        names = (text_in(ref.kind), text_in(ref.scope), text_in(ref.id), text_in(ref.incarnation))
        find = "SELECT id FROM refs WHERE kind = ? AND scope = ? AND key = ? AND incarnation = ?"
        row = self._connection.execute(find, names).fetchone()
        if row is None:
            insert = "INSERT INTO refs (kind, scope, key, incarnation) VALUES (?, ?, ?, ?)"
            return self._connection.execute(insert, names).lastrowid or 0
        return int(row[0])


def _instants(entry: Entry) -> Iterable[int]:
    """Give every instant a batch speaks of as its own."""
    if entry.poll is not None:
        yield micros(entry.poll.finished_at)
    for one in chain(entry.facts, entry.decisions):
        yield micros(one.at)


def _alive(ref: ResourceRef, mirror: Mirror) -> Line:
    line = mirror.line(ref)
    if line is None:
        msg = f"evidence of {ref} (life {ref.incarnation}), which the journal never saw appear"
        raise RuntimeError(msg)
    return line


def _open(line: Line, run: Run, seq: int, rows: _Rows) -> None:
    """Put a run in the place of its strand's newest, or begin a strand with it."""
    columns = (
        activity_number(run.activity),
        ago(run.evidence_at, run.first_at),
        ago(run.covers_from, run.first_at),
        ago(run.active_before, run.first_at),
        text_in(run.value),
    )
    strand = line.strands.get(run.signal)
    if strand is None:
        nr = PRESENCE + 1 + len(line.strands)
        line.strands[run.signal] = Strand(nr=nr, first_seq=seq, last_seq=None, mark=seq)
        rows.begun.append((line.id, nr, text_in(run.signal), seq, *columns))
        return
    _supersede(line, strand, seq, rows)
    rows.replaced.append((seq, *columns, line.id, strand.nr))


def _supersede(line: Line, strand: Strand, seq: int, rows: _Rows) -> None:
    if strand.first_seq != seq:  # what began with this very batch leaves no trace
        rows.archived.append((line.covered_seq, line.id, strand.nr))
    strand.first_seq, strand.last_seq, strand.mark = seq, None, seq


def _covered(entry: Entry, poll: Poll, feed: Feed, touched: list[Line]) -> tuple[list[Line], list[int]]:
    """Give the lives that a look was to see or did see, and those it saw besides its targets."""
    if poll.targets is None:
        return list(feed.lines.values()), []
    targets = set(poll.targets)
    covered = {line.id: line for line in feed.lines.values() if line.key.id in targets}
    seen = (line for key in entry.seen if (line := feed.lines.get(key)) is not None)
    besides = {
        line.id: line for line in chain(touched, seen) if line.source is feed and line.id not in covered
    }
    return [*covered.values(), *besides.values()], sorted(besides)


def _close(line: Line, seen: Collection[ResourceKey], seq: int, rows: _Rows) -> None:
    """Close what a look was to see of a life and did not; open its presence again where that was closed."""
    presence = line.presence
    if line.key in seen:
        presence.mark = seq
        if presence.last_seq is not None:
            _supersede(line, presence, seq, rows)
            rows.replaced.append((seq, 0, None, None, None, "", line.id, PRESENCE))
    elif presence.mark != seq and presence.last_seq is None:
        _last(line, presence, rows)
    for strand in line.strands.values():
        if strand.mark != seq and strand.last_seq is None:
            _last(line, strand, rows)


def _last(line: Line, strand: Strand, rows: _Rows) -> None:
    strand.last_seq = line.covered_seq
    rows.closed.append((strand.last_seq, line.id, strand.nr))


def _slot(fact: Fact) -> tuple[str, bool]:
    """Say what a fact that is about no single life takes the place of, and whether it ends that for good."""
    match fact:
        case HoldPlaced():
            return f"hold {fact.hold.id}", False
        case HoldReleased():
            return f"hold {fact.hold_id}", True
        case Paused() | Resumed():
            return f"pause {fact.switch}".rstrip(), isinstance(fact, Resumed)
        case MassTripped() | MassCleared():
            return f"mass {fact.kind} {fact.scope}", isinstance(fact, MassCleared)
        case SettingChanged():
            return f"setting {fact.name}", fact.value is None
        case _:
            return type(fact).__name__, False
