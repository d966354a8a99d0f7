"""A look at the servers by the command itself, where neither daemon nor journal tells of any."""

import asyncio
import os
from collections import Counter
from collections.abc import Sequence

from reaper.cli.wiring import silent_providers
from reaper.clients.jupyter import other_homes, runtime_dirs
from reaper.clock import SystemClock
from reaper.config import Settings
from reaper.core.model import Collected
from reaper.plugins import Look, Provider

__all__ = ["First", "counted", "look", "places"]

_DEADLINE_S = 5.0

First = tuple[list[tuple[str, Collected]], list[str]]
"""Each source's name with what a look at it gave; and what could not be searched."""


def look(settings: Settings) -> First:
    """Find the sources that a daemon would find now, and look once at each. Nothing is written down or acted on.

    Raises:
        ConfigError: A provider can't be made from the settings.
    """
    return asyncio.run(_look(silent_providers(settings, SystemClock())))


def places(settings: Settings) -> Sequence[str]:
    """Name where servers are searched for: by root, in the homes of all people of this host too."""
    named = [url.get_secret_value() for url in settings.jupyter.url]
    directories = settings.jupyter.runtime_dirs or runtime_dirs(os.environ, homes=other_homes())
    return named or [str(path) for path in directories]


async def _look(providers: Sequence[Provider]) -> First:
    found: list[tuple[str, Collected]] = []
    problems: list[str] = []
    clock = SystemClock()
    try:
        for provider in providers:
            there = await provider.discover(clock.now(), {})
            problems += there.problems
            for number, source in enumerate(there.sources, start=1):
                asked = Look(poll_id=number, at=clock.now(), deadline=_DEADLINE_S)
                found.append((source.name, await source.collect(asked)))
    finally:
        for provider in providers:
            await provider.close()
    return found, problems


def counted(collected: Collected) -> str:
    """Say how many things of each kind a look saw."""
    kinds = Counter(resource.ref.kind for resource in collected.resources)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing on it"
