"""One server, one daemon, and most of the stories at once: each a kernel or a terminal that plays its part.

The play runs once; the tests then ask what became of whom. Idle timeout 12 s, poll interval 5 s, apply grace 1 s.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from reaper.cli.wiring import loaded
from reaper.config import load_settings
from reaper.core.batch import Batch
from reaper.core.facts import LedgerEntry
from reaper.core.history import History
from reaper.core.model import Collected
from reaper.core.ruleset import Ruleset
from reaper.core.verdict import Finding
from reaper.journal.memory import MemoryJournal
from reaper.plugins import Look
from reaper.policies.idle import IdleRule
from reaper.providers.jupyter.source import JupyterSource
from reaper.testing.clock import T0
from tests.stories.daemons import (
    REAPER,
    Account,
    Reaper,
    Witness,
    command,
    environment,
    kernel_process,
    lives,
    patiently,
    reaper_in_process,
    shells,
    true_within,
    utc_now,
    write_for_ever,
)
from tests.support.jupyter_server import JupyterServer, running_jupyter_async, wait_until

__all__ = ["House", "play_house"]

TIMEOUT = timedelta(seconds=12)

JOB = """
import time
while True:
    end = time.process_time() + 0.06
    while time.process_time() < end:
        pass
    with open("/dev/zero", "rb", buffering=0) as batch:
        batch.read(1 << 18)
    time.sleep(0.14)
"""
"""A third of a core and a megabyte a second, as training on data has them, and as much CPU as a test may take."""

UPLOAD = """
import socket, threading, time
def upload():
    sink = socket.create_connection(("127.0.0.1", {port}))
    with open({file!r}, "rb", buffering=0) as checkpoint:
        while True:
            part = checkpoint.read(262144)
            if part:
                sink.sendall(part)
                time.sleep(0.125)
            else:
                checkpoint.seek(0)
threading.Thread(target=upload, daemon=True).start()
"""

PAGE = """
import subprocess, sys
serve = '''
import http.server
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
print(server.server_port, flush=True)
server.serve_forever(poll_interval=5)
'''
page = subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True)
print(page.stdout.readline())
"""

FUTURE = """
import socket, threading
remote = socket.create_connection(("127.0.0.1", {port}))
threading.Thread(target=remote.recv, args=(1,), daemon=True).start()
"""

CLUSTER = """
from distributed import LocalCluster
cluster = LocalCluster(n_workers=6, threads_per_worker=1)
cluster.wait_for_workers(6)
"""

ONCE = """
import os, sys, time
lived = sys.argv[-1] + ".lived"
if os.path.exists(lived):
    time.sleep(3600)
open(lived, "w").close()
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""

POLICIES = """
[[policies]]
name = "idle"
kind = "jupyter.kernel"
rule = "idle"
match = { name = ["w1.ipynb", "w4.ipynb", "w5*.ipynb", "w6*.ipynb", "f1.ipynb", "f2.ipynb", "f4.ipynb",
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
    "f2",
    "f4",
    "f6-idle",
    "f6-age",
    "f7",
    "f19-other",
    "f20",
}
TERMINALS_THAT_GO = {"w2 second", "w2 third"}


class RaisesForOne:
    """The rule `idle`, but for one notebook, of which it can't bear the sight."""

    timeout = TIMEOUT

    def __init__(self) -> None:
        self._idle = IdleRule(timeout=TIMEOUT)

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        if history.resource.name == "f19.ipynb":
            msg = "this one is beyond me"
            raise LookupError(msg)
        return self._idle.evaluate(history, now, policy)


