"""`reaper` that kills itself: `python tests/e2e/crashing.py POINT COMMAND...`, or with other constants.

`tuned:{"drain_grace": 1, "retry_s": 1}` in the place of a point sets fields of the daemon's `Setup` and the
first pause before an undelivered warning is tried again, so that a test need not wait for the real ones.

Only the test's launcher knows of the points: it wraps the journal's `write` and the source's `collect` before
it hands over to `reaper.cli.app.main`. The product has no such switch.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from reaper.cli import wiring
from reaper.core import warning
from reaper.core.batch import Batch
from reaper.core.facts import LedgerEntry
from reaper.core.model import Collected
from reaper.daemon.rules import Setup
from reaper.journal.sqlite import SqliteJournal
from reaper.plugins import Look
from reaper.providers.jupyter import source as jupyter

Wanted = Callable[[Batch], bool]


def state(name: str) -> Wanted:
    """A batch with a ledger entry in that state."""
    return lambda batch: any(
        isinstance(fact, LedgerEntry) and fact.state.value == name for fact in batch.facts
    )


def _first_look(batch: Batch) -> bool:
    return batch.poll is not None and bool(batch.delta.appeared)


def _decided(batch: Batch) -> bool:
    return not batch.facts and any(decision.to_act for decision in batch.decisions)


WRITES: dict[str, tuple[bool, Wanted]] = {
    "before-first-look-is-written": (True, _first_look),
    "after-first-look-is-written": (False, _first_look),
    "after-decision-is-written": (False, _decided),
    "before-started-is-written": (True, state("STARTED")),
    "after-started-is-written": (False, state("STARTED")),
    "before-outcome-is-written": (True, state("SUCCEEDED")),
    "after-outcome-is-written": (False, state("SUCCEEDED")),
}
"""Whether the end comes before or after the write, and of which batch."""

FRESH_LOOK = "during-the-fresh-look"


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap_write(*, before: bool, wanted: Wanted) -> None:
    write = SqliteJournal.write

    def wrapped(self: SqliteJournal, batch: Batch) -> Coroutine[Any, Any, None]:
        if before and wanted(batch):
            _end()
        writing = write(self, batch)

        async def then_end() -> None:
            await writing
            if wanted(batch):
                _end()

        return then_end()

    SqliteJournal.write = wrapped  # type: ignore[method-assign]


def _wrap_collect() -> None:
    collect = jupyter.JupyterSource.collect

    async def wrapped(self: jupyter.JupyterSource, look: Look) -> Collected:
        if look.refs is None:
            return await collect(self, look)
        looking = asyncio.ensure_future(collect(self, look))
        await asyncio.sleep(0.003)  # its requests are on their way
        _end()
        return await looking

    jupyter.JupyterSource.collect = wrapped  # type: ignore[method-assign]


def _tune(wanted: dict[str, Any]) -> None:
    retry_s = wanted.pop("retry_s", None)
    if retry_s is not None:
        warning._RETRY_FIRST = timedelta(seconds=retry_s)
    setattr(wiring, "Setup", partial(Setup, **wanted))  # noqa: B010 - mypy: the module exports it to nobody


def main() -> None:
    """Arrange the end, and start."""
    point = sys.argv.pop(1)
    if point.startswith("tuned:"):
        _tune(json.loads(point.removeprefix("tuned:")))
    elif point == FRESH_LOOK:
        _wrap_collect()
    else:
        before, wanted = WRITES[point]
        _wrap_write(before=before, wanted=wanted)
    from reaper.cli.app import main as reaper

    reaper()


if __name__ == "__main__":
    main()
