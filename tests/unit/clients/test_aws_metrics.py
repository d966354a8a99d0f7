"""Batches of CloudWatch's series."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from reaper.clients.aws import Aws, Metric, read_metrics
from reaper.clients.aws.metrics import MOST_QUERIES
from reaper.errors import SourceDenied, SourceMalformed, SourceUnavailable

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HERE = "eu-west-1"


class Batches:
    """Stands for `Aws`: answers each batch by its first metric's name, and notes how many are under way."""

    def __init__(self, **answers: Exception | None) -> None:
        self.answers = answers
        self.under_way = self.most = 0

    async def pages(self, _operation: object, **asked: Any) -> list[dict[str, Any]]:
        queries = asked["MetricDataQueries"]
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0)
            answer = self.answers.get(queries[0]["MetricStat"]["Metric"]["MetricName"])
            if isinstance(answer, TimeoutError):
                await asyncio.Event().wait()
            if answer is not None:
                raise answer
            return [
                {"Id": query["Id"], "StatusCode": "Complete", "Timestamps": [NOW], "Values": [1.0]}
                for query in queries
            ]
        finally:
            self.under_way -= 1

    async def read(self, batches: int, until: float | None = None) -> Any:
        wanted = {
            (batch, number): Metric("AWS/EC2", f"b{batch}", (), "Maximum")
            for batch in range(batches)
            for number in range(MOST_QUERIES)
        }
        period = timedelta(minutes=5)
        return await read_metrics(
            cast("Aws", self), HERE, wanted, start=NOW, end=NOW, period=period, until=until
        )


class TestBatches:
    """Each is paid for."""

    async def test_what_became_of_one_is_no_matter_of_another(self) -> None:
        found = await Batches(b1=SourceUnavailable("throttled"), b2=SourceMalformed("no list")).read(4)
        said = {batch: {str(found[batch, number]) for number in (0, MOST_QUERIES - 1)} for batch in range(4)}
        assert (said[1], said[2]) == ({"throttled"}, {"no list"})
        assert found[0, 0] == found[3, 0] == {NOW: 1.0}

    async def test_one_that_takes_too_long_spoils_no_other(self) -> None:
        until = asyncio.get_running_loop().time() + 0.2
        found = await Batches(b0=TimeoutError()).read(6, until)
        assert "in time" in found[0, 0]
        assert [found[batch, 0] for batch in range(1, 6)] == 5 * [{NOW: 1.0}]

    async def test_four_at_once(self) -> None:
        batches = Batches()
        await batches.read(9)
        assert batches.most == 4

    async def test_where_none_is_answered_it_is_an_error(self) -> None:
        with pytest.raises(SourceDenied, match="no permission"):
            await Batches(b0=SourceDenied("no permission"), b1=SourceDenied("no permission")).read(2)
        with pytest.raises(TimeoutError):
            await Batches(b0=TimeoutError()).read(1, asyncio.get_running_loop().time())
