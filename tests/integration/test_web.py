"""The API over real sockets, with a daemon that is only a memory."""

import asyncio
import hmac
import io
import json
import os
import pwd
import socket
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import structlog.testing
from hypothesis import HealthCheck, given, settings, strategies as st
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from yarl import URL

from reaper.config.places import ListenAddress
from reaper.errors import (
    ActionUnavailable,
    ConfigError,
    ControlError,
    JournalFull,
    ReaperError,
    UsageError,
)
from reaper.testing.control import FakeControl, resource_row
from reaper.web import make_app, serve

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
TOKEN = "tok-8f7d2a-Zü"
LOOPBACK = ListenAddress(host="127.0.0.1", port=0)


@pytest.fixture
def control():
    rows = [
        resource_row("6f1c2b54", name="work/analysis.ipynb"),
        resource_row("6f99aaaa", name="train.ipynb"),
    ]
    return FakeControl(at=NOW, resources=rows, decisions={"d1": {"schema": 1, "decision": {"id": "d1"}}})


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


@pytest.fixture
async def client(control, own_home):
    async with over_unix(control, own_home / "reaper.sock") as session:
        yield session


async def problem(response):
    """Give a problem document, after a look at its form."""
    assert response.headers["Content-Type"] == "application/problem+json"
    document = await response.json(content_type="application/problem+json")
    assert document["status"] == response.status
    assert {"type", "title", "detail", "instance"} <= set(document)
    assert document["type"].startswith("urn:reaper:problem:")
    return document


