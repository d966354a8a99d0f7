"""Everybody in the house: who plays which story, and how each begins."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable

import aiohttp
import psutil

from tests.stories.accounts import Account, kernel_process, lives
from tests.stories.cells import DIES_IN_MID_CELL, FUTURE, JOB, PAGE, SILENT, UPLOAD, silent_job, sink
from tests.stories.daemons import REAPER
from tests.stories.stage import Stage
from tests.stories.waiting import PATIENCE_S, true_within, write_for_ever
from tests.support.jupyter_server import wait_until

__all__ = ["KERNELS_THAT_GO", "POLICIES", "TERMINALS_THAT_GO", "Cast", "has_zombies"]

POLICIES = """
[[policies]]
name = "idle"
kind = "jupyter.kernel"
rule = "idle"
match = { name = ["silent-cell.ipynb", "w1.ipynb", "w4.ipynb", "w5*.ipynb", "w6*.ipynb", "f1.ipynb", "f4.ipynb",
                  "f6-idle.ipynb", "f17.ipynb", "f20.ipynb"] }

[[policies]]
name = "idle-or-stuck"
kind = "jupyter.kernel"
rule = "idle"
busy_timeout = "12s"
match = { name = ["w7*.ipynb"] }

[[policies]]
name = "old"
kind = "jupyter.kernel"
rule = "age"
timeout = "15s"
idle_for = "2s"
match = { name = ["f6-age.ipynb"] }

[[policies]]
name = "idle-for-an-hour"
kind = "jupyter.kernel"
rule = "idle"
timeout = "1h"
match = { name = ["f6-age.ipynb"] }

[[policies]]
name = "a-day-old"
kind = "jupyter.kernel"
rule = "age"
timeout = "24h"
match = { name = ["f6-idle.ipynb", "f7.ipynb"] }

[[policies]]
name = "raises"
kind = "jupyter.kernel"
rule = "idle"
match = { name = ["f19*.ipynb"] }

