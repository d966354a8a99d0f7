"""The command line as processes: run one, start one, read what it says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

REAPER = [sys.executable, "-m", "reaper"]


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*REAPER, *arguments], capture_output=True, text=True, timeout=60, check=False, **options
    )


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [*REAPER, *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def holds() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("hold", "--list", "-o", "json").stdout)["holds"]
    return found


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
