"""Everything that `reaper check` looks at: accounts and regions, what runs there, and what it costs."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from reaper.cli.checking.instances import ec2_rows
from reaper.cli.checking.looking import Looker, Part, Progress, Reader
from reaper.cli.checking.page import Seen, ordered
from reaper.cli.checking.rows import Limits, Row, Tally, matches
from reaper.cli.checking.sagemaker import app_rows, endpoint_rows, notebook_rows
from reaper.cli.fleets import scope_options
from reaper.clients.aws import AwsOptions
from reaper.clients.aws.scopes import Scope, Scopes
from reaper.clients.prices import PriceBook
from reaper.clients.prices.asking import PriceAsker
from reaper.clock import SystemClock
from reaper.config import Settings

__all__ = ["Fleet"]

_ATTEMPTS = 5
"""How often a question is sent: many at once are throttled, and botocore waits longer each time."""

_PRICES_S = 10.0
"""How long prices are asked for; what is not known then is taken from the shipped table."""

_REDRAW_S = 0.2

_THREADS = 2

READERS: dict[str, Reader] = {
    "ec2.instance": ec2_rows,
    "studio.app": app_rows,
    "sagemaker.notebook_instance": notebook_rows,
    "sagemaker.endpoint": endpoint_rows,
}
"""What is looked for by kind, each by itself: what may not be asked hides nothing else."""


class Fleet:
    """The accounts and regions of a configuration, as long as they are looked at.

    Args:
        settings: The configuration.
        aws: How to talk to AWS.
    """

    def __init__(self, settings: Settings, aws: AwsOptions | None = None) -> None:
        self._clock = SystemClock()
        self._scopes = Scopes(scope_options(settings), aws or AwsOptions(attempts=_ATTEMPTS, adaptive=True))
        prices = settings.prices
        self._book = PriceBook(self._clock, overrides=prices.overrides, source=prices.source, asks=True)
        self._asker = PriceAsker(self._book, self._scopes.own, self._clock)

    async def __aenter__(self) -> Self:
        """Begin. Pages are read by few threads: each has memory of its own that it does not give back."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self._scopes.close()

    async def look(
        self, limits: Limits, globs: Sequence[str], kinds: Sequence[str] = (), *, shows_progress: bool = False
    ) -> tuple[Seen, Tally]:
        """Look once.

        Args:
            limits: From when on something needs attention.
            globs: On names and ids: only these; empty: all.
            kinds: Only these; empty: all.
            shows_progress: Tell on stderr how far it has come.
        """
        now = self._clock.now()
        found = await self._scopes.find()
        readers = {kind: reader for kind, reader in READERS.items() if not kinds or kind in kinds}
        looker = Looker(readers, now, lambda row: matches(globs, row.name, row.id))
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(_tell(looker.progress)) if shows_progress else None
            await looker.look([Part(scope.name, scope.aws) for scope in found.scopes])
            if telling is not None:
                telling.cancel()
        await self._price(looker.rows, found.scopes)
        tally = Tally(limits)
        for row in looker.rows:
            tally.add(row)
        errors = [(_account(problem), problem) for problem in found.problems]
        seen = Seen(
            rows=ordered(looker.rows, limits),
            scopes=[scope.name for scope in found.scopes if scope.name in looker.seen],
            errors=[*errors, *_told(looker, found.scopes)],
            left_out=[(_account(note), note) for note in found.notes],
        )
        return seen, tally

    async def _price(self, rows: Sequence[Row], scopes: Sequence[Scope]) -> None:
        """Find out what everything costs, each thing once."""
        for scope in scopes:
            self._book.register(scope.account, scope.aws)
        keys = {row.key for row in rows if row.key is not None}
        for key in keys:
            self._book.price(key)
        with contextlib.suppress(TimeoutError):
            await self._asker.ask(_PRICES_S)
        prices = {key: self._book.price(key) for key in keys}
        for row in rows:
            if row.key is not None:
                row.price = prices[row.key]


def _told(looker: Looker, scopes: Sequence[Scope]) -> Iterator[tuple[str, str]]:
    """Give what could not be seen; that somebody refuses who may is none of it."""
    expected = {scope.name for scope in scopes if scope.expected_denied}
    for where, message in looker.errors:
        if where not in expected:
            yield where, message


def _account(text: str) -> str:
    """Give the account that a text begins with, else whose it is."""
    first = text.partition(":")[0].partition(" ")[0]
    return first if first.isdigit() else "AWS"


async def _tell(progress: Progress) -> None:
    """Tell on stderr how far a look has come."""
    try:
        while True:
            told = f"\rlooking: {progress.done} of {progress.parts} regions, {progress.rows:,} running "
            sys.stderr.write(told)
            sys.stderr.flush()
            await asyncio.sleep(_REDRAW_S)
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
