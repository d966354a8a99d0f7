"""f2: two idle Dask clusters of six workers on this host, as people have them, and a daemon at the default thresholds.

- *started by hand*: `dask scheduler` and `dask worker --nworkers 6`, with a client in the notebook. Each process
  stays far below the threshold, on a busy machine too.
- *in the notebook*: `LocalCluster(n_workers=6)`, whose scheduler and six nannies live in the kernel itself. That one
  process comes near the threshold (0.10 core) and crosses it where the machine is slow, or where its other core is
  busy: a core that is shared does less in a second of CPU time. Then it is kept, on the safe side, and `status`
  names the process; one setting lets it go.

CPU time is also measured here, by psutil and not by reaper, over windows as long as reaper's own.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from reaper.cli.wiring import loaded
from reaper.config import load_settings
from tests.stories.accounts import Account, Accountant
from tests.stories.daemons import Reaper, environment, reaper_in_process
from tests.stories.stage import Stage
from tests.support.jupyter_server import running_jupyter_async

__all__ = ["DEFAULT_CORE", "Cluster", "play_cluster"]

DEFAULT_CORE = 0.10
RAISED_CORE = 0.25
"""What the documentation says for a cluster in the notebook that is kept."""
GIVEN_S = 40.0
"""How long the cluster in the notebook has to go at the default: three times the timeout."""
WINDOW_S = 5.0

STARTED_BY_HAND = """
import subprocess, sys
from distributed import Client
def dask(*arguments):
    command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", {file!r}, "--host", "127.0.0.1"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
scheduler = dask("scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0")
workers = dask("worker", "--nworkers", "6", "--nthreads", "1")
client = Client(scheduler_file={file!r}, timeout=120)
client.wait_for_workers(6, timeout=120)
print(client.submit(sum, [1, 2]).result())
"""

IN_THE_NOTEBOOK = """
from distributed import Client, LocalCluster
cluster = LocalCluster(n_workers=6, threads_per_worker=1, dashboard_address="127.0.0.1:0")
client = Client(cluster)
client.wait_for_workers(6, timeout=120)
print(client.submit(sum, [1, 2]).result())
"""


@dataclass(slots=True)
class Cluster:
    """What the play shows.

    Attributes:
        accounts: What became of the kernels `by hand` (at the default) and `in notebook`.
        busiest: Of each, the highest use of a core in one process, in any window.
        together: Of each, the highest use of all its processes together, in any window.
        processes: How many processes each had.
        kept_at_default: What `status` said of the one in the notebook when it had not gone in its time; else empty.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    busiest: dict[str, float] = field(default_factory=dict)
    together: dict[str, float] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
    kept_at_default: str = ""


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
        await asyncio.gather(
            stage.kernel("by hand", STARTED_BY_HAND.format(file=str(folder / "scheduler.json"))),
            stage.kernel("in notebook", IN_THE_NOTEBOOK),
        )
        stage.meanwhile(_measure(play))
        environ = environment(home, server)
        reaper = await stack.enter_async_context(reaper_in_process(environ))
        by_hand, in_notebook = (
            Accountant(server, reaper, {name: play.accounts[name]}) for name in ("by hand", "in notebook")
        )
        await by_hand.gone({"by hand"})
        await by_hand.conclude()
        await in_notebook.gone({"in notebook"}, deadline_s=GIVEN_S)
        status = reaper.resource(play.accounts["in notebook"].id)
        if status is not None:
            play.kept_at_default = str(status["reason_text"])
            await _raise_the_threshold(reaper, environ)
            await in_notebook.gone({"in notebook"})
        await in_notebook.conclude()
    return play


async def _raise_the_threshold(reaper: Reaper, environ: Mapping[str, str]) -> None:
    """Do as the documentation says: one setting, and SIGHUP."""
    settings = load_settings({**environ, "REAPER_JUPYTER__PROCESS__CORE": str(RAISED_CORE)})
    setup, providers, notifiers = loaded(settings, reaper.daemon.clock)
    await reaper.daemon.reload(setup, providers, notifiers)


async def _measure(play: Cluster) -> None:
    """Note the highest use of a core in one window after the other, until cancelled."""
    before: dict[str, dict[int, float]] = {}
    began = time.monotonic()
    while True:
        after = {name: _cpu(account.process) for name, account in play.accounts.items()}
        seconds = time.monotonic() - began
        for name, used in after.items():
            rises = [
                (at - before[name][pid]) / seconds for pid, at in used.items() if pid in before.get(name, {})
            ]
            play.busiest[name] = max([play.busiest.get(name, 0.0), *rises])
            play.together[name] = max(play.together.get(name, 0.0), sum(rises))
            play.processes[name] = max(play.processes.get(name, 0), len(used))
        before, began = after, time.monotonic()
        await asyncio.sleep(WINDOW_S)


def _cpu(process: psutil.Process | None) -> dict[int, float]:
    used = {}
    for one in [process, *process.children(recursive=True)] if process and process.is_running() else []:
        try:
            times = one.cpu_times()
        except psutil.Error:
            continue
        used[one.pid] = times.user + times.system
    return used