class TestRoutes:
    async def test_the_index_names_the_endpoints(self, client):
        document = await (await client.get("/")).json()
        assert {"/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/holds/{id}"} <= set(
            document["endpoints"]
        )

    async def test_health_and_readiness(self, client, control):
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/readyz")).status == 200
        control.is_alive, control.missing = (
            False,
            "jupyter:http://127.0.0.1:8888/ has not been seen completely",
        )
        for path, says in (("/healthz", "stand still"), ("/readyz", "has not been seen")):
            response = await client.get(path)
            assert response.status == 503
            assert says in (await problem(response))["detail"]

    async def test_metrics_are_the_daemons_and_the_count_of_requests(self, client):
        await client.get("/api/v1/decisions/d1")
        await client.get("/nowhere")
        await client.get("/nowhere/else")
        response = await client.get("/metrics")
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = {}
        for family in text_string_to_metric_families(await response.text()):
            for sample in family.samples:
                found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
        assert found["reaper_paused", ()] == 0

        def requests(route, status):
            return found[
                "reaper_http_requests_total", (("method", "GET"), ("route", route), ("status", status))
            ]

        assert requests("/api/v1/decisions/{id}", "200") == 1
        assert requests("other", "404") == 2

    async def test_status_explain_decision_plan(self, client):
        assert len((await (await client.get("/api/v1/status")).json())["resources"]) == 2
        explained = await (
            await client.get("/api/v1/explain", params={"resource": "work/analysis.ipynb"})
        ).json()
        assert explained["resource"]["id"] == "6f1c2b54"
        assert (await (await client.get("/api/v1/decisions/d1")).json())["decision"] == {"id": "d1"}
        assert (await (await client.get("/api/v1/plan")).json())["items"] == []

    async def test_a_plan_is_applied_as_it_was_given(self, client, control):
        control.resources.append(resource_row("dead", verdict="reap"))
        plan = await (await client.get("/api/v1/plan")).json()
        response = await client.post("/api/v1/apply", json=plan)
        assert response.status == 200
        assert [item["outcome"] for item in (await response.json())["items"]] == ["succeeded"]
        assert control.requests("apply")[0].argument == plan

    async def test_holds_are_placed_renewed_listed_and_released(self, client, control):
        request = {"resource": "6f1c", "for": "2h", "why": "a demo"}
        response = await client.post("/api/v1/holds", json=request)
        assert response.status == 201
        hold = (await response.json())["hold"]
        assert hold["expires_at"] == "2026-11-22T23:00:00.000000Z"
        renewed = await client.post("/api/v1/holds", json={**request, "id": hold["id"], "source": "command"})
        assert renewed.status == 200
        assert [asked.argument for asked in control.requests("place_hold")] == [
            {"resource": "6f1c", "for_s": 7200.0, "why": "a demo", "id": None, "source": "api"},
            {"resource": "6f1c", "for_s": 7200.0, "why": "a demo", "id": hold["id"], "source": "command"},
        ]
        assert len((await (await client.get("/api/v1/holds")).json())["holds"]) == 1
        released = await client.delete(f"/api/v1/holds/{hold['id']}")
        assert await released.json() == {"schema": 1, "released": [hold["id"]]}

    async def test_a_hold_on_everything_is_said_by_null_not_by_leaving_it_out(self, client):
        refused = await client.post("/api/v1/holds", json={"for": "2h"})
        assert refused.status == 400
        assert (await problem(refused))["field"] == "resource"
        assert (await client.post("/api/v1/holds", json={"resource": None, "for": "2h"})).status == 201

    @pytest.mark.parametrize(
        "name", ["work/analysis.ipynb", "jupyter.kernel/6f1c@http://127.0.0.1:8888/", "a b?c#d%2F"]
    )
    async def test_a_resource_in_a_path_may_have_any_name(self, client, control, name):
        await client.delete(URL(f"/api/v1/holds/{quoted(name)}", encoded=True))
        assert control.requests("release_hold")[0].argument == name

    async def test_pause_and_resume(self, client, control):
        for method in ("PUT", "POST"):
            response = await client.request(method, "/api/v1/pause", json={"for_s": 60, "why": "deploy"})
            assert (await response.json())["pause"]["until"] == "2026-11-22T21:01:00.000000Z"
        assert (await (await client.get("/api/v1/pause")).json())["paused"] is True
        assert (await (await client.delete("/api/v1/pause")).json())["paused"] is False
        assert (await client.post("/api/v1/pause")).status == 200, "a kill switch needs no body"
        assert control.requests("pause")[-1].argument == {"for_s": None, "why": ""}

    async def test_settings(self, client, control):
        changed = {"name": "idle-timeout", "value": "90m", "for": "1d"}
        assert (await client.patch("/api/v1/settings", json=changed)).status == 200
        assert (await (await client.get("/api/v1/settings")).json())["settings"][0]["value"] == "90m"
        assert (
            await client.patch("/api/v1/settings", json={"name": "idle-timeout", "value": None})
        ).status == 200
        assert [asked.argument for asked in control.requests("change_setting")] == [
            {"name": "idle-timeout", "value": "90m", "for_s": 86400.0},
            {"name": "idle-timeout", "value": None, "for_s": None},
        ]

    @pytest.mark.parametrize("value", [90, 90.5, "90", "soon"])
    async def test_a_bare_number_is_an_error_that_says_so(self, client, value):
        response = await client.patch("/api/v1/settings", json={"name": "idle-timeout", "value": value})
        assert response.status == 422
        assert "45s, 120m, 1h30m" in (await problem(response))["detail"]

    @pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/api/v1/status", "/api/v1/holds"])
    async def test_head_is_get_without_a_body(self, client, path):
        response = await client.head(path)
        assert response.status == 200
        assert await response.read() == b""

    async def test_every_answer_is_protected_from_browsers(self, client):
        for path in ("/", "/metrics", "/nowhere"):
            headers = (await client.get(path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["Server"] == "reaper"
            assert "Access-Control-Allow-Origin" not in headers


def quoted(name):
    return quote(name, safe="")


class TestProblems:
    async def test_unknown_path(self, client):
        response = await client.get("/api/v1/nothing?token=x")
        assert response.status == 404
        document = await problem(response)
        assert document["type"] == "urn:reaper:problem:not-found"
        assert document["instance"] == "/api/v1/nothing"

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("POST", "/api/v1/status", {"GET", "HEAD"}),
            ("PUT", "/api/v1/holds", {"GET", "HEAD", "POST"}),
            ("GET", "/api/v1/apply", {"POST"}),
            ("DELETE", "/healthz", {"GET", "HEAD"}),
            ("OPTIONS", "/api/v1/pause", {"GET", "HEAD", "PUT", "POST", "DELETE"}),
        ],
    )
    async def test_wrong_method(self, client, method, path, allow):
        response = await client.request(method, path)
        assert response.status == 405
        assert set(response.headers["Allow"].split(", ")) == allow
        await problem(response)

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            (b"", "not JSON"),
            (b"{", "not JSON"),
            (b"<html>", "not JSON"),
            (b"[]", "a list"),
            (b'"x"', "text"),
            (b"null", "null"),
            (b"true", "true or false"),
            (b'{"why": NaN}', "NaN"),
            (b'{"why": 1' + b"0" * 5000 + b"}", "not JSON"),
            (b"\xff\xfe", "UTF-8"),
            (b'{"why": "\\ud800"}', "surrogate"),
            (b'{"why": "a", "why": "b"}', "twice"),
            (b"[" * 200_000, "nested"),
            (b'{"why": 1}', "must be text"),
            (b'{"for": 90}', "for_s"),
            (b'{"for": "90"}', "no unit"),
            (b'{"for_ss": 2}', "did you mean 'for_s'"),
            (b"\x1f\x8b\x08\x00", "UTF-8"),
        ],
    )
    async def test_a_bad_body(self, client, control, body, says):
        response = await client.put("/api/v1/pause", data=body + (b" " if not body else b""))
        if body == b"":
            assert response.status == 200, "pause alone takes no body"
            return
        assert response.status == 400
        assert says in (await problem(response))["detail"]
        assert not control.requests("pause")

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_a_body_that_is_too_large(self, client, control, chunked):
        async def pieces():
            for _ in range(20):
                yield b" " * 65536

        body = pieces() if chunked else io.BytesIO(b" " * (1024 * 1024 + 1))
        response = await client.post("/api/v1/apply", data=body)
        assert response.status == 413
        await problem(response)
        assert not control.asked

    async def test_a_megabyte_is_read(self, client, control):
        document = {"schema": 1, "items": [], "expires_at": "2027-01-01T00:00:00Z", "note": "x" * 1_000_000}
        assert (await client.post("/api/v1/apply", json=document)).status == 200

    async def test_a_body_that_stops_is_not_waited_for(self, control, own_home, monkeypatch):
        monkeypatch.setattr("reaper.web.body.BODY_DEADLINE_S", 0.2)
        async with over_unix(control, own_home / "reaper.sock"):
            answer = await raw(
                own_home / "reaper.sock",
                b"PUT /api/v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
            )
        assert b" 408 " in answer.splitlines()[0]

    async def test_an_ambiguous_name_lists_the_candidates(self, client):
        for method, path, more in (
            ("GET", "/api/v1/explain?resource=6f", {}),
            ("POST", "/api/v1/holds", {"json": {"resource": "6f", "for": "1h"}}),
            ("DELETE", "/api/v1/holds/6f", {}),
        ):
            response = await client.request(method, path, **more)
            assert response.status == 409
            assert (await problem(response))["candidates"] == ["6f1c2b54", "6f99aaaa"]

    async def test_a_name_that_names_nothing(self, client):
        for method, path, more in (
            ("GET", "/api/v1/explain?resource=zzz", {}),
            ("GET", "/api/v1/decisions/zzz", {}),
            ("POST", "/api/v1/holds", {"json": {"resource": "zzz", "for": "1h"}}),
            ("DELETE", "/api/v1/holds/zzz", {}),
        ):
            response = await client.request(method, path, **more)
            assert response.status == 404, path
            await problem(response)

    @pytest.mark.parametrize(
        "query", ["", "?resource=", "?resource=a&resource=b", "?resourc=a", "?resource=%00"]
    )
    async def test_explain_wants_one_resource(self, client, query):
        response = await client.get(URL(f"/api/v1/explain{query}", encoded=True))
        assert response.status == 400
        await problem(response)

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (UsageError("it can't be carried out"), 400),
            (ControlError("no"), 409),
            (ConfigError("no unit"), 422),
            (JournalFull("no space"), 503),
        ],
    )
    async def test_what_the_daemon_refuses(self, client, control, error, status):
        control.breaks = error
        response = await client.put("/api/v1/pause", json={})
        assert response.status == status
        assert (await problem(response))["detail"] == str(error)

    @pytest.mark.parametrize(
        "error", [RuntimeError("inner s3cret"), ReaperError("inner s3cret"), ActionUnavailable("s3cret")]
    )
    async def test_a_fault_inside_is_logged_under_an_id_and_not_told(self, client, control, error):
        control.breaks = error
        with structlog.testing.capture_logs() as events:
            response = await client.get("/api/v1/status")
        assert response.status == 500
        document = await problem(response)
        assert "s3cret" not in json.dumps(document)
        (event,) = events
        assert event["event_id"] == document["event_id"]
        assert event["route"] == "/api/v1/status"
        control.breaks = None
        assert (await client.get("/api/v1/status")).status == 200, "the daemon goes on"

    async def test_a_document_that_can_not_be_written_is_a_fault_inside(self, client, control):
        control.resources.append({"id": object()})
        assert (await client.get("/api/v1/status")).status == 500

    async def test_what_is_no_http_is_not_logged(self, control, own_home, caplog):
        """Whoever can connect could fill the log, and a broken header may hold the token."""
        caplog.set_level("DEBUG")
        async with over_unix(control, own_home / "reaper.sock"):
            request = b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tok-8f7d\x00\r\n\r\n"
            assert b" 400 " in (await raw(own_home / "reaper.sock", request)).splitlines()[0]
            assert (
                b" 400 "
                in (await raw(own_home / "reaper.sock", b"\x16\x03\x01garbage\r\n\r\n")).splitlines()[0]
            )
        assert "tok-8f7d" not in caplog.text
        assert not [record for record in caplog.records if record.name.startswith("reaper")]


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


