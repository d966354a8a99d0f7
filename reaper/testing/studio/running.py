"""Start and stop the fake."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from reaper.clock import Clock
from reaper.testing.studio.front import Front
from reaper.testing.studio.studio import Studio

__all__ = ["running_studio"]


@asynccontextmanager
async def running_studio(clock: Clock | None = None, **options: Any) -> AsyncIterator[Studio]:
    """Run a fake of SageMaker Studio on a port of loopback.

        async with running_studio(clock) as studio:
            app = studio.add_app("ann")
            ...                              # botocore, with studio.environment

    Args:
        clock: Where instants come from (`FakeClock`); the machine's own without one.
        options: As in `Inventory`: account, region, boots_in, deletes_in.

    Raises:
        AssertionError: At the end, if something was asked that AWS would not have understood.
    """
    studio = Studio(clock, **options)
    front = Front(studio)
    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.router.add_route("*", "/_door/{secret}/{path:.*}", front.answer_door)
    application.router.add_route("*", "/{path:.*}", front.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        studio.url = f"http://{host}:{port}"
        studio.open_door = front.open_door
        yield studio
    finally:
        front.close()
        await runner.cleanup()
    if studio.violations:
        raise AssertionError("AWS would not have had it: " + " | ".join(studio.violations))
