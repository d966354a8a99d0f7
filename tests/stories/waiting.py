"""Waiting in the stories: always for something that is so, or has happened, never for a time that should do.

A deadline here only ends what is broken; on a machine that is busy with other tests a second may take ten.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.support.jupyter_server import wait_until

__all__ = ["PATIENCE_S", "patiently", "true_within", "utc_now", "write_for_ever"]

PATIENCE_S = 120.0


async def true_within(condition: Callable[[], bool], *, what: str, deadline_s: float = PATIENCE_S) -> None:
    """Wait until something is true; fail after the deadline."""

    async def answer() -> bool:
        return condition()

    await wait_until(answer, what=what, deadline_s=deadline_s)


async def patiently(condition: Callable[[], Awaitable[object]], *, deadline_s: float = PATIENCE_S) -> None:
    """Wait until something is true, and no longer: of a play shared by many stories one must not spoil the others.

    What did not come true is for the test of its story to find.
    """
    end = time.monotonic() + deadline_s
    while not await condition() and time.monotonic() < end:
        await asyncio.sleep(0.1)


async def write_for_ever(log: Path) -> None:
    """Add a line a second, as a training's log grows."""
    with log.open("a", buffering=1) as out:
        while True:
            out.write(f"{time.time()}\n")
            await asyncio.sleep(1)


def utc_now() -> datetime:
    return datetime.now(UTC)
