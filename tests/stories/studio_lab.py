"""A JupyterLab app of the new Studio, in a container of its own: training that nobody owns any more, and an editor.

The play runs as a program inside a pid namespace (unshare(1)), with everything that is in it: to reaper, all that
runs there is the app's container. First somebody starts training in a terminal by each of three ways, and closes the
terminal; then somebody edits a notebook; then nobody does anything. Each lasts longer than the idle timeout.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reaper.testing.studio import Space, StudioServer, running_studio, running_studio_server
from tests.stories.cells import JOB
from tests.stories.daemons import daemon_process
from tests.stories.studio import asked, studio_environment
from tests.stories.waiting import patiently, utc_now

__all__ = ["WAYS", "Lab", "play_lab"]

TIMEOUT = timedelta(seconds=7)
LIMIT_S = 400.0
WAYS = {
    "nohup": "nohup {job} > /dev/null 2>&1 &",
    "setsid": "setsid {job} > /dev/null 2>&1 < /dev/null &",
    "tmux": "tmux -S {folder}/tmux.sock new-session -d {job}",
}
ROOT = Path(__file__).parents[2]


@dataclass(slots=True, kw_only=True)
class Lab:
    """What the play shows.

    Attributes:
        trained: By way: the training's pid, and how `explain` had the app while it alone was at work, past its time.
        edited: How often the notebook was saved.
        editing: How `explain` had the app then, past its time, and the kernel.
        kernel_then: Whether the kernel was listed then.
        app_then: The app's state while each went on.
        app_after: Its state at the end, when nothing had gone on for the whole timeout.
        kernel_after: Whether the kernel was listed at the end.
        log: What the daemon wrote.
    """

    trained: dict[str, Any] = field(default_factory=dict)
    edited: int = 0
    editing: dict[str, Any] = field(default_factory=dict)
    kernel_then: bool = False
    app_then: dict[str, str] = field(default_factory=dict)
    app_after: str = ""
    kernel_after: bool = True
    log: str = ""


async def play_lab(folder: Path, home: Path) -> Lab:
    """Play it in a container of its own."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare(1)")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [unshare, *user, "--pid", "--fork", "--mount-proc", "--kill-child"]
    shell = 'python=$0; "$python" -m tests.stories.studio_lab "$@"; exit $?'  # it waits for orphans, as an init does
    process = await asyncio.create_subprocess_exec(
        *command,
        *("bash", "-c", shell, sys.executable, str(folder), str(home)),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if "Operation not permitted" in errors.decode() or "unshare failed" in errors.decode():
        pytest.skip(f"no namespace may be made here: {errors.decode().strip()}")
    if process.returncode != 0:
        pytest.fail(errors.decode()[-5000:])
    return Lab(**json.loads(out))


class Person:
    """Somebody in the app.

    Args:
        server: The app's.
        environ: The daemon's environment: whom to ask.
        folder: For files.
    """

    def __init__(self, server: StudioServer, environ: dict[str, str], folder: Path) -> None:
        self.server = server
        self._environ = environ
        self._folder = folder

    async def explain(self, name: str) -> dict[str, Any]:
        """Ask the daemon."""
        return await asked(self._environ, f"explain?resource={name}")

    async def train(self, way: str) -> int:
        """Start training in a terminal, and close that; give the training's pid."""
        script, pid = self._folder / f"{way}.sh", self._folder / f"{way}.pid"
        job = self._folder / "job.py"
        job.write_text(JOB)
        script.write_text(
            f"#!/bin/bash\necho $$ > {pid}.new; mv {pid}.new {pid}\nexec {sys.executable} -S {job}\n"
        )
        script.chmod(0o755)
        terminal = await self.server.open_terminal()
        line = WAYS[way].format(job=script, folder=self._folder)
        await self.server.type(terminal, f" {line}\r")
        await patiently(lambda: _exists(pid))
        await self.server.send("DELETE", f"api/terminals/{terminal}")
        return int(pid.read_text())

    @asynccontextmanager
    async def editing(self, lab: Lab, path: str) -> AsyncIterator[None]:
        """Save a notebook again and again."""

        async def save() -> None:
            while True:
                cell = {"cell_type": "markdown", "metadata": {}, "source": f"draft {lab.edited}", "id": "a"}
                content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
                body = {"type": "notebook", "format": "json", "content": content}
                status, _ = await self.server.send("PUT", f"api/contents/{path}", body)
                lab.edited += status in {200, 201}
                await asyncio.sleep(1)

        task = asyncio.create_task(save())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _exists(path: Path) -> bool:
    return path.exists()


async def _play(folder: Path, home: Path) -> Lab:
    lab = Lab()
    async with AsyncExitStack() as stack:
        studio = await stack.enter_async_context(
            running_studio(boots_in=timedelta(0), deletes_in=timedelta(hours=1))
        )
        space: Space = studio.add_space("work", "ann")
        server = await stack.enter_async_context(
            running_studio_server(studio, folder / "lab", space, app_type="JupyterLab")
        )
        environ = studio_environment(
            home, server, IDLE_TIMEOUT=f"{TIMEOUT.total_seconds():g}s", AWS__POLL_INTERVAL="2s"
        )
        environ |= studio.environment
        app = server.app
        person = Person(server, environ, folder)
        async with daemon_process(environ, home / "log"):
            try:
                await patiently(lambda: person.explain("default"))
                for way in WAYS if shutil.which("tmux") else ("nohup", "setsid"):
                    pid = await person.train(way)
                    explained = await _past_its_time(person, "process", f"(pid {pid})")
                    lab.trained[way] = {"pid": pid, "explained": explained}
                    lab.app_then[way] = app.status(studio.now())
                    os.kill(pid, 9)
                await _edit(lab, person)
                lab.app_then["editing"] = app.status(studio.now())

                async def gone() -> bool:
                    return app.status(studio.now()) != "InService"

                await patiently(gone, deadline_s=60)
                lab.app_after = app.status(studio.now())
                lab.kernel_after = bool(await server.get("api/kernels"))
            finally:
                lab.log = (home / "log").read_text()
    return lab


async def _past_its_time(person: Person, signal: str, text: str) -> dict[str, Any]:
    """Wait until the app would have been due without what goes on now, and for a look after that."""
    until = utc_now() + TIMEOUT * 1.2
    found: dict[str, Any] = {}

    async def said() -> bool:
        nonlocal found
        explained = await person.explain("default")
        for one in explained.get("decision", {}).get("evidence", []):
            late = "observed_at" in one and datetime.fromisoformat(one["observed_at"]) > until
            if late and one["signal"] == signal and text in one["value"]:
                found = explained
        return bool(found)

    await patiently(said, deadline_s=60)
    return found


async def _edit(lab: Lab, person: Person) -> None:
    """w4: a kernel is there all the time, and runs no cell. That it has begun is work too: that must be over."""
    async with person.editing(lab, "w4.ipynb"):
        session = await person.server.open_notebook("w4.ipynb")

        async def nothing_else() -> bool:
            explained = [await person.explain(name) for name in ("w4.ipynb", "default")]
            return all(_said(one, "process") == "idle" for one in explained)

        await patiently(nothing_else, deadline_s=60)
        explained = await _past_its_time(person, "saved", "w4.ipynb")
        lab.editing = {"app": explained, "kernel": await person.explain("w4.ipynb")}
        listed = await person.server.get("api/kernels")
        lab.kernel_then = session["kernel"]["id"] in {kernel["id"] for kernel in listed}


def _said(explained: dict[str, Any], signal: str) -> str:
    evidence = explained.get("decision", {}).get("evidence", [])
    return next((one["activity"] for one in evidence if one["signal"] == signal), "")


if __name__ == "__main__":
    played = asyncio.run(_play(Path(sys.argv[1]), Path(sys.argv[2])))
    sys.stdout.write(json.dumps(asdict(played)))
