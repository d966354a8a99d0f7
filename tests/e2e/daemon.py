"""The daemon as a subprocess, for the tests of this folder: start, log, API, signals, journal."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import aiohttp
import pytest

from reaper.core.decide import Decision
from reaper.core.facts import Fact, LedgerEntry
from reaper.journal.sqlite import SqliteJournal
from reaper.plugins import LedgerQuery
from tests.e2e.proxy import Gate, Seen
from tests.support.forked import Process, start

__all__ = ["Daemon", "Journal", "daemon_place", "until"]

DEADLINE_S = 60.0
"""Generous, as everywhere: only what is broken takes that long."""
_CRASHING = Path(__file__).with_name("crashing.py")


async def until(true: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Ask until the answer is true, and give it; fail after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        answer = true()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {deadline_s:g} s; last: {answer!r}")
        await asyncio.sleep(0.05)


@dataclass(slots=True)
class Daemon:
    """One journal, one configuration, and the processes that run on them, one after the other.

    Attributes:
        folder: Its own: journal, socket, configuration, logs.
        env: The environment of what is started.
        process: What runs, or ran last.
        runs: How many were started.
    """

    folder: Path
    env: dict[str, str]
    process: Process | None = None
    runs: int = 0
    _logs: list[Any] = field(default_factory=list)

    @property
    def journal_path(self) -> Path:
        """The journal."""
        return self.folder / "journal.db"

    @property
    def journal(self) -> "Journal":
        """A way to read it."""
        return Journal(self.journal_path)

    def start(self, *, point: str | None = None, **env: str) -> None:
        """Start it; with a point it kills itself there, or is tuned (see `crashing.py`)."""
        program = ["-m", "reaper"] if point is None else [str(_CRASHING), point]
        command = [sys.executable, *program, "run"]
        self.process = start(
            command, program="reaper", env={**self.env, **env}, cwd=self.folder, output=self._next_log()
        )

    def execute(self, **env: str) -> None:
        """Start it as people do, interpreter and all: where it is the start that matters, or its signals."""
        log = self._next_log()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reaper", "run"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**self.env, **env},
            cwd=self.folder,
        )

    def _next_log(self) -> IO[bytes]:
        self.runs += 1
        log = (self.folder / f"log-{self.runs}").open("wb")
        self._logs.append(log)
        return log

    def kill(self) -> None:
        """End it on the spot."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end, and give its status."""
        process = self.process
        assert process is not None
        await until(lambda: process.poll() is not None, f"the end of {self.log()[-2000:]}", deadline_s)
        return process.wait()

    async def reaching(self, gate: Gate) -> Seen:
        """Wait until it has sent a request that a gate holds; it must not end before."""
        process = self.process
        assert process is not None
        await until(lambda: gate.held or process.poll() is not None, f"the request\n{self.log()[-3000:]}")
        assert gate.held, f"ended with {process.returncode}:\n{self.log()[-3000:]}"
        return gate.held[0]

    async def stop(self) -> None:
        """End it by SIGTERM; it must end well."""
        self.signal(signal.SIGTERM)
        assert await self.ended() == 0, self.log()[-3000:]

    def close(self) -> None:
        """End what is left of it."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for log in self._logs:
            log.close()

    def log(self, run: int | None = None) -> str:
        """Give what one run wrote; the latest."""
        return (self.folder / f"log-{run or self.runs}").read_text(errors="replace")

    def events(self, name: str | None = None, run: int | None = None) -> list[dict[str, Any]]:
        """Give the log's events, of one name."""
        found = []
        for line in self.log(run).splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line[line.find("{") :])
                if name is None or event.get("event") == name:
                    found.append(event)
        return found

    async def logged(self, name: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """Wait for an event of this run, and give it."""
        found = await until(lambda: self.events(name), f"{name!r} in {self.folder}", deadline_s)
        event: dict[str, Any] = found[0]
        return event

    async def ask(self, path: str, method: str = "GET", **kwargs: Any) -> Any:
        """Ask its API; None while nobody listens. It answers within half a minute."""
        connector = aiohttp.UnixConnector(str(self.folder / "s"))
        try:
            async with (
                aiohttp.ClientSession(
                    "http://localhost", connector=connector, timeout=aiohttp.ClientTimeout(total=30)
                ) as session,
                session.request(method, path, **kwargs) as answer,
            ):
                return await answer.json()
        except TimeoutError:
            pytest.fail(f"{method} {path}: no answer; the daemon says:\n{self.log()[-4000:]}")
        except (aiohttp.ClientError, OSError):
            return None

    async def row(self, resource_id: str) -> dict[str, Any] | None:
        """Give a resource's row in its status; None: there is none."""
        status = await self.ask("/api/v1/status")
        return next((row for row in (status or {}).get("resources", []) if row["id"] == resource_id), None)

    async def explain(self, resource_id: str) -> Any:
        """Give the explain document."""
        return await self.ask("/api/v1/explain", params={"resource": resource_id})

    async def watching(self, resource_id: str) -> dict[str, Any]:
        """Wait until it watches something, and give its row."""
        row: dict[str, Any] = await until(lambda: self.row(resource_id), f"{resource_id} in status")
        return row

    async def shows(
        self, resource_id: str, deadline_s: float = DEADLINE_S, **wanted: object
    ) -> dict[str, Any]:
        """Wait until a resource's row says that, and give it."""
        last: list[Any] = []

        async def agrees() -> dict[str, Any] | None:
            row = await self.row(resource_id)
            last[:] = [row]
            return row if row and all(row.get(key) == value for key, value in wanted.items()) else None

        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            if (row := await agrees()) is not None:
                return row
            await asyncio.sleep(0.05)
        pytest.fail(f"status never showed {wanted}; last: {last}\n{self.log()[-2000:]}")


@dataclass(frozen=True, slots=True)
class Journal:
    """Reads a journal, as `reaper status` without a daemon does."""

    path: Path

    async def facts(self, *types: str) -> list[Fact]:
        """Give its facts, oldest first."""
        journal = SqliteJournal(self.path)
        await journal.open(write=False)
        try:
            return await journal.facts(LedgerQuery(types=types))
        finally:
            await journal.close()

    async def ledger(self, resource_id: str) -> list[LedgerEntry]:
        """Give the ledger's rows of one resource."""
        facts = await self.facts("LedgerEntry")
        return [fact for fact in facts if isinstance(fact, LedgerEntry) and fact.ref.id == resource_id]

    async def decisions(self, resource_id: str) -> list[Decision]:
        """Give the decisions on one resource that were written down."""
        journal = SqliteJournal(self.path)
        await journal.open(write=False)
        try:
            decisions = await journal.decisions(limit=10_000)
        finally:
            await journal.close()
        return [decision for decision in decisions if decision.ref.id == resource_id]

    async def states(self, resource_id: str) -> list[str]:
        """Give the ledger's states of one resource, in order."""
        return [entry.state.value for entry in await self.ledger(resource_id)]

    async def polls(self) -> tuple[int, int]:
        """Give how many looks it holds, and the number of its last batch."""
        journal = SqliteJournal(self.path)
        await journal.open(write=False)
        try:
            image = await journal.load()
            return image.polls, image.seq
        finally:
            await journal.close()


@asynccontextmanager
async def daemon_place(**settings: object) -> AsyncIterator[Daemon]:
    """Make a place for a daemon; settings by their names without `REAPER_`, in lower case."""
    with tempfile.TemporaryDirectory(prefix="reaper-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        env = {key: value for key, value in os.environ.items() if not key.startswith(("REAPER_", "JUPYTER"))}
        env |= {
            "HOME": name,
            "XDG_RUNTIME_DIR": name,
            "JUPYTER_RUNTIME_DIR": name,
            "REAPER_STATE": f"{name}/journal.db",
            "REAPER_LISTEN": f"unix:{name}/s",
            "REAPER_LOG_FORMAT": "json",
            "REAPER_START_GRACE": "0s",
            "REAPER_APPLY_GRACE": "0s",
            "REAPER_MODE": "enforce",
        }
        for key, value in settings.items():
            env[key if key == "TZ" else f"REAPER_{key.upper()}"] = str(value)
        daemon = Daemon(folder, env)
        try:
            yield daemon
        finally:
            daemon.close()