@dataclass(slots=True)
class House:
    """What the play shows.

    Attributes:
        accounts: What became of everybody, by story (and part).
        began: When the daemon began.
        began_at, ended_at: The same and its end, by `time.monotonic`.
        cores: Use of the CPU, by story: of the busiest process of the tree, measured by psutil, not by reaper.
        cluster_core: Setting of `REAPER_JUPYTER__PROCESS__CORE` under which f2 went.
        zombies: Whether f20's kernel had a zombie child just before the daemon began.
        reborn: What state the server gave f4's second process just before the daemon began.
        kept_saving: How often w4's notebook was saved.
        swaps: w16: whether the new terminal lived 4 s after it was swapped in, by when that was.
        command_status: Exit status and output of `reaper status`.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    began: datetime = T0
    began_at: float = 0.0
    ended_at: float = 0.0
    cores: dict[str, float] = field(default_factory=dict)
    cluster_core: float = 0.10
    zombies: bool = False
    reborn: str = ""
    kept_saving: int = 0
    swaps: dict[str, bool] = field(default_factory=dict)
    command_status: tuple[int, str] = (0, "")


async def play_house(folder: Path, home: Path) -> House:
    """Play it.

    Args:
        folder: For the server and its notebooks.
        home: A short path, for the socket.
    """
    house = House()
    async with AsyncExitStack() as stack:
        settings = {
            "KernelRestarter.time_to_dead": 0.5,
            "AsyncMappingKernelManager.use_pending_kernels": True,
        }
        _install_kernels(folder)
        listen = f"unix:{home}/reaper.sock"
        server = await stack.enter_async_context(
            running_jupyter_async(folder, settings=settings, environ={"REAPER_LISTEN": listen})
        )
        stage = Stage(server, house, stack, folder)
        await stage.set_up()
        config = home / "reaper.toml"
        config.write_text(POLICIES)
        environ = environment(home, server, CONFIG=str(config))
        journal = SwappingJournal(stage)
        with stage.swapping_before_the_fresh_look():
            reaper = await stack.enter_async_context(
                reaper_in_process(environ, journal=journal, change_rules=_with_a_rule_that_raises)
            )
            await stage.perform(reaper)
    return house


def _with_a_rule_that_raises(rules: Ruleset) -> Ruleset:
    policies = tuple(
        replace(policy, rule=RaisesForOne()) if policy.name == "raises" else policy
        for policy in rules.policies
    )
    return replace(rules, policies=policies)


class Stage:
    """The server and everybody on it."""

    def __init__(self, server: JupyterServer, house: House, stack: AsyncExitStack, folder: Path) -> None:
        self.server = server
        self.house = house
        self._stack = stack
        self._folder = folder
        self._swapped: set[str] = set()

    async def set_up(self) -> None:
        """Start everybody: kernels three at a time, terminals one after the other."""
        sink = await self._stack.enter_async_context(_sink())
        checkpoint = self._folder / "checkpoint"
        checkpoint.write_bytes(os.urandom(1 << 22))
        future = FUTURE.format(port=sink)
        kernels: list[Callable[[], Awaitable[None]]] = [
            lambda: self._kernel("f2", CLUSTER, deadline_s=90),
            self._f4,
            self._f7,
            lambda: self._kernel("w1", UPLOAD.format(port=sink, file=str(checkpoint))),
            self._w4,
            lambda: self._w5("w5", browser=True),
            lambda: self._w5("w5-nobody", browser=False),
            lambda: self._kernel("w6-bare", future),
            lambda: self._kernel("w6-self", future),
            lambda: self._kernel("w6-command", future),
            lambda: self._kernel(
                "w7-child",
                f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {JOB!r}])",
                wait=False,
            ),
            lambda: self._kernel("w7-remote", f"{future}\nremote.recv(1)", wait=False),
            lambda: self._kernel("f17", "import time\nwhile True: time.sleep(3600)", wait=False),
            lambda: self._kernel("f20", "import subprocess\nchild = subprocess.Popen(['true'])"),
            lambda: self._kernel("f19", "x = 1"),
            lambda: self._kernel("f19-other", "x = 1"),
            lambda: self._kernel("f6-idle", "x = 1"),
            lambda: self._kernel("f6-age", "x = 1"),
            lambda: self._kernel("f1", "x = 1"),
        ]
        at_once = asyncio.Semaphore(4)

        async def one(start: Callable[[], Awaitable[None]]) -> None:
            async with at_once:
                await start()

        await asyncio.gather(*(one(start) for start in kernels), self._terminals())

    async def perform(self, reaper: Reaper) -> None:
        """Let the daemon work, and see what becomes of everybody."""
        house = self.house
        house.began_at = time.monotonic()
        house.began = utc_now()
        house.reborn = (await self.server.kernel(house.accounts["f4"].id))["execution_state"]
        house.zombies = _has_zombies(house.accounts["f20"].process)
        witness = Witness(self.server, reaper, house.accounts)
        watching = asyncio.create_task(witness.watch())
        try:
            await true_within(lambda: reaper.resource("f1.ipynb") is not None, what="the first look")
            await asyncio.gather(self._hold_self(), self._hold_while_a_command_runs())
            measured = asyncio.create_task(self._measure(("w1", "f2", "f1")))
            await witness.gone(KERNELS_THAT_GO - {"f2"} | TERMINALS_THAT_GO, deadline_s=45)
            await witness.gone({"f2"}, deadline_s=20)
            if lives(house.accounts["f2"].process):
                await self._raise_the_threshold(reaper, witness)
            await measured
            await true_within(
                lambda: time.monotonic() > house.began_at + 2.5 * TIMEOUT.total_seconds(),
                what="the last look",
            )
            await patiently(self._output_is_named, deadline_s=20)
            house.command_status = await command({**reaper.environ, "COLUMNS": "200"}, "status")
        finally:
            watching.cancel()
            await witness.conclude()
            house.ended_at = time.monotonic()

    async def _output_is_named(self) -> bool:
        return all(self.house.accounts[name].said_that("output alone") for name in ("f3 watch", "f3 tail"))

    # Kernels

    async def _kernel(self, name: str, code: str, *, wait: bool = True, deadline_s: float = 40) -> None:
        await self._open(name)
        await self.server.execute(self.house.accounts[name].id, code, wait=wait, deadline_s=deadline_s)

    async def _open(self, name: str, *, kernel: str = "python3") -> str:
        path = f"{name}.ipynb"
        await self.server.save_notebook(path)
        body = {"path": path, "name": "", "type": "notebook", "kernel": {"name": kernel}}
        session = await self.server.request("POST", "api/sessions", json=body)
        kernel_id: str = session["kernel"]["id"]
        self.house.accounts[name] = Account(kernel_id)

        async def process() -> psutil.Process | None:
            return kernel_process(self.server, kernel_id)

        self.house.accounts[name].process = await wait_until(process, what=f"{name}'s kernel")
        return kernel_id

    async def _w4(self) -> None:
        """Keep a tab open on a kernel that runs no cell, and save its notebook again and again."""
        kernel_id = await self._open("w4")
        await self._stack.enter_async_context(self.server.attached(kernel_id))
        await self.server.wait_for_state(kernel_id, "idle")

        async def save() -> None:
            while True:
                await self.server.save_notebook("w4.ipynb", source=f"draft {self.house.kept_saving}")
                self.house.kept_saving += 1
                await asyncio.sleep(2)

        saving = asyncio.create_task(save())
        self._stack.callback(saving.cancel)

    async def _w5(self, name: str, *, browser: bool) -> None:
        kernel_id = await self._open(name)
        port = int(await self.server.execute(kernel_id, PAGE))
        if browser:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            self._stack.callback(writer.close)

    async def _f4(self) -> None:
        """Let a kernel die in the middle of its cell while a tab is open, and wait until it is back."""
        kernel_id = await self._open("f4", kernel="silent-rebirth")
        account = self.house.accounts["f4"]
        first = account.process
        tab = await self._stack.enter_async_context(self.server.attached(kernel_id))
        await tab.execute("x = 1")
        await tab.execute("import os, time\ntime.sleep(3)\nos.kill(os.getpid(), 9)", wait=False)

        async def another() -> psutil.Process | None:
            found = kernel_process(self.server, kernel_id)
            return found if found is not None and found != first else None

        account.process = await wait_until(another, what="f4's kernel is back")

    async def _f7(self) -> None:
        """Ask for a kernel that dies as it starts, and open its tab: the server lists it as dead, and keeps it."""
        body = {"path": "f7.ipynb", "name": "", "type": "notebook", "kernel": {"name": "broken"}}
        session = await self.server.request("POST", "api/sessions", json=body)
        account = Account(session["kernel"]["id"])
        self.house.accounts["f7"] = account
        with contextlib.suppress(aiohttp.WSServerHandshakeError):
            async with self.server.attached(account.id):
                pass
        await self.server.wait_for_state(account.id, "dead")

    async def _hold_self(self) -> None:
        code = f"""
