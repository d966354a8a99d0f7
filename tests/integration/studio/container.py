"""A container of its own for a test: processes that see only each other, and a looker inside.

    with running_container() as container:
        container.look()                      # as reaper would, from inside
        container.person("nohup setsid ...")  # what somebody types in a terminal of the app

It is a pid namespace (unshare(1)), which a Studio app's container is too. Its first process starts a server
that people come in by, and obeys.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["InContainer", "running_container"]

DEADLINE_S = 60.0

LOOKER = """
import json, sys, time
from datetime import UTC, datetime, timedelta
from reaper.clients.host import GpuLook, HostCache, ProcessTable, Thresholds
from reaper.clients.host.container import Container

container = Container(boot_period=timedelta(minutes=1), thresholds=Thresholds(min_interval=0.5))
cache = HostCache()
for line in sys.stdin:
    port = int(line)
    table = ProcessTable.snapshot(cache, now=datetime.now(UTC), monotonic=time.monotonic())
    view = container.look(table, ports={port}, server_pid=None, gpus=lambda: GpuLook(absent=True))
    print(json.dumps({name: seen and [seen.activity, seen.text] for name, seen in (
        ("process", view.process), ("peers", view.peers))}), flush=True)
"""

FIRST = """
import json, os, signal, socket, subprocess, sys, threading

signal.signal(signal.SIGCHLD, lambda *_: None)
looker = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=-1, stdout=-1, text=True)
serve = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
command = [sys.executable, "-S", "-c", serve + "; time.sleep(9e9)"]
server = subprocess.Popen(command, stdout=-1, text=True)
port = server.stdout.readline()
print(port, end="", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    if order is None:
        looker.stdin.write(port)
        looker.stdin.flush()
        print(looker.stdout.readline(), end="", flush=True)
    else:
        subprocess.run(["bash", "-c", order], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        print("done", flush=True)
    while True:  # the first process inherits orphans, and must wait for them
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
"""


class InContainer:
    """A running container."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.port = port
        self._process = process

    def look(self) -> dict[str, Any]:
        """Look at everything in it; the answer holds (activity, text) of each signal."""
        seen: dict[str, Any] = json.loads(self._ask(None))
        return seen

    def person(self, command: str) -> None:
        """Let a person type a command line, and close the terminal as soon as it returns."""
        assert self._ask(command) == "done\n"

    def until(self, activity: str, signal: str = "process") -> str:
        """Look until a signal says something; give its text."""
        end = time.monotonic() + DEADLINE_S
        seen = self.look()
        while seen[signal] is None or seen[signal][0] != activity:
            if time.monotonic() > end:
                pytest.fail(f"{signal} never was {activity}: {seen}")
            time.sleep(0.6)  # two looks nearer than half a second are not compared
            seen = self.look()
        return str(seen[signal][1])

    def _ask(self, order: str | None) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextlib.contextmanager
def running_container() -> Iterator[InContainer]:
    """Run one; its end ends all that is in it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare(1)")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [unshare, *user, "--pid", "--fork", "--mount-proc", "--kill-child"]
    process = subprocess.Popen(
        [*command, sys.executable, "-c", FIRST, LOOKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        port = process.stdout.readline()
        if not port:
            why = process.stderr.read()
            if "Operation not permitted" in why or "unshare failed" in why:
                pytest.skip(f"no namespace may be made here: {why.strip()}")
            pytest.fail(why)
        yield InContainer(process, int(port))
    finally:
        process.kill()
        process.communicate()
