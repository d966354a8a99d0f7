"""Reads the state as of any batch: what `World.restore` makes a world of."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from reaper.core.history import Run
from reaper.core.image import Image, Life
from reaper.core.model import Poll, ResourceRef
from reaper.errors import JournalCorrupt
from reaper.journal.reading import SLICE, Reading, facts_as_of, last_seq
from reaper.journal.rows import ACTIVITIES, instant, poll_from_row, resource_from_body, text_out

__all__ = ["Snapshot", "covering"]

_PRESENCE = 0

_LIVE_NOW = "lives.ended_seq IS NULL"
_LIVE_THEN = "lives.first_seq <= :seq AND (lives.ended_seq IS NULL OR lives.ended_seq > :seq)"

_LIVES = """
    SELECT lives.id, kind, scope, key, incarnation, source, first_seen_at,
        (SELECT body FROM versions WHERE life = lives.id AND seq <= :seq ORDER BY seq DESC LIMIT 1)
    FROM lives JOIN refs ON refs.id = lives.ref WHERE {live} ORDER BY lives.id"""

_STRAND = """
    SELECT run.life, run.nr, head.signal, run.first_seq, run.last_seq, run.activity, run.evidence_ago,
        run.covers_ago, run.active_ago, run.value, run.extra, began.started_at, began.nth, ended.started_at, ended.nth
    FROM {from}
    JOIN polls AS began ON began.seq = run.first_seq
    LEFT JOIN polls AS ended ON ended.seq = run.last_seq
    WHERE {where}"""
_HEADS = _STRAND.replace("head.", "run.").replace("{from}", "lives JOIN heads AS run ON run.life = lives.id")
_HEADS = _HEADS.replace("{where}", "{live} ORDER BY lives.id, run.nr")
_RECENT = _STRAND.replace("{from}", "recent AS run JOIN heads AS head USING (life, nr)").replace(
    "{where}", "run.first_seq <= ? AND head.first_seq > ? ORDER BY run.rowid"
)
_EARLIER = _STRAND.replace("{from}", "heads AS head JOIN runs AS run USING (life, nr)").replace(
    "{where}", "head.life = ? AND head.nr = ? AND run.first_seq <= ? ORDER BY run.first_seq DESC LIMIT 1"
)

_LAST_WHOLE = """
    SELECT seq, started_at, nth FROM polls WHERE source = ? AND seq <= ? AND targets IS NULL
    ORDER BY seq DESC LIMIT 1"""
_NEXT_WHOLE = "SELECT seq FROM polls WHERE source = ? AND seq > ? AND targets IS NULL ORDER BY seq LIMIT 1"
_LAST_COMPLETE = """
    SELECT coalesce((SELECT seq FROM polls WHERE source = :source AND seq <= :seq AND complete
        AND targets IS NULL ORDER BY seq DESC LIMIT 1), 0)"""
_SINCE_COMPLETE = """
    SELECT
        (SELECT seq FROM polls WHERE source = :source AND seq > :complete AND seq <= :seq AND NOT complete
            ORDER BY seq LIMIT 1),
        (SELECT seq FROM polls WHERE source = :source AND seq > :complete AND seq <= :seq AND NOT complete
            ORDER BY seq DESC LIMIT 1),
        (SELECT seq FROM polls WHERE source = :source AND seq <= :seq ORDER BY seq DESC LIMIT 1)"""


class _Look(NamedTuple):
    seq: int
    started_at: int
    nth: int


class _Targeted(NamedTuple):
    seq: int
    targets: frozenset[str]
    also: frozenset[int]

    def covers(self, life: int, key: str) -> bool:
        """Tell whether it was to see a life, or did."""
        return key in self.targets or life in self.also


def covering(connection: sqlite3.Connection, source: int, after: int) -> Iterator[_Targeted]:
    """Give the targeted looks at a source after a batch, oldest first."""
    rows = connection.execute(
        "SELECT seq, targets, also FROM polls WHERE source = ? AND seq > ? AND targets IS NOT NULL ORDER BY seq",
        (source, after),
    )
    for seq, targets, also in rows.fetchall():
        yield _Targeted(seq, frozenset(json.loads(targets)), frozenset(json.loads(also) if also else ()))


@dataclass(slots=True)
class _Source:
    """A source as of the batch.

    Attributes:
        id: Row of `sources`.
        name: Its name.
        whole: The latest look at the whole of it.
        targeted: Targeted looks since, oldest first.
        later: Targeted looks after the batch, once asked for.
        polls: What the image tells of it.
        misses: After a look, by its batch: the next one at the whole source, and the targeted ones before that.
    """

    id: int
    name: str
    whole: _Look | None
    targeted: list[tuple[_Targeted, _Look]]
    later: list[_Targeted] | None = None
    polls: dict[int, Poll] = field(default_factory=dict)
    misses: dict[int, tuple[int, list[_Targeted]]] = field(default_factory=dict)

    def latest(self, life: int, key: str) -> _Look:
        """Give the latest look that was to see a life."""
        for targeted, look in reversed(self.targeted):
            if targeted.covers(life, key):
                return look
        if self.whole is None:
            raise JournalCorrupt(f"no look at {self.name} in the journal is one that saw {key}")
        return self.whole


@dataclass(slots=True)
class _Life:
    """A life while its strands are gathered."""

    id: int
    ref: ResourceRef
    source: _Source
    first_seen_at: int
    body: str
    last_seen_at: int = 0
    runs: list[Run] = field(default_factory=list)

    def finish(self) -> Life:
        """Give it as core has it."""
        return Life(
            resource=resource_from_body(self.body, self.ref),
            source=self.source.name,
            first_seen_at=instant(self.first_seen_at),
            last_seen_at=instant(self.last_seen_at),
            runs=tuple(self.runs),
        )


class Snapshot:
    """Reads the state as of one batch.

    Args:
        connection: On a journal. Nothing is written between the slices of a reading, or the connection has
            a read transaction open, or the batch is not the last one: what is read of the past stays.
        seq: The batch, as `resolve` gave it.

    Attributes:
        used: After `image`: the looks whose rows it needed.
    """

    def __init__(self, connection: sqlite3.Connection, seq: int) -> None:
        self._connection = connection
        self._seq = seq
        self._is_last = seq == last_seq(connection)
        self._live = _LIVE_NOW if self._is_last else _LIVE_THEN
        self.used: set[int] = set()

    def image(self) -> Reading[Image]:
        """Read everything. `memos` are there only when the batch is the last one: older ones are not kept."""
        newest = "SELECT seq, ordinal, top_id FROM polls WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
        seq, polls, top_id = self._connection.execute(newest, (self._seq,)).fetchone() or (0, 0, 0)
        self.used.add(seq)
        sources = self._sources()
        yield
        lives = yield from self._lives(sources)
        facts = yield from facts_as_of(self._connection, self._seq)
        return Image(
            seq=self._seq,
            polls=polls,
            last_poll_id=top_id,
            lives=lives,
            polls_by_source={
                one.name: tuple(poll for _, poll in sorted(one.polls.items()))
                for one in sources.values()
                if one.polls
            },
            facts=facts,
            memos=self._memos() if self._is_last else {},
        )

    def _memos(self) -> dict[str, dict[str, object]]:
        rows = self._connection.execute("SELECT name, body FROM memos JOIN sources ON sources.id = source")
        return {text_out(name): json.loads(body) for name, body in rows.fetchall()}

    # --- sources -----------------------------------------------------------------------------------------------

    def _sources(self) -> dict[int, _Source]:
        sources = {}
        for number, name in self._connection.execute("SELECT id, name FROM sources ORDER BY id").fetchall():
            row = self._connection.execute(_LAST_WHOLE, (number, self._seq)).fetchone()
            whole = None if row is None else _Look(*row)
            since = covering(self._connection, number, 0 if whole is None else whole.seq)
            targeted = [(one, self._look(one.seq)) for one in since if one.seq <= self._seq]
            source = sources[number] = _Source(id=number, name=text_out(name), whole=whole, targeted=targeted)
            if whole is not None:
                self.used.add(whole.seq)
            self._landmarks(source)
        return sources

    def _look(self, seq: int) -> _Look:
        self.used.add(seq)
        row = self._connection.execute(
            "SELECT seq, started_at, nth FROM polls WHERE seq = ?", (seq,)
        ).fetchone()
        return _Look(*row)

    def _landmarks(self, source: _Source) -> None:
        """Note what a source's state is made of: the last complete look, the failures since, the latest."""
        names = {"source": source.id, "seq": self._seq}
        (complete,) = self._connection.execute(_LAST_COMPLETE, names).fetchone()
        since = self._connection.execute(_SINCE_COMPLETE, {**names, "complete": complete}).fetchone()
        for seq in (complete, *since):
            if seq:
                self._note_poll(source, seq)

    def _note_poll(self, source: _Source, seq: int) -> None:
        if seq not in source.polls:
            cursor = self._connection.cursor()
            cursor.row_factory = sqlite3.Row
            row = cursor.execute("SELECT * FROM polls WHERE seq = ?", (seq,)).fetchone()
            source.polls[seq] = poll_from_row(row, source.name)
            self.used.add(seq)

    # --- lives -------------------------------------------------------------------------------------------------

    def _lives(self, sources: dict[int, _Source]) -> Reading[tuple[Life, ...]]:
        lives: dict[int, _Life] = {}
        rows = self._connection.execute(_LIVES.replace("{live}", self._live), {"seq": self._seq})
        for life, kind, scope, key, incarnation, source, first_seen_at, body in rows:
            names = text_out(kind), text_out(scope), text_out(key), text_out(incarnation)
            ref = ResourceRef(kind=names[0], scope=names[1], id=names[2], incarnation=names[3])
            lives[life] = _Life(life, ref, sources[source], first_seen_at, body)
            if not len(lives) % SLICE:
                yield
        yield from self._strands(lives)
        finished = []
        for one in lives.values():
            finished.append(one.finish())
            if not len(finished) % SLICE:
                yield
        return tuple(finished)

    def _strands(self, lives: dict[int, _Life]) -> Reading[None]:
        recent = {}
        if not self._is_last:
            rows = self._connection.execute(_RECENT, (self._seq, self._seq))
            recent = {row[:2]: row for row in rows}  # of each strand the newest, which comes last
            yield
        rows = self._connection.execute(_HEADS.replace("{live}", self._live), {"seq": self._seq})
        for done, head in enumerate(rows, start=1):
            row = head
            if (
                head[3] > self._seq
            ):  # it began later: the one that was the newest then is among the older ones
                row = recent.get(head[:2])
                row = row or self._connection.execute(_EARLIER, (*head[:2], self._seq)).fetchone()
            if row is not None:
                self._strand(lives[head[0]], *row)
            if not done % SLICE:
                yield

    def _strand(
        self,
        one: _Life,
        life: int,
        nr: int,
        signal: str | bytes,
        first_seq: int,
        last_seq: int | None,
        activity: int,
        evidence_ago: int | None,
        covers_ago: int | None,
        active_ago: int | None,
        value: str | bytes,
        extra: int,
        began_at: int,
        began_nth: int,
        ended_at: int | None,
        ended_nth: int | None,
    ) -> None:
        """Add a strand's newest run to its life, as it stood."""
        closed = last_seq is not None and last_seq <= self._seq
        ended = _Look(last_seq or 0, ended_at or 0, ended_nth or 0)
        last = ended if closed else one.source.latest(life, one.ref.id)
        self.used.update((first_seq, last.seq))
        if nr == _PRESENCE:
            one.last_seen_at = last.started_at
            if closed:
                self._note_failure(one, last.seq)
            return
        if extra and not closed and not self._is_last:
            extra -= self._extended_later(one, last_seq)
        one.runs.append(
            Run(
                signal=text_out(signal),
                activity=ACTIVITIES[activity],
                evidence_at=None if evidence_ago is None else instant(began_at - evidence_ago),
                value=text_out(value),
                covers_from=None if covers_ago is None else instant(began_at - covers_ago),
                first_at=instant(began_at),
                last_at=instant(last.started_at),
                looks=last.nth - began_nth + 1 + extra,
                active_before=None if active_ago is None else instant(began_at - active_ago),
            )
        )

    def _extended_later(self, life: _Life, last_seq: int | None) -> int:
        """Count the targeted looks after the batch that extended a run which lasted until `last_seq`."""
        source = life.source
        if source.later is None:
            source.later = list(covering(self._connection, source.id, self._seq))
        return sum(
            one.covers(life.id, life.ref.id)
            for one in source.later
            if last_seq is None or one.seq <= last_seq
        )

    def _note_failure(self, life: _Life, seen: int) -> None:
        """Note the first and the latest look that were to see a life and did not, after `seen`, which did."""
        source = life.source
        latest = source.latest(life.id, life.ref.id).seq
        if latest <= seen:
            return  # closed because the life ended, later
        if seen not in source.misses:
            row = self._connection.execute(_NEXT_WHOLE, (source.id, seen)).fetchone()
            whole = latest if row is None else row[0]
            between = [one for one in covering(self._connection, source.id, seen) if one.seq < whole]
            source.misses[seen] = whole, between
        whole, between = source.misses[seen]
        first = next((one.seq for one in between if one.covers(life.id, life.ref.id)), min(whole, latest))
        self._note_poll(source, first)
        self._note_poll(source, latest)
