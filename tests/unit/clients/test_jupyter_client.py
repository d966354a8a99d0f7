"""What the client makes of every kind of answer. Answers come from aioresponses."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses
from pydantic import SecretStr
from yarl import URL

from reaper.clients.jupyter import Deletion, JupyterClient, parse_address
from reaper.errors import (
    ActionDenied,
    ActionUnavailable,
    CollectError,
    OutcomeUnknown,
    ReaperError,
    SourceDenied,
    SourceMalformed,
    SourceUnavailable,
)

BASE = "http://127.0.0.1:8888/base/"
KERNEL = {"id": "k-1", "name": "python3", "execution_state": "idle", "connections": 0}
KERNEL["last_activity"] = "2026-11-22T11:59:00Z"
PAGE = "<!DOCTYPE HTML><html><title>Jupyter Server</title></html>"
XSRF_MISSING = json.dumps({"message": "'_xsrf' argument missing from POST", "reason": None})


class Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know the `stream_writer` that aiohttp 3.14 wants."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=Mock(), **kwargs)


class FakeServer:
    """Answers below `BASE`, whatever the query."""

    def __init__(self, responses: aioresponses) -> None:
        self._responses = responses

    def answer(
        self,
        path: str,
        body: object = None,
        *,
        method: str = "GET",
        status: int = 200,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        exception: BaseException | None = None,
        query: str = "no_track_activity=1",
    ) -> None:
        self._responses.add(
            URL(f"{BASE}{path}?{query}", encoded=True),
            method=method,
            status=status,
            body=body if isinstance(body, str | bytes) else json.dumps(body),
            content_type=content_type,
            headers=headers,
            exception=exception,  # type: ignore[arg-type]
            response_class=Response,
        )

    @property
    def requests(self) -> list[tuple[str, str]]:
        return [
            (method, str(url)) for (method, url), calls in self._responses.requests.items() for _ in calls
        ]

    def sent_headers(self, method: str) -> list[dict[str, str]]:
        return [
            call.kwargs["headers"]
            for (used, _), calls in self._responses.requests.items()
            for call in calls
            if used == method
        ]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with aioresponses() as responses:
        yield FakeServer(responses)


@pytest.fixture
async def client() -> AsyncIterator[JupyterClient]:
    async with JupyterClient(parse_address(BASE, token=SecretStr("sesame"))) as client:
        yield client


async def test_every_request_is_untracked_and_carries_the_token(
    server: FakeServer, client: JupyterClient
) -> None:
    server.answer("api/kernels", [KERNEL])
    server.answer("api/kernels/k-1", status=204, body="", method="DELETE")
    assert [kernel.id for kernel in await client.kernels()] == ["k-1"]
    assert await client.shutdown_kernel("k-1") is Deletion.DELETED
    for headers in server.sent_headers("GET") + server.sent_headers("DELETE"):
        assert headers["Authorization"] == "token sesame"
        assert headers["User-Agent"].startswith("idle-reaper/")
        assert "Cookie" not in headers


@pytest.mark.parametrize(
    ("status", "body", "content_type", "error", "says"),
    [
        (200, PAGE, "text/html", SourceMalformed, "text/html"),
        (200, '[{"id": ', "application/json", SourceMalformed, "8 bytes of application/json"),
        (200, "", "application/json", SourceMalformed, "an empty body"),
        (200, '{"kernels": []}', "application/json", SourceMalformed, "expected a list, got an object"),
        (204, "", "application/json", SourceMalformed, "204"),
        (302, "", "text/html", SourceDenied, "the token was refused"),
        (400, '{"message": "Bad"}', "application/json", SourceMalformed, "400 (Bad)"),
        (401, "", "text/html", SourceDenied, "the token was refused"),
        (
            403,
            '{"message": "Forbidden"}',
            "application/json",
            SourceDenied,
            "403 (Forbidden): the token was refused",
        ),
        (403, XSRF_MISSING, "application/json", SourceDenied, "how Jupyter says that the token was refused"),
        (404, PAGE, "text/html", SourceMalformed, "is the base URL right?"),
        (404, '{"message": "no"}', "application/json", SourceMalformed, "404 (no)"),
        (418, "", "text/plain", SourceMalformed, "418"),
        (408, "", "text/plain", SourceUnavailable, "408"),
        (429, "", "text/plain", SourceUnavailable, "429"),
        (
            500,
            '{"message": "Unhandled error"}',
            "application/json",
            SourceUnavailable,
            "500 (Unhandled error)",
        ),
        (502, PAGE, "text/html", SourceUnavailable, "502"),
        (503, "", "text/plain", SourceUnavailable, "503"),
    ],
)
async def test_a_list_that_is_not_given(
    server: FakeServer,
    client: JupyterClient,
    status: int,
    body: str,
    content_type: str,
    error: type[CollectError],
    says: str,
) -> None:
    headers = {"Location": "/login?next=%2Fbase&secret=1"} if status == 302 else None
    server.answer("api/kernels", body, status=status, content_type=content_type, headers=headers)
    with pytest.raises(error) as raised:
        await client.kernels()
    assert str(raised.value).startswith("GET /base/api/kernels: ")
    assert says in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "sesame" not in str(raised.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [aiohttp.ClientConnectionError("refused"), TimeoutError(), OSError("down"), aiohttp.InvalidURL("x")],
)
async def test_no_answer_is_unavailable(server: FakeServer, client: JupyterClient, fault: Exception) -> None:
    server.answer("api/kernels", exception=fault)
    with pytest.raises(SourceUnavailable, match="GET /base/api/kernels: "):
        await client.kernels()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientOSError(104, "Connection reset by peer"),
        aiohttp.ClientPayloadError("Response payload is not completed"),
        ConnectionResetError(),
    ],
)
async def test_a_lost_connection_is_tried_again_twice_at_most(
    server: FakeServer, client: JupyterClient, fault: Exception
) -> None:
    for _ in range(2):
        server.answer("api/kernels", exception=fault)
    server.answer("api/kernels", [KERNEL])
    assert len(await client.kernels()) == 1
    for _ in range(4):
        server.answer("api/sessions", exception=fault)
    with pytest.raises(SourceUnavailable):
        await client.sessions()
    assert len(server.requests) == 6


async def test_a_body_without_end_is_malformed(
    server: FakeServer, client: JupyterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reaper.clients.jupyter.transport.MAX_BODY_BYTES", 1000)
    server.answer("api/kernels", [KERNEL] * 50)
    with pytest.raises(SourceMalformed, match="longer than 1000 bytes"):
        await client.kernels()
    server.answer("api/kernels/k-1", "x" * 2000, method="DELETE")
    with pytest.raises(OutcomeUnknown, match="longer than 1000 bytes"):
        await client.shutdown_kernel("k-1")


async def test_one_kernel(server: FakeServer, client: JupyterClient) -> None:
    server.answer("api/kernels/k-1", KERNEL)
    kernel = await client.kernel("k-1")
    assert kernel is not None
    assert kernel.execution_state == "idle"
    server.answer("api/kernels/k-1", {"message": "Kernel does not exist: k-1"}, status=404)
    assert await client.kernel("k-1") is None
    server.answer("api/kernels/k-1", PAGE, status=404, content_type="text/html")
    with pytest.raises(SourceMalformed, match="404"):
        await client.kernel("k-1")
    server.answer("api/kernels/k-1", {**KERNEL, "id": "k-2"})
    with pytest.raises(SourceMalformed, match="another kernel, 'k-2'"):
        await client.kernel("k-1")


@pytest.mark.parametrize(
    ("body", "content_type"), [(PAGE, "text/html"), ({"message": "x"}, "application/json")]
)
async def test_terminals_that_are_disabled(
    server: FakeServer, client: JupyterClient, body: object, content_type: str
) -> None:
    server.answer("api/terminals", body, status=404, content_type=content_type)
    assert await client.terminals() is None


async def test_a_notebook_that_was_never_saved(server: FakeServer, client: JupyterClient) -> None:
    query = "content=0&no_track_activity=1"
    server.answer(
        "api/contents/a%20b.ipynb", {"type": "notebook", "last_modified": "2026-11-22T11:00:00Z"}, query=query
    )
    assert await client.notebook_saved_at("a b.ipynb") == datetime(2026, 11, 22, 11, tzinfo=UTC)
    # Jupyter says that this is JSON; it is not.
    server.answer("api/contents/a", "file or directory '/a' does not exist", status=404, query=query)
    assert await client.notebook_saved_at("/a") is None
    server.answer("api/contents/a", "404 page not found", status=404, content_type="text/plain", query=query)
    with pytest.raises(SourceMalformed):
        await client.notebook_saved_at("a")
    asked = len(server.requests)
    for path in ("", "/", "..", "a/../b", "./a"):
        assert await client.notebook_saved_at(path) is None
    assert len(server.requests) == asked


async def test_the_keepalive_extension_is_asked_for_once_when_absent(
    server: FakeServer, client: JupyterClient
) -> None:
    server.answer("ext-keepalive", {"remaining": 90})
    assert await client.keepalive() == 90
    server.answer("ext-keepalive", PAGE, status=500, content_type="text/html")
    with pytest.raises(SourceUnavailable):
        await client.keepalive()
    server.answer("ext-keepalive", PAGE, status=404, content_type="text/html")
    assert await client.keepalive() is None
    assert await client.keepalive() is None
    assert len(server.requests) == 3
    # A server that was started anew may have it.
    server.answer("api/status", {"started": "2026-11-22T10:00:00Z", "last_activity": "2026-11-22T11:00:00Z"})
    await client.status()
    server.answer("ext-keepalive", {"remaining": 0})
    assert await client.keepalive() == 0


async def test_what_else_a_server_offers(server: FakeServer, client: JupyterClient) -> None:
    server.answer("sagemaker/api/apps", [{"app_name": "a"}])
    assert await client.get_json("sagemaker", "api", "apps") == [{"app_name": "a"}]
    server.answer("sagemaker/api/apps", PAGE, status=404, content_type="text/html")
    assert await client.get_json("sagemaker", "api", "apps") is None


@pytest.mark.parametrize(
    ("status", "body", "content_type", "outcome"),
    [
        (204, "", "", Deletion.DELETED),
        (200, "", "text/html; charset=UTF-8", Deletion.DELETED),  # Tornado's default type
        (200, "", "", Deletion.DELETED),
        (202, '{"status": "Deleting"}', "application/json", Deletion.DELETED),
        (404, '{"message": "Kernel does not exist: k-1", "reason": null}', "application/json", Deletion.GONE),
        (410, '{"message": "Kernel deleted before session"}', "application/json", Deletion.GONE),
        (404, PAGE, "text/html", ActionUnavailable),
        (404, "404 page not found", "text/plain", ActionUnavailable),
        (404, "", "application/json", ActionUnavailable),
        (410, PAGE, "text/html", ActionUnavailable),
        (200, PAGE, "text/html", OutcomeUnknown),
        (302, "", "text/html", ActionDenied),
        (400, '{"message": "Bad"}', "application/json", ActionDenied),
        (401, "", "", ActionDenied),
        (403, '{"message": "Forbidden"}', "application/json", ActionDenied),
        (405, "", "", ActionDenied),
        (409, "", "", ActionDenied),
        (408, "", "", ActionUnavailable),
        (429, "", "", ActionUnavailable),
        (503, PAGE, "text/html", ActionUnavailable),
        (500, '{"message": "Unhandled error"}', "application/json", OutcomeUnknown),
        (502, PAGE, "text/html", OutcomeUnknown),
        (504, PAGE, "text/html", OutcomeUnknown),
    ],
)
async def test_how_a_delete_ends(
    server: FakeServer,
    client: JupyterClient,
    status: int,
    body: str,
    content_type: str,
    outcome: Deletion | type[ReaperError],
) -> None:
    server.answer("api/kernels/k-1", body, method="DELETE", status=status, content_type=content_type)
    if isinstance(outcome, Deletion):
        assert await client.shutdown_kernel("k-1") is outcome
    else:
        with pytest.raises(outcome, match="DELETE /base/api/kernels/k-1: "):
            await client.shutdown_kernel("k-1")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (aiohttp.ClientConnectorError(Mock(), ConnectionRefusedError(111, "refused")), ActionUnavailable),
        (aiohttp.ConnectionTimeoutError("connect"), ActionUnavailable),
        (aiohttp.ServerDisconnectedError(), OutcomeUnknown),
        (aiohttp.ClientOSError(104, "reset"), OutcomeUnknown),
        (aiohttp.ClientPayloadError("cut off"), OutcomeUnknown),
        (aiohttp.ClientResponseError(Mock(), (), status=400, message="Bad status line"), OutcomeUnknown),
        (TimeoutError(), OutcomeUnknown),
    ],
)
async def test_a_delete_that_fails_is_never_sent_again(
    server: FakeServer, client: JupyterClient, fault: Exception, error: type[ReaperError]
) -> None:
    server.answer("api/terminals/1", method="DELETE", exception=fault)
    server.answer("api/terminals/1", method="DELETE", status=204)
    with pytest.raises(error, match="DELETE /base/api/terminals/1: "):
        await client.delete_terminal("1")
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_that_would_change_the_path_is_never_sent(
    server: FakeServer, client: JupyterClient, name: str
) -> None:
    for delete in (client.delete_terminal, client.shutdown_kernel):
        with pytest.raises(ActionDenied):
            await delete(name)
    assert server.requests == []


async def test_names_are_quoted(server: FakeServer, client: JupyterClient) -> None:
    name = "arn:aws:x/y__1 ü?#%2F"
    server.answer("api/terminals/arn%3Aaws%3Ax%2Fy__1%20%C3%BC%3F%23%252F", method="DELETE", status=204)
    assert await client.delete_terminal(name) is Deletion.DELETED


async def test_without_a_token_the_xsrf_cookie_is_fetched_once_and_echoed(server: FakeServer) -> None:
    async with JupyterClient(parse_address(BASE)) as client:
        server.answer(
            "tree",
            PAGE,
            status=404,
            content_type="text/html",
            headers={"Set-Cookie": "_xsrf=2|a|b|1; Path=/"},
        )
        for name in ("1", "2"):
            server.answer(f"api/terminals/{name}", method="DELETE", status=204)
            assert await client.delete_terminal(name) is Deletion.DELETED
        assert [method for method, _ in server.requests] == ["GET", "DELETE", "DELETE"]
        for headers in server.sent_headers("DELETE"):
            assert headers["Cookie"] == "_xsrf=2|a|b|1"
            assert headers["X-Xsrftoken"] == "2|a|b|1"
            assert "Authorization" not in headers
        # The server was restarted and signs with another key.
        server.answer("api/terminals/3", XSRF_MISSING, method="DELETE", status=403)
        server.answer("tree", PAGE, content_type="text/html", headers={"Set-Cookie": "_xsrf=new"})
        server.answer("api/terminals/3", method="DELETE", status=204)
        assert await client.delete_terminal("3") is Deletion.DELETED
        assert server.sent_headers("DELETE")[-1]["X-Xsrftoken"] == "new"


async def test_a_cookie_that_is_none_of_tornados_is_not_echoed(server: FakeServer) -> None:
    async with JupyterClient(parse_address(BASE)) as client:
        server.answer("tree", PAGE, content_type="text/html", headers={"Set-Cookie": '_xsrf="a b"'})
        server.answer("api/terminals/1", XSRF_MISSING, method="DELETE", status=403)
        server.answer("tree", PAGE, content_type="text/html")
        with pytest.raises(ActionDenied, match="wants a token and none is known"):
            await client.delete_terminal("1")
        assert "Cookie" not in server.sent_headers("DELETE")[0]


async def test_what_fails_before_the_delete_is_sent_had_no_effect(server: FakeServer) -> None:
    async with JupyterClient(parse_address(BASE)) as client:
        server.answer("tree", exception=aiohttp.ServerDisconnectedError())
        with pytest.raises(ActionUnavailable, match="not sent"):
            await client.delete_terminal("1")
        assert [method for method, _ in server.requests] == ["GET"]


async def test_the_servers_clock(server: FakeServer) -> None:
    now = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
    async with JupyterClient(parse_address(BASE), clock=lambda: now) as client:
        server.answer("api/kernels", [], headers={"Date": "Sun, 22 Nov 2026 12:01:30 GMT"})
        await client.kernels()
        assert client.server_offset == 60.5
        for date in ("soon", "Sun, 22 Nov 2026 12:01:30", "Sun, 99 Nov 2026 12:01:30 GMT"):
            server.answer("api/kernels", [], headers={"Date": date})
            await client.kernels()
            assert client.server_offset == 60.5
        # An activity is judged by the server's own clock, not by ours.
        ahead = (now + timedelta(minutes=30)).isoformat()
        server.answer("api/kernels", [{**KERNEL, "last_activity": ahead}])
        assert (await client.kernels())[0].problem is None
        server.answer(
            "api/kernels",
            [{**KERNEL, "last_activity": ahead}],
            headers={"Date": "Sun, 22 Nov 2026 12:01:30 GMT"},
        )
        kernel = (await client.kernels())[0]
        assert kernel.last_activity is None
        assert "in the server's own future" in str(kernel.problem)


async def test_without_a_clock_nothing_is_measured(server: FakeServer, client: JupyterClient) -> None:
    server.answer("api/kernels", [], headers={"Date": "Sun, 22 Nov 2026 12:01:30 GMT"})
    await client.kernels()
    assert client.server_offset is None


async def test_a_session_of_the_callers_own_stays_open(server: FakeServer) -> None:
    async with aiohttp.ClientSession() as session:
        async with JupyterClient(parse_address(BASE), session) as client:
            server.answer("api/kernels", [])
            assert await client.kernels() == ()
        assert not session.closed


async def test_outside_its_block_the_client_is_a_mistake(server: FakeServer) -> None:
    client = JupyterClient(parse_address(BASE))
    with pytest.raises(RuntimeError, match="async with"):
        await client.kernels()
    async with client:
        pass
    with pytest.raises(RuntimeError, match="async with"):
        await client.kernels()
