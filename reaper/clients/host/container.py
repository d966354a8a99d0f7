"""All that people run in this container or on this host, whatever tree it is in.

In an app of the new Studio, on a notebook instance, on a host of one's own, kernels and terminals are not all the
work: what tmux, nohup and setsid start leaves every tree. So everything is watched but what was there before anybody
can have been: the boot baseline. It ends when the server that people come in by begins, and `boot_period` after the
first process at the latest, and only ever moves back. reaper itself is not watched.

Another user's process whose reads and writes can't be read makes the whole unknown.
"""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.clients.host.evidence import Evidence, Thresholds, classify, strongest
from reaper.clients.host.gpu import GpuLook, gpu_evidence
from reaper.clients.host.processes import ProcessKey, ProcessTable
from reaper.clients.host.procfs import TICKS_PER_SECOND, OpenFiles, ProcessStat
from reaper.clients.host.samples import TreeSample, _read as read_counters, usage

__all__ = ["Container", "ContainerView"]

_FIRST_PROCESS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """What a look at everything says.

    Attributes:
        process: What processes do; None: there is no earlier look to compare with yet.
        since: Since when the interval runs that `process` speaks of.
        gpu: What they do on GPUs; None: there is none.
        peers: Whom they serve.
    """

    process: Evidence | None = None
    since: datetime | None = None
    gpu: Evidence | None = None
    peers: Evidence


class Container:
    """Everything in this container or on this host. One look at a time may use it.

    Args:
        boot_period: What began so soon after the first process belongs to the boot.
        thresholds: From when on use is work.
        memo: What `memo` gave before a restart; anything unreadable is left out.
    """

    def __init__(
        self, *, boot_period: timedelta, thresholds: Thresholds, memo: Mapping[str, object] | None = None
    ) -> None:
        self._boot_ticks = int(boot_period.total_seconds() * TICKS_PER_SECOND)
        self._thresholds = thresholds
        self._samples: list[TreeSample] = []
        self._boot = ""
        self._baseline_ticks = 0
        self._restore(memo or {})

    def look(
        self,
        table: ProcessTable,
        *,
        ports: Collection[int],
        server_pid: int | None,
        gpus: Callable[[], GpuLook],
    ) -> ContainerView:
        """Look at everything.

        Args:
            table: The processes at this instant.
            ports: Where the servers listen that people come in by: a peer there is an open page, and no work.
            server_pid: The process of one of them by its runtime file, where nobody is seen to listen.
            gpus: Asks NVML, at most once.
        """
        if not table.supported or not table.complete:
            seen = Evidence(activity="unknown", text="the processes here can't all be listed")
            return ContainerView(process=seen, since=table.at, peers=seen)
        first = table.key(_FIRST_PROCESS) or table.key(os.getpid())
        if first is None:
            seen = Evidence(activity="unknown", text="not even reaper's own process is to be seen")
            return ContainerView(process=seen, since=table.at, peers=seen)
        self._move_baseline(table, first, server_pid, ports)
        watched = self._watched(table)
        sample = TreeSample(
            at=table.at,
            monotonic=table.monotonic,
            root=first,
            newest_ticks=table.newest_ticks,
            processes=tuple(read_counters(table, stat) for stat in watched),
        )
        before = self._earlier(sample)
        self._keep(sample)
        return ContainerView(
            process=None if before is None else self._use(before, sample),
            since=None if before is None else before.at,
            gpu=_gpu(table, watched, gpus) if table.files.accelerators else None,
            peers=_peers(table, first, watched, ports),
        )

    def memo(self) -> dict[str, object]:
        """Give what a restart needs, as JSON."""
        return {
            "boot": self._boot,
            "baseline_ticks": self._baseline_ticks,
            "samples": [sample.to_json() for sample in self._samples],
        }

    def _restore(self, memo: Mapping[str, object]) -> None:
        boot, ticks, samples = memo.get("boot"), memo.get("baseline_ticks"), memo.get("samples")
        if not isinstance(boot, str) or not isinstance(ticks, int) or not isinstance(samples, list):
            return
        self._boot, self._baseline_ticks = boot, ticks
        read = (TreeSample.from_json(str(text)) for text in samples)
        self._samples = [sample for sample in read if sample is not None]

    def _move_baseline(
        self, table: ProcessTable, first: ProcessKey, server_pid: int | None, ports: Collection[int]
    ) -> None:
        boot = f"{first.start_ticks}:{first.boot_id}"
        ends = [first.start_ticks + self._boot_ticks]
        if boot == self._boot:
            ends.append(self._baseline_ticks)
        listening = {pid for port in ports if (pid := table.server_listening_on(port)) is not None}
        # A runtime file in a shared home may tell a pid of another container.
        servers = listening or ({server_pid} if server_pid is not None else set())
        stats = (table.stat(pid) for pid in servers)
        ends += [stat.start_ticks for stat in stats if stat is not None]
        self._boot, self._baseline_ticks = boot, min(ends)

    def _watched(self, table: ProcessTable) -> list[ProcessStat]:
        own = table.key(os.getpid())
        ours = set() if own is None else {stat.pid for stat in _below(table, own.pid)}
        return [
            stat
            for stat in table
            if stat.start_ticks >= self._baseline_ticks and stat.pid not in ours and not stat.kernel_thread
        ]

    def _earlier(self, sample: TreeSample) -> TreeSample | None:
        least = self._thresholds.min_interval
        for old in reversed(self._samples):
            if old.root == sample.root and _between(old, sample) >= least:
                return old
        return None

    def _keep(self, sample: TreeSample) -> None:
        """Keep what later looks are compared with: all that are too young for this one, and one that is not."""
        least = self._thresholds.min_interval
        same = [old for old in self._samples if old.root == sample.root]
        old_enough = [old for old in same if _between(old, sample) >= least]
        young = [old for old in same if 1 <= _between(old, sample) < least]
        self._samples = [*old_enough[-1:], *young, sample]

    def _use(self, before: TreeSample, after: TreeSample) -> Evidence:
        if not after.processes:
            return Evidence(activity="idle", text="nothing runs here but what was there at the start")
        return classify(usage(before, after), thresholds=self._thresholds)


