"""Process evidence for one server's kernels and terminals. Synchronous: called in a worker thread."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from urllib.parse import urlsplit

from reaper.clients.aside import Aside
from reaper.clients.host import (
    Evidence as HostEvidence,
    GpuLook,
    GpuReader,
    HostCache,
    ProcessKey,
    ProcessTable,
    TreeSample,
    gpu_evidence,
    sample_tree,
    served_peers,
)
from reaper.clients.jupyter import ServerAddress
from reaper.clock import Clock

__all__ = ["HostShare", "HostView", "Tree", "look_at_host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One kernel's or shell's tree of processes at one instant.

    Attributes:
        root: Its top.
        sample: Its counters; None: not readable (another user's), or just gone.
        gpu: What it does on GPUs.
        peers: Whom it serves.
        command: What runs in the foreground, for people.
        last_input: Terminals: when a key was last pressed.
    """

    root: ProcessKey
    sample: TreeSample | None
    gpu: HostEvidence
    peers: HostEvidence
    command: str = ""
    last_input: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """What this host shows of one server.

    Attributes:
        kernels: Trees of kernels by kernel id.
        shells: Trees of terminals' shells, oldest first.
    """

    kernels: dict[str, Tree] = field(default_factory=dict)
    shells: tuple[Tree, ...] = ()


class HostShare:
    """What the sources of one host share: one look at its processes at a time, and its table while it is fresh."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing cached."""
        self.gpus = GpuReader()
        self.aside = Aside("this host's /proc")
        self._clock = clock
        self._cache = HostCache()
        self._latest: ProcessTable | None = None

    def table(self, since: float) -> ProcessTable:
        """Give this host's processes as they were at an instant or later. To be called `aside`.

        Servers are looked at together, and a hundred of them need no hundred looks at the same processes.

        Args:
            since: Seconds of the clock's `monotonic`.
        """
        latest = self._latest
        if latest is None or latest.monotonic is None or latest.monotonic < since:
            now, monotonic = self._clock.now(), self._clock.monotonic()
            latest = self._latest = ProcessTable.snapshot(self._cache, now=now, monotonic=monotonic)
        return latest


def look_at_host(
    address: ServerAddress,
    *,
    table: ProcessTable,
    kernel_ids: Sequence[str],
    gpus: Callable[[], GpuLook],
) -> HostView:
    """Sample the trees of a server's kernels and terminals.

    Args:
        address: The server, on this host.
        table: This host's processes.
        kernel_ids: The kernels it lists.
        gpus: Asks NVML, at most once.
    """
    if not table.supported:
        return HostView()
    server = address.pid or _find_server(table, address)
    port = urlsplit(address.url).port
    ignored = () if port is None else (port,)
    found = {kernel_id: table.find_kernel(kernel_id, server_pid=server) for kernel_id in kernel_ids}
    roots = {kernel_id: root for kernel_id, root in found.items() if root is not None}
    kernels = {kernel_id: _tree(table, root, gpus, ignored) for kernel_id, root in roots.items()}
    servers = {server, *_parents(table, roots.values())}
    shells = [shell for pid in servers if pid is not None for shell in table.shells_of(pid)]
    shells.sort(key=attrgetter("start_ticks", "pid"))
    return HostView(kernels=kernels, shells=tuple(_shell(table, shell, gpus, ignored) for shell in shells))


def _parents(table: ProcessTable, roots: Iterable[ProcessKey]) -> set[int]:
    """Give who started kernels: a server in a container, whose port is held by a proxy and whose pid is another's."""
    stats = (table.stat(root.pid) for root in roots)
    return {stat.parent for stat in stats if stat is not None and stat.parent > 1}


def _find_server(table: ProcessTable, address: ServerAddress) -> int | None:
    if address.socket_path is not None:
        return table.server_listening_on(path=address.socket_path)
    parts = urlsplit(address.url)
    return table.server_listening_on(parts.port or (443 if parts.scheme == "https" else 80))


def _tree(
    table: ProcessTable, root: ProcessKey, gpus: Callable[[], GpuLook], ignored: tuple[int, ...]
) -> Tree:
    return Tree(
        root=root,
        sample=sample_tree(table, root),
        gpu=gpu_evidence(table, root, look=gpus),
        peers=served_peers(table, root, ignored_ports=ignored),
    )


def _shell(
    table: ProcessTable, root: ProcessKey, gpus: Callable[[], GpuLook], ignored: tuple[int, ...]
) -> Tree:
    tree = _tree(table, root, gpus, ignored)
    below = [stat for stat in table.members(root) if stat.pid != root.pid and not stat.defunct]
    shell = table.stat(root.pid)
    command = below[0].command if below else (shell.command if shell else "")
    return replace(tree, command=command, last_input=_last_input(table, root.pid))


def _last_input(table: ProcessTable, pid: int) -> datetime | None:
    """Give when somebody last typed: Linux dates a terminal device's atime by its input, to 8 s.

    The device as the shell sees it: a container numbers its own from 0.
    """
    pts = table.pts(pid)
    if pts is None:
        return None
    try:
        device = Path(f"{table.files.root}/{pid}/root/dev/pts/{pts}").stat()
    except OSError:
        return None
    return datetime.fromtimestamp(device.st_atime, UTC)
