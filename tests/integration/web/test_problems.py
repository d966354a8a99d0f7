"""What can not be answered is a problem document, and never more than that."""

import io
import json

import pytest
import structlog.testing
from yarl import URL

from reaper.errors import (
    ActionUnavailable,
    ConfigError,
    ControlError,
    JournalFull,
    ReaperError,
    UsageError,
)
from tests.integration.web.serving import over_unix, problem, raw


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

    @pytest.mark.parametrize("query", ["?since=30d", "?since_s=30d", "?since_s=1&since_s=2", "?since_s="])
    async def test_a_report_is_of_a_number_of_seconds(self, client, query):
        response = await client.get(f"/api/v1/report{query}")
        assert response.status in (400, 422)
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
