"""A process that has imported a program once, and forks a process of its own for each start of it.

    python -P fork_server.py FD MODULE...      (started and spoken to by tests.support.forked)

What is forked is a process like any other: its own pid, environment, directory, streams, signals and exit status, and
it runs the same code from `python -m ...` or `python FILE ...` on. Only /proc/PID/cmdline, /proc/PID/environ and the
parent are the fork server's. It is forked before any thread or event loop is there.
"""

import ast
import gc
import importlib
import io
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__: list[str] = []

MOST = 1 << 18
"""Bytes of a request: a command line and an environment."""


def serve(requests: socket.socket) -> Callable[[], object] | None:
    """Fork on request, and tell how children ended, until nobody asks any more.

    Returns:
        In a forked process: what it has to run, once this function's caller has returned too. None: the end.
    """
    while True:
        message, fds, _, _ = socket.recv_fds(requests, MOST, 3)
        if not message:
            return None
        request = ast.literal_eval(message.decode())
        if "pid" in request:
            answer: object = _ended(request["pid"])
        elif (pid := os.fork()) == 0:
            return _become(request, fds)
        else:
            answer = pid
            for fd in fds:
                os.close(fd)
        requests.send(repr(answer).encode())


def _ended(pid: int) -> int | None:
    """Give a child's status as subprocess does, once; None while it runs. Until it is asked for it is a zombie."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(request: dict[str, Any], fds: list[int]) -> Callable[[], object]:
    """Make this forked process what was asked for; give what it runs."""
    if request["new_session"]:
        os.setsid()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.closerange(3, max(int(file.name) for file in Path("/proc/self/fd").iterdir()) + 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    _open_streams()
    command: list[str] = request["command"]
    path = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    if command[0] == "-m":
        sys.path[:] = [str(Path.cwd()), *path, *BASE_PATH]
        sys.argv[:] = command[1:]
        return lambda: runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    sys.path[:] = [str(Path(command[0]).resolve().parent), *path, *BASE_PATH]
    sys.argv[:] = command
    return lambda: runpy.run_path(command[0], run_name="__main__")


def _open_streams() -> None:
    """Open the standard streams as the interpreter does at its start."""
    for fd, name, errors in (
        (0, "stdin", "strict"),
        (1, "stdout", "strict"),
        (2, "stderr", "backslashreplace"),
    ):
        raw = io.FileIO(fd, "wb" if fd else "rb", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw) if fd else io.BufferedReader(raw),
            encoding="utf-8",
            errors=errors,
            line_buffering=name == "stderr" or raw.isatty(),
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def main() -> None:
    """Import, and serve. Outside of `serve`, so that a forked process ends as any program does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        for name in sys.argv[2:]:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page
        run = serve(requests)
        if run is not None:
            requests.detach()  # closed already, and the number may be another file's by now
    if run is not None:
        run()


PYTHON_PATH = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
BASE_PATH = [one for one in sys.path if one not in PYTHON_PATH]
"""Where modules are found besides the program's own directory and PYTHONPATH."""

if __name__ == "__main__":
    main()
