"""Start and stop the fake."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from aiohttp import web

from reaper.clock import Clock
from reaper.testing.ec2.fleet import Fleet
from reaper.testing.ec2.front import Front

__all__ = ["running_fleet", "serve"]


@asynccontextmanager
async def running_fleet(clock: Clock | None = None, **options: Any) -> AsyncIterator[Fleet]:
    """Run a fake of EC2 on a port of loopback.

        async with running_fleet(clock) as fleet:
            instance = fleet.add("g5.xlarge", "trainer", age=hours(72))
            ...                              # botocore, with fleet.environment

    Args:
        clock: Where instants come from (`FakeClock`); the machine's own without one.
        options: As in `Fleet`.

    Raises:
        AssertionError: At the end, if something was asked that AWS would not have understood.
    """
    fleet = Fleet(clock, **options)
    async with serve(fleet):
        yield fleet
    if fleet.violations:
        raise AssertionError("AWS would not have had it: " + " | ".join(fleet.violations))


@asynccontextmanager
async def serve(fleet: Fleet, *, port: int = 0, latency: timedelta = timedelta(0)) -> AsyncIterator[None]:
    """Let a fleet answer on a port of loopback.

    Args:
        fleet: Which.
        port: Which port; 0: any that is free.
        latency: How late every answer is.
    """
    front = Front(fleet, latency_s=latency.total_seconds())
    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.router.add_get("/_counts", partial(_counts, fleet))
    application.router.add_route("*", "/{path:.*}", front.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        host, bound = runner.addresses[0][:2]
        fleet.url = f"http://{host}:{bound}"
        yield
    finally:
        front.close()
        await runner.cleanup()


async def _counts(fleet: Fleet, _: web.Request) -> web.Response:
    """Tell, and forget, how often each operation was asked for, and for how many metrics."""
    told = {"calls": dict(fleet.counts), "metrics": fleet.metrics.asked}
    fleet.counts.clear()
    fleet.metrics.asked = 0
    return web.json_response(told)
