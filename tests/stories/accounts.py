"""What became of the kernels and terminals of a play: by the server, the process table, and the journal."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from reaper.core.decide import Decision
from reaper.core.facts import LedgerEntry
from reaper.core.verdict import Reason
from tests.stories.daemons import Reaper
from tests.stories.waiting import PATIENCE_S
from tests.support.jupyter_server import JupyterServer

__all__ = ["Account", "Accountant", "ended", "kernel_process", "lives", "shells"]


@dataclass(slots=True)
class Account:
    """What became of one kernel or terminal.

    Attributes:
        id: Kernel id or terminal name.
        process: Its kernel or shell.
        listed: Whether the server listed it in the end.
        lived: Whether its process ran in the end.
        status: Its line in the status at the end, if it was still there.
        explained: Its `explain` at the end, likewise.
        ledger: What was done to it, oldest first.
        decisions: Each decision on it that was journaled, oldest first.
    """

    id: str
    process: psutil.Process | None = None
    listed: bool = False
    lived: bool = False
    status: dict[str, Any] = field(default_factory=dict)
    explained: dict[str, Any] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def keep(self, ledger: list[LedgerEntry], decisions: list[Decision]) -> None:
        """Take from a journal what is about this one."""
        self.ledger = [entry for entry in ledger if entry.ref.id == self.id]
        self.decisions = [decision for decision in decisions if decision.ref.id == self.id]

    @property
    def states(self) -> list[str]:
        """The ledger's states, in order."""
        return [entry.state.value for entry in self.ledger]

    @property
    def survived(self) -> bool:
        """Both the server and the process table say so, and nothing was tried."""
        return self.listed and self.lived and "STARTED" not in self.states

    @property
    def reaped(self) -> bool:
        """It was reaped by us, and the server and the process table agree that it is gone."""
        return not self.listed and not self.lived and "SUCCEEDED" in self.states

    @property
    def started(self) -> LedgerEntry:
        """The ledger's entry from just before it was reaped."""
        return next(entry for entry in self.ledger if entry.state.value == "STARTED")

    @property
    def reaped_by(self) -> str:
        """Name the policy that reaped it."""
        return self.started.policy

    @property
    def reaped_because(self) -> Reason:
        """Give the reason of the decision that was confirmed right before it was reaped, as the journal has it."""
        return next(one.reason for one in self.decisions if one.id == self.started.decision_id)

    def evidence(self, signal: str) -> dict[str, Any]:
        """Give one signal as the last `explain` has it."""
        found: dict[str, Any] = next(
            e for e in self.explained["decision"]["evidence"] if e["signal"] == signal
        )
        return found


class Accountant:
    """Keeps an account of every kernel and terminal of a play with a daemon in this process."""

    def __init__(self, server: JupyterServer, reaper: Reaper, accounts: dict[str, Account]) -> None:
        self._server = server
        self._reaper = reaper
        self.accounts = accounts

    async def gone(self, names: set[str], *, deadline_s: float = PATIENCE_S) -> None:
        """Wait until all of these are gone from the server; at the deadline the tests tell what is not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while await self._listed() & {self.accounts[name].id for name in names}:
                    await asyncio.sleep(0.3)

    async def conclude(self) -> None:
        """Complete every account as of now."""
        listed = await self._listed()
        ledger, decisions = await self._reaper.ledger(), await self._reaper.decisions()
        for account in self.accounts.values():
            account.keep(ledger, decisions)
            account.listed = account.id in listed
            account.status = self._reaper.resource(account.id) or {}
            if account.listed and account.status:
                account.explained = await self._reaper.control.explain(account.id)
            if not account.listed:
                await ended(account.process)
            account.lived = lives(account.process)

    async def _listed(self) -> set[str]:
        kernels = await self._server.get("api/kernels")
        terminals = await self._server.get("api/terminals")
        return {one["id"] for one in kernels} | {one["name"] for one in terminals}


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


async def ended(process: psutil.Process | None) -> None:
    """Give a process that was told to end time to do so."""
    end = time.monotonic() + 20
    while lives(process) and time.monotonic() < end:
        await asyncio.sleep(0.1)
