"""The container or host that we run in, as evidence for the app or notebook instance that it is.

Processes, GPUs, visitors, saved files: what its kernels and terminals alone do not show.
"""

import asyncio
import os
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from reaper.clients.aside import Aside
from reaper.clients.host import Evidence, GpuLook, GpuReader, HostCache, ProcessTable, Thresholds
from reaper.clients.host.container import Container, ContainerView
from reaper.clients.jupyter import ServerAddress
from reaper.clients.studio.saves import Newest, editor_histories, newest_change
from reaper.clock import Clock
from reaper.core.model import Activity, Observation, ResourceRef
from reaper.errors import SourceUnavailable

__all__ = ["SAMPLING", "Around", "Said", "Surroundings", "saved"]

T = TypeVar("T")

SAMPLING = timedelta(seconds=6)
"""How long the first interval of process evidence may take: 5 s between two looks, and the looks themselves."""

_PROC_DEADLINE_S = 5.0
_DISK_DEADLINE_S = 5.0
_NOTEBOOK_DEPTH = 5
"""How deep notebooks are looked for below the server's root: data sets lie deeper, and are large."""
_AHEAD = timedelta(minutes=5)
"""How far ahead of our clock a file's time may lie: those of network file systems differ."""


class Said(NamedTuple):
    """What a signal says, before it becomes an observation."""

    activity: Activity
    evidence_at: datetime | None
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the container or host that we run in shows.

    Attributes:
        view: Of its processes; a text is why they can't be seen.
        saved: Of its files; a text likewise.
    """

    view: ContainerView | str
    saved: Newest | str

    def observations(self, ref: ResourceRef, now: datetime) -> list[Observation]:
        """Say it of the resource that it is: `process`, `gpu`, `peers`, `saved`. Pure."""
        view, found = self.view, []
        if isinstance(view, str):
            found.append(_observation(ref, "process", Said(Activity.UNKNOWN, None, view)))
        else:
            found += _of_host(ref, "process", view.process, view.since)
            found += _of_host(ref, "gpu", view.gpu)
            found += _of_host(ref, "peers", view.peers)
        files = self.saved
        said = Said(Activity.UNKNOWN, None, files) if isinstance(files, str) else saved(files, now=now)
        return found if said is None else [*found, _observation(ref, "saved", said)]


def saved(newest: Newest, *, now: datetime) -> Said | None:
    """Say when somebody last saved something; None where nothing was found: that says nothing. Pure."""
    if newest.at is None:
        return None
    part = "" if newest.complete else " (of as many files as could be looked at)"
    return Said(Activity.IDLE, min(newest.at, now), f"{newest.path} was saved{part}")


class Around:
    """Looks at this container or host.

    Args:
        clock: Tells the instants.
        thresholds: From when on a process is at work.
        boot_period: What began so soon after the first process belongs to the boot.
        ports: Where people come in by, beside the servers' own ports.
        editor_data: Further `User` directories of Code Editor's data.
        memo: What `memo` gave before a restart.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        thresholds: Thresholds,
        boot_period: timedelta,
        ports: Sequence[int] = (),
        editor_data: Sequence[Path] = (),
        memo: Mapping[str, object] | None = None,
    ) -> None:
        self._clock = clock
        self._ports = frozenset(ports)
        self._editor_data = tuple(editor_data)
        self._container = Container(boot_period=boot_period, thresholds=thresholds, memo=memo or {})
        self._cache = HostCache()
        self._gpus = GpuReader()
        self._proc = Aside("this container's /proc")
        self._disk = Aside("the file system that notebooks are on")
        self._sampled_at: datetime | None = None

    async def look(self, app_type: str, servers: Sequence[ServerAddress], now: datetime) -> Surroundings:
        """Look at everything.

        Args:
            app_type: The app that this container is; empty on a notebook instance.
            servers: Jupyter servers here.
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
        ports = {
            *self._ports,
            *(port for server in servers if (port := urlsplit(server.url).port) is not None),
        }
        pid = next((server.pid for server in servers if server.pid is not None), None)
        return self._container.look(table, ports=ports, server_pid=pid, gpus=gpus)

    def _saved(self, app_type: str, servers: Sequence[ServerAddress], now: datetime) -> Newest:
        if app_type == "CodeEditor":
            home = Path(os.environ.get("HOME") or "~").expanduser()
            return newest_change(editor_histories(home, self._editor_data), until=now + _AHEAD)
        roots = [server.root_dir for server in servers if server.local and server.root_dir is not None]
        return newest_change(roots, wanted=_is_notebook, depth=_NOTEBOOK_DEPTH, until=now + _AHEAD)


async def _or_why(answer: Awaitable[T]) -> T | str:
    try:
        return await answer
    except SourceUnavailable as error:
        return str(error)


def _of_host(
    ref: ResourceRef, signal: str, seen: Evidence | None, since: datetime | None = None
) -> list[Observation]:
    if seen is None:
        return []
    return [_observation(ref, signal, Said(Activity(seen.activity), None, seen.text), since)]


def _observation(
    ref: ResourceRef, signal: str, said: Said, covers_from: datetime | None = None
) -> Observation:
    return Observation(
        ref=ref,
        signal=signal,
        activity=said.activity,
        evidence_at=said.evidence_at,
        value=said.value,
        covers_from=covers_from,
    )


def _is_notebook(name: str) -> bool:
    return name.endswith(".ipynb")
