"""Real processes to look at, and a looker that does it as the daemon does.

    def test_x(start: Start, host: Looker):
        script = start("print('ready'); compute()")     # a process of its own, ended with the test
        script.says()
        assert host.judge(host.root(script.pid)).activity == "active"

Nothing sleeps and hopes: `until` asks until a deadline. Looks are half a second apart here, not
five: thresholds are rates. A test module gets the fixtures `start` and `host` by importing
`fixture_start` and `fixture_host`.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

import psutil
import pytest

from reaper.clients.host import (
    Evidence,
    HostCache,
    ProcessKey,
    ProcessTable,
    Thresholds,
    TreeSample,
    classify,
    gpu_evidence,
    sample_tree,
    served_peers,
    usage,
)

__all__ = ["COMPUTE", "Looker", "Script", "Start", "end_process", "fixture_host", "fixture_start", "until"]

T = TypeVar("T")
DEADLINE_S = 30.0
INTERVAL_S = 0.5

COMPUTE = "while True: sum(range(1000))"
PRELUDE = f"""
import os, socket, subprocess, sys, threading, time

def compute():
    {COMPUTE}

def sleep():
    time.sleep(600)
"""


def until(condition: Callable[[], T], *, what: str) -> T:
    """Ask until the answer is true; fail after the deadline."""
    end = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {DEADLINE_S:g} s, last {answer!r}")
        time.sleep(0.02)
    return answer


class Script:
    """A Python script as a process of its own; it prints lines and is told lines."""

    def __init__(self, code: str, *, new_session: bool = False) -> None:
        code = PRELUDE + textwrap.dedent(code)
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-u", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=new_session,
        )
        self.pid = self.process.pid

    def says(self) -> str:
        """Wait for a line of its output."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE_S)
        assert ready, "the script says nothing"
        return self.process.stdout.readline().strip()

    def tell(self, line: str = "") -> None:
        """Give it a line of input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """End it and its descendants, each by its own pid."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                end_process(child.pid)
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


def end_process(pid: int) -> None:
    """End one process that the test has started, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


Start = Callable[..., Script]


@pytest.fixture(name="start")
def fixture_start() -> Iterator[Start]:
    """Start scripts that end with the test."""
    with ExitStack() as stack:

        def start(code: str, *, new_session: bool = False) -> Script:
            script = Script(code, new_session=new_session)
            stack.callback(script.end)
            return script

        yield start


class Looker:
    """Looks at the host as a caller would: instants from its own clock, one cache."""

    def __init__(self) -> None:
        self.cache = HostCache()

    def table(self) -> ProcessTable:
        return ProcessTable.snapshot(self.cache, now=datetime.now(UTC), monotonic=time.monotonic())

    def sample(self, root: ProcessKey) -> TreeSample:
        taken = sample_tree(self.table(), root)
        assert taken is not None
        return taken

    def root(self, pid: int) -> ProcessKey:
        found = self.table().key(pid)
        assert found is not None
        return found

    def judge(
        self, root: ProcessKey, before: TreeSample | None = None, *, seconds: float = INTERVAL_S
    ) -> Evidence:
        """Compare two looks that are just far enough apart, or one with an earlier one."""
        first = before or self.sample(root)
        assert first.monotonic is not None
        time.sleep(max(0.0, first.monotonic + seconds - time.monotonic()))
        table = self.table()
        second = sample_tree(table, root)
        assert second is not None
        return classify(
            usage(first, second),
            gpu=gpu_evidence(table, root, look=_no_gpu_is_open),
            peers=served_peers(table, root),
            thresholds=Thresholds(min_interval=seconds),
        )


def _no_gpu_is_open() -> NoReturn:
    pytest.fail("NVML was asked for a tree that has no GPU open")


@pytest.fixture(name="host")
def fixture_host() -> Looker:
    """Look at this host with a cache of one's own."""
    return Looker()