import subprocess
held = subprocess.run([{REAPER!r}, "hold", "self", "--for", "1h", "--why", "a future"], capture_output=True, text=True)
print(held.returncode, held.stdout, held.stderr)
"""
        out = await self.server.execute(self.house.accounts["w6-self"].id, code)
        assert out.startswith("0 "), out

    async def _hold_while_a_command_runs(self) -> None:
        code = f"""
import subprocess
held = subprocess.Popen([{REAPER!r}, "hold", "--", "sleep", "600"], stderr=subprocess.PIPE, text=True)
print(held.stderr.readline())
"""
        out = await self.server.execute(self.house.accounts["w6-command"].id, code)
        assert "while sleep runs" in out, out

    async def _measure(self, names: tuple[str, ...]) -> None:
        """Measure over 6 s what the busiest process of a kernel's tree uses of a core."""
        before = {name: _cpu(self.house.accounts[name].process) for name in names}
        began = time.monotonic()
        await asyncio.sleep(6)
        seconds = time.monotonic() - began
        for name in names:
            after = _cpu(self.house.accounts[name].process)
            rises = [after[pid] - used for pid, used in before[name].items() if pid in after]
            self.house.cores[name] = max(rises, default=0.0) / seconds

    async def _raise_the_threshold(self, reaper: Reaper, witness: Witness) -> None:
        """On a machine too slow for the default, do as the documentation says: one setting."""
        core = "0.25"
        self.house.cluster_core = float(core)
        settings = load_settings({**reaper.environ, "REAPER_JUPYTER__PROCESS__CORE": core})
        setup, providers, notifiers = loaded(settings, reaper.daemon.clock)
        setup = replace(setup, build_ruleset=reaper.daemon.rules.setup.build_ruleset)
        await reaper.daemon.reload(setup, providers, notifiers)
        await witness.gone({"f2"}, deadline_s=30)

    # Terminals

    async def _terminals(self) -> None:
        """Open them one by one: who is whose shell is told by which one is new."""
        for name in ("w2 first, closed", "w2 second", "w2 third"):
            await self._terminal(name)
        closed = self.house.accounts.pop("w2 first, closed")
        assert closed.id == "1"
        await self.server.request("DELETE", "api/terminals/1")
        await true_within(lambda: not lives(closed.process), what="the first shell ends")
        reopened = await self._terminal("w2 first")
        assert reopened.id == "1", "the name is used again"
        await self._type(reopened, _silent_job(self._folder))
        watch = await self._terminal("f3 watch")
        await self._type(watch, "watch -n 1 date")
        tail = await self._terminal("f3 tail")
        log = self._folder / "live.log"
        log.touch()
        await self._type(tail, f"tail -f {log}")
        writing = asyncio.create_task(write_for_ever(log))
        self._stack.callback(writing.cancel)
        for when in ("w16look", "w16act"):
            await self._terminal(when, name=when)

    async def _terminal(self, part: str, *, name: str | None = None) -> Account:
        account = Account(await self.server.open_terminal(name))
        known = {one.process for one in self.house.accounts.values()}
        self.house.accounts[part] = account

        async def shell() -> psutil.Process | None:
            new = shells(self.server) - known
            return new.pop() if len(new) == 1 else None

        account.process = await wait_until(shell, what=f"the shell of {part}")
        return account

    async def _type(self, account: Account, line: str) -> None:
        await self.server.type_into(account.id, line)

    # w16

    @contextlib.contextmanager
    def swapping_before_the_fresh_look(self) -> Iterator[None]:
        """Swap the terminal w16look just before the fresh look that precedes its DELETE."""
        real = JupyterSource.collect

        async def collect(source: JupyterSource, look: Look) -> Collected:
            if any(ref.id == "w16look" for ref in look.refs or ()):
                await self.swap("w16look")
            return await real(source, look)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(JupyterSource, "collect", collect)
            yield

    async def swap(self, name: str) -> None:
        """Close a terminal and open one of the same name, once; then see whether the new one lives on."""
        if name in self._swapped:
            return
        self._swapped.add(name)
        old = self.house.accounts[name]
        await self.server.request("DELETE", f"api/terminals/{name}")
        await true_within(lambda: not lives(old.process), what="the old shell ends")
        new = await self._terminal(f"{name} swapped", name=name)
        watching = asyncio.create_task(self._survives(name, new))
        self._stack.callback(watching.cancel)

    async def _survives(self, name: str, new: Account) -> None:
        """See it alive after the DELETE that was meant for the old one, long before its own time has come."""
        await asyncio.sleep(4)
        listed = {one["name"] for one in await self.server.get("api/terminals")}
        self.house.swaps[name] = name in listed and lives(new.process)


