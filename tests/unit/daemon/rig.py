"""A daemon made of fakes, in virtual time: real loop, real rules, the journal in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from reaper.core.facts import Fact, LedgerEntry
from reaper.core.ruleset import Ruleset
from reaper.core.world import World
from reaper.daemon.loop import Daemon
from reaper.daemon.rules import Setup
from reaper.journal.memory import MemoryJournal
from reaper.plugins import Journal, LedgerQuery
from reaper.testing import FakeClock, FakeNotifier, FakeProvider, FakeSource, Scene, rules

__all__ = ["Rig", "make_setup", "passing"]


def make_setup(ruleset: Ruleset, **fields: Any) -> Setup:
    """Make what the daemon takes from a configuration."""
    return Setup(
        build_ruleset=lambda _: ruleset,
        check_override=lambda name, value: None,
        underlying=fields.pop("underlying", {}),
        poll_interval=fields.pop("poll_interval", timedelta(seconds=60)),
        **fields,
    )


async def passing(seconds: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(seconds)


@dataclass(slots=True)
class Rig:
    """All parts of a daemon, kept over its restarts.

    Make it inside a running loop: its clock follows that.
    """

    sources: list[FakeSource] = field(default_factory=lambda: [FakeSource()])
    ruleset: Ruleset = field(default_factory=rules)
    notifiers: list[FakeNotifier] = field(default_factory=list)
    setup: dict[str, Any] = field(default_factory=dict)
    journal: Journal = field(default_factory=MemoryJournal)
    clock: FakeClock = field(
        default_factory=lambda: FakeClock(loop_time=asyncio.get_running_loop().time), init=False
    )
    provider: FakeProvider = field(init=False)
    daemon: Daemon = field(init=False)

    def __post_init__(self) -> None:
        self.provider = FakeProvider(sources=self.sources)

    @property
    def source(self) -> FakeSource:
        """The first source."""
        return self.sources[0]

    @property
    def scene(self) -> Scene:
        """What there is at the first source."""
        return self.source.scene

    @property
    def now(self) -> datetime:
        """The clock's instant."""
        return self.clock.now()

    def wrap(self, wrapper: Callable[[Journal], Journal]) -> Journal:
        """Give the journal to a daemon through something."""
        return wrapper(self.journal)

    async def open(self, journal: Journal | None = None) -> Daemon:
        """Open the journal and build a daemon on what it holds, as `reaper.cli.wiring` does."""
        await self.journal.open(write=True)
        image = await self.journal.load()
        setup = make_setup(self.ruleset, **self.setup)
        self.daemon = Daemon(
            setup=setup,
            journal=journal or self.journal,
            providers=(self.provider,),
            notifiers=tuple(self.notifiers),
            clock=self.clock,
            world=World.restore(image, max_gap=3 * setup.poll_interval),
            memos=image.memos,
        )
        return self.daemon

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Daemon]:
        """Run a daemon while the context is open; then cancel it, as a second signal would."""
        daemon = await self.open()
        task = asyncio.get_running_loop().create_task(daemon.run())
        try:
            yield daemon
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.journal.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def facts(self, *types: str) -> list[Fact]:
        """Read facts from the open journal."""
        return await self.journal.facts(LedgerQuery(types=types))

    async def ledger(self) -> list[LedgerEntry]:
        """Read the ledger."""
        return [fact for fact in await self.facts("LedgerEntry") if isinstance(fact, LedgerEntry)]

    async def states(self) -> list[str]:
        """Read the ledger's states."""
        return [entry.state.value for entry in await self.ledger()]

    def reasons(self) -> dict[str, str]:
        """Give each resource's reason now."""
        return {key.id: decision.reason.value for key, decision in self.daemon.decisions.items()}
