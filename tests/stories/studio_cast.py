"""Who is on the JupyterServer of Studio Classic: an app for each failure of the original extension, and more."""

import asyncio
import contextlib
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from reaper.errors import ReaperError
from reaper.testing.studio import App, Studio, StudioServer
from tests.stories.cells import install_kernels

__all__ = ["Cast", "prepare"]

BUSY = "import time\ntime.sleep(3600)"
"""A cell whose kernel is busy, and costs nothing."""

THREAD = """
import threading, time
def train():
    while True:
        sum(range(1000))
        time.sleep(0.05)
threading.Thread(target=train, daemon=True).start()
"""

SERVER_CONFIG = """
from jupyter_server._tz import utcnow
from jupyter_server.services.kernels import kernelmanager

kernelmanager.utcnow = lambda: utcnow().replace(microsecond=0)  # in one second of a million that is so by itself

model = kernelmanager.MappingKernelManager.kernel_model

def kernel_model(self, kernel_id):
    told = model(self, kernel_id)
    return {**told, "execution_state": "unknown"} if told["name"].startswith("odd") else told

kernelmanager.MappingKernelManager.kernel_model = kernel_model
c.AsyncMappingKernelManager.use_pending_kernels = True
c.KernelManager.shutdown_wait_time = 0.5

async def leave(self, now=False):  # a kernel that never began makes the server wait for ever at its end
    pass

kernelmanager.AsyncMappingKernelManager.shutdown_all = leave
"""
"""Whole seconds, which jupyter_server writes without a fraction; and a kernel of a state that nobody knows."""

SILENT = "while :; do sleep 60; done"
"""A kernel that never says anything is "starting" for good."""

ELSEWHERE = f'file=$(mktemp) && cp "$0" "$file" && exec {sys.executable} -m ipykernel_launcher -f "$file"'
"""A kernel whose process can't be told from its command line: to reaper it is in another container."""


def prepare(folder: Path) -> None:
    """Write what the server reads at its start: its configuration, and kernels."""
    install_kernels(folder)
    (folder / "config").mkdir(parents=True)
    (folder / "config/jupyter_server_config.py").write_text(SERVER_CONFIG)
    for name, script in (("silent", SILENT), ("odd", SILENT), ("elsewhere", ELSEWHERE)):
        argv = ["bash", "-c", script, "{connection_file}"]
        spec = folder / "data/kernels" / name
        spec.mkdir(parents=True)
        document = {"argv": argv, "display_name": name, "language": "python"}
        spec.joinpath("kernel.json").write_text(json.dumps(document))


class Cast:
    """Starts everybody.

    Attributes:
        studio: Whose apps they are in.
        server: Where they are.
        listed: Apps that the server lists at the beginning.
        busy: Notebooks whose kernels are at work, or in doubt, for the whole play.
    """

    def __init__(self, studio: Studio, server: StudioServer, kernels: dict[str, str]) -> None:
        self.studio = studio
        self.server = server
        self.listed: list[App] = []
        self.busy = ("ten-busy", "f02", "f07-unknown")
        self._kernels = kernels

    def app(self, name: str) -> App:
        """Make an app; image and instance type are its own, since image terminals are told by those."""
        return self.studio.add_app("ann", name)

    def status(self, name: str) -> str:
        """Give the state of the newest app of a name."""
        apps = [app for app in self.studio.apps if app.name == name]
        return apps[-1].status(self.studio.now())

    async def enter(self) -> str:
        """Start everybody, a few kernels at a time; give the name of an image terminal."""
        names = ("f01-app", "f03-refused", "f04-app", "f10-app", "f11-app", "ten", "w20-app")
        apps = {name: self.app(name) for name in names}
        terminal = self.studio.add_app("ann", "kept-terminal", instance_type="ml.m5.large")
        self.listed = [*apps.values(), terminal]
        unlisted = self.app("f02-unlisted")
        boots = self.studio.add_app("ann", "f02-boots", boots_in=timedelta(hours=1))
        ten = apps["ten"]
        at_once = asyncio.Semaphore(4)

        async def one(start: Any) -> None:
            async with at_once:
                await start

        starts = [
            self._ran("f05", ten),
            self._ran("f06", ten),
            self._restarted("f07-restarted", ten),
            self._dead("f07-dead", ten),
            *(self._opened(f"f07-starting-{number}", ten, "silent") for number in range(5)),
            self._ran("ten-busy", ten, BUSY, wait=False),
            self._ran("f02", unlisted, BUSY, wait=False),
            self._opened("f07-unknown", unlisted, "odd"),
            self._ran("w20", apps["w20-app"], THREAD, kernel="elsewhere"),
            self._twice("f04", apps["f04-app"]),
            self._without_a_session(),
            self.server.open_notebook("f02-waits.ipynb", boots),
        ]
        await asyncio.gather(*(one(start) for start in starts))
        await self.server.open_terminal(None)  # the system's own
        unlisted.hidden = True
        return await self.server.open_terminal(terminal)

    async def open_f01(self) -> dict[str, Any]:
        """Open the notebook of f01, in an app that was seen empty."""
        app = next(app for app in self.listed if app.name == "f01-app")
        session = await self.server.open_notebook("f01.ipynb", app)
        self._kernels["f01"] = session["kernel"]["id"]
        return session

    async def _opened(self, name: str, app: App, kernel: str = "python3") -> str:
        model = {
            "name": f"{kernel}__SAGEMAKER_INTERNAL__{app.image_arn}",
            "app_name": app.name,
            "instance_type": app.instance_type,
        }
        path = f"{name}.ipynb"
        body = {"path": path, "name": path, "type": "notebook", "kernel": model}
        status, session = await self.server.send("POST", "api/sessions", body)
        if status != 201:
            raise ReaperError(f"{name}: {status} {session}")
        self._kernels[name] = session["kernel"]["id"]
        return self._kernels[name]

    async def _ran(
        self, name: str, app: App, code: str = "1 + 1", *, kernel: str = "python3", wait: bool = True
    ) -> None:
        await self.server.execute(await self._opened(name, app, kernel), code, wait=wait)

    async def _restarted(self, name: str, app: App) -> None:
        """Restart a kernel on which no tab is open: nobody hears what became of it."""
        kernel_id = await self._opened(name, app)
        await self.server.send("POST", f"api/kernels/{kernel_id}/restart")

    async def _dead(self, name: str, app: App) -> None:
        """Ask for a kernel that can't start, and open its tab: the server lists it as dead, and keeps it."""
        kernel_id = await self._opened(name, app, "broken")
        url = f"{self.server.url}api/kernels/{kernel_id}/channels?session_id=tab"
        with contextlib.suppress(aiohttp.WSServerHandshakeError):
            async with self.server.http.ws_connect(url):
                pass

    async def _twice(self, name: str, app: App) -> None:
        """Open a second notebook on the kernel of the first."""
        kernel_id = await self._opened(name, app)
        await self.server.execute(kernel_id, "1 + 1")
        body = {"path": f"{name}-too.ipynb", "name": "", "type": "notebook", "kernel": {"id": kernel_id}}
        status, session = await self.server.send("POST", "api/sessions", body)
        if status != 201 or session["kernel"]["id"] != kernel_id:
            raise ReaperError(f"no second session on one kernel: {status} {session}")

    async def _without_a_session(self) -> None:
        _, kernel = await self.server.send("POST", "api/kernels", {"name": "python3"})
        self._kernels["f08"] = kernel["id"]
        await self.server.execute(kernel["id"], "1 + 1")
