"""What each endpoint does."""

import asyncio
import json
import socket
import time
from urllib.parse import quote

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from reaper.config.places import ListenAddress
from reaper.testing.control import FakeControl, resource_row
from reaper.web import make_app, serve
from tests.integration.web.serving import over_unix, problem


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

    async def test_the_report_is_of_so_long_and_put_together(self, client, control):
        assert (await (await client.get("/api/v1/report")).json())["rows"] == []
        await client.get("/api/v1/report", params={"since_s": "86400", "by": "owner"})
        assert [one.argument for one in control.requests("report")] == [
            {"since_s": None, "by": None},
            {"since_s": 86400.0, "by": "owner"},
        ]

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
        refused = await client.post("/api/v1/holds", json={"resource": " ", "for": "2h"})
        assert (await problem(refused))["detail"] == "'resource' is empty; null holds everything"
        assert (await client.post("/api/v1/holds", json={"resource": None, "for": "2h"})).status == 201

    @pytest.mark.parametrize(
        "name", ["work/analysis.ipynb", "jupyter.kernel/6f1c@http://127.0.0.1:8888/", "a b?c#d%2F"]
    )
    async def test_a_resource_in_a_path_may_have_any_name(self, client, control, name):
        await client.delete(URL(f"/api/v1/holds/{quote(name, safe='')}", encoded=True))
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
