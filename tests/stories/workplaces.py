"""A JupyterLab app of the new Studio, and a notebook instance: training that nobody owns any more, and an editor.

Each is played in a container of its own, both at once. First somebody starts training in a terminal by each of three
ways, one after another, and closes the terminal; then somebody edits a notebook; then nobody does anything. Each of
these lasts longer than the idle timeout.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from reaper.testing.studio import Studio, running_studio, running_studio_server
from tests.stories.cells import JOB
from tests.stories.container import in_a_container
from tests.stories.daemons import daemon_process, environment
from tests.stories.studio import asked
from tests.stories.waiting import PATIENCE_S, patiently, utc_now
from tests.support.jupyter_server import JupyterServer, running_jupyter_async, wait_until

__all__ = ["PLACES", "WAYS", "Workplace", "play_workplaces"]

TIMEOUT = timedelta(seconds=7)
POLL = timedelta(seconds=2)
PLACES = ("jupyterlab-app", "notebook-instance")
WAYS = {
    "nohup": "nohup {job} > /dev/null 2>&1 &",
    "setsid": "setsid {job} > /dev/null 2>&1 < /dev/null &",
    "tmux": "tmux -S {folder}/tmux.sock new-session -d {job}",
}


@dataclass(slots=True, kw_only=True)
class Workplace:
    """What the play shows of one place.

    Attributes:
        trained: By way: the training's pid, and how `explain` had the place while it alone was at work.
        edited: How often the notebook was saved.
        editing: How `explain` had the place then, past its time, and the kernel.
        kernel_then: Whether the kernel was listed then.
        state_then: The place's state while each went on.
        state_after: Its state at the end, when nothing had gone on for the whole timeout.
        kernel_after: Whether the kernel was listed at the end.
        requests_then: How often SageMaker had been asked to end it when the editing ended.
        requests: How often it was asked in all.
    """

    trained: dict[str, Any] = field(default_factory=dict)
    edited: int = 0
    editing: dict[str, Any] = field(default_factory=dict)
    kernel_then: bool = False
    state_then: dict[str, str] = field(default_factory=dict)
    state_after: str = ""
    kernel_after: bool = True
    requests_then: int = 0
    requests: int = 0


async def play_workplaces(folder: Path, home: Path) -> dict[str, Workplace]:
    """Play it in both; give what each shows."""

    async def play(place: str) -> Workplace:
        for above in (folder, home):
            above.joinpath(place).mkdir()
        out = await in_a_container(__name__, place, str(folder / place), str(home / place))
        return Workplace(**json.loads(out))

    return dict(zip(PLACES, await asyncio.gather(*map(play, PLACES)), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A place before anybody does anything.

    Attributes:
        name: Its own.
        server: Its Jupyter server.
        preset: The daemon's there.
        metadata_file: What says where we are.
        status: Tells its state, as SageMaker has it.
        requests: Tells how often SageMaker was asked to end it.
    """

    name: str
    server: JupyterServer
    preset: str
    metadata_file: Path
    status: Callable[[], str]
    requests: Callable[[], int]


@asynccontextmanager
async def _jupyterlab_app(studio: Studio, folder: Path) -> AsyncIterator[Scene]:
    space = studio.add_space("work", "ann")
    async with running_studio_server(studio, folder / "lab", space, app_type="JupyterLab") as its:
        yield Scene(
            name=its.app.name,
            server=JupyterServer(
                url=its.url,
                token="",
                pid=its.pid,
                runtime_dir=its.runtime_dir,
                root_dir=its.root_dir,
                socket_path=None,
                ca_file=None,
                log_file=its.log_file,
            ),
            preset="studio",
            metadata_file=its.metadata_file,
            status=lambda: its.app.status(studio.now()),
            requests=lambda: len(studio.calls("DeleteApp")),
        )


@asynccontextmanager
async def _notebook_instance(studio: Studio, folder: Path) -> AsyncIterator[Scene]:
    box = studio.add_notebook_instance("Box", created_at=studio.now() - timedelta(days=9))
    metadata_file = folder / "resource-metadata.json"
    metadata_file.write_text(json.dumps(box.metadata))
    async with running_jupyter_async(folder / "jupyter", token="") as server:
        yield Scene(
            name=box.name,
            server=server,
            preset="notebook-instance",
            metadata_file=metadata_file,
            status=lambda: box.status(studio.now()),
            requests=lambda: len(studio.calls("StopNotebookInstance")),
        )


class Person:
    """Somebody who works there.

    Args:
        scene: The place.
        environ: The daemon's environment: whom to ask.
        folder: For files.
    """

    def __init__(self, scene: Scene, environ: dict[str, str], folder: Path) -> None:
        self.scene = scene
        self.server = scene.server
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
        await self.server.type_into(terminal, WAYS[way].format(job=script, folder=self._folder))
        await patiently(lambda: _exists(pid))
        await self.server.request("DELETE", f"api/terminals/{terminal}")
        return int(pid.read_text())

    @asynccontextmanager
    async def editing(self, seen: Workplace, path: str) -> AsyncIterator[None]:
        """Save a notebook again and again."""

        async def save() -> None:
            while True:
                await self.server.save_notebook(path, f"draft {seen.edited}")
                seen.edited += 1
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


