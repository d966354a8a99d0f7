"""The journal in a SQLite file: the standard library's sqlite3, in one worker thread where it is written."""

import os
from collections.abc import Collection, Coroutine, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from reaper.clock import Clock, SystemClock
from reaper.core.batch import Batch
from reaper.core.decide import Decision
from reaper.core.facts import Fact
from reaper.core.image import Image
from reaper.core.model import ResourceKey, ResourceRef
from reaper.core.savings import Sighting
from reaper.errors import ConfigError, JournalError
from reaper.journal.entry import Entry, entry
from reaper.journal.opening import open_reader, open_writer
from reaper.journal.reading import Reading
from reaper.journal.schema import MIGRATIONS, Migration
from reaper.journal.store import Store, T, finish
from reaper.plugins import LedgerQuery

if TYPE_CHECKING:  # it brings asyncio, which a command that reads starts without
    from reaper.journal.worker import Worker

__all__ = ["SqliteJournal"]


class SqliteJournal:
    """A journal in a file, as `reaper.plugins.Journal` says.

    Every write is one transaction, synced to the disk before it returns (WAL, `synchronous=FULL`). Readings
    in a process that writes have a connection of their own and let writes pass in between. Opened for reading it
    answers at once, in the caller's thread: its methods never wait, and need no event loop.

    Args:
        path: The file; made on the first `open(write=True)`, with the folders above it, for its owner alone.
        clock: Dates the backup that is made before an upgrade.
        migrations: All versions of the tables there are; for tests of upgrades.

    Attributes:
        notes: What `open` found worth telling a person: an upgrade and where its backup is; a file system on
            which nobody else can read while it is being written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        migrations: tuple[Migration, ...] = MIGRATIONS,
    ) -> None:
        self.path = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow links
        self.notes: tuple[str, ...] = ()
        self._clock = clock or SystemClock()
        self._migrations = migrations
        self._worker: Worker | None = None
        self._store: Store | None = None

    @classmethod
    def from_address(cls, address: str) -> "SqliteJournal":
        """Make one from a path or a URL: `sqlite:///var/lib/reaper/journal.db`.

        Raises:
            ConfigError: It is neither.
        """
        what = f"{address!r} is no address of a journal"
        _, separator, _ = address.partition("://")
        if not separator and not address.lower().startswith("sqlite:"):
            try:
                return cls(address)
            except RuntimeError as error:  # the ~ of a user who is none
                raise ConfigError(f"{what}: {error}") from error
        url = urlsplit(address)
        if not separator or url.scheme != "sqlite" or url.netloc or url.query or url.fragment:
            raise ConfigError(f"{what}: write sqlite:///absolute/path or just the path")
        if url.path in {"", "/"}:
            raise ConfigError(f"{what}: it names no file")
        return cls(unquote("/" + url.path.lstrip("/")))

    async def open(self, *, write: bool) -> None:
        """Open the file: to write it, making or upgrading it as needed, or to read it.

        Raises:
            JournalLocked: Another process writes to it; the message names its pid.
            JournalSchema: A newer reaper wrote it, or it is no journal of ours.
            JournalCorrupt: It is damaged.
            JournalFull: It can't be created or written.
            JournalError: It is open already, or is to be read and is not there.
        """
        if self._worker is not None or self._store is not None:
            raise JournalError(f"the journal {self.path} is open already")
        if write:
            from reaper.journal.worker import Worker

            worker = self._worker = Worker(f"journal {self.path.name}")
            try:
                opened = await worker.run(lambda: open_writer(self.path, self._clock, self._migrations))
            except BaseException:
                self._worker = None
                await worker.stop()
                raise
        else:
            opened = open_reader(self.path, self._migrations)
        self._store, self.notes = opened.store, opened.notes
        if opened.notes:
            import structlog  # readers, who never get here, start without it

            log = structlog.get_logger("reaper.journal")
            for note in opened.notes:
                log.warning("journal noted", note=note)

    def write(self, batch: Batch) -> Coroutine[Any, Any, None]:
        """Write one batch in one transaction, durably, before returning. The same `seq` twice is a no-op.

        What is written is what the batch says when this is called, not when it is awaited: the histories in
        it go on changing. Once it runs, cancelling the wait does not undo it.

        Raises:
            JournalFull, JournalCorrupt, JournalLocked, JournalError: Nothing of it was written; it may be tried
                again. JournalError also when a batch before it is missing.
        """
        return self._write(entry(batch))

    async def _write(self, entry: Entry) -> None:
        store = self._opened()
        if self._worker is None:
            store.write(entry)  # says that it was opened for reading
        else:
            await self._worker.run(lambda: store.write(entry))

    async def load(self, *, seq: int | None = None, at: datetime | None = None) -> Image:
        """Give the state as of now, of a batch number, or of an instant (the last batch not after it).

        Raises:
            JournalError: What that needs has been pruned.
            JournalCorrupt, JournalSchema: It can't be read.
        """
        store = self._opened()
        return await self._read(store.load(seq, at))

    async def facts(self, query: LedgerQuery) -> list[Fact]:
        """Read facts back, oldest first."""
        store = self._opened()
        return await self._read(store.facts(query))

    async def decisions(
        self, *, ref: ResourceRef | None = None, decision_id: str | None = None, limit: int = 100
    ) -> list[Decision]:
        """Read decisions back, oldest first, the newest `limit`. `decision_id` may be a prefix."""
        store = self._opened()
        return await self._read(store.decisions(ref, decision_id, limit))

    async def lives(self, keys: Collection[ResourceKey], *, since: datetime) -> list[Sighting]:
        """Give the lives of some resources that had not ended at an instant, in the order they were seen first."""
        store = self._opened()
        return await self._read(store.lives(keys, since))

    async def config(self, digest: str) -> Mapping[str, object] | None:
        """Give the rules' body with this digest."""
        store = self._opened()
        return await self._read(store.config(digest))

    async def prune(self, before: datetime) -> int:
        """Drop what ended before an instant and is not needed for what lives, and give the space back.

        Goes in small steps: writes pass in between. Cut off anywhere it leaves a good journal.

        Returns:
            How many rows went.
        """
        store = self._opened()
        return await self._read(store.prune(before))

    async def close(self) -> None:
        """Finish what is being written, close, and give up the lock. Closing twice does nothing."""
        worker, store = self._worker, self._store
        self._worker = self._store = None
        if worker is None:
            if store is not None:
                store.close()
            return
        try:
            if store is not None:
                await worker.run(store.close)
        finally:
            await worker.stop()

    def _opened(self) -> Store:
        if self._store is None:
            raise JournalError(f"the journal {self.path} is not open")
        return self._store

    async def _read(self, steps: Reading[T]) -> T:
        worker, store = self._worker, self._opened()
        if worker is None:
            return finish(steps)
        if store.reads_apart:
            return await worker.run_patiently(steps)
        return await worker.run(lambda: finish(steps))