[[policies]]
name = "terminals"
kind = "jupyter.terminal"
rule = "idle"
"""

KERNELS_THAT_GO = {
    "w5-nobody",
    "w6-bare",
    "w7-remote",
    "f1",
    "f4",
    "f6-idle",
    "f6-age",
    "f7",
    "f19-other",
    "f20",
}
TERMINALS_THAT_GO = {"w2 second", "w2 third"}


class Cast:
    """Starts everybody.

    Attributes:
        kept_saving: How often w4's notebook was saved.
    """

    def __init__(self, stage: Stage) -> None:
        self.kept_saving = 0
        self._stage = stage
        self._server = stage.server
        self._accounts = stage.accounts

    async def enter(self) -> None:
        """Start everybody: kernels four at a time, terminals one after the other."""
        port = await self._stage.stack.enter_async_context(sink())
        kernel, future = self._stage.kernel, FUTURE.format(port=port)
        kernels: list[Callable[[], Awaitable[None]]] = [
            self._f4,
            self._f7,
            lambda: self._w1(port),
            self._w4,
            lambda: self._w5("w5", browser=True),
            lambda: self._w5("w5-nobody", browser=False),
            lambda: kernel("w6-bare", future),
            lambda: kernel("w6-self", future),
            lambda: kernel("w6-command", future),
            lambda: kernel(
                "w7-child",
                f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {JOB!r}])",
                wait=False,
            ),
            lambda: kernel("w7-remote", f"{future}\nremote.recv(1)", wait=False),
            lambda: kernel("silent-cell", SILENT, wait=False),
            lambda: kernel("f17", "import time\nwhile True: time.sleep(3600)", wait=False),
            self._f20,
            lambda: kernel("f19", "x = 1"),
            lambda: kernel("f19-other", "x = 1"),
            lambda: kernel("f6-idle", "x = 1"),
            lambda: kernel("f6-age", "x = 1"),
            lambda: kernel("f1", "x = 1"),
        ]
        at_once = asyncio.Semaphore(4)

        async def one(start: Callable[[], Awaitable[None]]) -> None:
            async with at_once:
                await start()

        await asyncio.gather(*(one(start) for start in kernels), self._terminals())

    async def hold(self) -> None:
        """w6: `reaper hold self` in one cell, `reaper hold -- COMMAND` from another."""
        await asyncio.gather(self._hold_self(), self._hold_while_a_command_runs())

    async def _w1(self, port: int) -> None:
        checkpoint = self._stage.folder / "checkpoint"
        checkpoint.write_bytes(os.urandom(1 << 22))
        await self._stage.kernel("w1", UPLOAD.format(port=port, file=str(checkpoint)))

    async def _w4(self) -> None:
        """Keep a tab open on a kernel that runs no cell, and save its notebook again and again."""
        kernel_id = await self._stage.open("w4")
        await self._stage.stack.enter_async_context(self._server.attached(kernel_id))
        await self._server.wait_for_state(kernel_id, "idle")

        async def save() -> None:
            while True:
                await self._server.save_notebook("w4.ipynb", source=f"draft {self.kept_saving}")
                self.kept_saving += 1
                await asyncio.sleep(2)

        self._stage.meanwhile(save())

    async def _w5(self, name: str, *, browser: bool) -> None:
        kernel_id = await self._stage.open(name)
        port = int(await self._server.execute(kernel_id, PAGE, deadline_s=PATIENCE_S))
        if browser:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            self._stage.stack.callback(writer.close)

    async def _f4(self) -> None:
        """Let a kernel die in the middle of its cell while a tab is open, and wait until it is back."""
        kernel_id = await self._stage.open("f4", kernel="silent-rebirth")
        account = self._accounts["f4"]
        first = account.process
        tab = await self._stage.stack.enter_async_context(self._server.attached(kernel_id))
        await tab.execute("x = 1", deadline_s=PATIENCE_S)
        await tab.execute(DIES_IN_MID_CELL, wait=False)

        async def another() -> psutil.Process | None:
            found = kernel_process(self._server, kernel_id)
            return found if found is not None and found != first else None

        account.process = await wait_until(another, what="f4's kernel is back", deadline_s=PATIENCE_S)

    async def _f7(self) -> None:
        """Ask for a kernel that dies as it starts, and open its tab: the server lists it as dead, and keeps it."""
        body = {"path": "f7.ipynb", "name": "", "type": "notebook", "kernel": {"name": "broken"}}
        session = await self._server.request("POST", "api/sessions", json=body)
        account = self._accounts["f7"] = Account(session["kernel"]["id"])
        with contextlib.suppress(aiohttp.WSServerHandshakeError):
            async with self._server.attached(account.id):
                pass
        await self._server.wait_for_state(account.id, "dead")

    async def _f20(self) -> None:
        await self._stage.kernel("f20", "import subprocess\nchild = subprocess.Popen(['true'])")
        await true_within(lambda: has_zombies(self._accounts["f20"].process), what="f20's child has ended")

    async def _hold_self(self) -> None:
        code = f"""
import subprocess
held = subprocess.run([{REAPER!r}, "hold", "self", "--for", "1h", "--why", "a future"], capture_output=True, text=True)
print(held.returncode, held.stdout, held.stderr)
"""
        out = await self._server.execute(self._accounts["w6-self"].id, code, deadline_s=PATIENCE_S)
        assert out.startswith("0 "), out

    async def _hold_while_a_command_runs(self) -> None:
        code = f"""
import subprocess
held = subprocess.Popen([{REAPER!r}, "hold", "--", "sleep", "600"], stderr=subprocess.PIPE, text=True)
print(held.stderr.readline())
"""
        out = await self._server.execute(self._accounts["w6-command"].id, code, deadline_s=PATIENCE_S)
        assert "while sleep runs" in out, out

    async def _terminals(self) -> None:
        """Open them one by one: who is whose shell is told by which one is new."""
        stage = self._stage
        for name in ("w2 first, closed", "w2 second", "w2 third"):
            await stage.terminal(name)
        closed = self._accounts.pop("w2 first, closed")
        assert closed.id == "1"
        await self._server.request("DELETE", "api/terminals/1")
        await true_within(lambda: not lives(closed.process), what="the first shell ends")
        reopened = await stage.terminal("w2 first")
        assert reopened.id == "1", "the name is used again"
        await stage.type(reopened, silent_job(stage.folder))
        await stage.type(await stage.terminal("f3 watch"), "watch -n 1 date")
        log = stage.folder / "live.log"
        log.touch()
        await stage.type(await stage.terminal("f3 tail"), f"tail -f {log}")
        stage.meanwhile(write_for_ever(log))
        for when in ("w16look", "w16act"):
            await stage.terminal(when, name=when)


def has_zombies(process: psutil.Process | None) -> bool:
    """Say whether a process has children that ended and were not waited for."""
    return process is not None and any(not lives(child) for child in process.children())