class TestSocket:
    async def test_the_kernel_says_who_asks(self, client, control):
        await client.put("/api/v1/pause", json={})
        (asked,) = control.requests("pause")
        assert asked.caller.who == pwd.getpwuid(os.getuid()).pw_name
        assert asked.caller.details == {"via": "unix", "uid": os.getuid(), "pid": os.getpid()}

    async def test_a_user_without_a_name_is_a_number(self, client, control, monkeypatch):
        monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
        await client.put("/api/v1/pause", json={})
        assert control.requests("pause")[0].caller.who == f"uid {os.getuid()}"

    async def test_neither_token_nor_host_matters(self, control, own_home):
        """The file mode is the authority."""
        app = make_app(control, api_token=SecretStr(TOKEN))
        path = own_home / "reaper.sock"
        async with (
            serve(app, [ListenAddress(path=path)]),
            aiohttp.ClientSession("http://whatever", connector=aiohttp.UnixConnector(str(path))) as session,
        ):
            assert (await session.delete("/api/v1/pause")).status == 200
            wrong = {"Authorization": "Bearer wrong"}
            assert (await session.get("/api/v1/status", headers=wrong)).status == 200


WRITES: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/api/v1/pause", {}),
    ("POST", "/api/v1/pause", {}),
    ("DELETE", "/api/v1/pause", {}),
    ("POST", "/api/v1/holds", {"json": {"resource": None}}),
    ("DELETE", "/api/v1/holds/h1", {}),
    ("PATCH", "/api/v1/settings", {"json": {"name": "idle-timeout", "value": "1m"}}),
    ("POST", "/api/v1/apply", {"json": {}}),
]
READS = [
    "/",
    "/metrics",
    "/api/v1/status",
    "/api/v1/plan",
    "/api/v1/holds",
    "/api/v1/settings",
    "/api/v1/pause",
]


