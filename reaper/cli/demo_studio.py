"""The demo's Studio part: a faithful fake of SageMaker, and a real Jupyter server as a Studio Classic app on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from reaper.cli.demo_stage import COMPUTE, Actor, Cast
from reaper.testing.studio import App, Studio, StudioServer, running_studio, running_studio_server

__all__ = ["StudioStage", "studio_stage"]

_FORGOTTEN = Actor(
    name="explore.ipynb",
    kind="jupyter.kernel",
    plays="in the app 'forgotten': ran a cell, then nothing",
    code="x = 1 + 1",
    survives=False,
)
_TRAINING = Actor(
    name="train.ipynb",
    kind="jupyter.kernel",
    plays="in the app 'training': a long cell",
    code=COMPUTE,
    survives=True,
    waits=False,
)
_DELETES_IN = timedelta(seconds=2)
"""How long the fake's apps are Deleting; real ones take minutes."""


class StudioStage:
    """A Studio user with two apps and a notebook in each."""

    title = "a SageMaker Studio user (a fake of AWS, real kernels)"

    def __init__(self, studio: Studio, server: StudioServer) -> None:
        """Take what runs."""
        self.cast: list[Cast] = []
        self.environment = {
            **studio.environment,
            **server.environment,
            "REAPER_PRESET": "studio",
            "REAPER_STUDIO__METADATA_FILE": str(server.metadata_file),
            "REAPER_JUPYTER__RUNTIME_DIRS": str(server.runtime_dir),
        }
        self._studio = studio
        self._server = server
        self._apps: list[App] = []

    async def fill(self) -> None:
        """Let the user open a notebook in an app of its own, twice."""
        for name, notebook in (("forgotten", _FORGOTTEN), ("training", _TRAINING)):
            await self._open(name, notebook)

    async def _open(self, name: str, notebook: Actor) -> None:
        app = self._studio.add_app(self._server.app.owner, name=name)
        self._apps.append(app)
        session = await self._server.open_notebook(notebook.name, app)
        kernel_id = str(session["kernel"]["id"])
        await self._server.execute(kernel_id, notebook.code, wait=notebook.waits)
        plays = f"a {app.instance_type}, whose notebook {'works' if notebook.survives else 'is forgotten'}"
        actor = Actor(name=name, kind="studio.app", plays=plays, code="", survives=notebook.survives)
        self.cast += [
            Cast(actor=notebook, id=kernel_id),
            Cast(actor=actor, id=_id(app)),
        ]

    async def alive(self) -> set[str]:
        """Give the ids of the kernels that the server lists, and of the apps in service."""
        kernels = await self._server.get("api/kernels")
        now = self._studio.now()
        apps = [app for app in self._apps if app.status(now) == "InService"]
        return {kernel["id"] for kernel in kernels} | {_id(app) for app in apps}


def _id(app: App) -> str:
    return app.metadata_arn.partition(":app/")[2]


@asynccontextmanager
async def studio_stage(directory: Path) -> AsyncIterator[StudioStage]:
    """Start the fake on loopback and a Jupyter server on it, isolated from the user's; end both.

    Raises:
        ReaperError: The server does not come up.
    """
    async with (
        running_studio(boots_in=timedelta(0), deletes_in=_DELETES_IN) as studio,
        running_studio_server(studio, directory, studio.add_user("ann")) as server,
    ):
        yield StudioStage(studio, server)
