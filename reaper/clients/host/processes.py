"""One look at this host's processes.

A snapshot reads one small file of each process (14 microseconds each); everything else is read
when it is asked for, and once.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from reaper.clients.host.kernels import HostCache
from reaper.clients.host.procfs import (
    OUR_PROC,
    TICKS_PER_SECOND,
    ProcessStat,
    Procfs,
    parse_stat,
    read,
    read_all,
)
from reaper.clients.host.sockets import Sockets, unix_listeners

__all__ = ["ProcessKey", "ProcessTable"]

_PROC = Path(OUR_PROC)
_DEV = Path("/dev")

_PTYS = range(136, 144)
"""Major device numbers of Unix98 pseudo-terminals (Documentation/admin-guide/devices.txt)."""

_UPTIME_AGREES = timedelta(seconds=2)
"""`btime` is cut to whole seconds, and the caller's instant is a little older than our reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessKey:
    """Names one life of a process: pids are used again, this is not.

    Attributes:
        pid: Its process id, as this host (or container) numbers it.
        start_ticks: When it began: ticks since boot, as the kernel counts them. Unlike an instant
            it does not move when the clock is set.
        boot_id: Which boot of the machine the ticks count from.
        created_at: The same as an instant, good to some 10 ms, aware UTC; no part of the identity,
            because it depends on the wall clock.
    """

    pid: int
    start_ticks: int
    boot_id: str
    created_at: datetime = field(compare=False)


