"""Fold what happens into the world and write it to the journal, in order, losing nothing.

The world is always ahead of the journal, never beside it: a batch that can't be written (a full disk)
stays in line and is tried again before the next one. While anything is in line nothing is acted on.
"""

import asyncio
from collections import deque

import structlog

from reaper.core.batch import Batch, fold_facts, fold_look
from reaper.core.decide import Decision
from reaper.core.facts import Fact
from reaper.core.image import Delta
from reaper.core.model import Collected
from reaper.core.world import World
from reaper.errors import JournalError
from reaper.plugins import Journal

__all__ = ["MOST_PENDING", "Recorder"]

MOST_PENDING = 5000
"""Batches kept in memory while the journal can't be written; about a day of looks at three sources."""

log = structlog.get_logger("reaper.journal")


class Recorder:
    """The only writer of the world and of the journal."""

    def __init__(self, world: World, journal: Journal) -> None:
        """Start with a world as the journal describes it."""
        self.world = world
        self.failure: JournalError | None = None
        self._journal = journal
        self._pending: deque[Batch] = deque()
        self._writing = asyncio.Lock()

    @property
    def pending(self) -> int:
        """How many batches wait to be written."""
        return len(self._pending)

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded; without that nothing may be acted on."""
        return self.failure is None

    def look(self, collected: Collected) -> Delta:
        """Fold a look in and put it in line."""
        batch = fold_look(self.world, collected)
        self._line_up(batch)
        return batch.delta

    def facts(self, *facts: Fact, decisions: tuple[Decision, ...] = ()) -> None:
        """Fold facts in and put them in line, with decisions to keep."""
        self._line_up(fold_facts(self.world, facts, decisions))

    async def flush(self) -> None:
        """Write what is in line, oldest first; a failure is kept in `failure`, and logged when it begins and ends."""
        async with self._writing:
            while self._pending:
                batch = self._pending[0]
                try:
                    await self._journal.write(batch)
                except JournalError as error:
                    if self.failure is None:
                        log.error("journal failed", error=str(error), pending=len(self._pending))  # noqa: TRY400 - one line, no traceback
                    self.failure = error
                    return
                self._pending.popleft()
            if self.failure is not None:
                log.info("journal recovered")
                self.failure = None

    async def durable(self) -> None:
        """Write what is in line, whatever happens to the caller, and make sure that it is written.

        Raises:
            JournalError: It is not.
        """
        await asyncio.shield(self.flush())
        if self.failure is not None:
            raise self.failure

    def _line_up(self, batch: Batch) -> None:
        if len(self._pending) >= MOST_PENDING:
            msg = f"{MOST_PENDING} batches could not be written to the journal ({self.failure}); ending"
            raise RuntimeError(msg)
        self._pending.append(batch)
