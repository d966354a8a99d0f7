"""A server that stands for AWS: it answers what it is told to, and keeps what it was asked."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import botocore
from aiohttp import web

from reaper.clients.aws import trimmed

JSON = "application/x-amz-json-1.1"


@dataclass
class Asked:
    """One request."""

    operation: str
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class AwsServer:
    """What it will answer: one after the other; the last one for ever."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: list[Callable[[web.Request], Any]] = field(default_factory=list)

    def answer(self, body: object, status: int = 200, *, content_type: str = JSON) -> None:
        """Answer with a body: an object as JSON, text as it is."""
        text = body if isinstance(body, str) else json.dumps(body)

        def reply(_request: web.Request) -> web.Response:
            return web.Response(text=text, status=status, content_type=content_type)

        self.answers.append(reply)

    def refuse(self, code: str, message: str = "no", status: int = 400) -> None:
        """Answer with an AWS error."""
        self.answer({"__type": code, "message": message}, status)

    def hang_up(self) -> None:
        """Take the request, then close the connection without a word."""

        def reply(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.close()
            return web.Response()

        self.answers.append(reply)

    def fall_silent(self) -> None:
        """Take the request and say nothing."""

        async def reply(_request: web.Request) -> web.Response:
            await asyncio.Event().wait()
            return web.Response()

        self.answers.append(reply)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.asked.append(
            Asked(
                operation=request.headers.get("X-Amz-Target", text).rpartition(".")[2],
                body=json.loads(text) if text.startswith("{") else {},
                headers=dict(request.headers),
            )
        )
        reply = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer = reply(request)
        response: web.StreamResponse = await answer if asyncio.iscoroutine(answer) else answer
        return response


@asynccontextmanager
async def serving() -> AsyncIterator[AwsServer]:
    """Run one on loopback, with the models of AWS at hand: who looks has five seconds, and those are for the look."""
    await asyncio.to_thread(_make_models)
    server = AwsServer()
    application = web.Application()
    application.router.add_post("/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


def _make_models() -> None:
    cache = trimmed.cache_dir(os.environ)
    if cache is not None and not trimmed.usable(target := trimmed.place(cache, botocore.__version__)):
        subprocess.run([sys.executable, "-m", "reaper.clients.aws.trimmed", str(target)], check=True)