async def _play(place: str, folder: Path, home: Path) -> Workplace:
    seen = Workplace()
    async with AsyncExitStack() as stack:
        studio = await stack.enter_async_context(
            running_studio(boots_in=timedelta(0), deletes_in=timedelta(hours=1))
        )
        setting = _jupyterlab_app if place == "jupyterlab-app" else _notebook_instance
        scene = await stack.enter_async_context(setting(studio, folder))
        settings = {
            "PRESET": scene.preset,
            "STUDIO__METADATA_FILE": str(scene.metadata_file),
            "IDLE_TIMEOUT": f"{TIMEOUT.total_seconds():g}s",
            "POLL_INTERVAL": f"{POLL.total_seconds():g}s",
            "AWS__POLL_INTERVAL": f"{POLL.total_seconds():g}s",
        }
        environ = environment(home, scene.server, **settings) | studio.environment
        person = Person(scene, environ, folder)
        async with daemon_process(environ, home / "log"):
            try:
                await wait_until(
                    lambda: person.explain(scene.name), what="the daemon tells of it", deadline_s=PATIENCE_S
                )
                await _train(seen, person)
                await _edit(seen, person)
                await _leave(seen, person)
            except BaseException:
                sys.stderr.write((home / "log").read_text()[-3000:])
                raise
    return seen


async def _train(seen: Workplace, person: Person) -> None:
    """w3: each training ends when the next one has begun, and is over when it was seen to keep the place.

    The first goes on beyond the timeout. Those after it must be seen at work without any that went before.
    """
    pids: list[int] = []
    until = utc_now() + TIMEOUT * 1.2
    for way in WAYS if shutil.which("tmux") else ("nohup", "setsid"):
        pid = await person.train(way)
        for before in pids:
            os.kill(before, 9)
        until = max(until, utc_now())
        explained = await _found_late(person, until, "process", f"(pid {pid})")
        seen.trained[way] = {"pid": pid, "explained": explained}
        seen.state_then[way] = person.scene.status()
        pids = [pid]
    for last in pids:
        os.kill(last, 9)


async def _found_late(person: Person, until: datetime, signal: str, text: str) -> dict[str, Any]:
    """Wait for evidence from after an instant, and give how the place was explained with it; empty where it goes."""
    found: dict[str, Any] = {}

    async def said() -> bool:
        nonlocal found
        explained = await person.explain(person.scene.name)
        for one in explained.get("decision", {}).get("evidence", []):
            late = "observed_at" in one and datetime.fromisoformat(one["observed_at"]) > until
            if late and one["signal"] == signal and text in one["value"]:
                found = explained
        return bool(found) or person.scene.status() != "InService"

    await patiently(said, deadline_s=60)
    return found


async def _edit(seen: Workplace, person: Person) -> None:
    """w4: a kernel is there all the time, and runs no cell. That it has begun is work too: that must be over."""
    async with person.editing(seen, "w4.ipynb"):
        session = await person.server.open_session("w4.ipynb")

        async def nothing_else() -> bool:
            explained = [await person.explain(name) for name in ("w4.ipynb", person.scene.name)]
            return all(_said(one, "process") == "idle" for one in explained)

        await patiently(nothing_else, deadline_s=60)
        explained = await _found_late(person, utc_now() + TIMEOUT * 1.2, "saved", "w4.ipynb")
        seen.editing = {"place": explained, "kernel": await person.explain("w4.ipynb")}
        listed = await person.server.get("api/kernels")
        seen.kernel_then = session["kernel"]["id"] in {kernel["id"] for kernel in listed}
        seen.state_then["editing"] = person.scene.status()
        seen.requests_then = person.scene.requests()


async def _leave(seen: Workplace, person: Person) -> None:
    """Nobody does anything: wait until the place goes, and for as long as it takes to ask a second time."""
    scene = person.scene

    async def gone() -> bool:
        return scene.status() != "InService"

    await patiently(gone, deadline_s=60)
    at = utc_now()

    async def looked_after() -> bool:
        explained = await person.explain(scene.name)
        evidence = explained.get("decision", {}).get("evidence", [])
        looks = (datetime.fromisoformat(one["observed_at"]) for one in evidence if "observed_at" in one)
        return not evidence or max(looks) > at + POLL

    await patiently(looked_after, deadline_s=60)
    seen.state_after = scene.status()
    seen.requests = scene.requests()
    seen.kernel_after = bool(await person.server.get("api/kernels"))


def _said(explained: dict[str, Any], signal: str) -> str:
    evidence = explained.get("decision", {}).get("evidence", [])
    return next((one["activity"] for one in evidence if one["signal"] == signal), "")


if __name__ == "__main__":
    played = asyncio.run(_play(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
    sys.stdout.write(json.dumps(asdict(played)))
