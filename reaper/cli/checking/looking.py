"""Look at every account and region once: what fails in one hides nothing of the others."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from reaper.cli.checking.rows import Row
from reaper.clients.aws import Aws
from reaper.errors import CollectError

__all__ = ["Looker", "Part", "Progress", "Reader"]

_AT_ONCE = 16
"""Accounts and regions that are looked at at the same time."""

Reader = Callable[[Aws, str, datetime], AsyncIterator[list[Row]]]
"""Gives what runs in an account and region, a page at a time."""


class Part(NamedTuple):
    """One account and region.

    Attributes:
        scope: `ACCOUNT/REGION`.
        aws: How to ask.
    """

    scope: str
    aws: Aws


@dataclass(slots=True)
class Progress:
    """How far a look has come, for who waits.

    Attributes:
        parts: How many there are to look at.
        done: How many were.
        rows: How many running things were found.
    """

    parts: int = 0
    done: int = 0
    rows: int = 0


@dataclass(slots=True)
class Looker:
    """Looks once.

    Attributes:
        readers: What is looked for, by a word for it.
        now: The instant of the check.
        wanted: Tells whether a row is asked for.
        progress: Kept up to date.
        rows: What was found.
        errors: What could not be seen: where, and why.
    """

    readers: Mapping[str, Reader]
    now: datetime
    wanted: Callable[[Row], bool]
    progress: Progress = field(default_factory=Progress)
    rows: list[Row] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    async def look(self, parts: Sequence[Part]) -> None:
        """Look at all parts."""
        turns = asyncio.Semaphore(_AT_ONCE)
        self.progress.parts = len(parts)
        await asyncio.gather(*(self._look(part, turns) for part in parts))
        self.errors.sort()

    async def _look(self, part: Part, turns: asyncio.Semaphore) -> None:
        async with turns:
            await asyncio.gather(*(self._read(part, reader) for reader in self.readers.values()))
        self.progress.done += 1

    async def _read(self, part: Part, reader: Reader) -> None:
        try:
            async for page in reader(part.aws, part.scope, self.now):
                found = [row for row in page if self.wanted(row)]
                self.rows += found
                self.progress.rows += len(found)
        except CollectError as error:
            self.errors.append((part.scope, str(error)))
        else:
            self.seen.add(part.scope)
