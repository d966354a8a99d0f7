"""Stories of daemons that end: by SIGKILL in the middle of an act, by restarts, and after each round (`--once`).

Three kernels on one server, each with a `reaper run` of its own (a policy that names just that kernel).
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.stories.accounts import Account, ended, kernel_process, lives
from tests.stories.daemons import Journaled, command, daemon_process, environment, journaled
from tests.stories.waiting import PATIENCE_S, patiently, utc_now
from tests.support.jupyter_server import JupyterServer, running_jupyter_async, wait_until

__all__ = ["Restarts", "play_restarts"]

TIMEOUT = timedelta(seconds=26)
"""At least; on a machine on which a daemon takes long to start, as long as twelve starts."""
GRACE = 0.6
"""So much of the timeout is `REAPER_APPLY_GRACE`: none of the daemons of f16 and f18 lives so long, and a restart that
granted it anew would keep their kernels for ever."""
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
        timeout: The idle timeout of all.
        accounts: What became of each kernel.
        due: When each was due: its last activity and the timeout.
        requests: f15: what reached the proxy, as (by which daemon, method and path).
        deletes: f15: how many DELETEs reached the server.
        at_death: f15: the journal as the killed daemon left it.
        journals: Each journal in the end.
        starts: When each daemon of f16 and f18 was started.
        log: The end of what the daemons logged.
        broken: What kept a story from its end.
        codes: Exit statuses of f18's rounds.
    """

    timeout: timedelta = TIMEOUT
    accounts: dict[str, Account] = field(default_factory=dict)
    due: dict[str, datetime] = field(default_factory=dict)
    requests: list[tuple[int, str]] = field(default_factory=list)
    deletes: int = 0
    at_death: Journaled = field(default_factory=lambda: Journaled([], [], []))
    journals: dict[str, Journaled] = field(default_factory=dict)
    starts: dict[str, list[datetime]] = field(default_factory=dict)
    log: dict[str, str] = field(default_factory=dict)
    broken: dict[str, BaseException] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)

    @property
    def patience_s(self) -> float:
        """Seconds after which what has not gone never will."""
        return self.timeout.total_seconds() + PATIENCE_S

    def lives_before_due(self, name: str) -> int:
        """Count the daemons that were started before it was due."""
        return sum(at < self.due[name] for at in self.starts[name])

    def lives_after_due(self, name: str) -> int:
        """Count the daemons that were started between that and its end."""
        return sum(at >= self.due[name] for at in self.starts[name])


async def play_restarts(folder: Path, home: Path) -> Restarts:
    """Play it.

    Args:
        folder: For the server.
        home: A short path, for sockets and journals.
    """
    play = Restarts()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_jupyter_async(folder))
        start = await _takes_to_start(server, home / "trial")
        play.timeout = timedelta(seconds=round(max(TIMEOUT, 12 * start).total_seconds()))
        for name in ("f15", "f16", "f18"):
            account = play.accounts[name] = Account(await server.start_kernel())
            account.process = kernel_process(server, account.id)
        for name, account in play.accounts.items():
            await server.execute(account.id, "x = 1", deadline_s=PATIENCE_S)
            model = await server.wait_for_state(account.id, "idle")
            play.due[name] = datetime.fromisoformat(model["last_activity"]) + play.timeout
        ends = await asyncio.gather(
            _killed_in_the_act(play, server, home / "f15"),
            _restarted(play, server, home / "f16"),
            _once_and_again(play, server, home / "f18"),
            return_exceptions=True,  # one story must not spoil the others
        )
        play.broken = {name: end for name, end in zip(play.accounts, ends, strict=True) if end is not None}
        listed = {one["id"] for one in await server.get("api/kernels")}
        for name, account in play.accounts.items():
            journal = play.journals[name] = await journaled(home / name / "journal.db")
            account.keep(journal.ledger, journal.decisions)
            play.log[name] = (home / name / "log").read_text()[-6000:]
            account.listed = account.id in listed
            if not account.listed:
                await ended(account.process)
            account.lived = lives(account.process)
    return play


