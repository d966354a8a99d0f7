"""A real Jupyter server for tests: its own process, its own directories, loopback only.

    with running_jupyter(tmp_path) as server:              # or the fixture: start_jupyter(token="")
        kernel_id = await server.start_kernel()
        await server.execute(kernel_id, "import time; time.sleep(60)", wait=False)   # left busy

`running_jupyter` blocks for a second or two while the server starts; a test whose own loop must
not stand still meanwhile uses `async with running_jupyter_async(...)`. A test module gets the
fixtures `jupyter` and `start_jupyter` by importing `fixture_jupyter` and `fixture_start_jupyter`.

What is given plays a person with a browser: tests.support.jupyter_person.
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
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.forked import Process, start
from tests.support.jupyter_person import JupyterServer, KernelChannel, wait_until

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

QUICK = str(Path(__file__).parent / "quick")
"""What stands before packages that take long to import."""


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
    forked: bool = True,
    quick: bool = True,
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
        forked: False: execute it, so that /proc/PID/cmdline and environ are its own.
        quick: False: with the packages that `quick` stands before, as debugpy in its kernels.
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
        paths = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path not in {"", QUICK}]
        env["PYTHONPATH"] = os.pathsep.join([QUICK, *paths] if quick else paths)  # also outside of pytest
        arguments = [f"--{name}={value}" for name, value in traits.items()]
        log = stack.enter_context(log_file.open("wb"))
        process = start(
            [sys.executable, "-m", "jupyter_server", "--allow-root", *arguments],
            program="jupyter_server",
            env=env,
            cwd=places["root"],
            output=log,
            start_new_session=True,
            forked=forked,
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
    import trustme  # a quarter of a second, for the few servers that need it

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    certificate = authority.issue_cert("localhost", "127.0.0.1", "::1")
    key_file, certificate_file = directory / "key.pem", directory / "certificate.pem"
    certificate.private_key_pem.write_to_path(str(key_file))
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(str(certificate_file), append=number > 0)
    return {"ServerApp.certfile": certificate_file, "ServerApp.keyfile": key_file}


def _wait_for_start(process: Process, runtime_file: Path, log_file: Path) -> dict[str, Any]:
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


def _stop(process: Process) -> None:
    """Stop a server, and all that it started: it would ask each kernel to end and wait for it."""
    try:
        started = psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        started = []
    process.terminate()
    for child in started:
        with contextlib.suppress(psutil.Error):  # psutil compares start times: never a reused pid
            child.kill()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
