"""Stories of daemons that end: by SIGKILL in the middle of an act, by restarts, and after each round (`--once`).

Three kernels on one server, each with a `reaper run` of its own (a policy that names just that kernel).
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web

from reaper.core.facts import LedgerEntry
from tests.stories.daemons import (
    Account,
    command,
    daemon_process,
    environment,
    journaled_ledger,
    kernel_process,
    lives,
    patiently,
    utc_now,
)
from tests.support.jupyter_server import JupyterServer, running_jupyter_async, wait_until

__all__ = ["TIMEOUT", "Restarts", "play_restarts"]

TIMEOUT = timedelta(seconds=22)
EVERY = 3.0
"""Seconds between two rounds of f18."""
LIFE = 9.0
"""Seconds that a daemon of f16 lives once it is up: what is due already is sampled for 6 s before it is reaped, and
those don't shrink with the timeout."""

POLICY = """
[[policies]]
name = "only-this-one"
kind = "jupyter.kernel"
rule = "idle"
match = {{ name = ["{kernel_id}"] }}
"""


@dataclass(slots=True)
class Restarts:
    """What the play shows.

    Attributes:
        accounts: What became of each kernel.
        due: When each was due: its last activity and the timeout.
        gone_at: When each was gone from the server.
        requests: f15: what reached the proxy, as (when, by which daemon, method and path).
        deletes: f15: how many DELETEs reached the server.
        ledger_at_death: f15: the ledger as the killed daemon left it.
        ledger: f15: the ledger in the end.
        starts: When each daemon of f16 and f18 was started, by `time.monotonic`.
        log: The end of what f16's daemons logged.
        broken: What kept a story from its end.
        codes: Exit statuses of f18's rounds.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    due: dict[str, datetime] = field(default_factory=dict)
    gone_at: dict[str, datetime] = field(default_factory=dict)
    requests: list[tuple[int, str]] = field(default_factory=list)
    deletes: int = 0
    ledger_at_death: list[LedgerEntry] = field(default_factory=list)
    ledgers: dict[str, list[LedgerEntry]] = field(default_factory=dict)
    starts: dict[str, list[float]] = field(default_factory=dict)
    log: str = ""
    broken: dict[str, BaseException] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)

    def longest(self, name: str) -> float:
        """Give the longest time between two starts, in seconds."""
        starts = self.starts[name]
        return max(after - before for before, after in itertools.pairwise(starts))


async def play_restarts(folder: Path, home: Path) -> Restarts:
    """Play it.

    Args:
        folder: For the server.
        home: A short path, for sockets and journals.
    """
    play = Restarts()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_jupyter_async(folder))
        for name in ("f15", "f16", "f18"):
            account = play.accounts[name] = Account(await server.start_kernel())
            account.process = kernel_process(server, account.id)
        for name, account in play.accounts.items():
            await server.execute(account.id, "x = 1")
            model = await server.wait_for_state(account.id, "idle")
            play.due[name] = datetime.fromisoformat(model["last_activity"]) + TIMEOUT
        ended = await asyncio.gather(
            _killed_in_the_act(play, server, home / "f15"),
            _restarted(play, server, home / "f16"),
            _once_and_again(play, server, home / "f18"),
            return_exceptions=True,  # one story must not spoil the others
        )
        play.broken = {name: end for name, end in zip(play.accounts, ended, strict=True) if end is not None}
        listed = {one["id"] for one in await server.get("api/kernels")}
        for account in play.accounts.values():
            account.listed = account.id in listed
            account.lived = lives(account.process)
    return play


def _environ(
    play: Restarts, name: str, server: JupyterServer, home: Path, **variables: str
) -> dict[str, str]:
    variables["IDLE_TIMEOUT"] = f"{TIMEOUT.total_seconds():g}s"
    home.mkdir(exist_ok=True)
    config = home / "reaper.toml"
    config.write_text(POLICY.format(kernel_id=play.accounts[name].id))
    return environment(home, server, CONFIG=str(config), **variables)


async def _gone(play: Restarts, name: str, server: JupyterServer) -> bool:
    gone = play.accounts[name].id not in {one["id"] for one in await server.get("api/kernels")}
    if gone:
        play.gone_at.setdefault(name, utc_now())
    return gone


async def _killed_in_the_act(play: Restarts, server: JupyterServer, home: Path) -> None:
    """f15: the proxy holds the DELETE, the daemon is killed, another one starts on its journal."""
    async with _Proxy(server.url).serving() as proxy:
        environ = _environ(play, "f15", server, home, JUPYTER__URL=proxy.url, JUPYTER__TOKEN=server.token)
        proxy.holds_deletes = True
        async with daemon_process(environ, home / "log") as daemon:
            async with asyncio.timeout(60):
                await proxy.asked_to_delete.wait()
            daemon.kill()
            await daemon.wait()
        play.ledger_at_death = await journaled_ledger(home / "journal.db")
        assert not await _gone(play, "f15", server), "the request never left the proxy"
        proxy.holds_deletes = False
        proxy.daemon = 2
        async with daemon_process(environ, home / "log"):
            await wait_until(lambda: _gone(play, "f15", server), what="f15 goes after all", deadline_s=40)
            await wait_until(lambda: _settled(home), what="its outcome is written", deadline_s=10)
        play.requests, play.deletes = proxy.requests, proxy.deletes
        play.ledgers["f15"] = await journaled_ledger(home / "journal.db")


async def _settled(home: Path) -> bool:
    return (await journaled_ledger(home / "journal.db"))[-1].state.value == "SUCCEEDED"


async def _restarted(play: Restarts, server: JupyterServer, home: Path) -> None:
    """f16: each daemon lives for a few seconds, and at least as long as it took to come up beside other tests."""
    environ = _environ(play, "f16", server, home)
    starts = play.starts["f16"] = []
    end = time.monotonic() + 90
    while not await _gone(play, "f16", server) and time.monotonic() < end:
        starts.append(time.monotonic())
        async with daemon_process(environ, home / "log"):
            await wait_until(lambda: _up(home, len(starts)), what="it is up")
            lives_for = max(LIFE, time.monotonic() - starts[-1])
            await patiently(lambda: _gone(play, "f16", server), deadline_s=lives_for)
    play.ledgers["f16"] = await journaled_ledger(home / "journal.db")
    play.log = (home / "log").read_text()[-6000:]


async def _up(home: Path, times: int) -> bool:
    """Say whether a daemon has come up so many times: a start may take seconds while tests run beside it."""
    return (home / "log").read_text().count('"event": "source found"') >= times


async def _once_and_again(play: Restarts, server: JupyterServer, home: Path) -> None:
    """f18."""
    environ = _environ(play, "f18", server, home)
    play.starts["f18"] = []
    end = time.monotonic() + 60
    while not await _gone(play, "f18", server) and time.monotonic() < end:
        play.starts["f18"].append(time.monotonic())
        code, _ = await command(environ, "run", "--once")
        play.codes.append(code)
        if not await _gone(play, "f18", server):
            await asyncio.sleep(max(0.0, play.starts["f18"][-1] + EVERY - time.monotonic()))
    play.ledgers["f18"] = await journaled_ledger(home / "journal.db")


class _Proxy:
    """Stands before a server, passes requests on, and can keep every DELETE for itself."""

    def __init__(self, upstream: str) -> None:
        self.url = ""
        self.daemon = 1
        self.holds_deletes = False
        self.asked_to_delete = asyncio.Event()
        self.requests: list[tuple[int, str]] = []
        self.deletes = 0
        self._upstream = upstream.rstrip("/")

    @asynccontextmanager
    async def serving(self) -> "AsyncIterator[_Proxy]":
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession() as self._session:
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        self.requests.append((self.daemon, f"{request.method} {request.path}"))
        if request.method == "DELETE":
            if self.holds_deletes:
                self.asked_to_delete.set()
                await asyncio.Event().wait()  # until the daemon's connection ends
            self.deletes += 1
        headers = {name: value for name, value in request.headers.items() if name.lower() == "authorization"}
        async with self._session.request(
            request.method, self._upstream + request.path_qs, headers=headers, data=await request.read()
        ) as answer:
            kept = {"Content-Type", "Date"}
            body = await answer.read()
            return web.Response(
                status=answer.status,
                body=body,
                headers={name: value for name, value in answer.headers.items() if name in kept},
            )
