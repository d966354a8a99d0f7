"""The journal in memory: the same tables and the same code, without file, lock or thread."""

from collections.abc import Collection, Coroutine, Mapping
from datetime import datetime
from typing import Any

from reaper.core.batch import Batch
from reaper.core.decide import Decision
from reaper.core.facts import Fact
from reaper.core.image import Image
from reaper.core.model import ResourceKey, ResourceRef
from reaper.core.savings import Sighting
from reaper.errors import ConfigError, JournalError, JournalLocked
from reaper.journal.entry import Entry, entry
from reaper.journal.opening import open_memory
from reaper.journal.store import Store, finish
from reaper.plugins import LedgerQuery

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """A journal that lasts as long as this object, as `reaper.plugins.Journal` says.

    For tests, and for `REAPER_STATE=memory:`. It never waits for anything, so it works under virtual time
    (looptime). `close` keeps what was written: opening it again is a restart on the same journal.
    """

    def __init__(self) -> None:
        self._store: Store | None = None
        self._writing = False
        self._kept: bytes | None = None

    @classmethod
    def from_address(cls, address: str) -> "MemoryJournal":
        """Make one from `memory:`.

        Raises:
            ConfigError: It is something else.
        """
        if address not in {"memory:", "memory://"}:
            raise ConfigError(f"{address!r} is no address of a journal: write memory: and nothing more")
        return cls()

    async def open(self, *, write: bool) -> None:
        """Open it, empty or with what it had when it was closed.

        Raises:
            JournalLocked: It is open already.
        """
        if self._store is not None:
            raise JournalLocked("the journal in memory is open already")
        self._store, self._writing = open_memory(self._kept).store, write

    def write(self, batch: Batch) -> Coroutine[Any, Any, None]:
        """Write one batch. The same `seq` twice is a no-op.

        Raises:
            JournalError: It was opened for reading, or a batch before this one is missing.
        """
        return self._write(entry(batch))

    async def _write(self, entry: Entry) -> None:
        store = self._opened()
        if not self._writing:
            raise JournalError("the journal in memory was opened for reading")
        store.write(entry)

    async def load(self, *, seq: int | None = None, at: datetime | None = None) -> Image:
        """Give the state as of now, of a batch number, or of an instant (the last batch not after it).

        Raises:
            JournalError: What that needs has been pruned.
        """
        return finish(self._opened().load(seq, at))

    async def facts(self, query: LedgerQuery) -> list[Fact]:
        """Read facts back, oldest first."""
        return finish(self._opened().facts(query))

    async def decisions(
        self, *, ref: ResourceRef | None = None, decision_id: str | None = None, limit: int = 100
    ) -> list[Decision]:
        """Read decisions back, oldest first, the newest `limit`. `decision_id` may be a prefix."""
        return finish(self._opened().decisions(ref, decision_id, limit))

    async def lives(self, keys: Collection[ResourceKey], *, since: datetime) -> list[Sighting]:
        """Give the lives of some resources that had not ended at an instant, in the order they were seen first."""
        return finish(self._opened().lives(keys, since))

    async def config(self, digest: str) -> Mapping[str, object] | None:
        """Give the rules' body with this digest."""
        return finish(self._opened().config(digest))

    async def prune(self, before: datetime) -> int:
        """Drop what ended before an instant and is not needed for what lives; gives how many rows went."""
        if not self._writing:
            raise JournalError("the journal in memory was opened for reading")
        return finish(self._opened().prune(before))

    async def close(self) -> None:
        """Close it; it can be opened again. Closing twice does nothing."""
        store, self._store = self._store, None
        if store is not None:
            self._kept = store.serialize()
            store.close()

    def _opened(self) -> Store:
        if self._store is None:
            raise JournalError("the journal in memory is not open")
        return self._store