def _between(before: TreeSample, after: TreeSample) -> float:
    if before.monotonic is not None and after.monotonic is not None:
        return after.monotonic - before.monotonic
    return (after.at - before.at).total_seconds()


def _below(table: ProcessTable, pid: int) -> list[ProcessStat]:
    """Give a process and its descendants, without the rest of its session: that may be somebody's terminal."""
    return [
        stat
        for stat in table
        if stat.pid == pid or any(ancestor.pid == pid for ancestor in table.ancestors(stat.pid))
    ]


def _gpu(table: ProcessTable, watched: Collection[ProcessStat], gpus: Callable[[], GpuLook]) -> Evidence:
    """Ask of each tree that is not part of another one."""
    pids = {stat.pid for stat in watched}
    keys = (table.key(stat.pid) for stat in watched if stat.parent not in pids)
    seen = [gpu_evidence(table, key, look=gpus) for key in keys if key is not None]
    return strongest(seen) if seen else Evidence(activity="idle", text="nothing here has a GPU open")


def _peers(
    table: ProcessTable, first: ProcessKey, watched: Collection[ProcessStat], ports: Collection[int]
) -> Evidence:
    """Say whether a person is connected to anything that is served here.

    A person comes from outside, or through a server that people come in by, which relays. What
    two processes in here tell each other (a cluster, a database) is nobody's visit. Kernels are asked by themselves.
    """
    found = table.served(first)
    if found is None:
        return Evidence(
            activity="unknown", text="the table of sockets can't be read: it could serve somebody"
        )
    sockets, served = found
    relays = {inode for inode, at in sockets.listeners.items() if at.port in ports}
    candidates = served - relays
    if not candidates:
        return Evidence(activity="idle", text="nobody is connected to anything that is served here")
    kernels = {
        key.pid for pid in table.kernel_ports() if (root := table.key(pid)) for key in table.tree(root)
    }
    holders = {stat.pid: table.files.open_files(stat.pid) for stat in watched if stat.pid not in kernels}
    inside = _sockets_inside(table, relays)
    ours = frozenset[int]().union(*(files.sockets for files in holders.values() if files is not None))
    visited = sorted(
        sockets.listeners[inode].port
        for inode in candidates & ours
        if any(sockets.other_end(connection) not in inside for connection in sockets.peers_of(inode))
    )
    if visited:
        named = ", ".join(map(str, dict.fromkeys(visited)))
        return Evidence(activity="active", text=f"somebody is connected to port {named} that is served here")
    if None in holders.values() and candidates - _held(holders.values()):
        text = "another user's process can't be looked into: it could serve somebody"
        return Evidence(activity="unknown", text=text)
    return Evidence(activity="idle", text="nobody is connected to anything that is served here")


def _sockets_inside(table: ProcessTable, relays: Collection[int]) -> set[int]:
    """Give the sockets of all processes here that are no server that people come in by."""
    inside: set[int] = set()
    for stat in table:
        files = None if stat.defunct or stat.kernel_thread else table.files.open_files(stat.pid)
        if files is not None and files.sockets.isdisjoint(relays):
            inside |= files.sockets
    return inside


def _held(files: Collection[OpenFiles | None]) -> frozenset[int]:
    return frozenset[int]().union(*(one.sockets for one in files if one is not None))
