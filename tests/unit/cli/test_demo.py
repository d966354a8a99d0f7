"""The demo's stage: what goes wrong on it is said in a line, and nothing is used before it is there."""

import asyncio
import contextlib
import io
import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import psutil
import pytest
from aiohttp import web
from rich.console import Console

from reaper.cli import demo, demo_stage
from reaper.errors import ReaperError

PID = 4242


def process(returncode: int | None = None) -> Any:
    """A process as far as the stage looks at it."""
    return SimpleNamespace(pid=PID, returncode=returncode)


def announced(folder: Path, port: int) -> Path:
    """Leave the file in which a server says where it will listen."""
    url = f"http://127.0.0.1:{port}/"
    (folder / f"jpserver-{PID}.json").write_text(json.dumps({"url": url}))
    return folder


async def test_a_server_that_does_not_listen_yet_is_waited_for(tmp_path):
    """Jupyter writes its runtime file first: on a busy machine seconds lie between."""
    app = web.Application()

    async def version(_request):
        return web.json_response({"version": "2"})

    app.router.add_get("/api", version)
    runner = web.AppRunner(app)
    await runner.setup()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # nobody listens on it: a connection is refused
        folder = announced(tmp_path, sock.getsockname()[1])
        starting = asyncio.create_task(demo_stage.started(process(), folder, tmp_path / "log"))
        try:
            await asyncio.sleep(0.3)
            assert not starting.done()
            await web.SockSite(runner, sock).start()
            url = await asyncio.wait_for(starting, 30)
            async with aiohttp.ClientSession() as session, session.get(f"{url}api") as answer:
                assert answer.status == 200
        finally:
            await runner.cleanup()


async def test_a_server_that_ends_at_once_is_quoted(tmp_path):
    log = tmp_path / "jupyter.log"
    log.write_text("No module named jupyter_server\n")
    with pytest.raises(ReaperError, match="did not start: No module named jupyter_server"):
        await demo_stage.started(process(returncode=1), tmp_path, log)


async def test_what_fails_on_the_stage_is_said_in_a_line(tmp_path, monkeypatch):
    """No traceback: the reader has just met reaper."""

    async def up(_server, _runtime_dir, log):
        log.write_text("400 Bad Request\n")
        return "http://127.0.0.1:9/"

    monkeypatch.setattr(demo_stage, "started", up)
    with pytest.raises(ReaperError, match=r"Jupyter server does not answer .*: 400 Bad Request"):
        async with demo_stage.stage(tmp_path) as set_up:
            await set_up.alive()


async def test_what_outlives_its_server_is_ended_too(tmp_path):
    """A kernel's child stays when the kernel goes, here with the server itself: nobody else would end it."""
    server = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        "sleep 600 > /dev/null & echo $!",
        env={"PATH": os.environ["PATH"], "JUPYTER_RUNTIME_DIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await server.communicate()
    child = psutil.Process(int(said))
    try:
        await demo_stage.end(server, tmp_path)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def test_a_journal_that_can_not_be_made_is_said_in_a_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ReaperError, match=r"journal .* can't be written"):
        demo.play(tmp_path / "file" / "journal.db")


class House(demo_stage.Stage):
    """A stage that is set already."""

    def __init__(self) -> None:
        self.cast = [demo_stage.Cast(actor=actor, id=str(n)) for n, actor in enumerate(demo_stage.ACTORS)]

    def course(self):
        why = "a signal shows work right now (process: python (pid 24115) uses 0.2 core)"
        row = {"verdict": "wait", "due_at": None, "reason": "active", "reason_text": why}
        course = demo.Course(began=0.0, seen={(one.actor.kind, one.id): row for one in self.cast[:-1]})
        course.gone_at[self.cast[0].actor.kind, self.cast[0].id] = 12.0
        return course


@pytest.mark.parametrize("width", [80, 140])
def test_what_is_shown_live_takes_a_line_for_each(width):
    """A table that is higher than the terminal is cut, and one with a column of six letters can not be read."""
    house, out = House(), io.StringIO()
    console = Console(file=out, width=width)
    console.print(demo._scene([house], house.course(), width))
    lines = out.getvalue().splitlines()
    assert len(lines) == 2 + len(house.cast)
    assert max(map(len, lines)) <= width
    assert lines[3].startswith("silent-cell.ipynb ")
    assert " wait " in lines[3]
    assert "  process: python (pid" in lines[3]
    assert lines[2].split()[:1] == ["idle.ipynb"]
    assert "reaped" in lines[2]


def test_the_outcome_is_wrapped_at_words():
    house, out = House(), io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    demo._tell([house], house.course(), {one.id for one in house.cast[1:]}, console)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "      core)" in [line.rstrip() for line in lines]
