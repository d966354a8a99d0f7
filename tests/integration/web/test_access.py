"""Who may ask what: the socket file, the token, names and origins."""

import asyncio
import hmac
import os
import pwd
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import structlog.testing
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import SecretStr

from reaper.config.places import ListenAddress
from reaper.errors import (
    ConfigError,
)
from reaper.testing.control import FakeControl
from reaper.web import make_app, serve
from reaper.web.idle_checker import PATHS as IDLE_CHECKER
from tests.integration.web.serving import LOOPBACK, NOW, TOKEN, bearer, over_tcp, over_unix, problem


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
    *(("POST", path, {"json": {"idle_time": 1}}) for path in IDLE_CHECKER),
]
READS = [
    "/",
    "/metrics",
    "/api/v1/status",
    "/api/v1/plan",
    "/api/v1/report",
    "/api/v1/holds",
    "/api/v1/settings",
    "/api/v1/pause",
    *IDLE_CHECKER,
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
                {"Authorization": f"Basic {quote(TOKEN, safe='')}"},
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
