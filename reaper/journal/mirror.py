"""What the writer knows without reading: which lives are alive, and which runs of evidence still last."""

import sqlite3
from dataclasses import dataclass, field

from reaper.core.model import ResourceKey, ResourceRef
from reaper.journal.rows import text_in, text_out
from reaper.journal.snapshot import covering

__all__ = ["PRESENCE", "Feed", "Line", "Mirror", "Strand"]

PRESENCE = 0
"""Number of the strand that tells which looks saw a life at all."""


@dataclass(slots=True)
class Strand:
    """One signal of one life.

    Attributes:
        nr: Its number within the life.
        first_seq: The look that saw its newest run first.
        last_seq: The last one that did; None: it lasts.
        mark: The last batch that saw it, of those written since the mirror was read.
    """

    nr: int
    first_seq: int
    last_seq: int | None
    mark: int = 0


@dataclass(slots=True)
class Line:
    """A life that is alive.

    Attributes:
        id: Row of `lives`.
        ref: Which life.
        key: Of which thing.
        source: Where it is seen.
        presence: Its strand 0.
        strands: The others by signal, in the order of their numbers.
        targeted_seq: The last targeted look that was to see it.
    """

    id: int
    ref: ResourceRef
    key: ResourceKey
    source: "Feed"
    presence: Strand
    strands: dict[str, Strand] = field(default_factory=dict)
    targeted_seq: int = 0

    @property
    def covered_seq(self) -> int:
        """The last look that was to see it."""
        return max(self.source.whole_seq, self.targeted_seq)


@dataclass(slots=True)
class Feed:
    """A source.

    Attributes:
        id: Row of `sources`.
        nth: How many looks there were at the whole of it.
        whole_seq: The last of them.
        lines: What lives there.
    """

    id: int
    nth: int = 0
    whole_seq: int = 0
    lines: dict[ResourceKey, Line] = field(default_factory=dict)


class Mirror:
    """What is open, as the tables say.

    Attributes:
        seq: The last batch.
        polls: How many looks there were, ever.
        top_id: The highest poll id.
        recent: How many rows `recent` has.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        execute = connection.execute
        (self.seq,) = execute("SELECT coalesce(max(seq), 0) FROM batches").fetchone()
        newest = execute("SELECT ordinal, top_id FROM polls ORDER BY seq DESC LIMIT 1").fetchone() or (0, 0)
        self.polls: int = newest[0]
        self.top_id: int = newest[1]
        (self.recent,) = execute("SELECT count(*) FROM recent").fetchone()
        (self._next_life,) = execute("SELECT coalesce(max(id), 0) + 1 FROM lives").fetchone()
        self._feeds: dict[str, Feed] = {}
        self._lines: dict[ResourceKey, Line] = {}
        # By the identity of the ref that a line holds. Core goes on using one object, which is found at once.
        self._by_ref: dict[int, Line] = {}
        self._learn()

    def line(self, ref: ResourceRef) -> Line | None:
        """Find a life that is alive."""
        line = self._by_ref.get(id(ref))
        if line is not None:
            return line
        line = self._lines.get(ref.key)
        if line is None or line.ref != ref:
            return None
        self._by_ref.pop(id(line.ref), None)
        line.ref = ref
        self._by_ref[id(ref)] = line
        return line

    def feed(self, name: str) -> Feed:
        """Find a source, adding its row if it is new."""
        feed = self._feeds.get(name)
        if feed is None:
            cursor = self._connection.execute("INSERT INTO sources (name) VALUES (?)", (text_in(name),))
            feed = self._feeds[name] = Feed(id=cursor.lastrowid or 0)
        return feed

    def begin(self, ref: ResourceRef, feed: Feed, seq: int) -> Line:
        """Add a life."""
        presence = Strand(nr=PRESENCE, first_seq=seq, last_seq=None, mark=seq)
        line = Line(id=self._next_life, ref=ref, key=ref.key, source=feed, presence=presence)
        self._next_life += 1
        self._lines[line.key] = feed.lines[line.key] = line
        return line

    def end(self, line: Line) -> None:
        """Take a life out."""
        del self._lines[line.key]
        del line.source.lines[line.key]
        self._by_ref.pop(id(line.ref), None)

    def _learn(self) -> None:
        execute = self._connection.execute
        feeds: dict[int, Feed] = {}
        for number, name in execute("SELECT id, name FROM sources").fetchall():
            whole = (
                "SELECT nth, seq FROM polls WHERE source = ? AND targets IS NULL ORDER BY seq DESC LIMIT 1"
            )
            nth, seq = execute(whole, (number,)).fetchone() or (0, 0)
            feeds[number] = self._feeds[text_out(name)] = Feed(id=number, nth=nth, whole_seq=seq)
        lines: dict[int, Line] = {}
        lives = """
            SELECT lives.id, source, kind, scope, key, incarnation FROM lives JOIN refs ON refs.id = ref
            WHERE ended_seq IS NULL"""
        for life, source, *names in execute(lives):
            kind, scope, key, incarnation = map(text_out, names)
            ref = ResourceRef(kind=kind, scope=scope, id=key, incarnation=incarnation)
            presence = Strand(nr=PRESENCE, first_seq=0, last_seq=None)
            line = lines[life] = Line(id=life, ref=ref, key=ref.key, source=feeds[source], presence=presence)
            self._lines[line.key] = line.source.lines[line.key] = line
        heads = """
            SELECT life, nr, signal, heads.first_seq, last_seq FROM lives JOIN heads ON life = id
            WHERE ended_seq IS NULL ORDER BY life, nr"""
        for life, nr, signal, first_seq, last_seq in execute(heads):
            strand = Strand(nr=nr, first_seq=first_seq, last_seq=last_seq)
            if nr == PRESENCE:
                lines[life].presence = strand
            else:
                lines[life].strands[text_out(signal)] = strand
        for feed in feeds.values():
            for look in covering(self._connection, feed.id, feed.whole_seq):
                for line in feed.lines.values():
                    if look.covers(line.id, line.key.id):
                        line.targeted_seq = look.seq