class TestToken:
    def test_every_route_is_in_one_of_the_lists(self, control):
        """A new route must be given its test here."""
        found = {
            (route.method, route.resource and route.resource.canonical)
            for route in make_app(control, api_token=None).router.routes()
        }
        writes = {(method, path.replace("h1", "{id}")) for method, path, _ in WRITES}
        assert {one for one in found if one[0] not in {"GET", "HEAD"}} == writes
        reads = {path for method, path in found if method == "GET"}
        assert reads == {*READS, "/healthz", "/readyz", "/api/v1/explain", "/api/v1/decisions/{id}"}

    @pytest.mark.parametrize(("method", "path", "more"), WRITES)
    async def test_a_write_needs_it_on_loopback_too(self, control, method, path, more):
        async with over_tcp(control) as session:
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": f"Basic {quoted(TOKEN)}"},
            ):
                response = await session.request(method, path, headers=headers, **more)
                assert response.status == 401
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
                await problem(response)
        assert not control.asked

    @pytest.mark.parametrize(("method", "path", "more"), WRITES)
    async def test_without_a_configured_one_no_write_is_possible(self, control, method, path, more):
        async with over_tcp(control, token=None) as session:
            response = await session.request(method, path, headers=bearer("anything"), **more)
            assert response.status == 403
            assert "REAPER_API_TOKEN" in (await problem(response))["detail"]
        assert not control.asked

    @pytest.mark.parametrize("path", [*READS, "/healthz", "/readyz"])
    @pytest.mark.parametrize("token", [None, TOKEN])
    async def test_a_read_on_loopback_does_not(self, control, path, token):
        async with over_tcp(control, token=token) as session:
            assert (await session.get(path)).status == 200

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token", "Token"])
    async def test_the_right_one_opens(self, control, scheme):
        async with over_tcp(control) as session:
            headers = {"Authorization": f"{scheme} {TOKEN}"}
            assert (await session.put("/api/v1/pause", headers=headers)).status == 200
        (asked,) = control.requests("pause")
        assert asked.caller.who == "token@127.0.0.1"

    async def test_a_wrong_one_is_refused_where_none_is_needed(self, control):
        """A client that is set up wrongly learns of it."""
        async with over_tcp(control) as session:
            assert (await session.get("/api/v1/status", headers=bearer("wrong"))).status == 401
            assert (await session.get("/healthz", headers=bearer("wrong"))).status == 200

    async def test_two_are_none(self, control):
        async with over_tcp(control) as session:
            twice = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
            assert (await session.put("/api/v1/pause", headers=twice)).status == 401

    @pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
    async def test_what_a_proxy_passes_on_is_not_from_loopback(self, control, header):
        async with over_tcp(control) as session:
            assert (await session.get("/api/v1/status", headers={header: "127.0.0.1"})).status == 401
            headers = {header: "127.0.0.1", **bearer(TOKEN)}
            assert (await session.get("/api/v1/status", headers=headers)).status == 200

    @pytest.mark.parametrize("path", READS)
    async def test_another_machine_needs_it_for_reading(self, control, monkeypatch, path):
        """What loopback is, is asked of the peer's address; here nothing is."""
        monkeypatch.setattr("reaper.web.auth._host_of", lambda name: "192.0.2.7")
        async with over_tcp(control) as session:
            assert (await session.get(path)).status == 401
            assert (await session.get(path, headers=bearer(TOKEN))).status == 200
            assert (await session.get("/healthz")).status == 200
            assert (await session.get("/readyz")).status == 200

    async def test_another_machine_can_not_read_without_a_configured_one(self, control, monkeypatch):
        monkeypatch.setattr("reaper.web.auth._host_of", lambda name: "192.0.2.7")
        async with over_tcp(control, token=None) as session:
            assert (await session.get("/api/v1/status")).status == 403

    async def test_errors_that_do_nothing_need_none(self, control):
        async with over_tcp(control) as session:
            assert (await session.post("/api/v1/nothing")).status == 404
            assert (await session.post("/api/v1/status")).status == 405

    async def test_it_is_compared_in_constant_time_as_bytes(self, control, monkeypatch):
        seen = []

        def compare(one, other):
            seen.append((one, other))
            return hmac.compare_digest(one, other)

        monkeypatch.setattr(
            "reaper.web.auth.hmac", type("Hmac", (), {"compare_digest": staticmethod(compare)})
        )
        async with over_tcp(control) as session:
            await session.put("/api/v1/pause", headers=bearer("wrong"))
            await session.put("/api/v1/pause", headers=bearer(TOKEN))
        ours = TOKEN.encode()
        assert seen == [(ours, b"wrong"), (ours, ours)]

    async def test_failures_are_logged_once_and_so_is_the_end_of_them(self, control):
        async with over_tcp(control) as session:
            with structlog.testing.capture_logs() as events:
                for token in ("a", "b", "c", TOKEN, TOKEN, "d"):
                    await session.get("/api/v1/status", headers=bearer(token))
        assert [event["event"] for event in events] == [
            "refused an api token",
            "accepted an api token again",
            "refused an api token",
        ]
        assert TOKEN not in repr(events)

    @pytest.mark.parametrize("token", ["", "  ", "\n"])
    def test_an_empty_one_is_no_token(self, control, token):
        with pytest.raises(ConfigError, match="empty"):
            make_app(control, api_token=SecretStr(token))

    async def test_white_space_around_it_does_not_matter(self, control):
        """Files end with a newline."""
        async with over_tcp(control, token=f"{TOKEN}\n") as session:
            assert (await session.put("/api/v1/pause", headers=bearer(TOKEN))).status == 200


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


