"""Read single files below /proc. Formats: proc(5), Documentation/filesystems/proc.rst of Linux."""

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from reaper.clients.host.netlink import tcp_rows
from reaper.clients.host.sockets import Sockets, text_rows

__all__ = [
    "OUR_PROC",
    "TICKS_PER_SECOND",
    "OpenFiles",
    "ProcessStat",
    "Procfs",
    "parse_stat",
    "read",
    "read_all",
]

OUR_PROC = "/proc"
"""Where the /proc of our own namespaces is: what the kernel tells by other ways holds for that one alone."""

TICKS_PER_SECOND: int = os.sysconf("SC_CLK_TCK")
"""The unit of every time in /proc/<pid>/stat (USER_HZ: 100 on every Linux we know)."""

_INITIAL_PID_NAMESPACE = "pid:[4026531836]"
"""PROC_PID_INIT_INO of the Linux source: whoever sees this is in no container's pid namespace."""

_ACCELERATORS = re.compile(r"nvidia\d+|nvidia-uvm|nvidia-caps|dxg|kfd|neuron\d+")
"""Device nodes of NVIDIA GPUs (dxg: under WSL), AMD GPUs (kfd), AWS Trainium and Inferentia."""

_ACCELERATOR_DRIVERS = re.compile(rb"^ *\d+ (?:nvidia|kfd|neuron|dxg)", re.MULTILINE)
"""Their drivers in /proc/devices, which is the same in every container of a host."""

_GONE = (FileNotFoundError, ProcessLookupError)
"""How /proc says that a process has ended, before its file is opened and after."""


class ProcessStat(NamedTuple):
    """What /proc/<pid>/stat says of a process; anybody may read it.

    Attributes:
        pid: Its process id.
        command: The short name of what it runs (`comm`, at most 15 bytes), made printable.
        state: One letter; Z and X are defunct: ended, not yet waited for.
        parent: Pid of its parent; 1 or a subreaper where that has ended.
        session: Pid of the leader of its session, 0 for the kernel's own threads.
        terminal: Device number of its controlling terminal, 0 for none.
        own_ticks: CPU time of its threads, ended ones too (utime + stime).
        waited_ticks: CPU time of the children that it has waited for, and of theirs (cutime +
            cstime).
        start_ticks: When it began, in ticks since boot.
        arguments_at: Address of its command line, 0 where we may not know. It moves when the
            process runs another program (execve), which keeps pid and start.
    """

    pid: int
    command: str
    state: str
    parent: int
    session: int
    terminal: int
    own_ticks: int
    waited_ticks: int
    start_ticks: int
    arguments_at: int

    @property
    def defunct(self) -> bool:
        """Whether it has ended and only waits to be waited for."""
        return self.state in "ZX"

    @property
    def kernel_thread(self) -> bool:
        """Whether it is a thread of the operating system's kernel, no program of anybody's."""
        return self.session == 0 and (self.pid == 2 or self.parent == 2)  # noqa: PLR2004 - kthreadd


class OpenFiles(NamedTuple):
    """What a process has open, of what matters here.

    Attributes:
        sockets: Inodes of its sockets.
        devices: Names of its device nodes below /dev (`nvidia0`, `nvidia-caps/nvidia-cap1`).
    """

    sockets: frozenset[int] = frozenset()
    devices: frozenset[str] = frozenset()


def read(path: str, limit: int = 1 << 12) -> bytes:
    """Read a small file of /proc at once, up to `limit` bytes; raises OSError.

    Half the time of `open`: that counts with hundreds of processes a look.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, limit)
    finally:
        os.close(fd)


def read_all(path: str) -> bytes:
    """Read a file of any length; empty where it can't be read."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def parse_stat(text: bytes) -> ProcessStat:
    """Parse the text of /proc/<pid>/stat. Pure.

    Raises:
        ValueError, IndexError: It is none.
    """
    opening = text.index(b"(")
    closing = text.rindex(b")")  # a command may hold spaces and parentheses of its own
    rest = text[closing + 2 :].split()
    command = text[opening + 1 : closing].decode(errors="replace")
    return ProcessStat(
        int(text[:opening]),
        command if command.isprintable() else "".join(c if c.isprintable() else "?" for c in command),
        rest[0].decode(),
        int(rest[1]),
        int(rest[3]),
        int(rest[4]),
        int(rest[11]) + int(rest[12]),
        int(rest[13]) + int(rest[14]),
        int(rest[19]),
        int(rest[45]),
    )


