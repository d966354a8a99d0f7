"""Stories of hours and days, on a clock that can be moved: the server, its kernels and the notifiers are real.

Reaper's defaults hold: two hours, ten minutes of grace, a minute between looks.
"""

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from reaper.cli.wiring import loaded
from reaper.config import load_settings
from reaper.core.facts import NoticeGiven
from reaper.plugins import LedgerQuery
from tests.stories.accounts import Account, Accountant, kernel_process
from tests.stories.daemons import MovableClock, Reaper, environment, reaper_in_process
from tests.stories.waiting import patiently, true_within
from tests.support.jupyter_server import JupyterServer, running_jupyter_async

__all__ = ["Travel", "play_travel"]

DEFAULTS = {
    "IDLE_TIMEOUT": "2h",
    "APPLY_GRACE": "10m",
    "START_GRACE": "5m",
    "POLL_INTERVAL": "60s",
}


@dataclass(slots=True)
class Travel:
    """What the play shows.

    Attributes:
        laptop: w14's kernel before the sleep, just after it, and in the end: its status lines.
        laptop_account: What became of it.
        laptop_alive: Whether it lived (server and process) after the lid was opened.
        webhook: f13's kernel at each stop: its status lines.
        webhook_account: What became of it.
        alive_unwarned, alive_warned: Whether it lived while nobody had been warned, and just after that.
        notices: What was tried, and what came of it.
        told: What the second notifier, a command, was given.
    """

    laptop: dict[str, dict[str, Any]] = field(default_factory=dict)
    laptop_account: Account = field(default_factory=lambda: Account(""))
    laptop_alive: bool = False
    webhook: dict[str, dict[str, Any]] = field(default_factory=dict)
    webhook_account: Account = field(default_factory=lambda: Account(""))
    alive_unwarned: bool = False
    alive_warned: bool = False
    notices: list[NoticeGiven] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)


async def play_travel(folder: Path, home: Path) -> Travel:
    """Play it.

    Args:
        folder: For the server.
        home: A short path, for sockets and journals.
    """
    travel = Travel()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_jupyter_async(folder))
        await _laptop(server, home / "laptop", travel)
        await _webhook(server, home / "webhook", travel)
    return travel


async def _kernel(server: JupyterServer) -> Account:
    account = Account(await server.idle_kernel())
    account.process = kernel_process(server, account.id)
    return account


async def _next_look(reaper: Reaper, *, looks: int = 2) -> None:
    """Let it look, decide, and look again: what a clock that was moved brings must have come out by then."""
    for _ in range(looks):
        polls, ticks = reaper.daemon.world.polls, reaper.daemon.ticks

        def looked(polls: int = polls, ticks: int = ticks) -> bool:
            return reaper.daemon.world.polls > polls and reaper.daemon.ticks > ticks + 1

        reaper.look_now()
        await true_within(looked, what="a look")


async def _laptop(server: JupyterServer, home: Path, travel: Travel) -> None:
    """w14."""
    home.mkdir()
    account = travel.laptop_account = await _kernel(server)
    clock = MovableClock()
    async with reaper_in_process(environment(home, server, **DEFAULTS), clock=clock) as reaper:
        accountant = Accountant(server, reaper, {"w14": account})

        def note(when: str) -> None:
            travel.laptop[when] = dict(reaper.resource(account.id) or {})

        await _next_look(reaper)
        clock.advance(timedelta(minutes=20))
        await _next_look(reaper)
        note("before")
        clock.sleep(timedelta(hours=9))
        await _next_look(reaper, looks=3)
        note("opened")
        clock.advance(timedelta(minutes=9))
        await _next_look(reaper)
        note("nine minutes later")
        await accountant.conclude()
        travel.laptop_alive = account.survived
        clock.advance(timedelta(minutes=1, seconds=5))
        await _next_look(reaper)
        await accountant.gone({"w14"})
        await accountant.conclude()


async def _webhook(server: JupyterServer, home: Path, travel: Travel) -> None:
    """f13."""
    home.mkdir()
    account = travel.webhook_account = await _kernel(server)
    told = home / "told"
    told.mkdir()
    script = home / "tell"
    script.write_text(f'#!/bin/sh\ncat > "$(mktemp {told}/XXXXXX)"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    clock = MovableClock()
    async with AsyncExitStack() as stack:
        dead = await stack.enter_async_context(_withdrawn())
        environ = environment(home, server, **DEFAULTS, WARN_BEFORE="10m", NOTIFY=dead)
        reaper = await stack.enter_async_context(reaper_in_process(environ, clock=clock))
        accountant = Accountant(server, reaper, {"f13": account})

        def note(when: str) -> None:
            travel.webhook[when] = dict(reaper.resource(account.id) or {})

        await _next_look(reaper)
        clock.advance(timedelta(hours=1, minutes=51))
        await _next_look(reaper)
        await _attempts(reaper, 1)
        clock.advance(timedelta(minutes=30))
        await _next_look(reaper)
        await _attempts(reaper, 2)
        note("past its time")
        for _ in range(4):
            clock.advance(timedelta(hours=6))
            await _next_look(reaper)

        async def blocked() -> bool:
            return (reaper.resource(account.id) or {}).get("reason") == "blocked"

        await patiently(blocked)
        await _attempts(reaper, 1, topic="blocked")
        note("a day later")
        await accountant.conclude()
        travel.alive_unwarned = account.survived
        again = load_settings({**environ, "REAPER_NOTIFY": f"{dead},command:{script}"})
        await reaper.daemon.reload(*loaded(again, clock))
        clock.advance(timedelta(minutes=16))  # the longest pause between two tries is a quarter of an hour
        await _next_look(reaper)

        async def heard() -> bool:
            return any(file.stat().st_size for file in told.iterdir())

        await patiently(heard)
        await _next_look(reaper)
        note("warned")
        await accountant.conclude()
        travel.alive_warned = account.survived
        clock.advance(timedelta(minutes=10, seconds=5))
        await _next_look(reaper)
        await accountant.gone({"f13"})
        await accountant.conclude()
        travel.notices = await _notices(reaper)
    heard_of = [json.loads(file.read_text()) for file in told.iterdir() if file.stat().st_size]
    travel.told = sorted(heard_of, key=lambda notice: str(notice["at"]))  # the files have names by chance


@asynccontextmanager
async def _withdrawn() -> AsyncIterator[str]:
    """Serve a webhook whose address was withdrawn: 410, at once (what does not answer is tried for 10 s)."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    hook = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with hook:
        yield f"http://127.0.0.1:{hook.sockets[0].getsockname()[1]}/hook"


async def _notices(reaper: Reaper) -> list[NoticeGiven]:
    facts = await reaper.daemon.journal.facts(LedgerQuery(types=("NoticeGiven",)))
    return [fact for fact in facts if isinstance(fact, NoticeGiven)]


async def _attempts(reaper: Reaper, least: int, *, topic: str = "warning") -> None:
    async def made() -> bool:
        return sum(notice.topic == topic for notice in await _notices(reaper)) >= least

    await patiently(made)
