"""The container that we run in, as evidence for the app that it is: processes, GPUs, visitors, saved files."""

import asyncio
import os
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from reaper.clients.aside import Aside
from reaper.clients.host import GpuLook, GpuReader, HostCache, ProcessTable
from reaper.clients.host.container import Container, ContainerView
from reaper.clients.jupyter import ServerAddress
from reaper.clients.studio import Newest, editor_histories, newest_change
from reaper.clock import Clock
from reaper.errors import SourceUnavailable
from reaper.providers.studio.assemble import Surroundings
from reaper.providers.studio.options import StudioOptions

__all__ = ["Around"]

T = TypeVar("T")

APP_PORT = 8888
"""Where every Studio app serves (SageMaker Developer Guide, custom images)."""

_PROC_DEADLINE_S = 5.0
_DISK_DEADLINE_S = 5.0
_NOTEBOOK_DEPTH = 5
"""How deep notebooks are looked for below the server's root: data sets lie deeper, and are large."""
_AHEAD = timedelta(minutes=5)
"""How far ahead of our clock a file's time may lie: those of network file systems differ."""


class Around:
    """Looks at this container.

    Args:
        options: What counts as work.
        clock: Tells the instants.
        memo: What `memo` gave before a restart.
    """

    def __init__(
        self, options: StudioOptions, clock: Clock, memo: Mapping[str, object] | None = None
    ) -> None:
        self._options = options
        self._clock = clock
        self._container = Container(
            boot_period=options.boot_period, thresholds=options.thresholds, memo=memo or {}
        )
        self._cache = HostCache()
        self._gpus = GpuReader()
        self._proc = Aside("this container's /proc")
        self._disk = Aside("the file system that notebooks are on")
        self._sampled_at: datetime | None = None

    async def look(self, app_type: str, servers: Sequence[ServerAddress], now: datetime) -> Surroundings:
        """Look at everything.

        Args:
            app_type: The app that this container is.
            servers: Jupyter servers in it.
            now: The look's instant.
        """
        view, saved = await asyncio.gather(
            _or_why(self._proc.call(partial(self._sample, servers, now), _PROC_DEADLINE_S)),
            _or_why(self._disk.call(partial(self._saved, app_type, servers, now), _DISK_DEADLINE_S)),
        )
        return Surroundings(view=view, saved=saved)

    def memo(self) -> dict[str, object]:
        """Give what a restart needs, as JSON."""
        return self._container.memo()

    def close(self) -> None:
        """Let go of the GPU driver."""
        self._gpus.close()

    def _sample(self, servers: Sequence[ServerAddress], now: datetime) -> ContainerView:
        since, self._sampled_at = self._sampled_at or now - timedelta(minutes=1), now
        asked: list[GpuLook] = []

        def gpus() -> GpuLook:
            if not asked:
                asked.append(self._gpus.look(since=since))
            return asked[0]

        table = ProcessTable.snapshot(self._cache, now=self._clock.now(), monotonic=self._clock.monotonic())
        ports = {APP_PORT, *(port for server in servers if (port := urlsplit(server.url).port) is not None)}
        pid = next((server.pid for server in servers if server.pid is not None), None)
        return self._container.look(table, ports=ports, server_pid=pid, gpus=gpus)

    def _saved(self, app_type: str, servers: Sequence[ServerAddress], now: datetime) -> Newest:
        if app_type == "CodeEditor":
            home = Path(os.environ.get("HOME") or "~").expanduser()
            return newest_change(editor_histories(home, self._options.editor_data), until=now + _AHEAD)
        roots = [server.root_dir for server in servers if server.local and server.root_dir is not None]
        return newest_change(roots, wanted=_is_notebook, depth=_NOTEBOOK_DEPTH, until=now + _AHEAD)


async def _or_why(answer: Awaitable[T]) -> T | str:
    try:
        return await answer
    except SourceUnavailable as error:
        return str(error)


def _is_notebook(name: str) -> bool:
    return name.endswith(".ipynb")
