"""Process evidence for one server's kernels and terminals. Synchronous: called in a worker thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from reaper.clients.host import (
    Evidence as HostEvidence,
    GpuLook,
    HostCache,
    ProcessKey,
    ProcessTable,
    TreeSample,
    gpu_evidence,
    sample_tree,
    served_peers,
)
from reaper.clients.jupyter import ServerAddress

__all__ = ["HostView", "Tree", "look_at_host"]


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
        server_pid: The server's process; None: not found.
        kernels: Trees of kernels by kernel id.
        shells: Trees of terminals' shells, oldest first.
    """

    server_pid: int | None = None
    kernels: dict[str, Tree] = field(default_factory=dict)
    shells: tuple[Tree, ...] = ()


def look_at_host(
    address: ServerAddress,
    *,
    kernel_ids: Sequence[str],
    cache: HostCache,
    gpus: Callable[[], GpuLook],
    now: datetime,
    monotonic: float,
) -> HostView:
    """Sample the trees of a server's kernels and terminals.

    Args:
        address: The server, on this host.
        kernel_ids: The kernels it lists.
        cache: Kept between looks.
        gpus: Asks NVML, at most once.
        now: The look's instant.
        monotonic: The same by CLOCK_MONOTONIC.
    """
    table = ProcessTable.snapshot(cache, now=now, monotonic=monotonic)
    if not table.supported:
        return HostView()
    pid = address.pid or _find_server(table, address)
    port = urlsplit(address.url).port
    ignored = () if port is None else (port,)
    keys = {kernel_id: table.find_kernel(kernel_id, server_pid=pid) for kernel_id in kernel_ids}
    kernels = {
        kernel_id: _tree(table, key, gpus, ignored) for kernel_id, key in keys.items() if key is not None
    }
    shells = [] if pid is None else [_shell(table, key, gpus, ignored) for key in table.shells_of(pid)]
    return HostView(server_pid=pid, kernels=kernels, shells=tuple(shells))


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
    return Tree(
        root=tree.root,
        sample=tree.sample,
        gpu=tree.gpu,
        peers=tree.peers,
        command=command,
        last_input=_last_input(table.pts(root.pid)),
    )


def _last_input(pts: int | None) -> datetime | None:
    """Give when somebody last typed: Linux dates a terminal device's atime by its input, to 8 s."""
    if pts is None:
        return None
    try:
        return datetime.fromtimestamp(Path(f"/dev/pts/{pts}").stat().st_atime, UTC)
    except OSError:
        return None
