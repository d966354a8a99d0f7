"""Tell a program: its arguments from the address, the notice as JSON on its standard input."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from reaper.errors import ConfigError, NotifyError
from reaper.notifiers import plain_address
from reaper.plugins import Notice

__all__ = ["CommandNotifier"]

DEADLINE_S = 10.0
END_GRACE_S = 1.0
"""Between SIGTERM and SIGKILL."""

_TAIL_GRACE_S = 0.2
"""How long a failed program's last words are waited for: a child of it may hold its output open for ever."""

_TAIL_BYTES = 2000
_SHORTEST_SECRET = 6
"""Arguments from this length on are taken out of a program's own words: one of them may be a token."""

_KEPT_VARIABLES = (
    "DBUS_SESSION_BUS_ADDRESS",  # with the next three `notify-send` finds the desktop
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "TZ",
    "USER",
)
"""Everything else stays here: REAPER_* and AWS_* hold secrets."""


class CommandNotifier:
    """`command:/path/to/program [ARGUMENT ...]` runs a program for each notice.

    What follows the colon is split as a shell splits words (quotes and backslashes; in a comma list,
    an argument with a comma needs the JSON form of the list), but no shell runs. The program gets the
    notice as one JSON document (`Notice.body()`) on standard input, a small environment without
    secrets, `/` as its directory and 10 s. Exit status 0 is delivery.

    Args:
        argv: The program and its arguments.
        deadline: Seconds; then its process group is ended.
    """

    def __init__(self, argv: tuple[str, ...], *, deadline: float = DEADLINE_S) -> None:
        self._argv = argv
        self._deadline = deadline

    @classmethod
    def from_address(cls, address: SecretStr | str) -> Self:
        """Read `command:/path arg ...`.

        Raises:
            ConfigError: It can't be split, or the path is not that of a program that we may run.
        """
        text = plain_address(address).partition(":")[2]
        try:
            argv = tuple(shlex.split(text))
        except ValueError as error:  # the words themselves may hold a token
            raise ConfigError(
                f"REAPER_NOTIFY: the command: address can't be split into words: {error}"
            ) from None
        if not argv:
            raise ConfigError("REAPER_NOTIFY: command: needs a program, as in command:/usr/local/bin/tell-us")
        program = Path(argv[0])
        if not program.is_absolute():
            raise ConfigError(f"REAPER_NOTIFY: command:{program} is no absolute path; write it from / on")
        if any("\0" in word for word in argv):
            raise ConfigError(f"REAPER_NOTIFY: an argument of command:{program} holds a NUL character")
        if not program.is_file():
            raise ConfigError(f"REAPER_NOTIFY: command:{program}: there is no such file")
        if not os.access(program, os.X_OK):
            raise ConfigError(f"REAPER_NOTIFY: command:{program} is not executable; chmod +x it")
        return cls(argv)

    @property
    def address(self) -> str:
        """The program; its arguments may hold a secret."""
        return f"command:{self._argv[0]}{' ***' if len(self._argv) > 1 else ''}"

    @property
    def counts_as_delivery(self) -> bool:
        """Yes, if it exits with 0."""
        return True

    def __repr__(self) -> str:
        """Show no arguments."""
        return f"<CommandNotifier {self.address}>"

    async def notify(self, notice: Notice) -> None:
        """Run the program.

        Raises:
            NotifyError: It could not be run, took too long, or its exit status is not 0.
        """
        document = json.dumps(notice.body()).encode() + b"\n"
        try:
            transport, run = await asyncio.get_running_loop().subprocess_exec(
                _Run,
                *self._argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd="/",
                env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
                start_new_session=True,  # its own process group, so that all of it can be ended
            )
        except OSError as error:
            raise NotifyError(f"it could not be run: {error.strerror or type(error).__name__}") from None
        try:
            await self._finish(transport, run, document)
        finally:
            if not run.exited.is_set():  # we are being cancelled
                _signal(transport, signal.SIGKILL)
            transport.close()

    async def close(self) -> None:
        """Nothing is open."""

    async def _finish(self, transport: asyncio.SubprocessTransport, run: "_Run", document: bytes) -> None:
        stdin = transport.get_pipe_transport(0)
        if isinstance(stdin, asyncio.WriteTransport):
            stdin.write(document)  # what a program does not read is not waited for
            stdin.close()
        try:
            async with asyncio.timeout(self._deadline):
                await run.exited.wait()
        except TimeoutError:
            await _end(transport, run)
            raise NotifyError(
                f"it did not end within {self._deadline:g} s and was ended{self._words(run)}"
            ) from None
        status = transport.get_returncode()
        if status == 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TAIL_GRACE_S):
                await run.silent.wait()
        raise NotifyError(f"{_describe(status)}{self._words(run)}")

    def _words(self, run: "_Run") -> str:
        """Give the end of what the program said, on one line and without its arguments."""
        said = run.tail.decode(errors="replace")
        for secret in sorted(self._argv[1:], key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                said = said.replace(secret, "***")
        said = " ".join("".join(c if c.isprintable() else " " for c in said).split())
        return f": {said}" if said else ""


class _Run(asyncio.SubprocessProtocol):
    """Listens to one program: the end of its output, and its exit.

    `asyncio.subprocess.Process.wait()` also waits for its pipes in some versions of Python, and a
    child that the program left behind may hold those open for ever; `process_exited` does not.
    """

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self.tail = bytearray()
        self._open = {1, 2}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep the end of it."""
        self.tail += data
        del self.tail[:-_TAIL_BYTES]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note that an output has ended."""
        self._open.discard(fd)
        if not self._open:
            self.silent.set()

    def process_exited(self) -> None:
        """Note that the program itself has ended."""
        self.exited.set()


async def _end(transport: asyncio.SubprocessTransport, run: _Run) -> None:
    """End the program and all that it started: SIGTERM, a moment, SIGKILL for whoever is left."""
    _signal(transport, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_GRACE_S):
            await run.exited.wait()
    _signal(transport, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_GRACE_S):
            await run.exited.wait()


def _signal(transport: asyncio.SubprocessTransport, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(transport.get_pid(), number)  # it leads its group: start_new_session


def _describe(status: int | None) -> str:
    if status is None or status >= 0:
        return f"it ended with status {status}"
    try:
        return f"it was ended by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"it was ended by signal {-status}"
