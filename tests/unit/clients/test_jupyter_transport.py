"""What goes over the wire: connections that break, answers without end, redirects, kept connections.

The server is a script of raw answers on loopback: aioresponses stands in front of all this.
"""

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from reaper.clients.jupyter import Deletion, JupyterClient, ServerAddress, parse_address
from reaper.clients.jupyter.transport import MAX_CONNECTIONS
from reaper.errors import (
    ActionDenied,
    ActionUnavailable,
    ConfigError,
    OutcomeUnknown,
    SourceDenied,
    SourceMalformed,
    SourceUnavailable,
)

EMPTY_LIST = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
HANG_UP = b""
HANG_ON = None


@dataclass
class ScriptedServer:
    """Gives one answer of the script per request; after the last, the connection is closed.

    Attributes:
        script: Raw answers. `HANG_UP` closes at once; `HANG_ON` never answers; an answer that ends
            early is followed by closing the connection.
        requests: The heads of all requests, as they came.
        connections: How many connections were made.
        open: How many of them are still there.
        asked: Set by the first request.
    """

    script: list[bytes | None]
    port: int = 0
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> ServerAddress:
        return parse_address(f"http://127.0.0.1:{self.port}/base/", token=SecretStr("sesame"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
                self.asked.set()
                answer = self.script.pop(0) if self.script else HANG_UP
                if answer is HANG_ON:
                    await reader.read()  # until the client gives up
                    return
                writer.write(answer)
                await writer.drain()
                if not is_whole(answer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.open -= 1


def is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return answer == NO_CONTENT or bool(end and length and len(body) >= int(length[1]))


@asynccontextmanager
async def scripted(*script: bytes | None) -> AsyncIterator[ScriptedServer]:
    scripted_server = ScriptedServer(list(script))
    server = await asyncio.start_server(scripted_server.serve, "127.0.0.1", 0)
    async with server:
        scripted_server.port = server.sockets[0].getsockname()[1]
        yield scripted_server
        while scripted_server.open:  # `wait_closed` does not wait for them before Python 3.12
            await asyncio.sleep(0.01)


def kinds(server: ScriptedServer) -> list[str]:
    return [request.partition(" ")[0] for request in server.requests]


async def test_a_request_is_what_it_should_be() -> None:
    async with scripted(EMPTY_LIST, NO_CONTENT) as server, JupyterClient(server.address) as client:
        await client.kernels()
        await client.delete_terminal("a b/%41")
        get, delete = server.requests
        assert get.startswith("GET /base/api/kernels?no_track_activity=1 HTTP/1.1\r\n")
        assert delete.startswith("DELETE /base/api/terminals/a%20b%2F%2541?no_track_activity=1 HTTP/1.1\r\n")
        for request in (get, delete):
            assert "Authorization: token sesame\r\n" in request
            assert "Accept-Encoding: identity\r\n" in request
            assert "Cookie" not in request
        assert server.connections == 1


async def test_a_get_survives_two_lost_connections() -> None:
    async with scripted(HANG_UP, HANG_UP, EMPTY_LIST) as server, JupyterClient(server.address) as client:
        assert await client.kernels() == ()
        assert len(server.requests) == 3


async def test_a_get_gives_up_after_three() -> None:
    in_the_body = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{"
    in_the_head = b"HTTP/1.1 200"
    async with scripted(HANG_UP, in_the_body, in_the_head, EMPTY_LIST) as server:
        async with JupyterClient(server.address) as client:
            with pytest.raises(SourceUnavailable, match="GET /base/api/kernels"):
                await client.kernels()
        assert len(server.requests) == 3


async def test_a_stale_kept_connection_costs_a_get_nothing() -> None:
    async with scripted(EMPTY_LIST, HANG_UP, EMPTY_LIST) as server, JupyterClient(server.address) as client:
        await client.kernels()
        assert await client.kernels() == ()
        assert len(server.requests) == 3


async def test_a_delete_on_a_stale_kept_connection_is_not_sent_again() -> None:
    """By itself aiohttp would send it again: a terminal's name may meanwhile be another terminal's."""
    async with scripted(EMPTY_LIST, HANG_UP, NO_CONTENT) as server, JupyterClient(server.address) as client:
        await client.kernels()
        with pytest.raises(OutcomeUnknown, match="DELETE /base/api/terminals/1: sent, but then"):
            await client.delete_terminal("1")
        assert kinds(server) == ["GET", "DELETE"]


@pytest.mark.parametrize(
    "answer",
    [
        HANG_UP,
        HANG_ON,
        b"HTTP/1.1 204",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
async def test_a_delete_without_a_whole_answer_is_unknown(answer: bytes | None) -> None:
    async with scripted(answer, NO_CONTENT) as server:
        client = JupyterClient(server.address, delete_timeout=timedelta(seconds=0.5))
        async with client:
            with pytest.raises(OutcomeUnknown):
                await client.shutdown_kernel("k-1")
        assert kinds(server) == ["DELETE"]


async def test_a_delete_that_cannot_connect_had_no_effect() -> None:
    async with scripted() as server:
        address = server.address
    async with JupyterClient(address) as client:
        with pytest.raises(ActionUnavailable, match="not connected"):
            await client.shutdown_kernel("k-1")
        with pytest.raises(SourceUnavailable):
            await client.kernels()


async def test_a_get_ends_at_its_deadline_retries_included() -> None:
    async with scripted(HANG_UP, HANG_ON) as server:
        async with JupyterClient(server.address, timeout=timedelta(seconds=0.6)) as client:
            started = asyncio.get_running_loop().time()
            with pytest.raises(SourceUnavailable, match=r"no answer within 0\.6 s"):
                await client.kernels()
            assert asyncio.get_running_loop().time() - started < 5
        assert len(server.requests) == 2


@pytest.mark.parametrize("location", ["/hub/login?next=x", "http://127.0.0.1:1/elsewhere", ""])
async def test_a_redirect_is_never_followed(location: str) -> None:
    redirect = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    async with scripted(redirect, redirect) as server, JupyterClient(server.address) as client:
        with pytest.raises(SourceDenied):
            await client.kernels()
        with pytest.raises(ActionDenied):
            await client.shutdown_kernel("k-1")
        assert len(server.requests) == 2


async def test_what_speaks_no_http_is_malformed() -> None:
    async with scripted(b"SSH-2.0-OpenSSH_9\r\n\r\n") as server, JupyterClient(server.address) as client:
        with pytest.raises(SourceMalformed, match="not HTTP"):
            await client.kernels()


async def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reaper.clients.jupyter.transport.MAX_BODY_BYTES", 100_000)
    flood = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
        + b"[" * 300_000
    )
    async with scripted(flood) as server, JupyterClient(server.address) as client:
        with pytest.raises(SourceMalformed, match="longer than 100000 bytes"):
            await client.kernels()


async def test_cookies_are_not_kept() -> None:
    with_cookie = EMPTY_LIST.replace(b"\r\n\r\n", b"\r\nSet-Cookie: username=x; Path=/\r\n\r\n")
    async with scripted(with_cookie, EMPTY_LIST) as server, JupyterClient(server.address) as client:
        await client.kernels()
        await client.kernels()
        assert "Cookie" not in server.requests[1]


async def test_calls_at_the_same_time_do_not_mix() -> None:
    async with scripted(HANG_UP, *[EMPTY_LIST] * 20) as server, JupyterClient(server.address) as client:
        answers = await asyncio.gather(*(client.kernels() for _ in range(20)))
        assert answers == [()] * 20
        assert len(server.requests) == 21
        assert server.connections <= MAX_CONNECTIONS + 1


async def test_kernels_that_take_long_to_end_hold_up_no_look() -> None:
    """Eight at once are shut down; each may take 5 s to end, and the others' fresh looks must not wait for it."""
    script = [HANG_ON] * 8 + [EMPTY_LIST] * 5
    async with scripted(*script) as server, JupyterClient(server.address) as client:
        slow = [asyncio.ensure_future(client.shutdown_kernel(f"k-{n}")) for n in range(8)]
        while len(server.requests) < 8:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*(client.kernels() for _ in range(5)))
        assert answers == [()] * 5
        for one in slow:
            one.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_a_call_that_is_cancelled_says_so() -> None:
    async with scripted(HANG_ON) as server, JupyterClient(server.address) as client:
        task = asyncio.ensure_future(client.shutdown_kernel("k-1"))
        await server.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_unix_socket_and_a_clean_end(own_home: Path) -> None:
    path = own_home / "j.sock"
    scripted_server = ScriptedServer([EMPTY_LIST, NO_CONTENT])
    server = await asyncio.start_unix_server(scripted_server.serve, path)
    async with server:
        address = parse_address(f"http+unix://{str(path).replace('/', '%2F')}/base/", token=SecretStr("t"))
        async with JupyterClient(address) as client:
            assert await client.kernels() == ()
            assert await client.shutdown_kernel("k-1") is Deletion.DELETED
        assert "Host: localhost\r\n" in scripted_server.requests[0]
    gc.collect()  # warnings about things left open are errors


@pytest.mark.parametrize("make", [lambda path: path, lambda path: path.write_text("no certificate") and path])
async def test_a_ca_file_that_is_none_is_a_configuration_error(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    address = parse_address("https://localhost/", ca_file=make(tmp_path / "ca.pem"))
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        async with JupyterClient(address):
            pass
