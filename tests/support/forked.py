"""Starts of `reaper` and of jupyter_server that cost a tenth: forked from a process that has imported all of it once.

A quarter of the suite's computing was Python importing the same modules, some hundred times. So each worker has a
fork server (`fork_server.py`) for each of the two programs, from the first start that is asked for:

    process = start([sys.executable, "-m", "reaper", "run"], env=env, cwd=folder, stdout=log, stderr=log)

What comes back is used as a `subprocess.Popen`. It is a real process with a pid, a session, signals and an exit status
of its own; what is the fork server's is its /proc/PID/cmdline and environ, its parent, and what the dynamic loader and
the interpreter read at their start. Who needs those, or is about the start itself (commands, lifecycle scripts, the
demo, the daemon's signals, a container), starts it with subprocess; so does `start` outside of pytest.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import IO, Any

__all__ = ["Forked", "Process", "fork_servers", "start"]

MODULES = {
    "reaper": (
        "reaper.cli.run_command",
        "reaper.cli.run",
        "reaper.web",
        "reaper.journal.sqlite",
        "reaper.notifiers.command",
        "reaper.notifiers.log",
        "reaper.notifiers.webhook",
        "reaper.policies.age",
        "reaper.policies.idle",
        "reaper.providers.jupyter",
        "reaper.providers.sagemaker",
        "reaper.providers.studio",
        "aiobotocore.session",
    ),
    "jupyter_server": ("jupyter_server.serverapp", "jupyter_server_terminals.app"),
}
"""What each program imports at its start; what is not named here is imported by each process itself."""

READ_AT_START = ("LANG", "LC_", "LD_", "PYTHON")
"""Beginnings of variables that a fork comes too late for; PYTHONPATH is seen to."""

_FORK_SERVER = str(Path(__file__).with_name("fork_server.py"))
_STARTING_S = 60.0


class _ForkServer:
    """One running fork server."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._lock = Lock()  # servers are also started from threads
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", _FORK_SERVER, str(theirs.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._requests.settimeout(_STARTING_S)

    def ask(self, request: Mapping[str, object], fds: Sequence[int] = ()) -> Any:
        """Send a request; give its answer."""
        with self._lock:
            try:
                socket.send_fds(self._requests, [repr(dict(request)).encode()], fds)
                answer = self._requests.recv(1 << 10).decode()
            except OSError as error:
                status = self._process.poll()
                raise RuntimeError(
                    f"the fork server (status {status}) does not answer; see stderr"
                ) from error
        return None if answer == "None" else int(answer)

    def close(self) -> None:
        """End it; what it has forked goes on."""
        self._requests.close()
        self._process.wait()


_servers: dict[str, _ForkServer] | None = None


@contextmanager
def fork_servers() -> Iterator[None]:
    """Let `start` fork, for as long as the context is open."""
    global _servers  # noqa: PLW0603 - as one of os.environ, there is one a process
    _servers = {}
    try:
        yield
    finally:
        opened, _servers = _servers, None
        for server in opened.values():
            server.close()


class Forked:
    """A process that was forked; in use a `subprocess.Popen` without pipes.

    Attributes:
        pid: Its pid. Until its end was asked for, nobody else gets it.
        returncode: Its exit status, -N for signal N; None as long as it was not seen to end.
    """

    def __init__(self, server: _ForkServer, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server

    def poll(self) -> int | None:
        """Ask whether it has ended."""
        if self.returncode is None:
            self.returncode = self._server.ask({"pid": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, for so many seconds.

        Raises:
            subprocess.TimeoutExpired: It has not ended.
        """
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while (status := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


Process = subprocess.Popen[bytes] | Forked


def start(
    command: Sequence[str],
    *,
    program: str,
    env: Mapping[str, str],
    cwd: Path,
    output: IO[bytes],
    errors: IO[bytes] | None = None,
    start_new_session: bool = False,
    forked: bool = True,
) -> Process:
    """Start a Python program, with nothing to read, and what it prints in a file or two.

    Args:
        command: The interpreter, and `-m MODULE` or a file, and arguments.
        program: Whose modules it needs: a key of `MODULES`.
        env: Its whole environment.
        cwd: Where it runs.
        output: Gets what it prints; a file that is open for writing.
        errors: Gets what it prints on stderr, if that is to be another file.
        start_new_session: It leads a session of its own.
        forked: False: execute it, whatever it costs.
    """
    if _servers is None or not forked:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors or output,
            env=env,
            cwd=cwd,
            start_new_session=start_new_session,
        )
    for name, value in env.items():
        if name.startswith(READ_AT_START) and name != "PYTHONPATH" and value != os.environ.get(name):
            raise ValueError(f"{name}={value} comes too late for a process that is forked")
    if program not in _servers:
        _servers[program] = _ForkServer(MODULES[program])
    server = _servers[program]
    request = {"command": command[1:], "env": dict(env), "cwd": str(cwd), "new_session": start_new_session}
    with Path(os.devnull).open("rb") as nothing:
        pid = server.ask(request, [file.fileno() for file in (nothing, output, errors or output)])
    return Forked(server, pid)
