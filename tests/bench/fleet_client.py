"""What is measured beside `reaper check`: `python -m tests.bench.fleet_client boto3`, `stalls` or `evidence`.

`boto3` lists instances as its documentation shows, and nothing more. `stalls` does what `reaper check` does, and says
how long its event loop was busy at a time. `evidence` looks once as the daemon's source of EC2 does, with a policy
that reads activity.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import pairwise
from typing import Any


def bare_listing() -> dict[str, object]:
    """List every instance with boto3; count those that have run for two hours."""
    boto3: Any = import_module("boto3")  # it says nothing of its types
    before = datetime.now(UTC) - timedelta(hours=2)
    pages = boto3.client("ec2").get_paginator("describe_instances").paginate()
    found = 0
    for page in pages:
        for reservation in page["Reservations"]:
            for instance in reservation["Instances"]:
                running = instance["State"]["Name"] == "running"
                found += running and instance["LaunchTime"] <= before
    return {"found": found}


def stalls() -> dict[str, object]:
    """Look as `reaper check` does, and measure how late the event loop comes to what is due each 5 ms.

    Returns:
        What was found, and the 99th percentile and the most of what it was late by, in ms.
    """
    import asyncio

    from reaper.cli.checking.fleet import Fleet
    from reaper.cli.checking.page import written
    from reaper.cli.checking.rows import Limits
    from reaper.config import load_settings

    every = 0.005

    async def watch(late: list[float]) -> None:
        loop = asyncio.get_running_loop()
        times = [loop.time()]
        try:
            while True:
                await asyncio.sleep(every)
                times.append(loop.time())
        finally:
            late += [max(0.0, after - before - every) for before, after in pairwise(times)]

    async def look() -> dict[str, object]:
        late: list[float] = []
        limits = Limits(warning_after=timedelta(hours=2), critical_after=timedelta(hours=6))
        watching = asyncio.create_task(watch(late))
        async with Fleet(load_settings()) as fleet:
            seen, tally = await fleet.look(limits, ())
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        length = sum(len(piece) for piece in written(seen, limits, tally))
        ordered = sorted(late)
        return {
            "found": tally.attention,
            "length": length,
            "errors": [message for _, message in seen.errors][:3],
            "p99 ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
            "most ms": round(ordered[-1] * 1000, 1),
        }

    return asyncio.run(look())


def evidence() -> dict[str, object]:
    """Look at a region's instances, and ask CloudWatch what those do that are old enough to be idle for two hours."""
    import asyncio

    from reaper.clients.aws import Aws, AwsOptions
    from reaper.clock import SystemClock
    from reaper.core.model import Activity
    from reaper.plugins import Look
    from reaper.providers.ec2.options import Ec2Options, Timeouts
    from reaper.providers.ec2.source import InstancesSource, Shard

    timeouts = Timeouts(ask_after=timedelta(hours=2), look_back=timedelta(hours=2))

    async def look() -> dict[str, object]:
        clock, aws = SystemClock(), Aws(AwsOptions(adaptive=True))
        shard = Shard(scope="123456789012/us-east-1", region="us-east-1", aws=aws, clock=clock)
        source = InstancesSource(shard, Ec2Options(timeouts=lambda _: timeouts))
        try:
            seen = await source.collect(Look(poll_id=1, at=clock.now(), deadline=600.0))
        finally:
            await aws.close()
        quiet = [one for one in seen.observations if one.signal == "gpu" and one.activity is Activity.IDLE]
        return {"found": len(quiet), "complete": seen.poll.complete, "error": seen.poll.error}

    return asyncio.run(look())


MODES: dict[str, Any] = {"boto3": bare_listing, "stalls": stalls, "evidence": evidence}

if __name__ == "__main__":
    print(json.dumps(MODES[sys.argv[1]]()))
