"""Writes batches: turns what a look changed into rows, in one transaction.

The writer keeps a mirror of what is open: which lives there are, and of each strand whether its newest
run still lasts. With it a look that changed nothing is one row, whatever it saw, and a change is found
without reading. After a failed write the mirror is thrown away and read again: the file is the truth.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from reaper.core.batch import Batch
from reaper.core.decide import Decision
from reaper.core.facts import (
    ConfigLoaded,
    Fact,
    HoldPlaced,
    HoldReleased,
    LedgerEntry,
    Paused,
    Resumed,
    SettingChanged,
    fact_to_json,
)
from reaper.core.history import Run
from reaper.core.model import Poll, Resource, ResourceKey, ResourceRef
from reaper.errors import JournalError
from reaper.journal.rows import activity_number, ago, body, decision_body, micros, resource_body, text_in, text_out
from reaper.journal.snapshot import covering

__all__ = ["Entry", "Writer", "entry"]

_PRESENCE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A batch, cut loose from what goes on changing (memos): safe to hand to another thread.

    Attributes:
        seq: As in `Batch`.
        poll: As in `Batch`.
        seen: Keys of what the look saw.
        appeared: New lives: each as the look saw it, and when that was.
        changed: Resources as the look saw them.
        gone: Lives that ended.
        opened: Runs that began.
        extended: Strands whose newest run goes on.
        memo: As JSON.
        facts: As in `Batch`.
        decisions: As in `Batch`.
    """

    seq: int
    poll: Poll | None
    seen: frozenset[ResourceKey]
    appeared: tuple[tuple[Resource, datetime], ...]
    changed: tuple[Resource, ...]
    gone: tuple[ResourceRef, ...]
    opened: tuple[tuple[ResourceRef, Run], ...]
    extended: tuple[tuple[ResourceRef, str], ...]
    memo: str | None
    facts: tuple[Fact, ...]
    decisions: tuple[Decision, ...]


def entry(batch: Batch) -> Entry:
    """Take what is to be written out of a batch, now."""
    delta = batch.delta
    return Entry(
        seq=batch.seq,
        poll=batch.poll,
        seen=frozenset(delta.seen),
        appeared=tuple((history.resource, history.first_seen_at) for history in delta.appeared),
        changed=tuple(history.resource for history in delta.changed),
        gone=tuple(history.ref for history in delta.gone),
        opened=tuple(delta.opened),
        extended=tuple(delta.extended),
        memo=None if batch.memo is None else body(batch.memo),
        facts=batch.facts,
        decisions=batch.decisions,
    )


@dataclass(slots=True)
class _Strand:
    nr: int
    first_seq: int
    last_seq: int | None  # None: open
    mark: int = 0  # the last batch that saw it


@dataclass(slots=True)
class _Line:
    """A life that is alive."""

    id: int
    ref: ResourceRef
    source: "_Feed"
    presence: _Strand
    strands: dict[str, _Strand] = field(default_factory=dict)  # by signal, in the order of their `nr`
    targeted_seq: int = 0  # the last targeted look that covered it

    @property
    def covered_seq(self) -> int:
        """The last look that was to see it."""
        return max(self.source.whole_seq, self.targeted_seq)


@dataclass(slots=True)
class _Feed:
    """A source."""

    id: int
    nth: int = 0
    whole_seq: int = 0  # the last look at the whole of it
    lines: dict[ResourceKey, _Line] = field(default_factory=dict)


@dataclass(slots=True)
class _Rows:
    """What one look adds to and changes in the strands' tables."""

    archived: list[tuple[int, int, int]] = field(default_factory=list)
    begun: list[tuple[object, ...]] = field(default_factory=list)
    replaced: list[tuple[object, ...]] = field(default_factory=list)
    closed: list[tuple[int, int, int]] = field(default_factory=list)
    extra: list[tuple[int, int]] = field(default_factory=list)


_ARCHIVE = """
    INSERT INTO runs SELECT life, nr, first_seq, coalesce(last_seq, ?), activity, evidence_ago, covers_ago,
        active_ago, value, extra FROM heads WHERE life = ? AND nr = ?"""
_BEGIN = "INSERT INTO heads VALUES (?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, 0)"
_REPLACE = """
    UPDATE heads SET first_seq = ?, last_seq = NULL, activity = ?, evidence_ago = ?, covers_ago = ?,
        active_ago = ?, value = ?, extra = 0 WHERE life = ? AND nr = ?"""


