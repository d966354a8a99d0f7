"""Makes a real jupyter_server a Studio app: loaded by it as an extension, in its own process.

Kernels and terminals stay the server's own and real. What Studio Classic's JupyterServer has beside them
(facts read in aws-samples' auto-shutdown extension and in bug reports of it):

- `GET sagemaker/api/apps` and `DELETE sagemaker/api/apps/<app_name>`; tornado's own XSRF check stands
  before the DELETE, and `GET tree` hands out the cookie.
- A session's kernel carries `app_name` and `instance_type`; its name ends in `__SAGEMAKER_INTERNAL__` and
  the image's ARN. (Whether `api/kernels` carries them is not known: here it does not.)
- A session of an app that boots has the type `pending`, and no process behind its kernel.
- Image terminals beside the server's own: `<image arn>__<number>__<instance type>`.

What lives in an app dies with it. The fake is asked which apps live at every look at the sessions, and
four times a second; a server whose own app was deleted stops, as its container would.
"""

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import Container
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.sessions.handlers import SessionRootHandler
from jupyter_server.services.sessions.sessionmanager import SessionManager
from jupyter_server.utils import url_path_join
from jupyter_server_terminals.api_handlers import TerminalHandler
from jupyter_server_terminals.handlers import TermSocket
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.ioloop import PeriodicCallback

__all__ = ["DOOR", "KernelSpecs", "Sessions"]

DOOR = "FAKE_STUDIO_DOOR"
"""The environment variable with the fake's address."""