class Procfs:
    """The /proc of one look: what was read once is not read again.

    Attributes:
        root: Where it is mounted, without a slash at the end.
    """

    def __init__(self, *, root: Path, devices: Path) -> None:
        """Read nothing yet.

        Args:
            root: Where /proc is mounted.
            devices: Where device nodes are.
        """
        self.root = str(root)
        self._devices = f"{devices}/"
        self._open_files: dict[int, OpenFiles | None] = {}
        self._sockets: dict[str, Sockets | None] = {}
        self._accelerators: bool | None = None

    def characters(self, pid: int) -> int | None:
        """Read how many characters a process and its waited-for children have read and written.

        The sum of rchar and wchar of /proc/<pid>/io: what went through read and write calls, from
        the page cache and into sockets too; not send, recv or mapped memory.

        Returns:
            The count; None where the process has ended.

        Raises:
            OSError: We may not or can't read it.
        """
        try:
            fields = read(f"{self.root}/{pid}/io").split(None, 4)
        except _GONE:
            if Path(f"{self.root}/{pid}").exists():
                raise  # this kernel keeps no such accounts
            return None
        return int(fields[1]) + int(fields[3])

    def open_files(self, pid: int) -> OpenFiles | None:
        """List the sockets and devices that a process has open.

        Returns:
            What it has open, nothing at all where it has ended; None where we may not know.
        """
        if pid not in self._open_files:
            self._open_files[pid] = self._list_open_files(pid)
        return self._open_files[pid]

    def _list_open_files(self, pid: int) -> OpenFiles | None:
        sockets: list[int] = []
        devices: list[str] = []
        try:
            directory = os.open(f"{self.root}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except _GONE:
            return OpenFiles()
        except OSError:
            return None
        try:
            for name in os.listdir(directory):
                try:
                    target = os.readlink(name, dir_fd=directory)
                except _GONE:
                    continue  # closed since the listing
                if target.startswith("socket:["):
                    sockets.append(int(target[8:-1]))
                elif target.startswith(self._devices):
                    devices.append(target[len(self._devices) :].removesuffix(" (deleted)"))
        except _GONE:
            return OpenFiles()
        except (OSError, ValueError):
            return None
        finally:
            os.close(directory)
        return OpenFiles(frozenset(sockets), frozenset(devices))

    def sockets(self, pid: int) -> Sockets | None:
        """Read the TCP sockets of the network namespace that a process lives in; None where they can't be read."""
        namespace = self._network(pid)
        if namespace not in self._sockets:
            self._sockets[namespace] = self._read_sockets(pid, ours=namespace == self._network("self"))
        return self._sockets[namespace]

    def _read_sockets(self, pid: int, *, ours: bool) -> Sockets | None:
        if ours and self.root == OUR_PROC:
            with contextlib.suppress(OSError):  # a sandbox, or a unit that may not open such sockets
                return Sockets(tcp_rows())
        base = f"{self.root}/{'self' if ours else pid}/net"
        try:
            version_4 = Path(f"{base}/tcp").read_bytes()
        except OSError:
            return None
        version_6 = read_all(f"{base}/tcp6")  # there is none without IPv6
        return Sockets(text_rows(version_4, version_6))

    def _network(self, pid: int | str) -> str:
        """Name a process's network namespace; ours where we may not know."""
        return self._namespace(str(pid), "net") or self._namespace("self", "net")

    def _namespace(self, name: str, kind: str) -> str:
        try:
            return os.readlink(f"{self.root}/{name}/ns/{kind}")
        except OSError:
            return ""

    @property
    def host_pids(self) -> bool:
        """Whether pids here are the host's own, which are what a driver reports.

        Not so in a container with pids of its own.
        """
        return self._namespace("self", "pid") == _INITIAL_PID_NAMESPACE

    @property
    def accelerators(self) -> bool:
        """Whether this host has a GPU or a like device: a node of it, or its driver."""
        if self._accelerators is None:
            try:
                nodes = os.listdir(self._devices)
            except OSError:
                nodes = []
            self._accelerators = any(_ACCELERATORS.fullmatch(node) for node in nodes) or bool(
                _ACCELERATOR_DRIVERS.search(read_all(f"{self.root}/devices")),
            )
        return self._accelerators