class ProcessTable:
    """The processes of this host at one instant. Made by `snapshot`.

    Attributes:
        at: The caller's instant of the look, aware UTC.
        monotonic: The caller's CLOCK_MONOTONIC seconds at the same time, if it gave any.
        boot_id: Which boot of the machine this is (/proc/sys/kernel/random/boot_id).
        newest_ticks: Start of the youngest process there was: what starts later began after this
            look.
        supported: False where there is no Linux /proc: then the table is empty and nothing can be
            said of any process.
        complete: False where some process could be neither read nor said to be gone (out of file
            descriptors, say): then being absent from the table proves nothing.
        files: What more can be read of single processes.
    """

    def __init__(self, *, at: datetime, monotonic: float | None, cache: HostCache, files: Procfs) -> None:
        """Hold an empty table; use `snapshot`."""
        self.at = at
        self.monotonic = monotonic
        self.boot_id = ""
        self.newest_ticks = 0
        self.supported = True
        self.complete = True
        self.files = files
        self._cache = cache
        self._booted_at = at
        self._stats: dict[int, ProcessStat] = {}
        self._children: dict[int, list[int]] = {}
        self._sessions: dict[int, list[int]] = {}
        self._kernels: dict[str, list[int]] | None = None
        self._kernel_ports: dict[int, frozenset[int] | None] | None = None
        self._served: dict[Sockets, frozenset[int]] = {}

    @classmethod
    def snapshot(
        cls,
        cache: HostCache | None = None,
        *,
        now: datetime,
        monotonic: float | None = None,
        proc: Path = _PROC,
        devices: Path = _DEV,
    ) -> Self:
        """Look at every process of this host.

        Args:
            cache: What earlier looks need not read again.
            now: The instant, aware UTC.
            monotonic: Seconds of CLOCK_MONOTONIC at that instant. It stands still while the machine
                sleeps, as CPU time does, and nobody sets it: rates are taken against it.
            proc: Where /proc is mounted.
            devices: Where device nodes are.

        Returns:
            A table; where there is no Linux /proc, an empty one that says so.
        """
        table = cls(
            at=now.astimezone(UTC),
            monotonic=monotonic,
            cache=HostCache() if cache is None else cache,
            files=Procfs(root=proc, devices=devices),
        )
        table._fill()
        return table

    def _fill(self) -> None:
        root = self.files.root
        try:
            self.boot_id = read(f"{root}/sys/kernel/random/boot_id").decode().strip()
            names = os.listdir(root)
        except OSError:
            self.supported = self.complete = False
            return
        for name in names:
            if not name.isdigit():
                continue
            try:
                stat = parse_stat(read(f"{root}/{name}/stat"))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # ended since the listing, or hidden from us (hidepid)
            except (OSError, ValueError, IndexError):
                self.complete = False
                continue
            self._stats[stat.pid] = stat
            self._children.setdefault(stat.parent, []).append(stat.pid)
            self._sessions.setdefault(stat.session, []).append(stat.pid)
            self.newest_ticks = max(self.newest_ticks, stat.start_ticks)
        self._booted_at = self._cache.booted_at(self._estimate_boot())

    def _estimate_boot(self) -> datetime:
        """Tell when the machine booted.

        `btime` is good to a second, `uptime` to 10 ms, but some container tools (lxcfs) show the
        container's there: it counts where the two agree.
        """
        btime = re.search(rb"^btime (\d+)$", read_all(f"{self.files.root}/stat"), re.MULTILINE)
        coarse = datetime.fromtimestamp(int(btime[1]), UTC) if btime else None
        try:
            fine = self.at - timedelta(seconds=float(read_all(f"{self.files.root}/uptime").split()[0]))
        except (IndexError, ValueError):
            return coarse or self.at
        return fine if coarse is None or abs(fine - coarse) <= _UPTIME_AGREES else coarse

    # Who is who

    def __iter__(self) -> Iterator[ProcessStat]:
        """Go through all processes, defunct ones and the kernel's own threads too."""
        return iter(self._stats.values())

    def stat(self, pid: int) -> ProcessStat | None:
        """Give what is publicly known of a process."""
        return self._stats.get(pid)

    def key(self, pid: int) -> ProcessKey | None:
        """Name the life that a pid stands for now; None if there is none, or it has ended (see `alive`)."""
        stat = self._stats.get(pid)
        return self._key(stat) if stat is not None and self._goes_on(stat) else None

    def _key(self, stat: ProcessStat) -> ProcessKey:
        return ProcessKey(
            pid=stat.pid,
            start_ticks=stat.start_ticks,
            boot_id=self.boot_id,
            created_at=self._booted_at + timedelta(seconds=stat.start_ticks / TICKS_PER_SECOND),
        )

    def alive(self, key: ProcessKey) -> bool:
        """Say whether this very process is there: not ended, or defunct while jobs of its session go on.

        So it is with a shell that was left by `exit` while a job in the background holds its terminal.
        """
        stat = self._stats.get(key.pid)
        if stat is None or (stat.start_ticks, self.boot_id) != (key.start_ticks, key.boot_id):
            return False
        return self._goes_on(stat)

    def _goes_on(self, stat: ProcessStat) -> bool:
        if not stat.defunct:
            return True
        led = self._sessions[stat.pid] if stat.session == stat.pid else ()
        return any(not self._stats[pid].defunct for pid in led)

    def ancestors(self, pid: int) -> tuple[ProcessKey, ...]:
        """Give the parents of a process, the nearest first, up to process 1."""
        found: list[ProcessKey] = []
        seen = {pid}
        stat = self._stats.get(pid)
        while stat is not None and stat.parent not in seen:
            seen.add(stat.parent)
            stat = self._stats.get(stat.parent)
            if stat is not None:
                found.append(self._key(stat))
        return tuple(found)

    def tree(self, root: ProcessKey) -> tuple[ProcessKey, ...]:
        """Give a process and its descendants, itself first; empty if it is gone.

        Where it leads a session, what else is in that session belongs to it too: a job whose parent
        has ended (`(train &)`, a double fork) is adopted by process 1, but goes on in the session.
        What leaves both (setsid or tmux, and the parent ended) is in no tree: see `outside`.
        Defunct processes are skipped.
        """
        return tuple(self._key(stat) for stat in self.members(root) if not stat.defunct)

    def members(self, root: ProcessKey) -> tuple[ProcessStat, ...]:
        """Give the same as `tree`, with the defunct ones: their CPU time still counts."""
        if not self.alive(root):
            return ()
        waiting = [root.pid]
        if self._stats[root.pid].session == root.pid:
            waiting += self._sessions[root.pid]
        found: dict[int, ProcessStat] = {}
        for pid in waiting:
            if pid not in found:
                found[pid] = self._stats[pid]
                waiting += self._children.get(pid, ())
        return tuple(found.values())

    def outside(self, *roots: ProcessKey) -> tuple[ProcessKey, ...]:
        """Give the processes that are in none of these trees, without the kernel's own threads."""
        inside = {stat.pid for root in roots for stat in self.members(root)}
        return tuple(
            self._key(stat)
            for stat in self._stats.values()
            if stat.pid not in inside and not stat.defunct and not stat.kernel_thread
        )

    # Jupyter's own

    def find_kernel(self, kernel_id: str, *, server_pid: int | None = None) -> ProcessKey | None:
        """Find one Jupyter kernel: its command line names `kernel-<id>.json`.

        Several processes may name one file: a wrapper and the kernel itself (`conda run`), a
        console, an editor. The kernel is the one that leads a session, as Jupyter starts them; then
        the one that is no descendant of another; then the oldest.

        Args:
            kernel_id: Jupyter's id of the kernel.
            server_pid: The Jupyter server's pid, if known: its descendants come before others.

        Returns:
            Its key, or None if no command line names it.
        """
        pids = self._named_kernels().get(kernel_id)
        if not pids:
            return None
        if len(pids) == 1:
            return self._key(self._stats[pids[0]])
        below = [pid for pid in pids if any(a.pid == server_pid for a in self.ancestors(pid))]
        return self._foremost(below or pids)

    def _foremost(self, pids: Sequence[int]) -> ProcessKey:
        def rank(pid: int) -> tuple[bool, bool, int, int]:
            stat = self._stats[pid]
            below_another = any(ancestor.pid in pids for ancestor in self.ancestors(pid))
            return (stat.session != pid, below_another, stat.start_ticks, pid)

        return self._key(self._stats[min(pids, key=rank)])

    def _named_kernels(self) -> dict[str, list[int]]:
        if self._kernels is None:
            self._kernels = {}
            self._cache.forget_all_but(self._stats)
            for stat in self._stats.values():
                file = self._cache.kernel_file(self.files.root, stat, newest_ticks=self.newest_ticks)
                if file is not None:
                    self._kernels.setdefault(file.kernel_id, []).append(stat.pid)
        return self._kernels

    def kernel_ports(self) -> Mapping[int, frozenset[int] | None]:
        """Give the TCP ports on which each kernel talks with its server, by the kernel's pid.

        Empty for one that talks over unix sockets, None where its connection file can't be read.
        """
        if self._kernel_ports is None:
            root = self.files.root
            self._kernel_ports = {}
            for pid in (pid for pids in self._named_kernels().values() for pid in pids):
                stat = self._stats[pid]
                file = self._cache.kernel_file(root, stat, newest_ticks=self.newest_ticks)
                self._kernel_ports[pid] = None if file is None else self._cache.ports(root, stat, file)
        return self._kernel_ports

    def served(self, root: ProcessKey) -> tuple[Sockets, frozenset[int]] | None:
        """Find what is served to anybody in the network namespace that a process lives in.

        Returns:
            The sockets of that namespace, and of its listening ones that have a peer the inodes,
            without those on which kernels talk with their servers; None where they can't be read.
        """
        sockets = self.files.sockets(root.pid)
        if sockets is None:
            return None
        if sockets not in self._served:
            kernels = frozenset().union(*(ports for ports in self.kernel_ports().values() if ports))
            self._served[sockets] = frozenset(
                inode
                for inode, at in sockets.listeners.items()
                if sockets.has_peers(at.port) and at.port not in kernels
            )
        return sockets, self._served[sockets]

    def held_elsewhere(self, root: ProcessKey, sockets: Sockets) -> Counter[int]:
        """Give the listening sockets, by inode, that a tree did not hold, and at how many looks: to be added to.

        A socket that listens gets into no tree that it is not in: children inherit it, but parents and
        strangers do not. (It can be sent over a unix socket. Nobody sends one to somebody's kernel.)
        So the open files of a tree need not be listed at each look for an sshd that has a peer.
        """
        known = self._cache.held_elsewhere(root.pid, root.start_ticks)
        for inode in known.keys() - sockets.listeners.keys():
            del known[inode]
        return known

    def shells_of(self, server_pid: int) -> list[ProcessKey]:
        """Find the shells of a Jupyter server's terminals, the oldest first.

        They are its children that lead a session of their own on a pseudo-terminal. One that was left
        by `exit` is defunct and has lost that; as long as a job of its session holds a pseudo-terminal
        open, Jupyter goes on listing its terminal.
        """
        children = (self._stats[pid] for pid in self._children.get(server_pid, ()))
        shells = [stat for stat in children if stat.session == stat.pid and self._on_a_pty(stat)]
        return [self._key(stat) for stat in sorted(shells, key=lambda stat: (stat.start_ticks, stat.pid))]

    def _on_a_pty(self, leader: ProcessStat) -> bool:
        if not leader.defunct:
            return self.pts(leader.pid) is not None
        jobs = [pid for pid in self._sessions[leader.pid] if not self._stats[pid].defunct]
        opened = [self.files.open_files(pid) for pid in jobs]
        return any(files is None or any(d.startswith("pts/") for d in files.devices) for files in opened)

    def pts(self, pid: int) -> int | None:
        """Give N of a process's controlling terminal /dev/pts/N, None if it has none."""
        stat = self._stats.get(pid)
        if stat is None:
            return None
        major = (stat.terminal >> 8) & 0xFFF
        minor = (stat.terminal & 0xFF) | ((stat.terminal >> 12) & 0xFFF00)
        return (major - _PTYS.start) * 256 + minor if major in _PTYS else None

    def server_listening_on(self, port: int | None = None, *, path: str | None = None) -> int | None:
        """Find who listens on a TCP port, or at the path of a unix socket.

        Looks only at what may be read, first at the one that it was at the latest look. Of several (forked
        workers share a socket) the oldest.

        Returns:
            Its pid, or None if nobody listens there, or only a process that may not be read.
        """
        wanted: set[int] = set()
        if port is not None:
            sockets = self.files.sockets(os.getpid())
            listeners = {} if sockets is None else sockets.listeners
            wanted.update(inode for inode, at in listeners.items() if at.port == port)
        if path is not None:
            wanted.update(unix_listeners(read_all(f"{self.files.root}/self/net/unix"), path))
        if not wanted:
            return None
        latest = self._cache.listening.get(port or path)
        for stat in sorted(self._stats.values(), key=lambda s: (s.pid != latest, s.start_ticks, s.pid)):
            if stat.defunct or stat.kernel_thread:
                continue
            files = self.files.open_files(stat.pid)
            if files is not None and not wanted.isdisjoint(files.sockets):
                self._cache.listening[port or path] = stat.pid
                return stat.pid
        return None
