"""`self` and notebooks' paths where they are used: inside a real server's kernels and terminals."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.jupyter_server import JupyterServer, running_jupyter_async

REAPER = [sys.executable, "-m", "reaper"]


def said(*arguments: str) -> dict[str, Any]:
    """Run a command in this test's own process: outside of every kernel."""
    ended = subprocess.run(
        [*REAPER, *arguments, "-o", "json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


async def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not await asyncio.to_thread(true):
        assert time.monotonic() < end, what
        await asyncio.sleep(0.2)


@contextmanager
def watching(log: Path) -> Iterator[None]:
    """Run the daemon."""
    with log.open("wb") as out:
        process = subprocess.Popen([*REAPER, "run"], stdout=out, stderr=out)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
async def server(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JupyterServer]:
    """A real server, in whose kernels and terminals `reaper` finds the daemon."""
    variables = {"REAPER_LISTEN": f"unix:{own_home}/reaper.sock", "REAPER_STATE": f"{own_home}/journal.db"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with running_jupyter_async(own_home / "jupyter-server", environ=variables) as started:
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(started.runtime_dir))
        monkeypatch.setenv("REAPER_POLL_INTERVAL", "2s")
        yield started


async def test_hold_self_in_a_notebook_and_in_a_terminal(server: JupyterServer, own_home: Path) -> None:
    session = await server.open_session("work.ipynb")
    kernel_id = session["kernel"]["id"]
    other = await server.idle_kernel()
    terminal = await server.open_terminal()
    before = {one["name"]: one for one in said("doctor")["checks"]}
    assert before["sources"]["level"] == "ok"
    assert before["sources"]["text"].endswith(", complete: 2 jupyter.kernel, 1 jupyter.terminal")
    with watching(own_home / "log"):

        def matched() -> bool:
            ended = subprocess.run(
                [*REAPER, "status", "-o", "json"], capture_output=True, text=True, timeout=60, check=False
            )
            rows = json.loads(ended.stdout)["resources"] if ended.returncode == 0 else []
            return len(rows) == 3 and all("pid" in row["attributes"] for row in rows)

        await until(matched, "the daemon matches kernels and terminal to processes")

        cell = (
            "import subprocess, sys\n"
            "ended = subprocess.run([sys.executable, '-m', 'reaper', *{words!r}], capture_output=True, text=True)\n"
            "print(ended.stdout, ended.stderr)"
        )
        printed = await server.execute(
            kernel_id, cell.format(words=["hold", "self", "--for", "1h", "-o", "json"])
        )
        placed = json.loads(printed)
        assert placed["hold"]["matcher"]["id"] == kernel_id
        explained = said("explain", "work.ipynb")
        assert explained["resource"]["id"] == kernel_id
        assert [one["id"] for one in explained["resource"]["holds"]] == [placed["hold"]["id"]]

        held = own_home / "held.json"
        reaper = f"{sys.executable} -m reaper"
        command = f"{reaper} hold -- {reaper} hold --list -o json > {held}; echo do''ne"
        await server.type_into(terminal, command, until="done", deadline_s=60)
        by_kind = {one["matcher"]["kind"]: one for one in json.loads(held.read_text())["holds"]}
        assert by_kind["jupyter.terminal"]["matcher"]["id"] == terminal
        left = said("hold", "--list")["holds"]
        assert [one["id"] for one in left] == [placed["hold"]["id"]], "the command's hold ended with it"

        assert said("release", "work.ipynb")["released"] == [placed["hold"]["id"]]
        assert said("explain", other[:8])["resource"]["id"] == other
