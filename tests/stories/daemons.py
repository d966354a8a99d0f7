"""Daemons for the stories: in this process as `reaper run` makes them, or `reaper run` itself."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import aiohttp

from reaper.cli.wiring import loaded
from reaper.clock import Clock, SystemClock
from reaper.config import load_settings, parse_listen
from reaper.core.decide import Decision
from reaper.core.facts import LedgerEntry, PolicyApplied
from reaper.core.report import status_document
from reaper.core.world import World
from reaper.daemon.control import DaemonControl
from reaper.daemon.loop import Daemon
from reaper.daemon.rules import Setup
from reaper.journal.memory import MemoryJournal
from reaper.journal.sqlite import SqliteJournal
from reaper.plugins import Journal, LedgerQuery
from reaper.web import make_app, serve
from tests.stories.waiting import PATIENCE_S
from tests.support.forked import Process, start
from tests.support.jupyter_server import JupyterServer

__all__ = [
    "REAPER",
    "Journaled",
    "MovableClock",
    "Reaper",
    "asked",
    "command",
    "daemon_process",
    "environment",
    "journaled",
    "reaper_in_process",
    "status_of",
]

REAPER = str(Path(sys.executable).with_name("reaper"))
_ALL = 100_000


def environment(folder: Path, server: JupyterServer, **variables: str) -> dict[str, str]:
    """Give a daemon's environment: short times, a journal and a socket of its own, one server to look at.

    Args:
        folder: For the journal; short enough for a unix socket.
        server: Its runtime directory is searched, no other.
        variables: Further settings by their name without `REAPER_`.
    """
    settings = {
        "MODE": "enforce",
        "IDLE_TIMEOUT": "12s",
        "APPLY_GRACE": "1s",
        "START_GRACE": "0s",
        "POLL_INTERVAL": "5s",
        "LOG_FORMAT": "json",
        "STATE": str(folder / "journal.db"),
        "LISTEN": f"unix:{folder}/reaper.sock",
        "JUPYTER__RUNTIME_DIRS": str(server.runtime_dir),
        **variables,
    }
    passed_on = ("PATH", "PYTHONPATH", "HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME")
    kept = {name: os.environ[name] for name in passed_on if name in os.environ}
    return kept | {f"REAPER_{name}": value for name, value in settings.items()}


class MovableClock:
    """The machine's clocks, and a way to let hours pass, or to let the machine sleep through them.

    What awaits real time (the daemon's naps, Jupyter itself) knows nothing of it: `Daemon.poke` after a move.
    """

    def __init__(self) -> None:
        self._real = SystemClock()
        self._passed = timedelta(0)
        self._slept = timedelta(0)

    def now(self) -> datetime:
        return self._real.now() + self._passed + self._slept

    def monotonic(self) -> float:
        return self._real.monotonic() + self._passed.total_seconds()

    def boot_id(self) -> str:
        return self._real.boot_id()

    def advance(self, by: timedelta) -> None:
        """Let time pass awake."""
        self._passed += by

    def sleep(self, lasting: timedelta) -> None:
        """Close the lid: the wall clock goes on, CLOCK_MONOTONIC stands still."""
        self._slept += lasting


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaper:
    """A daemon that runs in this process."""

    daemon: Daemon
    control: DaemonControl
    environ: Mapping[str, str]

    def resource(self, name: str) -> dict[str, Any] | None:
        """Give the status of a kernel by notebook or id, of a terminal by name."""
        for one in self.resources():
            if name in (one["name"], one["id"]):
                return one
        return None

    def resources(self) -> list[dict[str, Any]]:
        """Give what `status` lists."""
        daemon = self.daemon
        document = status_document(
            daemon.world, daemon.decisions, daemon.rules.ruleset, daemon.clock.now(), {}
        )
        found: list[dict[str, Any]] = document["resources"]  # type: ignore[assignment]
        return found

    async def ledger(self) -> list[LedgerEntry]:
        """Give all entries, oldest first."""
        facts = await self.daemon.journal.facts(LedgerQuery(types=("LedgerEntry",), limit=_ALL))
        return [fact for fact in facts if isinstance(fact, LedgerEntry)]

    async def decisions(self) -> list[Decision]:
        """Give all decisions that were journaled, oldest first."""
        return await self.daemon.journal.decisions(limit=_ALL)

    def look_now(self) -> None:
        """Do at once what it would do next."""
        self.daemon.looking.look_at_all(self.daemon.clock.now())
        self.daemon.poke()


@asynccontextmanager
async def reaper_in_process(
    environ: Mapping[str, str],
    *,
    clock: Clock | None = None,
    journal: Journal | None = None,
    change: Callable[[Setup], Setup] = lambda setup: setup,
) -> AsyncIterator[Reaper]:
    """Run a daemon made from an environment, as `reaper run` makes it, with its API on its socket.

    Args:
        environ: Its whole environment.
        clock: Instead of the machine's.
        journal: Instead of one in memory.
        change: Has the last word on what the daemon is made from.
    """
    clock = clock or SystemClock()
    settings = load_settings(environ)
    setup, providers, notifiers = loaded(settings, clock)
    setup = change(setup)
    journal = journal or MemoryJournal()
    await journal.open(write=True)
    image = await journal.load()
    daemon = Daemon(
        setup=setup,
        journal=journal,
        providers=providers,
        notifiers=notifiers,
        clock=clock,
        world=World.restore(image, max_gap=3 * setup.poll_interval),
        memos=image.memos,
    )
    control = DaemonControl(daemon)
    listen = [parse_listen(text) for text in settings.listen]
    try:
        async with (
            serve(make_app(control, api_token=settings.api_token), listen),
            asyncio.TaskGroup() as tasks,
        ):
            running = tasks.create_task(daemon.run())
            try:
                yield Reaper(daemon=daemon, control=control, environ=environ)
            finally:
                await daemon.drain(5)
                running.cancel()
    finally:
        await daemon.close()


@asynccontextmanager
async def daemon_process(environ: Mapping[str, str], log: Path, *argv: str) -> AsyncIterator[Process]:
    """Run `reaper run` (or another argv) as a process of its own; SIGTERM in the end.

    Args:
        environ: Its whole environment.
        log: Gets what it prints, added at the end.
        argv: Instead of `reaper run`, and executed: what a loader reads at a process's start comes too late for a fork.
    """
    with log.open("ab") as out:
        process = _executed(environ, argv, out) if argv else _start(environ, ("run",), out)
    try:
        yield process
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def command(environ: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run a `reaper` command to its end; give its exit status and what it printed on stdout."""
    with TemporaryFile() as out, TemporaryFile() as errors:
        process = _start(environ, arguments, out, errors)
        try:
            await asyncio.to_thread(process.wait, PATIENCE_S)
        finally:
            process.kill()
            process.wait()
        said = [file.read().decode() for file in (out, errors) if file.seek(0) == 0]
        return process.wait(), said[0] or said[1]


def _start(
    environ: Mapping[str, str], arguments: Sequence[str], out: IO[bytes], errors: IO[bytes] | None = None
) -> Process:
    command = [sys.executable, REAPER, *arguments]
    return start(command, program="reaper", env=environ, cwd=Path.cwd(), output=out, errors=errors)


def _executed(environ: Mapping[str, str], argv: Sequence[str], out: IO[bytes]) -> Process:
    return subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


async def asked(environ: Mapping[str, str], what: str) -> dict[str, Any]:
    """Ask a daemon's API, as a command does, but without a process for it; empty where there is none yet."""
    connector = aiohttp.UnixConnector(environ["REAPER_LISTEN"].removeprefix("unix:"))
    async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
        try:
            async with session.get(f"/api/v1/{what}") as response:
                found: dict[str, Any] = await response.json() if response.status == 200 else {}
                return found
        except aiohttp.ClientConnectorError:
            return {}


async def status_of(environ: Mapping[str, str]) -> dict[str, Any]:
    """Ask `reaper status --output json`; empty where there is no daemon and no journal yet."""
    code, out = await command(environ, "status", "--output", "json")
    found: dict[str, Any] = json.loads(out) if code == 0 else {}
    return found


class Journaled(NamedTuple):
    """What a journal holds, oldest first.

    Attributes:
        ledger: What was done.
        decisions: Each decision that was written down.
        applied: When policies began to apply.
    """

    ledger: list[LedgerEntry]
    decisions: list[Decision]
    applied: list[PolicyApplied]


async def journaled(path: Path) -> Journaled:
    """Read a journal that somebody else may be writing."""
    journal = SqliteJournal.from_address(str(path))
    await journal.open(write=False)
    try:
        facts = await journal.facts(LedgerQuery(types=("LedgerEntry", "PolicyApplied"), limit=_ALL))
        decisions = await journal.decisions(limit=_ALL)
    finally:
        await journal.close()
    return Journaled(
        ledger=[fact for fact in facts if isinstance(fact, LedgerEntry)],
        decisions=decisions,
        applied=[fact for fact in facts if isinstance(fact, PolicyApplied)],
    )
