"""f2: an idle Dask cluster of six workers on this host, and a daemon at the default thresholds.

`dask scheduler` and `dask worker --nworkers 6`, with a client in the notebook. The story says how much such a cluster
uses: 26 % of a core in all, 7 % in one process. What Dask does in a second is fixed, what that costs is the machine's:
on a slow one 45 % and 11 %, with a `LocalCluster` in the kernel itself 14 %. So Dask is told here to look at itself
less often, which brings it below the story's figures on a slow machine too, with the other core busy. What happens
above the threshold (kept, and named) is told in docs/explanation/idleness.md and by the stories of what must survive.

CPU time is also measured here, by psutil and not by reaper, over windows as long as reaper's own.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.stories.accounts import Account, Accountant
from tests.stories.daemons import environment, reaper_in_process
from tests.stories.stage import Stage
from tests.support.jupyter_server import running_jupyter_async

__all__ = ["Cluster", "play_cluster"]

WINDOW_S = 5.0

CLUSTER = """
import os, subprocess, sys
from distributed import Client
settings = {{
    **os.environ,
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "500ms",  # 20ms of itself: how late its event loop is
    "DASK_DISTRIBUTED__WORKER__PROFILE__INTERVAL": "50ms",  # 10ms of itself: a statistical profile
}}
def dask(*arguments):
    command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", {file!r}, "--host", "127.0.0.1"]
    return subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
scheduler = dask("scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0")
workers = dask("worker", "--nworkers", "6", "--nthreads", "1")
client = Client(scheduler_file={file!r}, timeout=120)
client.wait_for_workers(6, timeout=120)
print(client.submit(sum, [1, 2]).result())
"""


@dataclass(slots=True)
class Cluster:
    """What the play shows.

    Attributes:
        accounts: What became of the one kernel, `f2`.
        busiest: The highest use of a core in one process, in any window.
        together: The highest use of all its processes together, in any window.
        processes: How many processes it had.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    busiest: float = 0.0
    together: float = 0.0
    processes: int = 0


async def play_cluster(folder: Path, home: Path) -> Cluster:
    """Play it.

    Args:
        folder: For the server.
        home: A short path, for the socket.
    """
    play = Cluster()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_jupyter_async(folder))
        stage = Stage(server, play.accounts, stack, folder)
        await stage.kernel("f2", CLUSTER.format(file=str(folder / "scheduler.json")))
        stage.meanwhile(_measure(play))
        reaper = await stack.enter_async_context(reaper_in_process(environment(home, server)))
        accountant = Accountant(server, reaper, play.accounts)
        await accountant.gone({"f2"})
        await accountant.conclude()
    return play


async def _measure(play: Cluster) -> None:
    """Note the highest use of a core in one window after the other, until cancelled."""
    process = play.accounts["f2"].process
    before, began = _cpu(process), time.monotonic()
    while True:
        await asyncio.sleep(WINDOW_S)
        after, now = _cpu(process), time.monotonic()
        rises = [(at - before[pid]) / (now - began) for pid, at in after.items() if pid in before]
        play.busiest = max([play.busiest, *rises])
        play.together = max(play.together, sum(rises))
        play.processes = max(play.processes, len(after))
        before, began = after, now


def _cpu(process: psutil.Process | None) -> dict[int, float]:
    used = {}
    for one in [process, *process.children(recursive=True)] if process and process.is_running() else []:
        try:
            times = one.cpu_times()
        except psutil.Error:
            continue
        used[one.pid] = times.user + times.system
    return used
