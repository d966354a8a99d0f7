"""Tell Jupyter kernels by their command lines, and their ports by their connection files.

Sources: jupyter_client, "Connection files"; a kernel's command line names `kernel-<id>.json`.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Container
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from reaper.clients.host.procfs import TICKS_PER_SECOND, ProcessStat, read

__all__ = ["HostCache", "KernelFile"]

_CONNECTION_FILE = re.compile(rb"(?:.*[/=])?kernel-([^/]+)\.json", re.DOTALL)
"""The argument that names the connection file, bare or as `--f=...`."""

_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")

_SETTLED_TICKS = 60 * TICKS_PER_SECOND
"""A process this old is taken to have become what it was started for."""

_LARGEST_COMMAND_LINE = 1 << 20
"""Bytes; a Java kernel's class path alone can take many thousands."""

_CLOCK_SET = timedelta(seconds=1)
"""A boot whose instant moves by more has not moved: somebody set the clock."""


class KernelFile(NamedTuple):
    """The connection file that a command line names.

    Attributes:
        kernel_id: Jupyter's id of the kernel, from the file's name.
        path: The file, as the process names it.
    """

    kernel_id: str
    path: str


class _CommandLine(NamedTuple):
    """What a command line said, and what must be unchanged for it still to hold."""

    start_ticks: int
    command: str
    arguments_at: int
    names: KernelFile | None

    def holds_for(self, stat: ProcessStat) -> bool:
        return self[:3] == (stat.start_ticks, stat.command, stat.arguments_at)


class HostCache:
    """What need not be read again at the next look. Keep one for as long as you look.

    Holds, for each process, whether its command line names a kernel, that kernel's ports, and which
    listening sockets its tree does not hold; and the instant of the boot, so that
    `ProcessKey.created_at` does not tremble. One look at a time may use it.

    Attributes:
        listening: Pids of servers by their port or path, to be looked at first.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.listening: dict[int | str | None, int] = {}
        self._command_lines: dict[int, _CommandLine] = {}
        self._ports: dict[tuple[int, int], frozenset[int]] = {}
        self._held_elsewhere: dict[tuple[int, int], Counter[int]] = {}
        self._booted_at: datetime | None = None

    def booted_at(self, estimate: datetime) -> datetime:
        """Give the first estimate of the instant of the boot, until the clock was clearly set."""
        if self._booted_at is None or abs(estimate - self._booted_at) > _CLOCK_SET:
            self._booted_at = estimate
        return self._booted_at

    def forget_all_but(self, pids: Container[int]) -> None:
        """Drop what is known of processes that are gone."""
        self._command_lines = {p: known for p, known in self._command_lines.items() if p in pids}
        self._ports = {key: known for key, known in self._ports.items() if key[0] in pids}
        self._held_elsewhere = {key: known for key, known in self._held_elsewhere.items() if key[0] in pids}

    def held_elsewhere(self, pid: int, start_ticks: int) -> Counter[int]:
        """Give what is noted of a tree, by its top; see `ProcessTable.held_elsewhere`."""
        return self._held_elsewhere.setdefault((pid, start_ticks), Counter())

    def kernel_file(self, proc: str, stat: ProcessStat, *, newest_ticks: int) -> KernelFile | None:
        """Tell which connection file a process's command line names, if any.

        Pid and start survive execve, the command line does not. So what is known holds only while
        the command and the address of the arguments are the same; where the address is hidden from
        us, only what a process says that is a minute old is kept.

        Args:
            proc: Where /proc is mounted.
            stat: The process.
            newest_ticks: Start of the youngest process there is: what time it is, in ticks.
        """
        if stat.defunct or stat.kernel_thread:
            return None
        known = self._command_lines.get(stat.pid)
        if known is not None and known.holds_for(stat):
            return known.names
        try:
            line = read(f"{proc}/{stat.pid}/cmdline", _LARGEST_COMMAND_LINE)
        except OSError:
            return None
        names = None
        for argument in line.split(b"\0"):
            if match := _CONNECTION_FILE.fullmatch(argument):
                names = KernelFile(os.fsdecode(match[1]), os.fsdecode(argument).rpartition("=")[2])
        settled = newest_ticks - stat.start_ticks > _SETTLED_TICKS
        if line and (stat.arguments_at or settled):
            self._command_lines[stat.pid] = _CommandLine(
                stat.start_ticks, stat.command, stat.arguments_at, names
            )
        return names

    def ports(self, proc: str, stat: ProcessStat, file: KernelFile) -> frozenset[int] | None:
        """Read the TCP ports on which a kernel talks with its server.

        Returns:
            The ports, empty where it talks over unix sockets; None where the file can't be read.
        """
        key = (stat.pid, stat.start_ticks)
        if key not in self._ports:
            ports = _read_ports(f"{proc}/{stat.pid}", file.path)
            if ports is None:
                return None
            self._ports[key] = ports
        return self._ports[key]


def _read_ports(home: str, path: str) -> frozenset[int] | None:
    """Read a connection file by its path, or as the process sees it (a container's own root)."""
    places = (path, f"{home}/root{path}") if path.startswith("/") else (f"{home}/cwd/{path}",)
    for place in places:
        try:
            content = json.loads(Path(place).read_bytes())
            if content.get("transport", "tcp") != "tcp":
                return frozenset()
            return frozenset(int(content[name]) for name in _PORTS)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return None
