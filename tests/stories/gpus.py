"""A host with "GPUs": device nodes that are plain files, and a stand-in for NVIDIA's library, loaded as the real one.

The kernels are real and have their nodes open; the daemon is a process of its own, with the stand-in on its
library path. Where device nodes are can't be configured, so that process is told at the closest place there
is: `ProcessTable.snapshot`, which takes the directory as an argument (`gpu_daemon.py`).
"""

import os
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.stories.accounts import Account, ended, kernel_process, lives
from tests.stories.daemons import asked, daemon_process, environment, journaled, status_of
from tests.stories.waiting import PATIENCE_S, patiently, utc_now
from tests.support.jupyter_server import JupyterServer, running_jupyter_async

__all__ = ["Gpus", "play_gpus"]

STUB = Path(__file__).parent.parent / "assets/nvml_stub.c"
DAEMON = Path(__file__).with_name("gpu_daemon.py")

PID_OF_THE_HOST = 4_190_001
"""A pid that is no process here: what NVML tells inside a container."""

KERNELS = {
    "w18": "nvidia0",  # busy with a pid that is not of this host
    "f8": None,  # has no GPU open
    "f8 divided": "nvidia1",  # has the divided one (MIG) open
    "f9": "nvidia2",  # holds memory there
    "f9 trains": "nvidia2",  # is at work there
}
GO = {"f8", "f9"}
TIMEOUT = timedelta(seconds=12)


@dataclass(slots=True)
class Gpus:
    """What the play shows: what became of each kernel, and the signal `gpu` of its last explanation."""

    accounts: dict[str, Account] = field(default_factory=dict)
    gpu: dict[str, list[str]] = field(default_factory=dict)


async def play_gpus(folder: Path, home: Path) -> Gpus:
    """Play it.

    Args:
        folder: For the server, the library and the device nodes.
        home: A short path, for the socket and the journal.
    """
    play = Gpus()
    library = folder / "library"
    library.mkdir(parents=True)
    devices = folder / "dev"
    devices.mkdir()
    for device in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl"):
        (devices / device).touch()
    target = str(library / "libnvidia-ml.so.1")
    compiler = ["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", target, str(STUB)]
    subprocess.run(compiler, check=True)  # noqa: ASYNC221 - half a second, and nothing else is to be done yet
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_jupyter_async(folder))
        for name, node in KERNELS.items():
            account = play.accounts[name] = Account(await server.start_kernel())
            code = f"gpu = open({str(devices / node)!r})" if node else "x = 1"
            await server.execute(account.id, code, deadline_s=PATIENCE_S)
            await server.wait_for_state(account.id, "idle")
            account.process = kernel_process(server, account.id)
        last = await server.kernel(play.accounts["f9 trains"].id)
        due = datetime.fromisoformat(last["last_activity"]) + TIMEOUT
        trainer = play.accounts["f9 trains"].process
        holder = play.accounts["f9"].process
        assert trainer is not None
        assert holder is not None
        world = folder / "world"
        world.write_text(
            "gpu 0 80\n"
            f"work 0 {PID_OF_THE_HOST} 80\n"
            "gpu 1 0 mig\n"
            "gpu 2 90\n"
            f"work 2 {trainer.pid} 90\nhold 2 {trainer.pid}\nhold 2 {holder.pid}\n"
        )
        environ = environment(home, server)
        stub = {
            "NVML_STUB": str(world),
            "LD_LIBRARY_PATH": str(library),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "STORY_DEVICES": str(devices),
        }
        await stack.enter_async_context(
            daemon_process(environ | stub, home / "log", sys.executable, str(DAEMON), "run")
        )
        await _watch(play, server, environ, due)
        await _conclude(play, server, environ, home)
    return play


async def _watch(play: Gpus, server: JupyterServer, environ: dict[str, str], due: datetime) -> None:
    """Wait until all are gone that should, and the others were looked at twice after the last one's time."""
    polls_when_due: int | None = None

    async def done() -> bool:
        nonlocal polls_when_due
        polls = (await asked(environ, "status")).get("polls", 0)
        if polls_when_due is None:
            polls_when_due = polls if utc_now() > due else None
            return False
        listed = {one["id"] for one in await server.get("api/kernels")}
        still = {name for name in GO if play.accounts[name].id in listed}
        return not still and polls >= polls_when_due + 2

    await patiently(done)


async def _conclude(play: Gpus, server: JupyterServer, environ: dict[str, str], home: Path) -> None:
    listed = {one["id"] for one in await server.get("api/kernels")}
    rows = {one["id"]: one for one in (await status_of(environ))["resources"]}
    journal = await journaled(home / "journal.db")
    for name, account in play.accounts.items():
        account.keep(journal.ledger, journal.decisions)
        account.listed = account.id in listed
        account.status = rows.get(account.id, {})
        if not account.listed:
            await ended(account.process)
        account.lived = lives(account.process)
        account.explained = await asked(environ, f"explain?resource={account.id}")
        if account.explained:
            play.gpu[name] = _gpu(account.explained)


def _gpu(document: dict[str, Any]) -> list[str]:
    for one in document["decision"]["evidence"]:
        if one["signal"] == "gpu":
            return [one["activity"], one["value"]]
    return []
