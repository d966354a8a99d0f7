"""How late a kernel goes: reaper, and jupyter_server's own culler at its default interval and at 3 s.

Three real servers in one run, with as many real kernels each; every kernel runs one last cell at a random
instant and is then left alone. `python -m tests.bench.lag`.
"""

import asyncio
import random
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from reaper.core.codec import instant_from_text
from reaper.core.facts import ActionState, LedgerEntry
from reaper.journal.sqlite import SqliteJournal
from reaper.plugins import LedgerQuery
from tests.bench.hosts import kernels, reaper
from tests.support.jupyter_server import JupyterServer, running_jupyter_async

__all__ = ["reap_lag"]

TIMEOUT_S = 150
DEFAULT_INTERVAL_S = 300
REQUESTS_A_LOOK = 4


def reap_lag(count: int = 20) -> list[dict[str, object]]:
    """Measure the lag from last_activity + timeout, in seconds, for `count` kernels on each of three servers.

    Returns:
        A row each: who, median, p99 and most of the lag until the kernel is gone (for reaper also until the
        request is sent, from its ledger), and requests or looks an hour.
    """
    with TemporaryDirectory(prefix="rb") as directory:
        return asyncio.run(_reap_lag(Path(directory), count))


async def _reap_lag(directory: Path, count: int) -> list[dict[str, object]]:
    ours = running_jupyter_async(directory / "a")
    default = running_jupyter_async(
        directory / "b", cull_idle_timeout=TIMEOUT_S, cull_interval=DEFAULT_INTERVAL_S, cull_connected=True
    )
    quick = running_jupyter_async(
        directory / "c", cull_idle_timeout=TIMEOUT_S, cull_interval=3, cull_connected=True
    )
    async with ours as one, default as two, quick as three:
        servers = [one, two, three]
        ids = [await kernels(server, count) for server in servers]
        settings = {"IDLE_TIMEOUT": f"{TIMEOUT_S}s", "START_GRACE": "0s", "APPLY_GRACE": "1s"}
        async with reaper(directory / "r", one, **settings) as running:
            began = time.monotonic()
            lags = await asyncio.gather(
                *(_watch(server, names) for server, names in zip(servers, ids, strict=True))
            )
            lasted = time.monotonic() - began
            looks = (await asyncio.to_thread(running.client.get, "/api/v1/status"))["polls"]
        sent = await _sent(directory / "r" / "journal.db")
    an_hour = looks * REQUESTS_A_LOOK / lasted * 3600
    return [
        _row("reaper, 60 s: DELETE sent", sent, f"{an_hour:.0f} requests (in this run, deadlines included)"),
        _row(
            "reaper, 60 s: kernel gone",
            lags[0],
            f"{3600 / 60 * REQUESTS_A_LOOK:.0f} requests when nothing is due",
        ),
        _row(
            "Jupyter's culler, 300 s (default): kernel gone", lags[1], f"{3600 // DEFAULT_INTERVAL_S} passes"
        ),
        _row("Jupyter's culler, 3 s: kernel gone", lags[2], f"{3600 // 3} passes"),
    ]


async def _watch(server: JupyterServer, names: list[str]) -> list[float]:
    """Let each kernel run its last cell, then see how late each is gone."""
    order = random.Random(len(names))

    async def last_cell(name: str) -> None:
        await asyncio.sleep(order.uniform(0, 60))
        await server.execute(name, "1 + 1")

    await asyncio.gather(*(last_cell(name) for name in names))
    due = {
        kernel["id"]: instant_from_text(kernel["last_activity"]).timestamp() + TIMEOUT_S
        for kernel in await server.get("api/kernels")
    }
    lags: dict[str, float] = {}
    give_up = time.monotonic() + TIMEOUT_S + 2 * DEFAULT_INTERVAL_S
    while len(lags) < len(due) and time.monotonic() < give_up:
        listed = {kernel["id"] for kernel in await server.get("api/kernels")}
        now = datetime.now(UTC).timestamp()
        for name in due.keys() - listed - lags.keys():
            lags[name] = now - due[name]
        await asyncio.sleep(0.1)
    return list(lags.values())


async def _sent(journal: Path) -> list[float]:
    """Read from the ledger how late each request was sent."""
    opened = SqliteJournal(journal)
    await opened.open(write=False)
    try:
        rows = await opened.facts(LedgerQuery(types=("LedgerEntry",)))
    finally:
        await opened.close()
    return [
        (row.at - row.due_at).total_seconds()
        for row in rows
        if isinstance(row, LedgerEntry) and row.state is ActionState.STARTED and row.due_at is not None
    ]


def _row(who: str, lags: list[float], cost: str) -> dict[str, object]:
    if not lags:
        return {"who": who, "kernels": 0, "cost an hour": cost}
    ordered = sorted(lags)
    return {
        "who": who,
        "kernels": len(lags),
        "median s": round(statistics.median(lags), 2),
        "p99 s": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 2),
        "most s": round(ordered[-1], 2),
        "cost an hour": cost,
    }


if __name__ == "__main__":
    for line in reap_lag():
        print(line)