SECRETS = st.text(alphabet="ABCDEFGHJKLMNPQRSTUVWXYZ0123456789-_.~+/", min_size=12, max_size=60)


@given(ours=SECRETS, theirs=SECRETS, breaks=st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_token_is_ever_told(ours, theirs, breaks, caplog):
    """Not in answers, events, the standard library's log, or the repr of what holds it; ours nor theirs."""
    caplog.clear()
    caplog.set_level("DEBUG")

    async def try_everything():
        control = FakeControl(at=NOW, breaks=RuntimeError("broken") if breaks else None)
        app = make_app(control, api_token=SecretStr(ours))
        told.append(repr(vars(app)) + repr(dict(app.items())))
        async with serve(app, [LOOPBACK]) as (bound,), aiohttp.ClientSession(bound.url) as session:
            for headers in ({}, bearer(theirs), bearer(ours), {"Host": "evil.example", **bearer(ours)}):
                for method, path, more in WRITES:
                    response = await session.request(method, path, headers=headers, **more)
                    told.append(f"{response.headers!r} {await response.text()}")
                for path in ("/", "/metrics", "/api/v1/status", "/nowhere"):
                    response = await session.get(path, headers=headers)
                    told.append(f"{response.headers!r} {await response.text()}")

    told: list[str] = []
    with structlog.testing.capture_logs() as events:
        asyncio.run(try_everything())
    told += [repr(event) for event in events]
    told.append(caplog.text)
    for text in told:
        assert ours not in text
        assert theirs not in text


class TestBrowsers:
    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "192.0.2.7",
            "[2001:db8::1]",
            "reaper",
        ],
    )
    async def test_another_name_is_refused(self, control, host):
        """A page of evil.example whose name points at 127.0.0.1 reads nothing."""
        async with over_tcp(control) as session:
            for path in ("/api/v1/status", "/healthz", "/metrics"):
                response = await session.get(path, headers={"Host": host})
                assert response.status == 403
                assert (await problem(response))["type"] == "urn:reaper:problem:wrong-host"
            response = await session.put("/api/v1/pause", headers={"Host": host, **bearer(TOKEN)})
            assert response.status == 403
        assert not control.asked

    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "127.0.0.1",
            "127.0.0.53:9",
            "[::1]:8765",
            "reaper.internal",
        ],
    )
    async def test_names_of_ours(self, control, host):
        async with over_tcp(control, allowed_hosts=["Reaper.internal"]) as session:
            assert (await session.get("/api/v1/status", headers={"Host": host})).status == 200

    @pytest.mark.parametrize(
        "host", ["", "a b", "user@localhost", "localhost/x", "localhost, evil", "::1", "[::1"]
    )
    async def test_a_malformed_name(self, control, host):
        async with over_tcp(control) as session:
            assert (await session.get("/api/v1/status", headers={"Host": host})).status == 400

    async def test_no_name_or_two(self, control):
        app = make_app(control, api_token=None)
        async with serve(app, [LOOPBACK]) as (bound,):
            for hosts in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", bound.port)
                writer.write(b"GET /healthz HTTP/1.0\r\n" + hosts + b"\r\n")
                assert b" 400 " in await reader.readline()
                writer.close()
                await writer.wait_closed()

    async def test_a_wildcard_address_takes_any_ip_and_no_name(self, control):
        async with over_tcp(control, listen=ListenAddress(host="0.0.0.0", port=0)) as session:
            assert (await session.get("/healthz", headers={"Host": "192.0.2.7:8765"})).status == 200
            assert (await session.get("/healthz", headers={"Host": "evil.example"})).status == 403

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "http://localhost:1", "http://[", "file://"]
    )
    async def test_a_page_of_another_site_can_not_write(self, control, own_home, origin):
        headers = {"Origin": origin, **bearer(TOKEN)}
        async with over_tcp(control) as session:
            response = await session.put("/api/v1/pause", headers=headers)
            assert response.status == 403
            assert (await problem(response))["type"] == "urn:reaper:problem:wrong-origin"
        async with over_unix(control, own_home / "reaper.sock") as session:
            assert (await session.put("/api/v1/pause", headers=headers)).status == 403
        assert not control.asked

    async def test_our_own_page_can(self, control):
        async with over_tcp(control) as session:
            url = str(session._base_url.origin())
            headers = {"Origin": url, **bearer(TOKEN)}
            assert (await session.put("/api/v1/pause", headers=headers)).status == 200


