"""What the benchmarks on real servers share: many kernels, and the real daemon beside them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from reaper.cli.client import Client, DaemonUnreachable
from reaper.config.places import ListenAddress
from tests.support.jupyter_server import JupyterServer

__all__ = ["Running", "daemon", "kernels", "reaper"]

_AT_ONCE = 4


class Running:
    """A running daemon."""

    def __init__(self, pid: int, client: Client, environment: dict[str, str]) -> None:
        self.pid = pid
        self.client = client
        self.environment = environment


async def kernels(server: JupyterServer, count: int) -> list[str]:
    """Start kernels and run a cell in each, a few at once."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one() -> str:
        async with gate:
            return await server.idle_kernel()

    return list(await asyncio.gather(*(one() for _ in range(count))))


@asynccontextmanager
async def reaper(directory: Path, server: JupyterServer, **settings: str) -> AsyncIterator[Running]:
    """Run the real daemon on a server, in enforce mode; settings are variables without `REAPER_`."""
    variables = {
        "REAPER_JUPYTER__RUNTIME_DIRS": str(server.runtime_dir),
        **{f"REAPER_{name}": value for name, value in settings.items()},
    }
    async with daemon(directory, variables) as running:
        yield running


@asynccontextmanager
async def daemon(directory: Path, variables: Mapping[str, str]) -> AsyncIterator[Running]:
    """Run the real daemon, in enforce mode, until it has looked once."""
    directory.mkdir(parents=True, exist_ok=True)
    socket = directory / "s"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("REAPER_")},
        "REAPER_MODE": "enforce",
        "REAPER_STATE": str(directory / "journal.db"),
        "REAPER_LISTEN": f"unix:{socket}",
        "XDG_CONFIG_HOME": str(directory),
        "XDG_CACHE_HOME": str(directory / "cache"),
        **variables,
    }
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reaper", "run", env=environment, stdout=log, stderr=log
        )
    client = Client(ListenAddress(path=socket))
    try:
        for _ in range(200):
            try:
                if (await asyncio.to_thread(client.get, "/api/v1/status"))["polls"] > 0:
                    break
            except DaemonUnreachable:
                pass
            await asyncio.sleep(0.1)
        yield Running(process.pid, client, environment)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
