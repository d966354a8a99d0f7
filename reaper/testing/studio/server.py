"""A real jupyter_server as a Studio app: Studio Classic's JupyterServer, or a JupyterLab app of the new one."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import psutil
from yarl import URL

from reaper.errors import ReaperError
from reaper.testing.studio.estate import App, Space, UserProfile
from reaper.testing.studio.studio import Studio

__all__ = ["StudioServer", "resource_metadata", "running_studio_server"]

STARTING_S = 120.0
"""For the server, a kernel, a shell, a cell: only what is broken takes that long."""
STOPPING_S = 15.0
SEPARATOR = "__SAGEMAKER_INTERNAL__"
BASE_URLS = {"JupyterServer": "/jupyter/default/", "JupyterLab": "/jupyterlab/default/"}
EXTENSION = "reaper.testing.studio.extension"


@dataclass(slots=True, kw_only=True)
class StudioServer:
    """A running server, and a person with a browser on it: what it does counts as activity, except `get`.

    Attributes:
        url: Where it answers, base URL and slash at the end; it takes no token, as in Studio.
        app: The app that it is.
        pid: Its process.
        runtime_dir: Where Jupyter's runtime files are.
        root_dir: Where notebooks are.
        metadata_file: resource-metadata.json of the app.
        log_file: What it says.
        environment: Variables for a process in the same app.
    """

    url: str
    app: App
    pid: int
    runtime_dir: Path
    root_dir: Path
    metadata_file: Path
    log_file: Path
    environment: dict[str, str]
    http: aiohttp.ClientSession = field(repr=False)

    async def get(self, path: str) -> Any:
        """Read something, without being noticed."""
        async with self.http.get(f"{self.url}{path}", params={"no_track_activity": "1"}) as response:
            response.raise_for_status()
            return await response.json()

    async def send(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Change something as the page does: with the XSRF cookie and its echo."""
        async with self.http.get(f"{self.url}tree") as response:
            await response.read()
        cookies = self.http.cookie_jar.filter_cookies(URL(self.url))
        echo = {"X-Xsrftoken": cookies["_xsrf"].value} if "_xsrf" in cookies else {}
        async with self.http.request(method, f"{self.url}{path}", json=body, headers=echo) as response:
            text = await response.text()
            is_json = response.content_type == "application/json" and text
            return response.status, json.loads(text) if is_json else text

    async def open_notebook(
        self, path: str, app: App | None = None, *, stuck: bool = False
    ) -> dict[str, Any]:
        """Open a notebook in an app, as Studio Classic does; in the server itself without one.

        Args:
            path: The notebook's.
            app: A KernelGateway app that boots or is in service.
            stuck: A session that waits for its app waits for ever.

        Returns:
            The session's model: of type `pending` while the app boots.
        """
        kernel: dict[str, Any] = {"name": "python3"}
        if app is not None:
            kernel = {
                "name": f"python3{SEPARATOR}{app.image_arn}",
                "app_name": app.name,
                "instance_type": app.instance_type,
                "stuck": stuck,
            }
        body = {"path": path, "type": "notebook", "name": path, "kernel": kernel}
        status, model = await self.send("POST", "api/sessions", body)
        if status != 201:  # noqa: PLR2004 -- Created
            raise ReaperError(f"{path} was not opened: {status} {model}")
        opened: dict[str, Any] = model
        return opened

    async def execute(self, kernel_id: str, code: str, *, wait: bool = True) -> None:
        """Run a cell and wait for its end, or with `wait=False` until it has begun."""
        message_id, session_id = uuid.uuid4().hex, uuid.uuid4().hex
        message = {
            "channel": "shell",
            "header": {
                "msg_id": message_id,
                "msg_type": "execute_request",
                "session": session_id,
                "username": "ann",
                "version": "5.3",
            },
            "parent_header": {},
            "metadata": {},
            "content": {"code": code, "silent": False, "allow_stdin": False},
            "buffers": [],
        }
        url = f"{self.url}api/kernels/{quote(kernel_id)}/channels?session_id={session_id}"
        awaited = "idle" if wait else "busy"
        async with asyncio.timeout(STARTING_S), self.http.ws_connect(url) as channel:
            await channel.send_json(message)
            async for frame in channel:
                told = json.loads(frame.data)
                mine = told["parent_header"].get("msg_id") == message_id
                if mine and told["content"].get("execution_state") == awaited:
                    return
        raise ReaperError(f"kernel {kernel_id} has gone")

    async def open_terminal(self, app: App | None = None) -> str:
        """Open an image terminal of an app, or one of the system's; give its name."""
        body: dict[str, str] = {}
        if app is not None:
            image, instance_type = app.environment
            taken = {terminal["name"] for terminal in await self.get("api/terminals")}
            names = (f"{image}__{number}__{instance_type}" for number in range(1, 1000))
            body["name"] = next(name for name in names if name not in taken)
        _, model = await self.send("POST", "api/terminals", body)
        return str(model["name"])

    async def type(self, terminal: str, text: str) -> None:
        """Type into a terminal, and wait for its echo."""
        url = f"{self.url}terminals/websocket/{quote(terminal, safe='')}"
        async with asyncio.timeout(STARTING_S), self.http.ws_connect(url) as channel:
            async for frame in channel:
                if json.loads(frame.data)[0] == "stdout":  # the prompt: the shell is there
                    break
            await channel.send_json(["stdin", text])
            async for frame in channel:
                if json.loads(frame.data)[0] == "stdout":
                    return


