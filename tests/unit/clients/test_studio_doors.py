"""The two doors: what goes through the JupyterServer's own endpoint, and what CloudWatch's points say."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from reaper.clients.jupyter import Deletion, JupyterClient
from reaper.clients.studio import ServerDoor
from reaper.clients.studio.doors import _points
from reaper.errors import (
    ActionDenied,
    ActionUnavailable,
    OutcomeUnknown,
    SourceDenied,
    SourceMalformed,
    SourceUnavailable,
)
from tests.unit.clients.studio_server import ClassicServer, serving_classic

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
async def server() -> AsyncIterator[ClassicServer]:
    async with serving_classic("a-1", "a-2") as running:
        yield running


@pytest.fixture
async def door(server: ClassicServer) -> AsyncIterator[ServerDoor]:
    async with JupyterClient(server.address) as client:
        yield ServerDoor(client)


class TestServersOwnEndpoint:
    async def test_it_lists_apps(self, door: ServerDoor, server: ClassicServer) -> None:
        apps = await door.apps()
        assert apps is not None
        assert [app.name for app in apps] == ["a-1", "a-2"]
        assert server.asked == [("GET", "sagemaker/api/apps")]

    async def test_a_server_without_it_is_no_studio_classic(
        self, door: ServerDoor, server: ClassicServer
    ) -> None:
        server.status = 404
        assert await door.apps() is None

    @pytest.mark.parametrize(
        ("status", "error"),
        [(403, SourceDenied), (401, SourceDenied), (500, SourceUnavailable), (503, SourceUnavailable)],
    )
    async def test_no_list_is_no_empty_list(
        self, door: ServerDoor, server: ClassicServer, status: int, error: type[Exception]
    ) -> None:
        server.status = status
        with pytest.raises(error):
            await door.apps()

    @pytest.mark.parametrize("listed", ['[{"app_na', "<html>", "{}", '[{"name": "a-1"}]', ""])
    async def test_what_cant_be_read_is_no_empty_list(
        self, door: ServerDoor, server: ClassicServer, listed: str
    ) -> None:
        server.listed = listed
        with pytest.raises(SourceMalformed):
            await door.apps()

    async def test_a_delete_echoes_the_xsrf_cookie(self, door: ServerDoor, server: ClassicServer) -> None:
        assert await door.delete("a-1") is Deletion.DELETED
        assert await door.delete("a-2") is Deletion.DELETED
        assert server.deleted == ["a-1", "a-2"]
        assert [path for _, path in server.asked].count("tree") == 1

    @pytest.mark.parametrize(
        ("refusal", "error"),
        [(400, ActionDenied), (409, ActionDenied), (503, ActionUnavailable), (500, OutcomeUnknown)],
    )
    async def test_one_that_fails_says_whether_it_had_effect(
        self, door: ServerDoor, server: ClassicServer, refusal: int, error: type[Exception]
    ) -> None:
        server.refusals["a-1"] = refusal
        with pytest.raises(error, match="a-1 can't be deleted"):
            await door.delete("a-1")
        assert await door.delete("a-2") is Deletion.DELETED

    async def test_one_whose_answer_is_lost_may_have_had_effect(
        self, door: ServerDoor, server: ClassicServer
    ) -> None:
        server.refusals["a-1"] = "drop"
        with pytest.raises(OutcomeUnknown):
            await door.delete("a-1")
        assert server.deleted == ["a-1"]

    async def test_what_is_not_there_is_gone(self, door: ServerDoor, server: ClassicServer) -> None:
        server.refusals["a-1"] = 404
        assert await door.delete("a-1") is Deletion.GONE


class TestDatapoints:
    def test_they_are_pairs(self) -> None:
        assert _points({"Timestamps": [T0], "Values": [60]}) == [(T0, 60.0)]
        assert _points({}) == []

    @pytest.mark.parametrize("value", [-5, 0, 1e300])
    def test_no_number_leads_out_of_time(self, value: float) -> None:
        ((_, seconds),) = _points({"Timestamps": [T0], "Values": [value]})
        assert 0 <= seconds < 4e8

    @pytest.mark.parametrize(
        "result",
        [
            {"Timestamps": [T0], "Values": []},
            {"Timestamps": ["2026"], "Values": [1]},
            {"Timestamps": [T0], "Values": ["many"]},
            {"Timestamps": 7, "Values": [1]},
            {"Timestamps": [T0], "Values": [float("nan")]},
            {"Timestamps": [T0], "Values": [float("inf")]},
        ],
    )
    def test_what_is_none_is_malformed(self, result: dict[str, Any]) -> None:
        with pytest.raises(SourceMalformed):
            _points(result)
