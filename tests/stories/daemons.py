"""Daemons for the stories: in this process as `reaper run` makes them, or `reaper run` itself."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from reaper.cli.wiring import loaded
from reaper.clock import Clock, SystemClock
from reaper.config import load_settings, parse_listen
from reaper.core.facts import LedgerEntry
from reaper.core.report import status_document
from reaper.core.ruleset import Ruleset
from reaper.core.world import World
from reaper.daemon.control import DaemonControl
from reaper.daemon.loop import Daemon
from reaper.journal.memory import MemoryJournal
from reaper.journal.sqlite import SqliteJournal
from reaper.plugins import Journal, LedgerQuery
from reaper.web import make_app, serve
from tests.support.jupyter_server import JupyterServer, wait_until

__all__ = [
    "REAPER",
    "Account",
    "MovableClock",
    "Reaper",
    "Witness",
    "command",
    "daemon_process",
    "environment",
    "journaled_ledger",
    "kernel_process",
    "reaper_in_process",
    "shells",
]

REAPER = str(Path(sys.executable).with_name("reaper"))


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
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME")}
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
        facts = await self.daemon.journal.facts(LedgerQuery(types=("LedgerEntry",)))
        return [fact for fact in facts if isinstance(fact, LedgerEntry)]

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
    change_rules: Callable[[Ruleset], Ruleset] = lambda rules: rules,
) -> AsyncIterator[Reaper]:
    """Run a daemon made from an environment, as `reaper run` makes it, with its API on its socket.

    Args:
        environ: Its whole environment.
        clock: Instead of the machine's.
        journal: Instead of one in memory.
        change_rules: Has the last word on the rules.
    """
    clock = clock or SystemClock()
    settings = load_settings(environ)
    setup, providers, notifiers = loaded(settings, clock)
    build = setup.build_ruleset
    setup = replace(setup, build_ruleset=lambda overrides: change_rules(build(overrides)))
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
async def daemon_process(
    environ: Mapping[str, str], log: Path, *argv: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `reaper run` (or another argv) as a process of its own; SIGTERM in the end.

    Args:
        environ: Its whole environment.
        log: Gets what it prints, added at the end.
        argv: Instead of `reaper run`.
    """
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *(argv or (REAPER, "run")),
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(20):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def command(environ: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run a `reaper` command to its end; give its exit status and what it printed on stdout."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        REAPER, *arguments, env=dict(environ), stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    async with asyncio.timeout(30):
        out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode() or errors.decode()


async def status_of(environ: Mapping[str, str]) -> dict[str, Any]:
    """Ask `reaper status --output json`; empty where there is no daemon and no journal yet."""
    code, out = await command(environ, "status", "--output", "json")
    found: dict[str, Any] = json.loads(out) if code == 0 else {}
    return found


async def journaled_ledger(path: Path) -> list[LedgerEntry]:
    """Read the ledger of a journal that somebody else may be writing."""
    journal = SqliteJournal.from_address(str(path))
    await journal.open(write=False)
    try:
        facts = await journal.facts(LedgerQuery(types=("LedgerEntry",)))
    finally:
        await journal.close()
    return [fact for fact in facts if isinstance(fact, LedgerEntry)]


def kernel_process(server: JupyterServer, kernel_id: str) -> psutil.Process | None:
    """Find a kernel's process by its command line, as it lives now."""
    for process in psutil.Process(server.pid).children():
        with contextlib.suppress(psutil.Error):
            if any(part.endswith(f"kernel-{kernel_id}.json") for part in process.cmdline()) and lives(
                process
            ):
                return process
    return None


def shells(server: JupyterServer) -> set[psutil.Process]:
    """Give the shells of a server's terminals: its children on a terminal device."""
    found = set()
    for child in psutil.Process(server.pid).children():
        with contextlib.suppress(psutil.Error, OSError):  # psutil's own terminal() knows no new devices
            if str(Path(f"/proc/{child.pid}/fd/0").readlink()).startswith("/dev/pts/") and lives(child):
                found.add(child)
    return found


def lives(process: psutil.Process | None) -> bool:
    """Say whether just this process still runs (psutil compares start times: never a reused pid)."""
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(slots=True)
class Account:
    """What became of one kernel or terminal.

    Attributes:
        id: Kernel id or terminal name.
        process: Its kernel or shell.
        listed: Whether the server listed it in the end.
        lived: Whether its process ran in the end.
        status: Its line in the last status that had it.
        said: Each different (verdict, reason, text) of its status, in order.
        held: Whether a status showed a hold on it.
        explained: Its last `explain`.
        ledger: What was done to it.
    """

    id: str
    process: psutil.Process | None = None
    listed: bool = False
    lived: bool = False
    status: dict[str, Any] = field(default_factory=dict)
    said: list[tuple[str, str, str]] = field(default_factory=list)
    held: bool = False
    explained: dict[str, Any] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        """Both the server and the process table say so, and nothing was tried."""
        return self.listed and self.lived and not any(e.state.value == "STARTED" for e in self.ledger)

    @property
    def reaped(self) -> bool:
        """It was reaped by us, and the server and the process table agree that it is gone."""
        return not self.listed and not self.lived and any(e.state.value == "SUCCEEDED" for e in self.ledger)

    @property
    def reaped_by(self) -> str:
        """Name the policy that reaped it."""
        return next(e.policy for e in self.ledger if e.state.value == "SUCCEEDED")

    @property
    def lag(self) -> float:
        """Seconds from when it was due to when its end was begun."""
        started = next(e for e in self.ledger if e.state.value == "STARTED")
        assert started.due_at is not None
        return (started.at - started.due_at).total_seconds()

    def said_that(self, text: str) -> bool:
        """Say whether a status line ever had this in its reason."""
        return any(text in f"{reason} {line}" for _, reason, line in self.said)

    def evidence(self, signal: str) -> dict[str, Any]:
        """Give one signal as the last `explain` has it."""
        found: dict[str, Any] = next(
            e for e in self.explained["decision"]["evidence"] if e["signal"] == signal
        )
        return found


class Witness:
    """Keeps an account of every kernel and terminal of a play."""

    def __init__(self, server: JupyterServer, reaper: Reaper, accounts: dict[str, Account]) -> None:
        self._server = server
        self._reaper = reaper
        self.accounts = accounts

    async def watch(self) -> None:
        """Read the status again and again, until cancelled."""
        while True:
            self.note()
            await asyncio.sleep(0.5)

    def note(self) -> None:
        """Read the status once."""
        by_id = {account.id: account for account in self.accounts.values()}
        for one in self._reaper.resources():
            account = by_id.get(one["id"])
            if account is None:
                continue
            account.status = one
            account.held = account.held or bool(one["holds"])
            said = (one["verdict"], one["reason"], one["reason_text"])
            if said not in account.said:
                account.said.append(said)

    async def gone(self, names: set[str], *, deadline_s: float) -> None:
        """Wait until all of these are gone from the server; at the deadline the tests tell what is not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while await self._listed() & {self.accounts[name].id for name in names}:
                    await asyncio.sleep(0.3)

    async def conclude(self) -> None:
        """Complete every account: what the server lists, which process runs, the last explanation, the ledger."""
        self.note()
        listed = await self._listed()
        ledger = await self._reaper.ledger()
        for account in self.accounts.values():
            account.listed = account.id in listed
            account.ledger = [entry for entry in ledger if entry.ref.id == account.id]
            if account.listed and self._reaper.resource(account.id):
                account.explained = await self._reaper.control.explain(account.id)
            if not account.listed:
                await _ended(account.process)
            account.lived = lives(account.process)

    async def _listed(self) -> set[str]:
        kernels = await self._server.get("api/kernels")
        terminals = await self._server.get("api/terminals")
        return {one["id"] for one in kernels} | {one["name"] for one in terminals}


async def _ended(process: psutil.Process | None) -> None:
    """Give a process that was told to end a moment to do so."""
    end = time.monotonic() + 5
    while lives(process) and time.monotonic() < end:
        await asyncio.sleep(0.1)


async def true_within(condition: Callable[[], bool], *, what: str, deadline_s: float = 30.0) -> None:
    """Wait until something is true; fail after the deadline."""

    async def answer() -> bool:
        return condition()

    await wait_until(answer, what=what, deadline_s=deadline_s)


async def patiently(condition: Callable[[], Awaitable[object]], *, deadline_s: float) -> None:
    """Wait until something is true, and no longer: of a play shared by many stories one must not spoil the others.

    What did not come true is for the test of its story to find.
    """
    end = time.monotonic() + deadline_s
    while not await condition() and time.monotonic() < end:
        await asyncio.sleep(0.1)


async def write_for_ever(log: Path) -> None:
    """Add a line a second, as a training's log grows."""
    with log.open("a", buffering=1) as out:
        while True:
            out.write(f"{time.time()}\n")
            await asyncio.sleep(1)


def utc_now() -> datetime:
    return datetime.now(UTC)
