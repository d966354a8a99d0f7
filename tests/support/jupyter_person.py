"""A person with a browser on a Jupyter server, for tests: what is done counts as activity, except for `get`."""

import asyncio
import contextlib
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import psutil
import pytest
from yarl import URL

__all__ = ["DEADLINE_S", "JupyterServer", "KernelChannel", "wait_until"]

DEADLINE_S = 30.0
"""For everything. Generous: only what is broken takes that long."""

T = TypeVar("T")


async def wait_until(
    condition: Callable[[], Awaitable[T]], *, what: str = "the condition", deadline_s: float = DEADLINE_S
) -> T:
    """Ask until the answer is true, and give it; fail after the deadline."""
    end = time.monotonic() + deadline_s
    while not (answer := await condition()):
        if time.monotonic() > end:
            pytest.fail(f"{what} did not come true within {deadline_s:g} s; last: {answer!r}")
        await asyncio.sleep(0.05)
    return answer


class KernelChannel:
    """A websocket to a kernel, as an open notebook tab holds one."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self._session = uuid.uuid4().hex

    async def execute(self, code: str, *, wait: bool = True, deadline_s: float = DEADLINE_S) -> str:
        """Run code as a cell; give what it printed.

        With `wait=False` it returns as soon as the kernel says that it is busy with it.
        """
        message_id = uuid.uuid4().hex
        await self._websocket.send_json(
            {
                "channel": "shell",
                "header": {
                    "msg_id": message_id,
                    "msg_type": "execute_request",
                    "session": self._session,
                    "username": "test",
                    "version": "5.3",
                    "date": "",
                },
                "parent_header": {},
                "metadata": {},
                "content": {"code": code, "silent": False, "store_history": False, "allow_stdin": True},
                "buffers": [],
            }
        )
        printed: list[str] = []
        async with asyncio.timeout(deadline_s):
            while True:
                message = await self._websocket.receive_json()
                if message["parent_header"].get("msg_id") != message_id:
                    continue
                content = message["content"]
                match message["msg_type"]:
                    case "stream":
                        printed.append(content["text"])
                    case "error":
                        raise AssertionError("\n".join(content["traceback"]))
                    case "status" if content["execution_state"] == "busy" and not wait:
                        return ""
                    case "status" if content["execution_state"] == "idle":
                        return "".join(printed)


@dataclass(frozen=True, slots=True, kw_only=True)
class JupyterServer:
    """A running server and what a person does with it.

    Attributes:
        url: As Jupyter's own runtime file has it (`http+unix://...` for a unix socket).
        token: What it accepts; empty if nothing is asked for.
        pid: Its process.
        runtime_dir, root_dir: Where it writes its runtime files; where its notebooks are.
        socket_path: Its unix socket.
        ca_file: The authority behind its certificate.
        log_file: What it printed.
    """

    url: str
    token: str
    pid: int
    runtime_dir: Path
    root_dir: Path
    socket_path: str | None
    ca_file: Path | None
    log_file: Path

    @property
    def runtime_file(self) -> Path:
        """The file that tells others of it."""
        return self.runtime_dir / f"jpserver-{self.pid}.json"

    def crash(self) -> None:
        """Kill it and what it started on the spot: its runtime file stays."""
        server = psutil.Process(self.pid)
        for process in [server, *server.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                process.kill()

    async def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """Send one request below the base URL; give its JSON, None for an empty answer."""
        async with self._session() as session, session.request(method, self._http(path), **kwargs) as answer:
            body = await answer.text()
            assert answer.ok, f"{method} {path}: {answer.status} {body[:500]}"
            return await answer.json() if body else None

    async def get(self, path: str) -> Any:
        """Look without counting as activity."""
        return await self.request("GET", f"{path}?no_track_activity=1")

    async def kernel(self, kernel_id: str) -> dict[str, Any]:
        """Look at a kernel without counting as activity."""
        model: dict[str, Any] = await self.get(f"api/kernels/{kernel_id}")
        return model

    async def start_kernel(self) -> str:
        """Start a kernel by REST. Nobody joins it, so it stays "starting"."""
        model = await self.request("POST", "api/kernels", json={"name": "python3"})
        return str(model["id"])

    async def open_session(
        self, path: str = "notebook.ipynb", *, kernel_id: str | None = None
    ) -> dict[str, Any]:
        """Open a notebook: a session on a new kernel, or on the one given."""
        kernel = {"name": "python3"} if kernel_id is None else {"id": kernel_id}
        body = {"path": path, "name": "", "type": "notebook", "kernel": kernel}
        model: dict[str, Any] = await self.request("POST", "api/sessions", json=body)
        return model

    @asynccontextmanager
    async def attached(self, kernel_id: str) -> AsyncIterator[KernelChannel]:
        """Keep a tab open on a kernel."""
        url = self._http(f"api/kernels/{kernel_id}/channels?session_id={uuid.uuid4().hex}")
        async with self._session() as session, session.ws_connect(url, max_msg_size=0) as websocket:
            yield KernelChannel(websocket)

    async def execute(
        self, kernel_id: str, code: str, *, wait: bool = True, deadline_s: float = DEADLINE_S
    ) -> str:
        """Run code in a kernel from a tab that is open only for that long; see `KernelChannel.execute`."""
        async with self.attached(kernel_id) as channel:
            return await channel.execute(code, wait=wait, deadline_s=deadline_s)

    async def idle_kernel(self) -> str:
        """Start a kernel, run something in it, and wait until the server knows it to be idle."""
        kernel_id = await self.start_kernel()
        await self.execute(kernel_id, "pass")
        await self.wait_for_state(kernel_id, "idle")
        return kernel_id

    async def wait_for_state(self, kernel_id: str, state: str) -> dict[str, Any]:
        """Wait until the server lists the kernel in that state; give its model."""

        async def reached() -> dict[str, Any] | None:
            model = await self.kernel(kernel_id)
            return model if model["execution_state"] == state else None

        model = await wait_until(reached, what=f"execution_state {state}")
        assert model is not None
        return model

    async def open_terminal(self, name: str | None = None) -> str:
        """Open a terminal; give its name."""
        model = await self.request("POST", "api/terminals", json={} if name is None else {"name": name})
        return str(model["name"])

    async def type_into(
        self, terminal: str, text: str, *, until: str | None = None, deadline_s: float = DEADLINE_S
    ) -> str:
        r"""Type a line into a terminal; give what came back.

        Args:
            terminal: Its name.
            text: The line; Return is pressed after it.
            until: Wait for this in the output. Not text of the line itself, which is echoed:
                write `echo do''ne` and wait for `done`. Without it, only the echo is waited for.
            deadline_s: For all of it.
        """
        url = self._http(f"terminals/websocket/{quote(terminal)}")
        seen = ""
        async with (
            asyncio.timeout(deadline_s),
            self._session() as session,
            session.ws_connect(url) as websocket,
        ):
            while (await websocket.receive_json())[0] != "setup":
                pass
            await websocket.send_json(["stdin", text + "\r"])
            while (until or text[:20]) not in seen:
                kind, *content = await websocket.receive_json()
                if kind == "stdout":
                    seen += content[0]
        return seen

    async def save_notebook(self, path: str = "notebook.ipynb", source: str = "") -> dict[str, Any]:
        """Save a notebook of one cell through the contents API."""
        cell: dict[str, object] = {
            "cell_type": "code",
            "id": "c",
            "source": source,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
        body = {"type": "notebook", "format": "json", "content": content}
        model: dict[str, Any] = await self.request("PUT", f"api/contents/{quote(path)}", json=body)
        return model

    def _http(self, path: str) -> URL:
        base = f"http://localhost{urlsplit(self.url).path}" if self.socket_path else self.url
        return URL(base + path, encoded=True)  # as it is: Jupyter does not take "@" for "%40"

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector: aiohttp.BaseConnector
        if self.socket_path:
            connector = aiohttp.UnixConnector(self.socket_path)
        else:
            trusted = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else True
            connector = aiohttp.TCPConnector(ssl=trusted)
        headers = {"Authorization": f"token {self.token}"} if self.token else {}
        async with aiohttp.ClientSession(
            connector=connector, headers=headers, cookie_jar=aiohttp.CookieJar(unsafe=True)
        ) as session:
            if not self.token:  # a person's browser has Jupyter's cookie by now
                async with session.get(self._http("tree?no_track_activity=1")) as page:
                    session.headers["X-Xsrftoken"] = page.cookies["_xsrf"].value
            yield session
