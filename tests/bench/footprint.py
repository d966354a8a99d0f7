"""What the daemon and the commands cost: memory, CPU, start-up time. `python -m tests.bench.footprint`."""

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from reaper import log as logging
from reaper.core.ruleset import Ruleset
from reaper.core.world import World
from reaper.daemon.loop import Daemon
from reaper.daemon.rules import Setup
from reaper.journal.sqlite import SqliteJournal
from reaper.testing import FakeClock, FakeProvider, FakeSource, Scene, idle, policy, rules
from tests.bench.hosts import Running, kernels, reaper
from tests.support.jupyter_server import running_jupyter_async

__all__ = ["daemon_cost", "start_up", "ten_thousand_ticks"]

_MEGABYTE = 1 << 20


def daemon_cost(count: int = 50, window_s: int = 120, rounds: int = 3) -> dict[str, object]:
    """Measure the real daemon beside `count` real idle kernels at the default interval.

    Windows with nothing due and with every kernel overdue and vetoed alternate, so that both see the same machine.

    Returns:
        RSS in MB; CPU in percent of a core in both states (over all their windows), and the looks in each.
    """
    with TemporaryDirectory(prefix="rb") as directory:
        return asyncio.run(_daemon_cost(Path(directory), count, window_s, rounds))


async def _daemon_cost(directory: Path, count: int, window_s: int, rounds: int) -> dict[str, object]:
    async with running_jupyter_async(directory / "a") as server:
        await kernels(server, count)
        async with reaper(directory / "r", server, START_GRACE="0s", APPLY_GRACE="1s") as running:
            process = psutil.Process(running.pid)
            await asyncio.to_thread(running.client.send, "PUT", "/api/v1/pause", {"why": "benchmark"})
            quiet, overdue, rows = _Window(), _Window(), []
            for _ in range(rounds):
                await _limit(running, None)
                await quiet.measure(process, running, window_s)
                await _limit(running, "5s")
                await overdue.measure(process, running, window_s)
                rows = (await asyncio.to_thread(running.client.get, "/api/v1/status"))["resources"]
            return {
                "kernels": count,
                "RSS MB": round(process.memory_info().rss / _MEGABYTE, 1),
                "CPU %, nothing due": round(quiet.percent, 3),
                "looks": quiet.looks,
                "CPU %, all overdue and vetoed": round(overdue.percent, 3),
                "looks then": overdue.looks,
                "overdue": sum(row["verdict"] == "reap" for row in rows),
            }


async def _limit(running: Running, value: str | None) -> None:
    """Change the idle timeout, and wait until the daemon has come to rest again."""
    setting = {"name": "idle-timeout", "value": value}
    await asyncio.to_thread(running.client.send, "PATCH", "/api/v1/settings", setting)
    await asyncio.sleep(15)


class _Window:
    """What the daemon used in one state, summed up over several windows."""

    def __init__(self) -> None:
        self.looks = 0
        self._spent = self._lasted = 0.0

    @property
    def percent(self) -> float:
        """CPU in percent of a core."""
        return self._spent / self._lasted * 100

    async def measure(self, process: psutil.Process, running: Running, window_s: int) -> None:
        """Add a window."""
        looks = (await asyncio.to_thread(running.client.get, "/api/v1/status"))["polls"]
        times, began = process.cpu_times(), time.monotonic()
        await asyncio.sleep(window_s)
        after = process.cpu_times()
        self._spent += after.user + after.system - times.user - times.system
        self._lasted += time.monotonic() - began
        self.looks += (await asyncio.to_thread(running.client.get, "/api/v1/status"))["polls"] - looks


def ten_thousand_ticks(ticks: int = 10_000, count: int = 50) -> dict[str, object]:
    """Measure how the process grows over looks and decisions a minute apart, in virtual time, on a real journal."""
    with TemporaryDirectory(prefix="rb") as directory:
        return asyncio.run(_ten_thousand_ticks(Path(directory), ticks, count))


async def _ten_thousand_ticks(directory: Path, ticks: int, count: int) -> dict[str, object]:
    logging.configure("console", "error")
    clock, scene = FakeClock(), Scene()
    for number in range(count):
        scene.add(f"kernel-{number}", {"execution_state": idle(clock.now())})
    source = FakeSource(scene=scene)
    journal = SqliteJournal(directory / "journal.db")
    await journal.open(write=True)
    ruleset = rules(policy(timeout=timedelta(days=3650)))

    def build(_: object) -> Ruleset:
        return ruleset

    setup = Setup(
        build_ruleset=build,
        check_override=lambda _n, _v: None,
        underlying={},
        poll_interval=timedelta(minutes=1),
    )
    daemon = Daemon(
        setup=setup,
        journal=journal,
        providers=(FakeProvider(sources=[source]),),
        notifiers=(),
        clock=clock,
        world=World(),
    )
    await daemon.looking.discover(clock.now())
    (watch,) = daemon.looking.watches.values()
    process = psutil.Process()
    settled = 0
    began = time.perf_counter()
    for tick in range(ticks):
        clock.advance(timedelta(minutes=1))
        await daemon.looking.look(watch)
        await daemon.decide_now()
        if tick == ticks // 10:
            gc.collect()
            settled = process.memory_info().rss
    gc.collect()
    grown = process.memory_info().rss - settled
    spent = time.perf_counter() - began
    await daemon.close()
    return {
        "ticks": ticks,
        "resources": count,
        "growth MB (after the first tenth)": round(grown / _MEGABYTE, 2),
        "ms a tick": round(spent / ticks * 1000, 2),
    }


def start_up(times: int = 11) -> dict[str, object]:
    """Measure `reaper --help` and `reaper status` (from a journal) as whole processes: medians in seconds."""
    with TemporaryDirectory(prefix="rb") as directory:
        environment = {
            **os.environ,
            "HOME": directory,
            "REAPER_STATE": f"{directory}/journal.db",
            "REAPER_LISTEN": "none",
        }
        command = [str(Path(sys.executable).parent / "reaper")]
        subprocess.run([*command, "run", "--once"], env=environment, capture_output=True, check=False)
        return {
            "reaper --help, s": _median([*command, "--help"], environment, times),
            "reaper status, s": _median([*command, "status"], environment, times),
        }


def _median(command: list[str], environment: dict[str, str], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, env=environment, capture_output=True, check=False)
        took.append(time.perf_counter() - began)
    return round(statistics.median(took[1:]), 3)


if __name__ == "__main__":
    print(start_up())
    print(ten_thousand_ticks())
    print(daemon_cost())
