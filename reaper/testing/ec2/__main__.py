"""Run the fake as a process of its own: `python -m reaper.testing.ec2 --instances 50000 --latency 20ms`.

It prints one line of JSON when it answers: its address, and the variables that make botocore talk to it. `GET /_counts`
tells what it was asked since it was told last.
"""

import argparse
import asyncio
import json
import re
import signal
import sys
from datetime import timedelta

from reaper.testing.ec2.fleet import Fleet
from reaper.testing.ec2.running import serve

_UNITS = {"ms": 0.001, "s": 1.0}


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m reaper.testing.ec2", description="A fake of EC2 on loopback."
    )
    parser.add_argument("--instances", type=int, default=1000, help="in each region of each account (1000)")
    parser.add_argument("--accounts", type=int, default=1, help="how many; all have a role named reaper (1)")
    parser.add_argument(
        "--regions", type=int, default=1, help="how many in each account, us-east-1 first (1)"
    )
    parser.add_argument("--latency", type=_duration, default=timedelta(0), help="of every answer: 20ms (0s)")
    parser.add_argument(
        "--throttle", type=float, default=0.0, help="the share of calls that are throttled (0)"
    )
    parser.add_argument("--cache-mb", type=int, default=64, help="memory for pages that were sent (64)")
    parser.add_argument("--seed", type=int, default=0, help="what the instances are follows from it (0)")
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0: any that is free (0)")
    options = parser.parse_args(arguments)
    fleet = Fleet.synthetic(
        options.accounts,
        options.regions,
        options.instances,
        options.seed,
        cache_bytes=options.cache_mb << 20,
    )
    asyncio.run(_serve(fleet, options))


async def _serve(fleet: Fleet, options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(fleet, port=options.port, latency=options.latency):
        if options.throttle:
            fleet.throttle(share=options.throttle)
        print(json.dumps({"url": fleet.url, "environment": fleet.environment}), flush=True)  # noqa: T201 -- the answer
        await stop.wait()


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 20ms or 1s")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


if __name__ == "__main__":
    main(sys.argv[1:])
