"""What the agent in a Studio app costs: `python -m tests.bench.studio`. The fake of SageMaker, real kernels."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from reaper.testing.studio import Studio, running_studio, running_studio_server
from tests.bench.hosts import Running, daemon

__all__ = ["agent_cost"]

_MEGABYTE = 1 << 20
_APPS = 10
_LOOKS = 8
"""By then every part has been loaded and memory has settled."""


def agent_cost() -> list[dict[str, object]]:
    """Measure the daemon in a JupyterServer app with ten apps, by each door, and in a JupyterLab app.

    Returns:
        A row for each place: RSS in MB after a few looks at each source.
    """
    places = (
        ("Studio Classic, apps by its server", "JupyterServer", "server"),
        ("Studio Classic, apps by SageMaker's API", "JupyterServer", "api"),
        ("JupyterLab space, which deletes itself", "JupyterLab", "api"),
    )
    return [asyncio.run(_cost(*place)) for place in places]


async def _cost(where: str, app_type: str, door: str) -> dict[str, object]:
    with TemporaryDirectory(prefix="rb") as directory:
        async with running_studio() as studio, _agent(studio, Path(directory), app_type, door) as running:
            process = psutil.Process(running.pid)
            while (await asyncio.to_thread(running.client.get, "/api/v1/status"))["polls"] < 2 * _LOOKS:
                await asyncio.sleep(1)
            return {
                "where": where,
                "RSS MB": round(process.memory_info().rss / _MEGABYTE, 1),
                "calls of AWS": len(studio.requests),
            }


@asynccontextmanager
async def _agent(studio: Studio, directory: Path, app_type: str, door: str) -> AsyncIterator[Running]:
    ann = studio.add_user("ann")
    apps = [studio.add_app(ann, name=f"app-{n}") for n in range(_APPS if app_type == "JupyterServer" else 0)]
    async with running_studio_server(studio, directory / "a", ann, app_type=app_type) as server:
        for app in apps[:3]:
            await server.open_notebook(f"{app.name}.ipynb", app)
        environment = {
            **studio.environment,
            **server.environment,
            "REAPER_PRESET": "studio",
            "REAPER_STUDIO__METADATA_FILE": str(server.metadata_file),
            "REAPER_STUDIO__APPS": door,
            "REAPER_AWS__POLL_INTERVAL": "5s",
            "REAPER_POLL_INTERVAL": "5s",
            "REAPER_JUPYTER__RUNTIME_DIRS": str(server.runtime_dir),
        }
        async with daemon(directory / "r", environment) as running:
            yield running


if __name__ == "__main__":
    for row in agent_cost():
        print(row)
