"""The demo's stage: a real Jupyter server with kernels and terminals of every sort, started and ended by us."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import psutil

from reaper.errors import ReaperError

__all__ = ["ACTORS", "COMPUTE", "Actor", "Cast", "Stage", "end", "stage", "started"]

_STARTING = 40.0
"""Seconds for the server, a cell or a shell to begin."""
_LAST_WORDS = 800
"""Characters of a log that are quoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One kernel or terminal of the demo.

    Attributes:
        name: What the demo calls it: the notebook's path, or the terminal's part.
        kind: `jupyter.kernel`, `jupyter.terminal` or `studio.app`.
        plays: What it does, for people.
        code: Run in the kernel, or typed into the terminal.
        survives: Whether it is work and must be there in the end.
        waits: Whether the cell ends at once, so that its end is waited for.
    """

    name: str
    kind: str
    plays: str
    code: str
    survives: bool
    waits: bool = True


COMPUTE = 'for _ in range(5_000): __import__("time").sleep(0.03); sum(i * i for i in range(400_000))'
"""Half a core, so that several fit on a small machine; for some minutes: if the demo is killed, nothing burns on."""
_CHILD = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {!r}])"
_LOOP = f"{sys.executable} -c '{COMPUTE}'"

ACTORS = (
    Actor(
        name="idle.ipynb",
        kind="jupyter.kernel",
        plays="ran a cell, then nothing",
        code="x = 1 + 1",
        survives=False,
    ),
    Actor(
        name="silent-cell.ipynb",
        kind="jupyter.kernel",
        plays="a long cell that prints nothing",
        code=COMPUTE,
        survives=True,
        waits=False,
    ),
    Actor(
        name="thread.ipynb",
        kind="jupyter.kernel",
        plays="says idle, but a thread computes",
        code=f"import threading\ndef work():\n    {COMPUTE}\nthreading.Thread(target=work, daemon=True).start()",
        survives=True,
    ),
    Actor(
        name="child.ipynb",
        kind="jupyter.kernel",
        plays="says idle, but a child computes",
        code=_CHILD.format(COMPUTE),
        survives=True,
    ),
    Actor(
        name="sleeping-child.ipynb",
        kind="jupyter.kernel",
        plays="says idle, its child only sleeps",
        code=_CHILD.format("import time; time.sleep(3600)"),
        survives=False,
    ),
    Actor(name="quiet shell", kind="jupyter.terminal", plays="an empty prompt", code="", survives=False),
    Actor(
        name="sleeping job", kind="jupyter.terminal", plays="sleep 3600", code="sleep 3600\r", survives=False
    ),
    Actor(
        name="silent job",
        kind="jupyter.terminal",
        plays="computes and prints nothing",
        code=f"{_LOOP}\r",
        survives=True,
    ),
    Actor(
        name="background job",
        kind="jupyter.terminal",
        plays="computes in the background",
        code=f"{_LOOP} &\r",
        survives=True,
    ),
    Actor(
        name="output",
        kind="jupyter.terminal",
        plays="prints the date every second",
        code="while true; do date; sleep 1; done\r",
        survives=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """An actor as it lives on the server.

    Attributes:
        actor: Who it is.
        id: Kernel id, terminal name, or the app's id.
    """

    actor: Actor
    id: str


class Stage:
    """A running server and everybody on it."""

    title = "a Jupyter server of this host"

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str, runtime_dir: Path) -> None:
        """Take a session that carries the token."""
        self.url = url
        self.token = token
        self.environment = {
            "REAPER_PRESET": "jupyter",
            "REAPER_JUPYTER__RUNTIME_DIRS": str(runtime_dir),
        }
        self.cast: list[Cast] = []
        self._session = session

    async def fill(self) -> None:
        """Let everybody enter: kernels at once, terminals one after the other."""
        await asyncio.gather(*(self.enter(actor) for actor in ACTORS if actor.kind == "jupyter.kernel"))
        for actor in ACTORS:
            if actor.kind == "jupyter.terminal":
                await self.enter(actor)
        self.cast.sort(key=lambda cast: ACTORS.index(cast.actor))

    async def enter(self, actor: Actor) -> Cast:
        """Start one kernel or terminal and let it begin its part."""
        if actor.kind == "jupyter.kernel":
            body = {"path": actor.name, "type": "notebook", "name": actor.name, "kernel": {"name": "python3"}}
            answer = await self._json("POST", "api/sessions", body)
            cast = Cast(actor=actor, id=answer["kernel"]["id"])
            await self._execute(cast.id, actor.code, waits=actor.waits)
        else:
            answer = await self._json("POST", "api/terminals", {})
            cast = Cast(actor=actor, id=answer["name"])
            if actor.code:
                await self._type(cast.id, actor.code)
        self.cast.append(cast)
        return cast

    async def alive(self) -> set[str]:
        """Give the ids of the kernels and terminals that the server still lists."""
        kernels = await self._json("GET", "api/kernels?no_track_activity=1")
        terminals = await self._json("GET", "api/terminals?no_track_activity=1")
        return {kernel["id"] for kernel in kernels} | {terminal["name"] for terminal in terminals}

    async def _json(self, method: str, path: str, body: object = None) -> Any:
        async with self._session.request(method, self.url + path, json=body) as response:
            response.raise_for_status()
            return await response.json()

    async def _execute(self, kernel_id: str, code: str, *, waits: bool) -> None:
        message_id, session_id = uuid.uuid4().hex, uuid.uuid4().hex
        url = f"{self.url}api/kernels/{quote(kernel_id)}/channels?session_id={session_id}"
        message = {
            "channel": "shell",
            "header": {
                "msg_id": message_id,
                "msg_type": "execute_request",
                "session": session_id,
                "username": "demo",
                "version": "5.3",
            },
            "parent_header": {},
            "metadata": {},
            "content": {
                "code": code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
            },
            "buffers": [],
        }
        async with self._session.ws_connect(url) as channel, asyncio.timeout(_STARTING):
            await channel.send_str(json.dumps(message))
            async for frame in channel:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    continue
                told = json.loads(frame.data)
                mine = told["parent_header"].get("msg_id") == message_id
                state = told["content"].get("execution_state")
                if mine and (told["msg_type"] == "error" or state == ("idle" if waits else "busy")):
                    return

    async def _type(self, name: str, text: str) -> None:
        async with (
            self._session.ws_connect(f"{self.url}terminals/websocket/{quote(name)}") as channel,
            asyncio.timeout(_STARTING),
        ):
            async for frame in channel:  # the prompt: the shell is there
                if json.loads(frame.data)[0] == "stdout":
                    break
            await channel.send_str(json.dumps(["stdin", text]))
            async for frame in channel:  # its echo: the shell has it
                if json.loads(frame.data)[0] == "stdout":
                    return


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """Start a Jupyter server of our own on loopback, isolated from the user's, and end it with all it started.

    Raises:
        ReaperError: jupyter_server is not installed, does not come up, or stops answering.
    """
    runtime_dir = directory / "runtime"
    for part in ("runtime", "config", "data", "notebooks", "ipython"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(24)
    environment = {
        **os.environ,
        "JUPYTER_RUNTIME_DIR": str(runtime_dir),
        "JUPYTER_CONFIG_DIR": str(directory / "config"),
        "JUPYTER_DATA_DIR": str(directory / "data"),
        "IPYTHONDIR": str(directory / "ipython"),
        "JUPYTER_TOKEN": token,
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    root = ["--allow-root"] if os.geteuid() == 0 else []
    with (directory / "jupyter.log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "jupyter_server",
            "--no-browser",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
            f"--ServerApp.root_dir={directory / 'notebooks'}",
            *root,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    log_file = directory / "jupyter.log"
    try:
        url = await started(server, runtime_dir, log_file)
        async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
            yield Stage(session, url, token, runtime_dir)
    except (aiohttp.ClientError, TimeoutError) as error:
        msg = f"the demo's Jupyter server does not answer ({type(error).__name__}: {error}): {_last_words(log_file)}"
        raise ReaperError(msg) from error
    finally:
        await end(server, runtime_dir)


async def started(server: asyncio.subprocess.Process, runtime_dir: Path, log: Path) -> str:
    """Wait until the server answers, and give its URL. It writes its runtime file before it listens.

    Raises:
        ReaperError: It ends, or does not answer in time; the message quotes its log.
    """
    file = runtime_dir / f"jpserver-{server.pid}.json"
    one_try = aiohttp.ClientTimeout(total=5)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_STARTING), aiohttp.ClientSession(timeout=one_try) as session:
            while server.returncode is None:
                with contextlib.suppress(
                    FileNotFoundError, json.JSONDecodeError, aiohttp.ClientError, TimeoutError
                ):
                    url: str = json.loads(file.read_text())["url"]
                    async with session.get(f"{url}api") as answer:  # needs no token
                        answer.raise_for_status()
                        return url
                await asyncio.sleep(0.1)
    msg = f"the demo's Jupyter server did not start: {_last_words(log)} ('make demo' installs what it needs)"
    raise ReaperError(msg)


def _last_words(log: Path) -> str:
    """Give the end of a log: the file itself is gone when people read of it."""
    said = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
    return said[-_LAST_WORDS:] or "it said nothing"


async def end(server: asyncio.subprocess.Process, runtime_dir: Path) -> None:
    """End the server and everything that was started on it.

    Jobs of kernels and terminals leave its session, and a kernel's child stays when its kernel goes: what comes from
    this server has its runtime directory in its environment.
    """
    if server.returncode is None:
        server.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(10):
                await server.wait()
        except TimeoutError:
            server.kill()
            await server.wait()
    killed = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # gone, another user's, or the kernel's own thread
            if process.environ().get("JUPYTER_RUNTIME_DIR") == str(runtime_dir):
                process.kill()  # psutil checks that the pid is still the same process
                killed.append(process)
    await asyncio.to_thread(psutil.wait_procs, killed, timeout=5)
