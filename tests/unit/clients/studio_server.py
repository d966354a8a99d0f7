"""A server that stands for Studio Classic's JupyterServer: its endpoint for apps, and the XSRF check before it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from reaper.clients.jupyter import ServerAddress, parse_address

BASE = "/jupyter/default/"
XSRF = "2|aabbccdd|0123456789abcdef|1772442000"
PAGE = "<!DOCTYPE html><title>404 : Not Found</title>"
IMAGE = "arn:aws:sagemaker:us-east-1:081325390199:image/datascience-1.0"


@dataclass
class ClassicServer:
    """What it lists and how it answers.

    Attributes:
        url: Where it answers.
        names: The apps that it lists, by name.
        listed: What it lists instead, as it is; text is sent as it is.
        status: Of the list.
        refusals: Status of a DELETE by name; `drop` hangs up after carrying it out.
        keeps: What it lists although it was deleted: apps take minutes to go.
        deleted: DELETEs that it carried out, in order.
        asked: Method and path of every request.
    """

    url: str = ""
    names: list[str] = field(default_factory=list)
    listed: Any = None
    status: int = 200
    refusals: dict[str, int | str] = field(default_factory=dict)
    keeps: set[str] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> ServerAddress:
        """It, as the runtime files would tell."""
        return parse_address(self.url)

    def model(self, name: str) -> dict[str, str]:
        """An app as it lists it."""
        return {
            "app_name": name,
            "environment_arn": IMAGE,
            "environment_name": "Data Science",
            "image_name": "datascience",
            "instance_type": "system" if name.startswith("system") else "ml.t3.medium",
            "lifecycle_config_arn": "None",
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(BASE)
        self.asked.append((request.method, path))
        assert request.query.get("no_track_activity") == "1"
        if path == "tree":
            answer = web.Response(text=PAGE, content_type="text/html")
            answer.set_cookie("_xsrf", XSRF)
            return answer
        if path == "sagemaker/api/apps":
            if self.status != 200:
                return web.Response(status=self.status, text=PAGE, content_type="text/html")
            listed = [self.model(name) for name in self.names] if self.listed is None else self.listed
            return web.Response(text=listed) if isinstance(listed, str) else web.json_response(listed)
        if path.startswith("sagemaker/api/apps/") and request.method == "DELETE":
            return self._delete(request, path.rpartition("/")[2])
        return web.Response(status=404, text=PAGE, content_type="text/html")

    def _delete(self, request: web.Request, name: str) -> web.StreamResponse:
        if request.cookies.get("_xsrf") != XSRF or request.headers.get("X-Xsrftoken") != XSRF:
            return web.json_response({"message": "'_xsrf' argument missing from POST"}, status=403)
        refusal = self.refusals.get(name)
        if isinstance(refusal, int):
            return web.json_response({"message": f"{name} can't be deleted"}, status=refusal)
        self.deleted.append(name)
        if name not in self.keeps:
            self.names.remove(name)
        if refusal == "drop":
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=204)


@asynccontextmanager
async def serving_classic(*names: str) -> AsyncIterator[ClassicServer]:
    """Run one on loopback, with these apps."""
    server = ClassicServer(names=list(names))
    application = web.Application()
    application.router.add_route("*", BASE + "{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}{BASE}"
    try:
        yield server
    finally:
        await runner.cleanup()
