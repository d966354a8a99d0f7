"""A real Jupyter server for tests: its own process, its own directories, loopback only.

    with running_jupyter(tmp_path) as server:              # or the fixture: start_jupyter(token="")
        kernel_id = await server.start_kernel()
        await server.execute(kernel_id, "import time; time.sleep(60)", wait=False)   # left busy

`running_jupyter` blocks for a second or two while the server starts; a test whose own loop must
not stand still meanwhile uses `async with running_jupyter_async(...)`. A test module gets the
fixtures `jupyter` and `start_jupyter` by importing `fixture_jupyter` and `fixture_start_jupyter`.

The coroutines play a person with a browser: what they do counts as activity, except for `get`.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import psutil
import pytest
import trustme
from yarl import URL

__all__ = [
    "JupyterServer",
    "KernelChannel",
    "fixture_jupyter",
    "fixture_start_jupyter",
    "running_jupyter",
    "running_jupyter_async",
    "wait_until",
]

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0
DEADLINE_S = 30.0
"""For everything else. Generous: only what is broken takes that long."""

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


@contextmanager
def running_jupyter(
    directory: Path,
    *,
    token: str | None = None,
    base_url: str = "/",
    unix_socket: bool = False,
    tls: bool = False,
    terminals: bool = True,
    cull_idle_timeout: int = 0,
    cull_interval: int = 300,
    cull_connected: bool = False,
    settings: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[JupyterServer]:
    """Start a server and wait until it answers; stop it and all that it started at the end.

    Args:
        directory: Gets its runtime, config, data, home and root directories.
        token: None makes one up; empty switches authentication off.
        base_url: Where it is mounted.
        unix_socket: Listen there instead of on loopback.
        tls: Serve https with a certificate by an authority of its own (`ca_file`).
        terminals: Whether there are any.
        cull_idle_timeout: Jupyter's own culler, for kernels and terminals, in seconds; 0 is off.
        cull_interval: How often that looks.
        cull_connected: Whether it takes kernels with open tabs.
        settings: Further traits: `{"ServerApp.x": value}`.
        environ: Further environment variables.
    """
    token = uuid.uuid4().hex if token is None else token
    places = {name: directory / name for name in ("runtime", "config", "data", "home", "root", "ipython")}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    log_file = directory / "server.log"
    with ExitStack() as stack:
        traits: dict[str, object] = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": _free_port(),
            "ServerApp.port_retries": 50,  # the runtime file tells which one it became
            "ServerApp.open_browser": False,
            "ServerApp.root_dir": places["root"],
            "ServerApp.base_url": base_url,
            "ServerApp.terminals_enabled": terminals,
            "IdentityProvider.token": token,
            "MappingKernelManager.cull_idle_timeout": cull_idle_timeout,
            "MappingKernelManager.cull_interval": cull_interval,
            "MappingKernelManager.cull_connected": cull_connected,
            "TerminalManager.cull_inactive_timeout": cull_idle_timeout,
            "TerminalManager.cull_interval": cull_interval,
        }
        if unix_socket:  # a path longer than 107 bytes is none: pytest's directories are too deep
            sockets = tempfile.mkdtemp(prefix="reaper-test-")
            stack.callback(shutil.rmtree, sockets, ignore_errors=True)
            traits["ServerApp.sock"] = f"{sockets}/jupyter.sock"
            del traits["ServerApp.port"], traits["ServerApp.ip"]
        ca_file = None
        if tls:
            ca_file = directory / "ca.pem"
            traits |= _certificate(directory, ca_file)
        traits |= settings or {}
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")},
            "HOME": str(places["home"]),
            "IPYTHONDIR": str(places["ipython"]),
            "JUPYTER_RUNTIME_DIR": str(places["runtime"]),
            "JUPYTER_CONFIG_DIR": str(places["config"]),
            "JUPYTER_DATA_DIR": str(places["data"]),
            **(environ or {}),
        }
        arguments = [f"--{name}={value}" for name, value in traits.items()]
        log = stack.enter_context(log_file.open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", "--allow-root", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=places["root"],
            env=env,
            start_new_session=True,
        )
        stack.callback(_stop, process)
        runtime_file = places["runtime"] / f"jpserver-{process.pid}.json"
        entry = _wait_for_start(process, runtime_file, log_file)
        yield JupyterServer(
            url=entry["url"],
            token=token,
            pid=process.pid,
            runtime_dir=places["runtime"],
            root_dir=places["root"],
            socket_path=entry["sock"] or None,
            ca_file=ca_file,
            log_file=log_file,
        )


@asynccontextmanager
async def running_jupyter_async(directory: Path, **options: Any) -> AsyncIterator[JupyterServer]:
    """Do as `running_jupyter` without holding up the loop while the server starts and stops."""
    context = running_jupyter(directory, **options)
    server = await asyncio.to_thread(context.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


@pytest.fixture(name="start_jupyter")
def fixture_start_jupyter(tmp_path: Path) -> Iterator[Callable[..., JupyterServer]]:
    """Start servers with options of one's own; they stop with the test."""
    with ExitStack() as stack:
        count = 0

        def start(**options: Any) -> JupyterServer:
            nonlocal count
            count += 1
            return stack.enter_context(running_jupyter(tmp_path / f"jupyter-{count}", **options))

        yield start


@pytest.fixture(name="jupyter", scope="module")
def fixture_jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """Share one ordinary server (token, base URL `/`) among the tests of a module."""
    with running_jupyter(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _certificate(directory: Path, ca_file: Path) -> dict[str, object]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    certificate = authority.issue_cert("localhost", "127.0.0.1", "::1")
    key_file, certificate_file = directory / "key.pem", directory / "certificate.pem"
    certificate.private_key_pem.write_to_path(str(key_file))
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(str(certificate_file), append=number > 0)
    return {"ServerApp.certfile": certificate_file, "ServerApp.keyfile": key_file}


def _wait_for_start(process: subprocess.Popen[bytes], runtime_file: Path, log_file: Path) -> dict[str, Any]:
    """Wait until the server answers; give its runtime file."""
    end = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            entry: dict[str, Any] = json.loads(runtime_file.read_text())
            if _answers(entry):
                return entry
        time.sleep(0.05)
    pytest.fail(f"jupyter_server did not start:\n{log_file.read_text()[-3000:]}")


def _answers(entry: Mapping[str, Any]) -> bool:
    """Ask `GET api` in the plainest way there is; no certificate is checked here."""
    with ExitStack() as stack:
        connection: socket.socket
        if entry["sock"]:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(5)
            connection.connect(entry["sock"])
        else:
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", entry["port"]), timeout=5)
            )
        if entry["secure"]:
            unchecked = ssl.create_default_context()
            unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
            connection = stack.enter_context(unchecked.wrap_socket(connection))
        connection.sendall(f"GET {entry['base_url']}api HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        return b" 200 " in connection.recv(64)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a server, and whatever of its kernels and terminals outlives it."""
    try:
        started = psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        started = []
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in started:
        with contextlib.suppress(psutil.Error):  # psutil compares start times: never a reused pid
            child.kill()
