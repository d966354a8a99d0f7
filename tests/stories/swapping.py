"""w16: a terminal is closed and one of the same name is opened, at the worst moments."""

import contextlib
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest

from reaper.core.batch import Batch
from reaper.core.facts import LedgerEntry
from reaper.core.model import Collected
from reaper.journal.memory import MemoryJournal
from reaper.plugins import Look
from reaper.providers.jupyter.source import JupyterSource
from tests.stories.accounts import lives
from tests.stories.stage import Stage
from tests.stories.waiting import true_within

__all__ = ["SwappingJournal", "Swaps"]

AT_LOOK, AT_ACT = "w16look", "w16act"


class Swaps:
    """Swaps each of the two terminals once."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._swapped: set[str] = set()

    @contextlib.contextmanager
    def before_the_fresh_look(self) -> Iterator[None]:
        """Swap one just before the fresh look that precedes its DELETE."""
        real = JupyterSource.collect

        async def collect(source: JupyterSource, look: Look) -> Collected:
            if any(ref.id == AT_LOOK for ref in look.refs or ()):
                await self.swap(AT_LOOK)
            return await real(source, look)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(JupyterSource, "collect", collect)
            yield

    async def swap(self, name: str) -> None:
        """Close a terminal and open one of the same name, in which something goes on: its own time never comes."""
        if name in self._swapped:
            return
        self._swapped.add(name)
        old = self._stage.accounts[name]
        await self._stage.server.request("DELETE", f"api/terminals/{name}")
        await true_within(lambda: not lives(old.process), what="the old shell ends")
        new = await self._stage.terminal(f"{name} swapped", name=name)
        await self._stage.type(new, "while sleep 1; do date; done")


class SwappingJournal(MemoryJournal):
    """Swaps the other one once its STARTED is written: after the fresh look, before the DELETE."""

    def __init__(self, swaps: Swaps) -> None:
        super().__init__()
        self._swaps = swaps

    def write(self, batch: Batch) -> Any:
        return self._write_and_swap(batch, super().write(batch))

    async def _write_and_swap(self, batch: Batch, writing: Awaitable[None]) -> None:
        await writing
        for fact in batch.facts:
            if isinstance(fact, LedgerEntry) and (fact.state.value, fact.ref.id) == ("STARTED", AT_ACT):
                await self._swaps.swap(AT_ACT)