async def test_a_long_status_does_not_stall_the_loop(control, own_home):
    """10,000 rows are 5 MB: the loop is given back all the while. Bounded loosely; `make bench` measures."""
    control.resources = [
        resource_row(f"{number:08x}", attributes={"note": "x" * 200}, number=number)
        for number in range(10_000)
    ]
    async with over_unix(control, own_home / "reaper.sock") as session:
        longest = 0.0

        async def watch():
            nonlocal longest
            last = time.monotonic()
            while True:
                await asyncio.sleep(0)
                now = time.monotonic()
                longest, last = max(longest, now - last), now

        reading = None
        watching = asyncio.create_task(watch())
        reading = await session.get("/api/v1/status")
        body = await reading.read()
        watching.cancel()
    assert len(json.loads(body)["resources"]) == 10_000
    assert longest < 0.5


async def test_what_was_begun_is_finished_when_serving_ends(control, own_home, monkeypatch):
    """A write under way gets its answer."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    pause = control.pause

    async def slow(request, caller):
        begun.set()
        await go_on.wait()
        return await pause(request, caller)

    monkeypatch.setattr(FakeControl, "pause", lambda self, request, caller: slow(request, caller))
    path = own_home / "reaper.sock"
    app = make_app(control, api_token=None)
    async with aiohttp.ClientSession("http://x", connector=aiohttp.UnixConnector(str(path))) as session:
        async with serve(app, [ListenAddress(path=path)]):
            asking = asyncio.create_task(session.put("/api/v1/pause", json={}))
            await begun.wait()
            asyncio.get_running_loop().call_later(0.1, go_on.set)
        assert (await asking).status == 200
        assert not path.exists()


def test_sockets_have_peer_credentials_here():
    """What `Caller.who` rests on."""
    assert hasattr(socket, "SO_PEERCRED")
