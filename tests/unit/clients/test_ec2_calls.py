"""What is made of answers of EC2 and CloudWatch that no fake would give."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from reaper.clients.aws import Aws
from reaper.clients.ec2 import (
    Metric,
    describe_instances,
    describe_types,
    forget_types,
    gpu_metrics,
    persistent_requests,
    protection,
    read_metrics,
    stop,
    terminate,
)
from reaper.errors import OutcomeUnknown, SourceMalformed, SourceUnavailable

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HERE = "eu-west-1"


class Answering:
    """Stands for `Aws`: gives this, whatever is asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def read(self, *_: object, **__: object) -> Any:
        return self.answer

    pages = act = read

    async def each_page(self, *_: object, **__: object) -> Any:
        yield self.answer


def answering(answer: Any) -> Aws:
    return cast("Aws", Answering(answer))


@pytest.mark.parametrize(
    "page",
    [[None], [{}], [{"Instances": None}], [{"Instances": [{}]}], [{"Instances": [{"InstanceId": "i-1"}]}]],
)
async def test_instances(page: Any) -> None:
    with pytest.raises(SourceMalformed, match="DescribeInstances"):
        async for _ in describe_instances(answering(page), HERE):
            pass
    with pytest.raises(SourceMalformed, match="DescribeInstances"):
        async for _ in describe_instances(answering({"Reservations": page}), HERE, ids=("i-1",)):
            pass


BOX = {"InstanceId": "i-1", "State": {"Name": "running"}}


class Paging(Answering):
    """Gives pages, one after the other, and raises at the end if it is told to."""

    def __init__(self, pages: list[Any], error: Exception | None = None) -> None:
        super().__init__(None)
        self.pages_left, self.error, self.closed = pages, error, False

    async def each_page(self, *_: object, **__: object) -> Any:
        try:
            for page in self.pages_left:
                await asyncio.sleep(0)
                yield page
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


class TestPages:
    async def test_each_is_given_once_in_order(self) -> None:
        boxes = [BOX | {"InstanceId": f"i-{number}"} for number in range(5)]
        aws = Paging([[{"Instances": boxes[:2]}], [], [{"Instances": boxes[2:3]}, {"Instances": boxes[3:]}]])
        found = [[one.id for one in page] async for page in describe_instances(cast("Aws", aws), HERE)]
        assert found == [["i-0", "i-1"], [], ["i-2", "i-3", "i-4"]]

    @pytest.mark.parametrize("pages", [[[None], [{"Instances": [BOX]}]], [[{"Instances": [BOX]}], [None]]])
    async def test_one_that_can_not_be_read_ends_it(self, pages: Any) -> None:
        """Also while the next one is on its way."""
        aws = Paging(pages)
        with pytest.raises(SourceMalformed):
            [page async for page in describe_instances(cast("Aws", aws), HERE)]
        assert aws.closed

    async def test_so_does_one_that_does_not_come(self) -> None:
        aws = Paging([[{"Instances": [BOX]}]], SourceUnavailable("no way there"))
        with pytest.raises(SourceUnavailable):
            [page async for page in describe_instances(cast("Aws", aws), HERE)]

    async def test_who_stops_reading_closes_it(self) -> None:
        aws = Paging([[{"Instances": [BOX]}]] * 9)
        async with contextlib.aclosing(describe_instances(cast("Aws", aws), HERE)) as pages:
            await anext(pages)
        assert aws.closed


@pytest.mark.parametrize("answer", [{}, {"InstanceTypes": [{}]}, {"InstanceTypes": "m5.large"}])
async def test_types(answer: Any) -> None:
    forget_types()
    with pytest.raises(SourceMalformed, match="DescribeInstanceTypes"):
        await describe_types(answering(answer), HERE, ["m5.large"])


@pytest.mark.parametrize("value", [None, {}, {"Value": None}, {"Value": "false"}, "true"])
async def test_protection_that_is_not_told_is_no_freedom(value: Any) -> None:
    answer = {"DisableApiStop": value, "DisableApiTermination": value}
    with pytest.raises(SourceMalformed, match="disableApi"):
        await protection(answering(answer), HERE, "i-1")


@pytest.mark.parametrize("item", [None, {}, {"SpotInstanceRequestId": "sir-1"}, {"Type": "odd"}])
async def test_spot_requests(item: Any) -> None:
    with pytest.raises(SourceMalformed, match="no type"):
        await persistent_requests(answering([item]), HERE, ["sir-1"])


@pytest.mark.parametrize("item", [None, {}, {"Dimensions": None}, {"Dimensions": [{"Name": "host"}]}])
async def test_gpu_metrics(item: Any) -> None:
    with pytest.raises(SourceMalformed, match="ListMetrics"):
        await gpu_metrics(answering([item]), HERE)


@pytest.mark.parametrize(
    "changes",
    [
        None,
        [],
        [None],
        [{"InstanceId": "i-2", "PreviousState": {"Name": "running"}}],
        [{"InstanceId": "i-1"}],
        [{"InstanceId": "i-1", "PreviousState": {"Name": ""}}],
    ],
)
async def test_what_became_of_it_is_not_told(changes: Any) -> None:
    answer = {"StoppingInstances": changes, "TerminatingInstances": changes}
    for act in (stop, terminate):
        with pytest.raises(OutcomeUnknown, match="does not speak of i-1"):
            await act(answering(answer), HERE, "i-1")


def result(number: int = 0, status: str = "Complete", **more: Any) -> dict[str, Any]:
    return {"Id": f"v{number}", "StatusCode": status, "Timestamps": [NOW], "Values": [1.0], **more}


async def read(*results: Any) -> Any:
    wanted = {"cpu": Metric("AWS/EC2", "CPUUtilization", (), "Maximum")}
    minutes = timedelta(minutes=5)
    return await read_metrics(answering(list(results)), HERE, wanted, start=NOW, end=NOW, period=minutes)


class TestMetrics:
    async def test_pages_are_joined(self) -> None:
        later = NOW + timedelta(minutes=5)
        found = await read(result(status="PartialData"), result(Timestamps=[later], Values=[2.0]))
        assert found == {"cpu": {NOW: 1.0, later: 2.0}}

    @pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden", ""])
    async def test_what_is_not_complete_proves_nothing(self, status: str) -> None:
        messages = [{"Code": "x", "Value": "too much was asked"}, {"Code": "y"}, None]
        found = await read(result(), result(status=status, Messages=messages))
        assert "is not complete" in found["cpu"]
        assert "too much was asked; y" in found["cpu"]

    async def test_what_is_not_answered_proves_nothing(self) -> None:
        assert await read() == {"cpu": "CloudWatch's answer lacks it"}
        assert await read(result(7)) == {"cpu": "CloudWatch's answer lacks it"}

    @pytest.mark.parametrize("values", [[float("nan")], [-1.0], ["many"], [], [1.0, 2.0]])
    async def test_what_can_not_be_read_is_malformed(self, values: Any) -> None:
        with pytest.raises(SourceMalformed, match="GetMetricData"):
            await read(result(Values=values))
