"""Reads the kill switches outside of reaper, and writes down what changed."""

import asyncio
from collections.abc import Sequence

import structlog

from reaper.clock import Clock
from reaper.core.facts import Fact, Paused, Resumed
from reaper.daemon.recorder import Recorder
from reaper.errors import CollectError
from reaper.plugins import Switch

__all__ = ["Switches"]

log = structlog.get_logger("reaper.pause")


class Switches:
    """Keeps the pauses of the world as the switches stand."""

    def __init__(self, switches: Sequence[Switch], recorder: Recorder, clock: Clock) -> None:
        """Start with the configured ones."""
        self._switches = tuple(switches)
        self._recorder = recorder
        self._clock = clock

    async def look(self) -> bool:
        """Read every switch at once; one that can't be read counts as pulled. Gives whether anything changed."""
        whys = await asyncio.gather(*(_why(switch) for switch in self._switches))
        said = dict(zip([switch.name for switch in self._switches], whys, strict=True))
        now, known = self._clock.now(), self._recorder.world.pauses
        gone = [name for name in known if name and name not in said]  # of an earlier configuration
        facts: list[Fact] = [Resumed(at=now, who="configuration", switch=name) for name in gone]
        for name, why in said.items():
            before = known.get(name)
            if why is None and before is not None:
                log.warning("switch released", switch=name)
                facts.append(Resumed(at=now, who=name, switch=name))
            elif why is not None and (before is None or before.why != why):
                log.warning("switch pulled", switch=name, why=why)
                facts.append(Paused(at=now, who=name, why=why, until=None, switch=name))
        if facts:
            self._recorder.facts(*facts)
        return bool(facts)

    async def replace(self, switches: Sequence[Switch]) -> None:
        """Go on with other switches, after a reload."""
        old, self._switches = self._switches, tuple(switches)
        for switch in old:
            await switch.close()

    async def close(self) -> None:
        """Close all switches."""
        for switch in self._switches:
            await switch.close()


async def _why(switch: Switch) -> str | None:
    try:
        return await switch.read()
    except CollectError as error:
        return str(error)
