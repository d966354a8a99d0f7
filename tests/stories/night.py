"""Two in the morning: twenty idle kernels, terminals with output alone that counts for nothing, and two reapers.

The server has a stand-in for the jupyter-keepalive extension: a hold made on the server's side. As long as it
holds, both reapers keep everything; when it ends, the one in enforce mode reaps all of it.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.stories.accounts import Account, Accountant, kernel_process, shells
from tests.stories.daemons import asked, command, daemon_process, environment, reaper_in_process, status_of
from tests.stories.waiting import PATIENCE_S, patiently, true_within, write_for_ever
from tests.support.jupyter_server import JupyterServer, running_jupyter_async

__all__ = ["KERNELS", "Night", "play_night"]

KERNELS = 20

EXTENSION = '''
import json
from pathlib import Path
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

class Keepalive(APIHandler):
    @web.authenticated
    def get(self):
        """Answer as jupyter-keepalive does; how long it still holds stands in a file."""
        self.finish({"remaining": float(Path(__file__).with_name("remaining").read_text())})

def _jupyter_server_extension_points():
    return [{"module": "kept_alive"}]

def _load_jupyter_server_extension(app):
    app.web_app.add_handlers(".*$", [(url_path_join(app.base_url, "ext-keepalive/?"), Keepalive)])
'''


@dataclass(slots=True)
class Night:
    """What the play shows.

    Attributes:
        accounts: What became of everybody: `kernel N`, `watch`, `tail`.
        held_by_one, held_by_other: How many kernels each reaper showed as held while the server's hold lasted.
        reaped_while_held: What was reaped in that time.
        note: What the second reaper's status notes.
        doctor: The second reaper's doctor: the finding about two reapers.
        log: The second reaper's log, its lines read as JSON.
        first_note: What the first reaper's status notes.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    held_by_one: int = 0
    held_by_other: int = 0
    reaped_while_held: int = 0
    notes: list[str] = field(default_factory=list)
    first_notes: list[str] = field(default_factory=list)
    doctor: dict[str, Any] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)


async def play_night(folder: Path, home: Path) -> Night:
    """Play it.

    Args:
        folder: For the server.
        home: A short path, for sockets and journals.
    """
    night = Night()
    remaining = home / "remaining"
    remaining.write_text("3600")
    (home / "kept_alive.py").write_text(EXTENSION)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            running_jupyter_async(
                folder,
                settings={"ServerApp.jpserver_extensions": "{'kept_alive': True}"},
                environ={"PYTHONPATH": str(home)},
            )
        )
        await _set_up(server, night, stack, folder)
        one = environment(home, server, JUPYTER__TERMINAL_OUTPUT="ignore")
        (home / "other").mkdir()
        other = environment(home / "other", server, MODE="dry-run")
        reaper = await stack.enter_async_context(reaper_in_process(one))
        accountant = Accountant(server, reaper, night.accounts)
        await true_within(lambda: len(reaper.resources()) == KERNELS + 2, what="the first look")
        log = home / "other.log"
        async with daemon_process(other, log):
            await _see_the_hold(night, reaper.resources, other)
            night.reaped_while_held = KERNELS + 2 - len(reaper.resources())
            night.first_notes = (await status_of(one))["notes"]
            _, text = await command(other, "doctor", "--output", "json")
            checks = json.loads(text)["checks"]
            night.doctor = next(check for check in checks if check["name"] == "two reapers")
        night.log = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        remaining.write_text("0")
        await accountant.gone(set(night.accounts))
        await accountant.conclude()
    return night


async def _see_the_hold(night: Night, resources: Any, other: dict[str, str]) -> None:
    """Wait until both have seen that everything is due, and is held."""

    def held(listed: list[dict[str, Any]]) -> int:
        return sum(one["reason"] == "held" and bool(one["holds"]) for one in listed)

    async def both() -> bool:
        document = await asked(other, "status")
        listed = document.get("resources", [])
        night.held_by_one, night.held_by_other = held(resources()), held(listed)
        night.notes = document.get("notes") or []
        return night.held_by_one >= KERNELS and night.held_by_other >= KERNELS

    await patiently(both)


async def _set_up(server: JupyterServer, night: Night, stack: AsyncExitStack, folder: Path) -> None:
    at_once = asyncio.Semaphore(4)

    async def kernel(number: int) -> None:
        async with at_once:
            account = Account(await server.idle_kernel())
            account.process = kernel_process(server, account.id)
            night.accounts[f"kernel {number}"] = account

    async def terminals() -> None:
        log = folder / "live.log"
        log.touch()
        writing = asyncio.create_task(write_for_ever(log))
        stack.callback(writing.cancel)

        def new_shells() -> set[psutil.Process]:
            return shells(server) - {one.process for one in night.accounts.values() if one.process}

        for name, line in (("watch", "watch -n 1 date"), ("tail", f"tail -f {log}")):
            account = Account(await server.open_terminal(name))
            await true_within(lambda: bool(new_shells()), what=f"{name}'s shell")
            account.process = new_shells().pop()
            night.accounts[name] = account
            await server.type_into(name, line, deadline_s=PATIENCE_S)

    await asyncio.gather(*(kernel(number) for number in range(KERNELS)), terminals())