@asynccontextmanager
async def running_studio_server(
    studio: Studio,
    directory: Path,
    owner: UserProfile | Space | str = "ann",
    *,
    app_type: str = "JupyterServer",
) -> AsyncIterator[StudioServer]:
    """Run a jupyter_server as an app of a running studio; ends it and all that it started.

    Args:
        studio: A running one.
        directory: Where everything of it goes; made if it is not there.
        owner: Whose app it is.
        app_type: `JupyterServer` (Studio Classic, with the endpoint for apps) or `JupyterLab`.

    Raises:
        ReaperError: It does not start; the message quotes its log.
    """
    own = studio.add_app(owner, app_type=app_type)
    if studio.open_door is None:
        raise ReaperError("the studio does not run")
    places = {
        name: directory / name for name in ("runtime", "config", "data", "notebooks", "ipython", "metadata")
    }
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    metadata_file = places["metadata"] / "resource-metadata.json"
    metadata_file.write_text(json.dumps(resource_metadata(own)))
    environment = {
        **studio.environment,
        "JUPYTER_RUNTIME_DIR": str(places["runtime"]),
        "JUPYTER_CONFIG_DIR": str(places["config"]),
        "JUPYTER_DATA_DIR": str(places["data"]),
        "IPYTHONDIR": str(places["ipython"]),
    }
    log_file = directory / "jupyter.log"
    own_environment = {
        **environment,
        "FAKE_STUDIO_DOOR": studio.open_door(own),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    process = await _start(app_type, places["notebooks"], own_environment, log_file)
    try:
        url = await _started(process, places["runtime"], log_file)
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            yield StudioServer(
                url=url,
                app=own,
                pid=process.pid,
                runtime_dir=places["runtime"],
                root_dir=places["notebooks"],
                metadata_file=metadata_file,
                log_file=log_file,
                environment=environment,
                http=http,
            )
    finally:
        await _end(process)


def resource_metadata(app: App) -> dict[str, str]:
    """Write what /opt/ml/metadata/resource-metadata.json says inside an app.

    A private space's names the user profile that owns it too: who goes by that alone asks for the wrong apps.
    """
    told = {"AppType": app.type, "DomainId": app.domain.id}
    if isinstance(app.owner, UserProfile):
        told["UserProfileName"] = app.owner.name
    else:
        told["SpaceName"] = app.owner.name
        if not app.owner.shared:
            told["UserProfileName"] = app.owner.owner
    return {**told, "ResourceArn": app.metadata_arn, "ResourceName": app.name, "AppImageVersion": ""}


async def _start(
    app_type: str, root_dir: Path, environment: dict[str, str], log_file: Path
) -> asyncio.subprocess.Process:
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": "0",
        "ServerApp.base_url": BASE_URLS[app_type],
        "ServerApp.root_dir": str(root_dir),
        "ServerApp.jpserver_extensions": f"{{'{EXTENSION}': True}}",
        "ServerApp.session_manager_class": f"{EXTENSION}.Sessions",
        "ServerApp.kernel_spec_manager_class": f"{EXTENSION}.KernelSpecs",
        "IdentityProvider.token": "",
    }
    root = ["--allow-root"] if os.geteuid() == 0 else []
    with log_file.open("wb") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "jupyter_server",
            "--no-browser",
            *root,
            *(f"--{name}={value}" for name, value in options.items()),
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def _started(process: asyncio.subprocess.Process, runtime_dir: Path, log_file: Path) -> str:
    """Wait until it answers. It writes its runtime file before it listens."""
    file = runtime_dir / f"jpserver-{process.pid}.json"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STARTING_S), aiohttp.ClientSession() as session:
            while process.returncode is None:
                with contextlib.suppress(OSError, ValueError, aiohttp.ClientError):
                    url: str = json.loads(file.read_text())["url"]
                    async with session.get(f"{url}api") as response:
                        response.raise_for_status()
                        return url
                await asyncio.sleep(0.05)
    await _end(process)
    raise ReaperError(f"the Studio fake's jupyter_server did not start: {_last_words(log_file)}")


def _last_words(log_file: Path) -> str:
    return log_file.read_text(encoding="utf-8", errors="replace").strip()[-2000:]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the server and everything that it started, by pid."""
    if process.returncode is not None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOPPING_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()  # psutil checks that the pid is still the same process