async def _takes_to_start(server: JupyterServer, home: Path) -> timedelta:
    """Measure one start, with a look at a server without kernels."""
    home.mkdir()
    began = utc_now()
    code, out = await command(environment(home, server), "run", "--once")
    assert code == 0, out
    return utc_now() - began


def _environ(
    play: Restarts, name: str, server: JupyterServer, home: Path, **variables: str
) -> dict[str, str]:
    variables["IDLE_TIMEOUT"] = f"{play.timeout.total_seconds():.0f}s"
    variables["APPLY_GRACE"] = f"{GRACE * play.timeout.total_seconds():.0f}s"
    home.mkdir(exist_ok=True)
    config = home / "reaper.toml"
    config.write_text(POLICY.format(kernel_id=play.accounts[name].id))
    return environment(home, server, CONFIG=str(config), **variables)


async def _gone(play: Restarts, name: str, server: JupyterServer) -> bool:
    return play.accounts[name].id not in {one["id"] for one in await server.get("api/kernels")}


async def _killed_in_the_act(play: Restarts, server: JupyterServer, home: Path) -> None:
    """f15: the proxy holds the DELETE, the daemon is killed, another one starts on its journal."""
    async with _Proxy(server.url).serving() as proxy:
        environ = _environ(play, "f15", server, home, JUPYTER__URL=proxy.url, JUPYTER__TOKEN=server.token)
        proxy.holds_deletes = True
        async with daemon_process(environ, home / "log") as daemon:
            async with asyncio.timeout(play.patience_s):
                await proxy.asked_to_delete.wait()
            daemon.kill()
            daemon.wait()
        play.at_death = await journaled(home / "journal.db")
        assert not await _gone(play, "f15", server), "the request never left the proxy"
        proxy.holds_deletes = False
        proxy.daemon = 2
        async with daemon_process(environ, home / "log"):
            await patiently(lambda: _settled(home))
        play.requests, play.deletes = proxy.requests, proxy.deletes


async def _settled(home: Path) -> bool:
    """Say whether the last act has its outcome: it is written after the answer."""
    return (await journaled(home / "journal.db")).ledger[-1].state.value == "SUCCEEDED"


async def _restarted(play: Restarts, server: JupyterServer, home: Path) -> None:
    """f16: each daemon lives for some seconds; once it is due, longer where it also takes longer to come up."""
    environ = _environ(play, "f16", server, home)
    starts = play.starts["f16"] = []
    end = time.monotonic() + play.patience_s
    while not await _gone(play, "f16", server) and time.monotonic() < end:
        starts.append(utc_now())
        async with daemon_process(environ, home / "log"):
            await wait_until(lambda: _up(home, len(starts)), what="it is up", deadline_s=PATIENCE_S)
            up_at = utc_now()
            took = (up_at - starts[-1]).total_seconds()
            lives_for = max(LIFE, 2 * took) if up_at > play.due["f16"] else LIFE
            await patiently(lambda: _gone(play, "f16", server), deadline_s=lives_for)


async def _up(home: Path, times: int) -> bool:
    """Say whether a daemon has come up so many times: a start may take seconds while tests run beside it."""
    return (home / "log").read_text().count('"event": "source found"') >= times


async def _once_and_again(play: Restarts, server: JupyterServer, home: Path) -> None:
    """f18."""
    environ = _environ(play, "f18", server, home)
    starts = play.starts["f18"] = []
    end = time.monotonic() + play.patience_s
    while not await _gone(play, "f18", server) and time.monotonic() < end:
        starts.append(utc_now())
        code, out = await command(environ, "run", "--once")
        play.codes.append(code)
        with (home / "log").open("a") as log:
            log.write(out)
        if not await _gone(play, "f18", server):
            await asyncio.sleep(max(0.0, EVERY - (utc_now() - starts[-1]).total_seconds()))


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
