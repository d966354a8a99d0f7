"""A proxy between the daemon and a real Jupyter server: it holds, drops, answers by itself, and counts.

    async with Proxy(server.url) as proxy:
        gate = proxy.hold("DELETE", "api/kernels/*")
        ...                                    # start the daemon on `proxy.url`
        await daemon.reaching(gate)  # the daemon has sent it; the server knows nothing of it
        gate.drop()                            # and never will

What the daemon sends goes through `Proxy.handle`; the first rule that matches decides what becomes of it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

__all__ = ["Gate", "Proxy", "Seen"]

DEADLINE_S = 60.0
_DROPPED = "dropped by the test's proxy"


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request, and what became of it.

    Attributes:
        method, path: The request; the path is below the base URL, without the query.
        query: The query.
        at: When it came, as `time.time`.
        upstream: The status that the real server gave; None: it never got there, or has not answered.
        answered: The status that the daemon was given; None: none was.
    """

    method: str
    path: str
    query: str
    at: float = field(default_factory=time.time)
    upstream: int | None = None
    answered: int | None = None


Answer = Callable[[Seen, Callable[[], Awaitable[web.Response]]], Awaitable[web.StreamResponse]]
"""Given the request and a way to forward it, gives the answer."""


class Gate:
    """Holds requests until the test says what becomes of them."""

    def __init__(self) -> None:
        self.held: list[Seen] = []
        self._open = asyncio.Event()
        self._drop = False

    def release(self) -> None:
        """Let go on what is held, and what comes."""
        self._open.set()

    def drop(self) -> None:
        """Break the connection of what is held, and of what comes."""
        self._drop = True
        self._open.set()

    async def passed(self, seen: Seen) -> bool:
        """Hold a request; tell whether it may go on."""
        self.held.append(seen)
        await self._open.wait()
        return not self._drop