class Writer:
    """Writes batches into an open journal.

    Args:
        connection: In autocommit mode, on a journal of this version.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._seq = self._ordinal = self._top_id = self._next_life = 0
        self._feeds: dict[str, _Feed] = {}
        self._lines: dict[ResourceKey, _Line] = {}
        self._known = False

    def write(self, entry: Entry) -> None:
        """Write one batch in one transaction; one that is there already is left alone.

        Raises:
            JournalError: A batch between the last one written and this one is missing.
            sqlite3.Error: Nothing of it was written.
        """
        try:
            if not self._known:
                self._learn()
            if entry.seq <= self._seq:
                return
            if entry.seq != self._seq + 1:
                raise JournalError(f"batch {entry.seq} can't be written: the journal's last one is {self._seq}")
            self._connection.execute("BEGIN IMMEDIATE")
            self._write(entry)
            self._connection.execute("COMMIT")
        except BaseException:
            self._known = False
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._seq = entry.seq

    def forget(self) -> None:
        """Read the mirror again before the next batch: something else changed the tables."""
        self._known = False

    def _write(self, entry: Entry) -> None:
        execute = self._connection.execute
        at = max(
            chain(
                (micros(fact.at) for fact in entry.facts),
                (micros(decision.at) for decision in entry.decisions),
                (micros(poll.finished_at) for poll in (entry.poll,) if poll is not None),
            ),
            default=None,
        )
        if at is None:
            (at,) = execute("SELECT coalesce(max(at), 0) FROM batches WHERE seq = ?", (self._seq,)).fetchone()
        execute("INSERT INTO batches VALUES (?, ?)", (entry.seq, at))
        if entry.poll is not None:
            self._write_look(entry, entry.poll)
        for fact in entry.facts:
            self._write_fact(fact, entry.seq)
        self._connection.executemany(
            "INSERT INTO decisions VALUES (?, ?, ?, ?, ?)",
            [(text_in(one.id), entry.seq, micros(one.at), self._ref_id(one.ref), decision_body(one)) for one in entry.decisions],
        )

    # --- looks -------------------------------------------------------------------------------------------------

    def _write_look(self, entry: Entry, poll: Poll) -> None:
        feed, seq = self._feed(poll.source), entry.seq
        rows = _Rows()
        passing = [ref for ref in entry.gone if self._line(ref) is None]
        for ref in entry.gone:
            self._end(ref, seq)
        for resource, first_seen_at in entry.appeared:
            self._begin(resource, first_seen_at, feed, seq, rows)
        for ref in passing:  # of two lives of one thing in one look the first has ended
            self._end(ref, seq)
        for resource in entry.changed:
            if (line := self._line(resource.ref)) is not None:
                self._connection.execute(
                    "INSERT OR REPLACE INTO versions VALUES (?, ?, ?)", (line.id, seq, resource_body(resource))
                )
        touched = self._evidence(entry, rows)
        also = self._cover(entry, poll, feed, touched, rows)
        self._strand_rows(rows)
        if poll.targets is None:
            feed.whole_seq = seq
            feed.nth += 1
        self._poll_row(entry, poll, feed, also)

    def _begin(self, resource: Resource, first_seen_at: datetime, feed: _Feed, seq: int, rows: _Rows) -> None:
        presence = _Strand(nr=_PRESENCE, first_seq=seq, last_seq=None, mark=seq)
        line = _Line(id=self._next_life, ref=resource.ref, source=feed, presence=presence)
        self._next_life += 1
        self._lines[resource.ref.key] = feed.lines[resource.ref.key] = line
        self._connection.execute(
            "INSERT INTO lives VALUES (?, ?, ?, ?, ?, NULL)",
            (line.id, self._ref_id(resource.ref), feed.id, seq, micros(first_seen_at)),
        )
        self._connection.execute("INSERT INTO versions VALUES (?, ?, ?)", (line.id, seq, resource_body(resource)))
        rows.begun.append((line.id, _PRESENCE, "", seq, 0, None, None, None, ""))

    def _end(self, ref: ResourceRef, seq: int) -> None:
        line = self._line(ref)
        if line is None:
            return
        del self._lines[ref.key]
        del line.source.lines[ref.key]
        execute = self._connection.execute
        execute("UPDATE lives SET ended_seq = ? WHERE id = ?", (seq, line.id))
        execute("UPDATE heads SET last_seq = ? WHERE life = ? AND last_seq IS NULL", (line.covered_seq, line.id))
        execute("UPDATE facts SET until_seq = ? WHERE life = ? AND until_seq IS NULL", (seq, line.id))

    def _evidence(self, entry: Entry, rows: _Rows) -> dict[int, _Line]:
        """Note what was seen of each strand; gives the lives it was seen of, by the identity of their refs."""
        seq, targeted = entry.seq, entry.poll is not None and entry.poll.targets is not None
        touched: dict[int, _Line] = {}  # a look uses one ref object for all evidence of a life
        for ref, signal in entry.extended:
            line = touched.get(id(ref)) or self._touch(ref, touched)
            strand = line.strands[signal]
            strand.mark = seq
            if targeted:
                rows.extra.append((line.id, strand.nr))
        for ref, run in entry.opened:
            line = touched.get(id(ref)) or self._touch(ref, touched)
            self._open(line, run, seq, rows)
        return touched

    def _touch(self, ref: ResourceRef, touched: dict[int, _Line]) -> _Line:
        line = self._line(ref)
        if line is None:
            raise JournalError(f"evidence of {ref} (life {ref.incarnation}), which the journal has not seen appear")
        touched[id(ref)] = line
        return line

    def _open(self, line: _Line, run: Run, seq: int, rows: _Rows) -> None:
        columns = (
            activity_number(run.activity),
            ago(run.evidence_at, run.first_at),
            ago(run.covers_from, run.first_at),
            ago(run.active_before, run.first_at),
            text_in(run.value),
        )
        strand = line.strands.get(run.signal)
        if strand is None:
            nr = _PRESENCE + 1 + len(line.strands)
            line.strands[run.signal] = _Strand(nr=nr, first_seq=seq, last_seq=None, mark=seq)
            rows.begun.append((line.id, nr, text_in(run.signal), seq, *columns))
            return
        self._supersede(line, strand, seq, rows)
        rows.replaced.append((seq, *columns, line.id, strand.nr))

    def _supersede(self, line: _Line, strand: _Strand, seq: int, rows: _Rows) -> None:
        if strand.first_seq != seq:  # what began with this very batch leaves no trace
            rows.archived.append((line.covered_seq, line.id, strand.nr))
        strand.first_seq, strand.last_seq, strand.mark = seq, None, seq

    def _cover(self, entry: Entry, poll: Poll, feed: _Feed, touched: dict[int, _Line], rows: _Rows) -> list[int]:
        """Close what a look was to see and did not, open again the presence of what it did see.

        Returns:
            Lives that a targeted look saw besides its targets.
        """
        seq, also = entry.seq, []
        if poll.targets is None:
            covered = list(feed.lines.values())
        else:
            targets = set(poll.targets)
            covered = [line for key, line in feed.lines.items() if key.id in targets]
            among = {line.id for line in covered}
            besides = chain(touched.values(), (line for key in entry.seen if (line := feed.lines.get(key)) is not None))
            for line in besides:
                if line.id not in among and line.source is feed:
                    among.add(line.id)
                    also.append(line.id)
                    covered.append(line)
        for line in covered:
            presence = line.presence
            if line.ref.key in entry.seen:
                presence.mark = seq
                if presence.last_seq is not None:
                    self._supersede(line, presence, seq, rows)
                    rows.replaced.append((seq, 0, None, None, None, "", line.id, _PRESENCE))
            for strand in chain((presence,), line.strands.values()):
                if strand.mark != seq and strand.last_seq is None:
                    strand.last_seq = line.covered_seq
                    rows.closed.append((strand.last_seq, line.id, strand.nr))
        if poll.targets is not None:
            for line in covered:
                line.targeted_seq = seq
        return also

    def _strand_rows(self, rows: _Rows) -> None:
        many = self._connection.executemany
        many(_ARCHIVE, rows.archived)
        many(_REPLACE, rows.replaced)
        many(_BEGIN, rows.begun)
        many("UPDATE heads SET last_seq = ? WHERE life = ? AND nr = ?", rows.closed)
        many("UPDATE heads SET extra = extra + 1 WHERE life = ? AND nr = ?", rows.extra)

    def _poll_row(self, entry: Entry, poll: Poll, feed: _Feed, also: list[int]) -> None:
        self._ordinal += 1
        self._top_id = max(self._top_id, poll.id)
        started = micros(poll.started_at)
        self._connection.execute(
            "INSERT INTO polls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
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
                self._ordinal,
                self._top_id,
            ),
        )
        if entry.memo is not None:
            self._connection.execute("INSERT OR REPLACE INTO memos VALUES (?, ?, ?)", (feed.id, entry.seq, entry.memo))

    # --- facts -------------------------------------------------------------------------------------------------

    def _write_fact(self, fact: Fact, seq: int) -> None:
        kind, values = fact_to_json(fact)
        label = fact.state.value if isinstance(fact, LedgerEntry) else None
        if isinstance(fact, ConfigLoaded):
            label = fact.digest
            self._connection.execute(
                "INSERT OR REPLACE INTO configs VALUES (?, ?)", (text_in(fact.digest), body(values.pop("body")))
            )
        ref: ResourceRef | None = getattr(fact, "ref", None)
        slot, until = None, None
        line = None if ref is None else self._line(ref)
        if ref is None:
            slot, ends = _slot(fact)
            self._connection.execute(
                "UPDATE facts SET until_seq = ? WHERE life IS NULL AND slot = ? AND until_seq IS NULL", (seq, text_in(slot))
            )
            until = seq if ends else None
        elif line is None:
            until = seq  # it is about nothing that lives
        self._connection.execute(
            "INSERT INTO facts (seq, at, type, ref, life, slot, until_seq, label, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                seq,
                micros(fact.at),
                kind,
                None if ref is None else self._ref_id(ref),
                None if line is None else line.id,
                None if slot is None else text_in(slot),
                until,
                None if label is None else text_in(label),
                body(values),
            ),
        )

    # --- names -------------------------------------------------------------------------------------------------

    def _line(self, ref: ResourceRef) -> _Line | None:
        line = self._lines.get(ref.key)
        return line if line is not None and line.ref == ref else None

    def _ref_id(self, ref: ResourceRef) -> int:
        names = (text_in(ref.kind), text_in(ref.scope), text_in(ref.id), text_in(ref.incarnation))
        find = "SELECT id FROM refs WHERE kind = ? AND scope = ? AND key = ? AND incarnation = ?"
        row = self._connection.execute(find, names).fetchone()
        if row is None:
            insert = "INSERT INTO refs (kind, scope, key, incarnation) VALUES (?, ?, ?, ?)"
            return self._connection.execute(insert, names).lastrowid or 0
        number: int = row[0]
        return number

    def _feed(self, name: str) -> _Feed:
        feed = self._feeds.get(name)
        if feed is None:
            cursor = self._connection.execute("INSERT INTO sources (name) VALUES (?)", (text_in(name),))
            feed = self._feeds[name] = _Feed(id=cursor.lastrowid or 0)
        return feed

    def _learn(self) -> None:
        """Read the mirror."""
        execute = self._connection.execute
        (self._seq,) = execute("SELECT coalesce(max(seq), 0) FROM batches").fetchone()
        row = execute("SELECT ordinal, top_id FROM polls ORDER BY seq DESC LIMIT 1").fetchone()
        self._ordinal, self._top_id = row or (0, 0)
        (self._next_life,) = execute("SELECT coalesce(max(id), 0) + 1 FROM lives").fetchone()
        self._feeds, self._lines = {}, {}
        feeds = {feed.id: feed for feed in self._learn_feeds()}
        lines: dict[int, _Line] = {}
        lives = """SELECT lives.id, source, kind, scope, key, incarnation FROM lives JOIN refs ON refs.id = ref
            WHERE ended_seq IS NULL"""
        for life, source, *names in execute(lives):
            kind, scope, key, incarnation = map(text_out, names)
            ref = ResourceRef(kind=kind, scope=scope, id=key, incarnation=incarnation)
            line = lines[life] = _Line(id=life, ref=ref, source=feeds[source], presence=_Strand(_PRESENCE, 0, None))
            self._lines[ref.key] = feeds[source].lines[ref.key] = line
        heads = """SELECT life, nr, signal, heads.first_seq, last_seq FROM lives JOIN heads ON life = id
            WHERE ended_seq IS NULL ORDER BY life, nr"""
        for life, nr, signal, first_seq, last_seq in execute(heads):
            strand = _Strand(nr=nr, first_seq=first_seq, last_seq=last_seq)
            if nr == _PRESENCE:
                lines[life].presence = strand
            else:
                lines[life].strands[text_out(signal)] = strand
        self._learn_targeted(feeds)
        self._known = True

    def _learn_feeds(self) -> Iterator[_Feed]:
        for number, name in self._connection.execute("SELECT id, name FROM sources").fetchall():
            feed = self._feeds[text_out(name)] = _Feed(id=number)
            whole = "SELECT seq, nth FROM polls WHERE source = ? AND targets IS NULL ORDER BY seq DESC LIMIT 1"
            row = self._connection.execute(whole, (number,)).fetchone()
            if row is not None:
                feed.whole_seq, feed.nth = row
            yield feed

    def _learn_targeted(self, feeds: dict[int, _Feed]) -> None:
        for feed in feeds.values():
            for look in covering(self._connection, feed.id, feed.whole_seq):
                for key, line in feed.lines.items():
                    if look.covers(line.id, key.id):
                        line.targeted_seq = look.seq


def _slot(fact: Fact) -> tuple[str, bool]:
    """Say what a fact that is about no single life takes the place of, and whether it ends it for good."""
    match fact:
        case HoldPlaced():
            return f"hold {fact.hold.id}", False
        case HoldReleased():
            return f"hold {fact.hold_id}", True
        case Paused() | Resumed():
            return "pause", isinstance(fact, Resumed)
        case SettingChanged():
            return f"setting {fact.name}", fact.value is None
        case _:
            return type(fact).__name__, False
