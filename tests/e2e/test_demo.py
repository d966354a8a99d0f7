"""`reaper demo` as a process: told to end, it takes everything with it. `.ci/run` plays it whole, on its own."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.daemon import until

pytestmark = [pytest.mark.xdist_group("e2e-daemon"), pytest.mark.timeout(240)]


def of_demo(folder: Path) -> list[psutil.Process]:
    """Give the processes that live in a folder's demo: its runtime directory is in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("JUPYTER_RUNTIME_DIR", "").startswith(f"{folder}/"):
                found.append(process)
    return found


@pytest.fixture
def demo(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A demo whose directory is in this test's home."""
    monkeypatch.setenv("TMPDIR", str(own_home))
    with (own_home / "log").open("wb") as log:
        demo = subprocess.Popen(
            [sys.executable, "-m", "reaper", "demo", "--journal", str(own_home / "journal.db")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield demo
    finally:
        demo.kill()
        demo.wait()
        for process in of_demo(own_home):
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_told_to_end_it_leaves_nothing_behind(
    demo: subprocess.Popen[bytes], number: signal.Signals, own_home: Path
) -> None:
    await until(lambda: len(of_demo(own_home)) >= 3, "the server and its first kernels")
    demo.send_signal(number)
    await until(lambda: demo.poll() is not None, "its end")
    assert demo.returncode == 128 + number, (own_home / "log").read_text()
    assert of_demo(own_home) == []