class SwappingJournal(MemoryJournal):
    """Swaps the terminal w16act once its STARTED is written: after the fresh look, before the DELETE."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def write(self, batch: Batch) -> Any:
        return self._write_and_swap(batch, super().write(batch))

    async def _write_and_swap(self, batch: Batch, writing: Awaitable[None]) -> None:
        await writing
        for fact in batch.facts:
            if isinstance(fact, LedgerEntry) and (fact.state.value, fact.ref.id) == ("STARTED", "w16act"):
                await self._stage.swap("w16act")


def _install_kernels(folder: Path) -> None:
    """Install one that can't start, and one that dies in silence: started again it hangs, and says nothing.

    A kernel that starts again tells so, and mostly that is heard ("starting"); where it is not, or where the new
    process hangs before it could, the server goes on listing the old one's "busy".
    """
    once = folder / "once.py"
    once.write_text(ONCE)
    for name, argv in (("broken", ["/nonexistent/python"]), ("silent-rebirth", [sys.executable, str(once)])):
        spec = folder / "data/kernels" / name
        spec.mkdir(parents=True)
        document = {"argv": [*argv, "-f", "{connection_file}"], "display_name": name, "language": "python"}
        spec.joinpath("kernel.json").write_text(json.dumps(document))


def _silent_job(folder: Path) -> str:
    script = folder / "job.py"
    script.write_text(JOB)
    return f"{sys.executable} -S {script}"


@asynccontextmanager
async def _sink() -> AsyncIterator[int]:
    """Take whatever comes, and answer nothing: an object store, or a scheduler on another host. Gives its port."""
    taking: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        taking.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while await reader.read(1 << 20):
                pass
        writer.close()

    sink = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield sink.sockets[0].getsockname()[1]
    finally:
        sink.close()
        for task in taking:
            task.cancel()


def _has_zombies(process: psutil.Process | None) -> bool:
    return process is not None and any(not lives(child) for child in process.children())


def _cpu(process: psutil.Process | None) -> dict[int, float]:
    used = {}
    with contextlib.suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)] if process else []:
            times = one.cpu_times()
            used[one.pid] = times.user + times.system
    return used