SEPARATOR = "__SAGEMAKER_INTERNAL__"
CLASSIC = "/jupyter/default/"
"""Base URL of Studio Classic's JupyterServer; a JupyterLab app has none of the doors."""
LOOK_EVERY_MS = 250
FORGETTING_S = 5.0
LIVING = frozenset({"Pending", "InService"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life of an app.

    Attributes:
        name: The app's.
        created_at: When it began.
        status: Of the app, as SageMaker has it.
        image: SageMakerImageArn.
        instance_type: What it runs on.
    """

    name: str
    created_at: str
    status: str
    image: str
    instance_type: str

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the next life of that name."""
        return (self.name, self.created_at)


class Gateway:
    """What the studio says of the apps of this server, and which kernel and terminal lives in which.

    Attributes:
        waiting: Sessions of apps that boot, by id, with the life they wait for.
        stuck: Sessions that will never have waited long enough.
        kernels: The life that each kernel is part of.
        terminals: The same for image terminals.
    """

    _server: ServerApp

    def __init__(self) -> None:
        self.waiting: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {}
        self.stuck: set[str] = set()
        self.kernels: dict[str, tuple[str, str]] = {}
        self.terminals: dict[str, tuple[str, str]] = {}
        self._lock = asyncio.Lock()

    def open(self, server: ServerApp) -> None:
        """Begin to look after a server's kernels and terminals."""
        self._server = server
        PeriodicCallback(self.look, LOOK_EVERY_MS).start()

    async def relay(self, method: str, path: str) -> tuple[int, bytes]:
        """Ask the fake; a connection that it drops is an answer that never comes.

        Raises:
            OSError: The fake is gone.
        """
        client = AsyncHTTPClient(force_instance=True)
        try:
            answer = await client.fetch(
                f"{os.environ[DOOR]}/{path}", method=method, raise_error=False, request_timeout=3600
            )
        finally:
            client.close()
        return answer.code, answer.body

    async def lives(self) -> tuple[str, list[Life]]:
        """Ask for the state of this server's own app, and for the lives of the KernelGateway apps."""
        _, body = await self.relay("GET", "state")
        state = json.loads(body)
        return state["own"], [Life(**life) for life in state["lives"]]

    async def look(self) -> None:
        """End what has lost its app, and start what has waited for it."""
        async with self._lock:  # what was told before an earlier look's end is out of date
            try:
                own, lives = await self.lives()
            except (OSError, HTTPClientError):
                return  # the fake stops, and then so does this server
            if own == "Deleted":
                self._server.stop()
                return
            self._place_terminals([life for life in lives if life.status in LIVING])
            await self._end({life.key for life in lives if life.status in LIVING})
            await self._begin({life.key for life in lives if life.status == "InService"})

    def _place_terminals(self, living: list[Life]) -> None:
        """Tell in which life each image terminal is that was opened since: names are used again."""
        opened: Any = self._server.web_app.settings["terminal_manager"].terminals
        self.terminals = {name: life for name, life in self.terminals.items() if name in opened}
        for name in opened:
            image, _, rest = name.partition("__")
            for life in living:
                if (life.image, life.instance_type) == (image, rest.partition("__")[2]):
                    self.terminals.setdefault(name, life.key)

    async def _end(self, living: set[tuple[str, str]]) -> None:
        kernels: Any = self._server.kernel_manager
        terminals: Any = self._server.web_app.settings["terminal_manager"]
        lost_kernels = [kernel_id for kernel_id, life in self.kernels.items() if life not in living]
        lost_terminals = [
            name
            for name in terminals.terminals
            if name.startswith("arn:") and self.terminals.get(name) not in living
        ]
        for session_id, (_, life) in list(self.waiting.items()):
            if life not in living:
                del self.waiting[session_id]
        for kernel_id in lost_kernels:
            del self.kernels[kernel_id]
            if kernel_id in kernels:
                await kernels.shutdown_kernel(kernel_id, now=True)
        for name in lost_terminals:
            self.terminals.pop(name, None)
            if name in terminals.terminals:
                await terminals.terminate(name, force=True)
                await self._forgotten(name, terminals.terminals)

    @staticmethod
    async def _forgotten(name: str, terminals: Container[str]) -> None:
        """Wait until terminado has read its end too: only then it is not listed any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FORGETTING_S):
                while name in terminals:  # noqa: ASYNC110 -- terminado has no event for it
                    await asyncio.sleep(0.01)

    async def _begin(self, in_service: set[tuple[str, str]]) -> None:
        for session_id, (model, life) in list(self.waiting.items()):
            if life not in in_service or session_id in self.stuck:
                continue
            kernel = model["kernel"]
            await self._server.kernel_manager.start_kernel(
                kernel_id=kernel["id"], kernel_name=kernel["name"], path=model["path"]
            )
            self.kernels[kernel["id"]] = life
            if self.waiting.pop(session_id, None) is not None:
                await self._server.session_manager.save_session(
                    session_id,
                    path=model["path"],
                    name=model["name"],
                    type="notebook",
                    kernel_id=kernel["id"],
                )


GATEWAY = Gateway()
_ASKED: ContextVar[dict[str, Any]] = ContextVar("asked")
"""The kernel that a request for a session describes: jupyter_server hands on its name and id alone."""


class KernelSpecs(KernelSpecManager):
    """Finds the local kernel behind Studio's names: what stands before the image."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Find a kernel by Studio's name or its own."""
        return super().get_kernel_spec(kernel_name.partition(SEPARATOR)[0])


class Sessions(SessionManager):
    """Sessions that know their app."""

    async def create_session(
        self,
        path: str | None = None,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 -- jupyter_server's own word
        kernel_name: str | None = None,
        kernel_id: str | None = None,
    ) -> dict[str, Any]:
        """Start a kernel in its app, or wait for the app to boot."""
        asked = _ASKED.get({})
        life = await self._life(asked, kernel_name or "")
        if life is not None and life.status == "Pending":
            return self._wait(path or "", name or "", kernel_name or "", life, stuck=bool(asked.get("stuck")))
        parent: Any = super()
        model: dict[str, Any] = await parent.create_session(path, name, type, kernel_name, kernel_id)
        if life is not None:
            GATEWAY.kernels[model["kernel"]["id"]] = life.key
            model = await self.get_session(session_id=model["id"])
        return model

    async def list_sessions(self) -> list[dict[str, Any]]:
        """List sessions with their kernels' apps, those that wait too."""
        await GATEWAY.look()
        parent: Any = super()
        return [*await parent.list_sessions(), *(model for model, _ in GATEWAY.waiting.values())]

    async def get_session(self, **kwargs: Any) -> dict[str, Any]:
        """Find one session."""
        if (waiting := GATEWAY.waiting.get(kwargs.get("session_id", ""))) is not None:
            return waiting[0]
        parent: Any = super()
        found: dict[str, Any] = await parent.get_session(**kwargs)
        return found

    async def delete_session(self, session_id: str) -> None:
        """End a session, or its waiting."""
        if GATEWAY.waiting.pop(session_id, None) is None:
            parent: Any = super()
            await parent.delete_session(session_id)

    async def row_to_model(self, row: Any, tolerate_culled: bool = False) -> dict[str, Any] | None:  # noqa: FBT001, FBT002 -- jupyter_server's signature
        """Describe a session; its kernel carries the app that it is in."""
        parent: Any = super()
        model: dict[str, Any] | None = await parent.row_to_model(row, tolerate_culled)
        if model is not None and (life := GATEWAY.kernels.get(model["kernel"]["id"])) is not None:
            _, lives = await GATEWAY.lives()
            known = {told.key: told.instance_type for told in lives}
            model["kernel"] |= {"app_name": life[0], "instance_type": known.get(life, "unknown")}
        return model

    async def _life(self, asked: dict[str, Any], kernel_name: str) -> Life | None:
        """Find the app: by its name, or by the image and the instance type."""
        image = kernel_name.partition(SEPARATOR)[2]
        if not image:
            return None
        for life in (await GATEWAY.lives())[1]:
            named = asked.get("app_name", life.name) == life.name
            sized = asked.get("instance_type", life.instance_type) == life.instance_type
            if life.status in LIVING and named and sized and life.image == image:
                return life
        raise web.HTTPError(400, f"no app runs {image}")

    def _wait(self, path: str, name: str, kernel_name: str, life: Life, *, stuck: bool) -> dict[str, Any]:
        model: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "path": path,
            "name": name,
            "type": "pending",
            "kernel": {
                "id": str(uuid.uuid4()),
                "name": kernel_name,
                "last_activity": life.created_at,
                "execution_state": "starting",
                "connections": 0,
                "instance_type": life.instance_type,
                "app_name": life.name,
            },
            "notebook": {"path": path, "name": name},
        }
        GATEWAY.waiting[model["id"]] = (model, life.key)
        if stuck:
            GATEWAY.stuck.add(model["id"])
        return model


class SessionsDoor(SessionRootHandler):
    """`api/sessions`: as ever, but a new session's kernel may name its app."""

    async def post(self) -> None:
        """Create a session."""
        _ASKED.set((self.get_json_body() or {}).get("kernel") or {})
        parent: Any = super()
        await parent.post()


class TreeDoor(JupyterHandler):
    """`tree`: the page that hands out the XSRF cookie."""

    @web.authenticated
    def get(self) -> None:
        """Show a page."""
        self.finish(f"<!DOCTYPE html><title>Studio</title><!-- {len(self.xsrf_token)} -->")


class AppsDoor(APIHandler):
    """`sagemaker/api/apps`."""

    @web.authenticated
    async def get(self) -> None:
        """List the running apps."""
        _pass_on(self, await _asked_for(self, "GET", "apps"))


class AppDoor(APIHandler):
    """`sagemaker/api/apps/<app_name>`."""

    @web.authenticated
    async def delete(self, name: str) -> None:
        """Delete an app, and what lives in it."""
        answer = await _asked_for(self, "DELETE", f"apps/{quote(name, safe='')}")
        await GATEWAY.look()
        _pass_on(self, answer)


async def _asked_for(door: APIHandler, method: str, path: str) -> tuple[int, bytes] | None:
    """Ask the fake on a caller's behalf; None: it dropped the call, and so does the server."""
    try:
        return await GATEWAY.relay(method, path)
    except (OSError, HTTPClientError):
        connection: Any = door.request.connection
        connection.stream.close()
        return None


def _pass_on(door: APIHandler, answer: tuple[int, bytes] | None) -> None:
    if answer is None:
        return
    code, body = answer
    door.set_status(code)
    if code == HTTPStatus.NOT_FOUND and not body:
        body = b"<!DOCTYPE html><title>404 : Not Found</title>"
        door.finish(body, set_content_type="text/html")
    else:
        door.finish(body or None)


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Add Studio's doors to a server (jupyter_server calls this)."""
    GATEWAY.open(server)
    settings = server.web_app.settings
    base = settings["base_url"]
    terminals = {"name": "jupyter_server_terminals"}
    shells = {**terminals, "term_manager": settings["terminal_manager"]}
    doors: list[tuple[Any, ...]] = [(url_path_join(base, r"/tree"), TreeDoor)]
    if base == CLASSIC:
        doors += [
            (url_path_join(base, r"/api/sessions"), SessionsDoor),
            (url_path_join(base, r"/api/terminals/(arn(?::|%3A).+)"), TerminalHandler, terminals),
            (url_path_join(base, r"/terminals/websocket/(arn(?::|%3A).+)"), TermSocket, shells),
            (url_path_join(base, r"/sagemaker/api/apps"), AppsDoor),
            (url_path_join(base, r"/sagemaker/api/apps/([^/]+)"), AppDoor),
        ]
    application: Any = server.web_app
    application.add_handlers(".*$", doors)