class Proxy:
    """Forwards to one server.

    Args:
        server_url: Of the real server, with its base path.
        only: Ids of the kernels that it lets be seen; None: all. Sessions follow; there are no terminals then.

    Attributes:
        url: Where the daemon is to go.
        seen: Every request, in order.
        token: Forwarded in the place of the daemon's, while set.
    """

    def __init__(self, server_url: str, *, only: Collection[str] | None = None) -> None:
        self.only = None if only is None else set(only)
        self.seen: list[Seen] = []
        self.token: str | None = None
        self.url = ""
        self._server = URL(server_url)
        self._rules: list[tuple[str, str, Answer]] = []
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}{self._server.path}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    def when(self, method: str, path: str, answer: Answer) -> Callable[[], None]:
        """Add a rule, ahead of those before; the path is a glob below the base URL. Gives how to take it away."""
        rule = (method, path, answer)
        self._rules.insert(0, rule)
        return lambda: self._rules.remove(rule)

    def forget_rules(self) -> None:
        """Forward everything from now on."""
        self._rules.clear()

    def hold(self, method: str, path: str, *, after: bool = False) -> Gate:
        """Hold requests before the server gets them, or (`after`) its answers."""
        gate = Gate()

        async def answer(seen: Seen, forward: Callable[[], Awaitable[web.Response]]) -> web.StreamResponse:
            if after:
                response = await forward()
                return response if await gate.passed(seen) else _break(seen)
            return await forward() if await gate.passed(seen) else _break(seen)

        self.when(method, path, answer)
        return gate

    def say(
        self,
        method: str,
        path: str,
        *,
        status: int = 200,
        text: str | None = None,
        payload: object = None,
        content_type: str = "application/json",
    ) -> Callable[[], None]:
        """Answer in the server's place."""
        body = json.dumps(payload) if text is None else text

        async def answer(seen: Seen, forward: Callable[[], Awaitable[web.Response]]) -> web.StreamResponse:
            return web.Response(status=status, text=body, content_type=content_type)

        return self.when(method, path, answer)

    def rewrite(self, path: str, change: Callable[[object], object]) -> Callable[[], None]:
        """Change the JSON that the server answers a GET with."""

        async def answer(seen: Seen, forward: Callable[[], Awaitable[web.Response]]) -> web.StreamResponse:
            response = await forward()
            assert isinstance(response.body, bytes)
            return web.json_response(change(json.loads(response.body)), status=response.status)

        return self.when("GET", path, answer)

    def deletes(self, kernel_id: str = "*") -> list[Seen]:
        """Give the DELETEs that came, of a kernel."""
        return [s for s in self.seen if s.method == "DELETE" and fnmatchcase(s.path, f"api/*/{kernel_id}")]

    def effective(self, kernel_id: str = "*") -> list[Seen]:
        """Give the DELETEs that the real server carried out."""
        return [seen for seen in self.deletes(kernel_id) if seen.upstream == 204]

    def looks(self) -> int:
        """Count the answers to `GET api/kernels`."""
        return sum(s.path == "api/kernels" and s.answered is not None for s in self.seen)

    def with_token(self, token: str) -> Callable[[], None]:
        """Forward another token than the daemon's. Gives how to end that."""
        self.token = token

        def mend() -> None:
            self.token = None

        return mend

    async def further_requests(self, count: int, deadline_s: float = DEADLINE_S) -> None:
        """Wait until so many more requests were answered."""
        before = sum(seen.answered is not None for seen in self.seen)

        def enough() -> bool:
            return sum(seen.answered is not None for seen in self.seen) >= before + count

        async with asyncio.timeout(deadline_s), self._changed:
            await self._changed.wait_for(enough)

    async def further_looks(self, count: int, deadline_s: float = DEADLINE_S) -> None:
        """Wait until so many more looks that begin from now on were answered."""
        begun = time.time()

        def enough() -> bool:
            fresh = [s for s in self.seen if s.path == "api/kernels" and s.at >= begun and s.answered]
            return len(fresh) >= count

        async with asyncio.timeout(deadline_s), self._changed:
            await self._changed.wait_for(enough)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take one request."""
        base = self._server.path
        seen = Seen(method=request.method, path=request.path.removeprefix(base), query=request.query_string)
        self.seen.append(seen)
        body = await request.read()

        async def forward() -> web.Response:
            return await self._forward(seen, request, body)

        for method, path, answer in list(self._rules):
            if method == seen.method and fnmatchcase(seen.path, path):
                response = await answer(seen, forward)
                break
        else:
            response = await forward()
        if response.headers.get("X-Broken"):
            if request.transport is not None:
                request.transport.abort()
            return response
        seen.answered = response.status
        async with self._changed:
            self._changed.notify_all()
        return response

    async def _forward(self, seen: Seen, request: web.Request, body: bytes) -> web.Response:
        assert self._session is not None
        headers = {k: v for k, v in request.headers.items() if k.lower() not in {"host", "content-length"}}
        headers["Host"] = self._server.authority
        if self.token is not None:
            headers["Authorization"] = f"token {self.token}"
        url = self._server.join(URL(request.path_qs.removeprefix("/"), encoded=True))
        async with self._session.request(
            seen.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            payload = self._filtered(seen, await answer.read())
            seen.upstream = answer.status
            kept = {k: v for k, v in answer.headers.items() if k in {"Content-Type", "Date", "Location"}}
            return web.Response(status=answer.status, body=payload, headers=kept)

    def _filtered(self, seen: Seen, body: bytes) -> bytes:
        if self.only is None or seen.method != "GET" or not body:
            return body
        if seen.path == "api/kernels":
            return json.dumps([one for one in json.loads(body) if one["id"] in self.only]).encode()
        if seen.path == "api/sessions":
            return json.dumps([one for one in json.loads(body) if one["kernel"]["id"] in self.only]).encode()
        return b"[]" if seen.path == "api/terminals" else body


def _break(seen: Seen) -> web.Response:
    return web.Response(status=599, text=f"{seen.path} {_DROPPED}", headers={"X-Broken": "1"})
