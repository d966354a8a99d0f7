"""An open journal: its connections, and what can be asked of it. Knows nothing of threads."""

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from reaper.core.decide import Decision
from reaper.core.facts import Fact
from reaper.core.image import Image
from reaper.core.model import ResourceKey, ResourceRef
from reaper.core.savings import Sighting
from reaper.errors import JournalError
from reaper.journal import reading
from reaper.journal.entry import Entry
from reaper.journal.faults import legible, translated
from reaper.journal.reading import Reading
from reaper.journal.snapshot import Snapshot
from reaper.plugins import LedgerQuery

if TYPE_CHECKING:  # who only reads starts without it
    from reaper.journal.writing import Writer

__all__ = ["Store", "finish"]

T = TypeVar("T")


def finish(steps: Generator[None, None, T]) -> T:
    """Run a reading to its end without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


def _writer(connection: sqlite3.Connection) -> "Writer":
    from reaper.journal.writing import Writer

    return Writer(connection)


class Store:
    """An open journal.

    Args:
        path: Its name in messages.
        writer: The connection to write with; None: opened for reading.
        reader: The connection to read with; the writer itself where the file lets in no second one.
        on_close: Called after the connections are closed.
    """

    def __init__(
        self,
        path: str,
        *,
        writer: sqlite3.Connection | None,
        reader: sqlite3.Connection,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._connection = writer
        self._reader = reader
        self._writer = None if writer is None else _writer(writer)
        self._on_close = on_close

    @property
    def reads_apart(self) -> bool:
        """Whether a reading may be interrupted by writes."""
        return self._connection is not self._reader

    def write(self, entry: Entry) -> None:
        """Write a batch in one transaction.

        Raises:
            JournalFull, JournalCorrupt, JournalLocked, JournalError: Nothing of it was written.
        """
        if self._writer is None:
            raise JournalError(f"the journal {self._path} was opened for reading")
        with translated(self._path, self._connection):
            self._writer.write(entry)

    def load(self, seq: int | None, at: datetime | None) -> Reading[Image]:
        """Read the state as of a batch or an instant."""
        with self._reading() as connection:
            image: Image = yield from Snapshot(connection, reading.resolve(connection, seq, at)).image()
        return image

    def facts(self, query: LedgerQuery) -> Reading[list[Fact]]:
        """Read facts, oldest first."""
        with self._reading() as connection:
            found: list[Fact] = yield from reading.facts(connection, query)
        return found

    def decisions(
        self, ref: ResourceRef | None, decision_id: str | None, limit: int
    ) -> Reading[list[Decision]]:
        """Read decisions, oldest first."""
        with self._reading() as connection:
            found: list[Decision] = yield from reading.decisions(connection, ref, decision_id, limit)
        return found

    def lives(self, keys: Collection[ResourceKey], since: datetime) -> Reading[list[Sighting]]:
        """Read lives of some resources, in the order they were seen first."""
        with self._reading() as connection:
            found: list[Sighting] = yield from reading.lives(connection, keys, since)
        return found

    def config(self, digest: str) -> Reading[Mapping[str, object] | None]:
        """Read the rules with a digest."""
        yield from ()
        with self._reading() as connection:
            return reading.config(connection, digest)

    def prune(self, before: datetime) -> Reading[int]:
        """Drop what ended before an instant; gives how many rows went."""
        if self._writer is None or self._connection is None:
            raise JournalError(f"the journal {self._path} was opened for reading")
        from reaper.journal import pruning

        with self._reading() as connection:
            to = yield from pruning.horizon(connection, before)
        if to is None:
            return 0
        with translated(self._path, self._connection):
            try:
                gone = yield from pruning.drop(self._connection, to)
            finally:
                self._writer.forget()
            yield from pruning.shrink(self._connection)
        return gone

    def serialize(self) -> bytes:
        """Give the whole journal as bytes."""
        return self._reader.serialize()

    def close(self) -> None:
        """Close the connections; what was written is in the file already."""
        try:
            for connection in (self._reader, self._connection):
                if connection is not None:
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
        finally:
            self._on_close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Keep what is read as it is from the first slice to the last."""
        with legible(self._path, self._reader):
            if self.reads_apart:
                self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                if self._reader.in_transaction and self.reads_apart:
                    with contextlib.suppress(sqlite3.Error):
                        self._reader.execute("ROLLBACK")
