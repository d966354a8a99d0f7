"""A fleet for the stories: the fake of EC2, and a whole daemon that looks at it once each five minutes."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reaper.cli.wiring import loaded
from reaper.clients.ec2 import forget_types
from reaper.config import load_settings
from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.report import status_document
from reaper.core.world import World
from reaper.daemon.control import DaemonControl
from reaper.daemon.loop import Daemon
from reaper.journal.memory import MemoryJournal
from reaper.plugins import LedgerQuery
from reaper.testing import FakeClock, minutes
from reaper.testing.ec2 import Fleet, running_fleet

__all__ = ["IDLE", "LADDER", "OLD", "FleetStory", "fleet_story"]

IDLE = """
[[policies]]
name = "idle"
kind = "ec2.instance"
rule = "idle"
timeout = "2h"
action = "stop"
"""

OLD = """
[[policies]]
name = "old"
kind = "ec2.instance"
rule = "age"
timeout = "72h"
action = "stop"
"""

LADDER = """
[[policies]]
name = "ladder"
kind = "ec2.instance"
rule = "idle"
timeout = "2h"
[[policies.steps]]
action = "stop"
[[policies.steps]]
after = "14d"
action = "terminate"
"""

FIVE = minutes(5)

_ACTS = ("StopInstances", "TerminateInstances", "CancelSpotInstanceRequests")


@dataclass(slots=True)
class FleetStory:
    """A fleet and a daemon.

    Attributes:
        fleet: The fake.
        clock: Its clock, and the daemon's.
        daemon: The daemon.
    """

    fleet: Fleet
    clock: FakeClock
    daemon: Daemon

    async def rounds(self, count: int, every: timedelta = FIVE) -> None:
        """Let the daemon look, decide and act so often."""
        for _ in range(count):
            self.clock.advance(every)
            await self.daemon.run_once()

    def acts(self) -> list[str]:
        """Name what was asked of EC2 that ends something, in order."""
        return [one.operation for one in self.fleet.requests if one.operation in _ACTS]

    def states(self, ids: Iterable[str]) -> list[str]:
        """Give the states of instances, as they are now."""
        return [self.fleet.instance(one).state for one in ids]

    def status(self, name: str = "box") -> dict[str, Any]:
        """Give what `reaper status` says of an instance."""
        daemon = self.daemon
        document: Any = status_document(
            daemon.world, daemon.decisions, daemon.rules.ruleset, self.clock.now(), {}
        )
        (found,) = [one for one in document["resources"] if one["name"] == name]
        return dict(found)

    async def explain(self, name: str = "box") -> str:
        """Give what `reaper explain` says of an instance."""
        return str(await DaemonControl(self.daemon).explain(name))

    async def plan(self) -> dict[str, Any]:
        """Give what `reaper plan` says, looked at anew."""
        control = DaemonControl(self.daemon)
        found: Any = await self.daemon.after_one_look(control.plan)
        return dict(found)

    async def done(self) -> list[LedgerEntry]:
        """Give the acts that were carried out."""
        facts = await self.daemon.journal.facts(LedgerQuery(types=("LedgerEntry",)))
        return [
            fact for fact in facts if isinstance(fact, LedgerEntry) and fact.state is ActionState.SUCCEEDED
        ]


@asynccontextmanager
async def fleet_story(
    home: Path, monkeypatch: pytest.MonkeyPatch, policies: str, cache: Path, **settings: str
) -> AsyncIterator[FleetStory]:
    """Run a fleet, and make a daemon for it.

    Args:
        home: For the configuration.
        monkeypatch: Sets where AWS is.
        policies: Of the configuration.
        cache: Of trimmed service models.
        settings: Further settings by their name without `REAPER_`.
    """
    forget_types()
    clock = FakeClock()
    config = home / "reaper.toml"
    config.write_text(policies)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    given = {
        "CONFIG": str(config),
        "MODE": "enforce",
        "PRESET": "fleet",
        "STATE": "memory:",
        "LISTEN": "none",
        "PRICES__SOURCE": "shipped",
        **settings,
    }
    async with running_fleet(clock) as fleet:
        for name, value in fleet.environment.items():
            monkeypatch.setenv(name, value)
        environ = {f"REAPER_{name}": value for name, value in given.items()} | {"HOME": str(home)}
        setup, providers, notifiers = loaded(load_settings(environ), clock)
        journal = MemoryJournal()
        await journal.open(write=True)
        guards = setup.build_ruleset({}).guards
        image = await journal.load()
        daemon = Daemon(
            setup=setup,
            journal=journal,
            providers=providers,
            notifiers=notifiers,
            clock=clock,
            world=World.restore(image, guards.max_gap, guards.slow_gaps),
            memos=image.memos,
        )
        try:
            yield FleetStory(fleet, clock, daemon)
        finally:
            await daemon.close()
