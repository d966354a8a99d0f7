"""The API over real sockets, with a daemon that is only a memory."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
from pydantic import SecretStr

from reaper.config.places import ListenAddress
from reaper.web import make_app, serve

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
TOKEN = "tok-8f7d2a-Zü"
LOOPBACK = ListenAddress(host="127.0.0.1", port=0)


@asynccontextmanager
async def over_unix(control, path):
    """Serve on a socket file and give a session that talks to it."""
    app = make_app(control, api_token=None)
    async with (
        serve(app, [ListenAddress(path=path)]),
        aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        yield session


@asynccontextmanager
async def over_tcp(control, *, token=TOKEN, listen=LOOPBACK, **more):
    """Serve on a port of loopback and give a session that presents no token."""
    app = make_app(control, api_token=None if token is None else SecretStr(token), **more)
    async with (
        serve(app, [listen]) as (bound,),
        aiohttp.ClientSession(f"http://127.0.0.1:{bound.port}") as session,
    ):
        yield session


async def problem(response):
    """Give a problem document, after a look at its form."""
    assert response.headers["Content-Type"] == "application/problem+json"
    document = await response.json(content_type="application/problem+json")
    assert document["status"] == response.status
    assert {"type", "title", "detail", "instance"} <= set(document)
    assert document["type"].startswith("urn:reaper:problem:")
    return document


async def raw(path, request):
    """Send bytes to a socket file and give all that comes back."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(request)
    await writer.drain()
    try:
        async with asyncio.timeout(10):
            return await reader.read(65536)
    finally:
        writer.close()
        await writer.wait_closed()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}
