"""A /proc made of plain files, to look at processes that need not exist.

    proc = FakeProc(tmp_path)
    proc.add(100, parent=1, argv=["python", "-f", "kernel-a.json"])
    table = proc.snapshot()

Says what proc(5) says, as far as reaper.clients.host reads it.
"""

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reaper.clients.host import HostCache, ProcessTable

__all__ = ["BOOT", "FakeProc"]

BOOT = datetime(2026, 11, 1, 6, 0, 0, tzinfo=UTC)
"""When the made-up machine booted."""

_HOST_PID_NAMESPACE = "pid:[4026531836]"
_TCP_HEADER = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
)


class FakeProc:
    """The processes of a made-up machine.

    Attributes:
        proc: Its /proc.
        dev: Its /dev.
        now: Its clock; it starts an hour after the boot.
        uptime: Time since its boot.
    """

    def __init__(self, folder: Path, *, boot_id: str = "11111111-aaaa") -> None:
        """Boot it, with one process: init."""
        self.proc = folder / "proc"
        self.dev = folder / "dev"
        self.uptime = timedelta(hours=1)
        self.now = BOOT + self.uptime
        self.dev.mkdir()
        (self.proc / "sys/kernel/random").mkdir(parents=True)
        (self.proc / "sys/kernel/random/boot_id").write_text(f"{boot_id}\n")
        (self.proc / "self/ns").mkdir(parents=True)
        (self.proc / "self/net").mkdir()
        (self.proc / "self/ns/pid").symlink_to(_HOST_PID_NAMESPACE)
        (self.proc / "self/ns/net").symlink_to("net:[1]")
        self.set_clock(timedelta(0))
        self.tcp()
        self.add(1, parent=0, command="init", start=1)

    def set_clock(self, by: timedelta) -> None:
        """Set its clock, forward or back: the instant that it says it booted at moves too."""
        self.now += by
        booted = int((self.now - self.uptime).timestamp())
        (self.proc / "stat").write_text(f"cpu 1 2 3\nbtime {booted}\nprocesses 9\n")

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        self.uptime += timedelta(seconds=seconds)

    def in_container(self) -> None:
        """Give it pids of its own, as a container has."""
        (self.proc / "self/ns/pid").unlink()
        (self.proc / "self/ns/pid").symlink_to("pid:[4026532999]")

    def snapshot(self, cache: HostCache | None = None, *, monotonic: float | None = None) -> ProcessTable:
        """Look at it now."""
        (self.proc / "uptime").write_text(f"{self.uptime.total_seconds():.2f} 0.00\n")
        return ProcessTable.snapshot(
            cache,
            now=self.now,
            monotonic=monotonic,
            proc=self.proc,
            devices=self.dev,
        )

    def add(
        self,
        pid: int,
        *,
        parent: int = 1,
        session: int | None = None,
        command: str = "python",
        state: str = "S",
        own: int = 0,
        waited: int = 0,
        start: int | None = None,
        terminal: int = 0,
        argv: Sequence[str] = ("python",),
        arguments_at: int = 4096,
        characters: int | None = 0,
        fds: Mapping[int, str] | None = None,
    ) -> None:
        """Start a process, or change it.

        Args:
            pid: Its number.
            parent: Its parent's.
            session: Leader of its session; itself by default.
            command: Its `comm`.
            state: One letter.
            own: CPU ticks of its own.
            waited: CPU ticks of waited-for children.
            start: Ticks since boot; its pid by default.
            terminal: Device number.
            argv: Its command line.
            arguments_at: Where that is in its memory; another place after execve.
            characters: Read so far; None: its io and open files may not be read.
            fds: What its file descriptors point to.
        """
        home = self.proc / str(pid)
        if home.exists():
            shutil.rmtree(home)
        home.mkdir()
        fields = [state, parent, pid, pid if session is None else session, terminal, -1]
        fields += [4194304, 0, 0, 0, 0]
        fields += [own - own // 3, own // 3, waited - waited // 3, waited // 3]
        fields += [20, 0, 1, 0, pid if start is None else start]
        fields += [0] * (45 - len(fields)) + [arguments_at, 0, 0, 0, 0]
        (home / "stat").write_text(f"{pid} ({command}) {' '.join(map(str, fields))}\n")
        (home / "cmdline").write_bytes(b"".join(a.encode() + b"\0" for a in argv))
        if characters is None:  # a kind of file that can't be read even by root
            (home / "io").mkdir()
            (home / "fd").touch()
        else:
            (home / "io").write_text(f"rchar: {characters}\nwchar: 0\nsyscr: 1\nsyscw: 0\n")
            (home / "fd").mkdir()
            for number, target in (fds or {}).items():
                (home / "fd" / str(number)).symlink_to(target)

    def end(self, pid: int) -> None:
        """End a process, and let somebody wait for it."""
        shutil.rmtree(self.proc / str(pid))

    def tcp(self, *rows: tuple[str, str, str, int], v6: Sequence[tuple[str, str, str, int]] = ()) -> None:
        """Set the TCP sockets: (local, remote, state, inode), in the kernel's own hexadecimal."""
        for name, table in (("tcp", rows), ("tcp6", v6)):
            lines = (
                f"   {n}: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  1000 0 {inode} 1\n"
                for n, (local, remote, state, inode) in enumerate(table)
            )
            (self.proc / "self/net" / name).write_text(_TCP_HEADER + "".join(lines))
