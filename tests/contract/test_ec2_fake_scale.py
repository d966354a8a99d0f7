"""Very many instances in the EC2 fake: what costs nothing is told as if it were there."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from botocore.parsers import create_parser

from reaper.testing import FakeClock, hours, minutes
from reaper.testing.aws_wire import xml
from reaper.testing.aws_wire.contract import contract
from reaper.testing.ec2 import Fleet, serve
from reaper.testing.ec2.describe import described, reservation
from reaper.testing.ec2.pages import PageCache
from reaper.testing.ec2.synthetic import Rows, templates
from tests.support.ec2 import Aws, fixture_clock, instances, refused

__all__ = ["fixture_clock"]

MODEL = contract("ec2").model.operation_model("DescribeInstances")


@pytest.fixture(name="fleet")
async def fixture_fleet(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    fleet = Fleet.synthetic(accounts=2, regions=2, instances_per_shard=120, seed=7, clock=clock)
    async with serve(fleet):
        for name, value in fleet.environment.items():
            monkeypatch.setenv(name, value)
        yield fleet
    assert fleet.violations == []


@pytest.fixture(name="aws")
async def fixture_aws(fleet: Fleet) -> AsyncIterator[Aws]:
    async with AsyncExitStack() as stack:
        yield Aws(stack)


def rows_of(fleet: Fleet) -> Rows:
    rows = fleet.shard().rows
    assert rows is not None
    return rows


def heard(text: str) -> dict[str, Any]:
    """Read what DescribeInstances answers with botocore's own parser."""
    body = xml.ec2_envelope(MODEL, f"<reservationSet>{text}</reservationSet>", "id")
    response = {"body": body, "headers": {}, "status_code": 200}
    parsed: dict[str, Any] = create_parser("ec2").parse(response, MODEL.output_shape)
    [only] = parsed["Reservations"]
    return dict(only)


def written(value: dict[str, Any]) -> dict[str, Any]:
    return heard(xml.ec2_body(MODEL.output_shape, {"Reservations": [value]})[len("<reservationSet>") : -17])


def test_every_template_is_what_aws_would_answer_and_reads_as_an_instance_that_was_made(
    clock: FakeClock,
) -> None:
    fleet = Fleet.synthetic(1, 2, 9000, clock=clock)
    check = contract("ec2")
    for shard in fleet.shards.values():
        rows = shard.rows
        assert rows is not None
        first = {kind: number for number, kind in reversed(list(enumerate(rows.kinds)))}
        assert len(first) == len(templates())
        for number in first.values():
            one = rows.make(number)
            value = reservation([described(one)], one)
            answer = {"Reservations": [value]}
            assert check.misfits(MODEL.output_shape, answer) == []
            assert check.breaches(MODEL.output_shape, answer) == []
            assert heard(next(rows.texts([number]))) == written(value)


def test_an_id_leads_back_to_its_instance(clock: FakeClock) -> None:
    fleet = Fleet.synthetic(1, 1, 500, clock=clock)
    rows = rows_of(fleet)
    ids = [rows.id(number) for number in range(rows.count)]
    assert len(set(ids)) == 500
    assert [rows.number(one) for one in ids] == list(range(500))
    assert [rows.number(one) for one in ("i-1", "i-0000000000000dead", "i-0zzzzzzzzzzzzzzzz")] == [None] * 3
    again = rows_of(Fleet.synthetic(1, 1, 500, clock=clock))
    assert ids == [again.id(number) for number in range(500)]
    other = rows_of(Fleet.synthetic(1, 1, 500, seed=1, clock=clock))
    assert other.id(0) != ids[0]


async def listed(aws: Aws, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        answer = await aws("ec2", "describe_instances", **parameters)
        found += [one for many in answer["Reservations"] for one in many["Instances"]]
        if "NextToken" not in answer:
            return found
        parameters["NextToken"] = answer["NextToken"]


async def test_all_are_listed_once_page_by_page(fleet: Fleet, aws: Aws) -> None:
    found = await listed(aws, MaxResults=50)
    rows = rows_of(fleet)
    assert [one["InstanceId"] for one in found] == [rows.id(number) for number in range(120)]
    assert fleet.counts == {"DescribeInstances": 3}
    assert await listed(aws, MaxResults=50) == found  # from what was kept
    elsewhere = await listed(aws, region=next(place.region for place in fleet.shards if place != fleet.home))
    assert len(elsewhere) == 120
    assert elsewhere[0]["InstanceId"] != found[0]["InstanceId"]
    assert await refused(aws("ec2", "describe_instances", DryRun=True)) == (
        "DryRunOperation",
        "Request would have succeeded, but DryRun flag is set.",
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("instance-state-name", ["running"]),
        ("instance-type", ["g5.*"]),
        ("tag:Owner", ["ann"]),
        ("availability-zone", ["us-east-1b"]),
    ],
)
async def test_filters_find_the_same_as_by_looking(
    name: str, values: list[str], fleet: Fleet, aws: Aws
) -> None:
    look = {
        "instance-state-name": lambda one: one["State"]["Name"] == "running",
        "instance-type": lambda one: one["InstanceType"].startswith("g5."),
        "tag:Owner": lambda one: {"Key": "Owner", "Value": "ann"} in one["Tags"],
        "availability-zone": lambda one: one["Placement"]["AvailabilityZone"] == "us-east-1b",
    }[name]
    expected = [one["InstanceId"] for one in await listed(aws) if look(one)]
    found = await listed(aws, MaxResults=7, Filters=[{"Name": name, "Values": values}])
    assert 0 < len(expected) < 120
    assert [one["InstanceId"] for one in found] == expected


async def test_ids_in_a_filter_find_those_that_are_there(fleet: Fleet, aws: Aws) -> None:
    rows = rows_of(fleet)
    ids = [rows.id(number) for number in (90, 3, 41)]
    values = [*ids, "i-0000000000000dead"]
    found = await listed(aws, MaxResults=5, Filters=[{"Name": "instance-id", "Values": values}])
    assert [one["InstanceId"] for one in found] == [ids[1], ids[2], ids[0]]
    found = await listed(aws, Filters=[{"Name": "instance-id", "Values": ["i-*"]}])
    assert len(found) == 120


async def test_one_that_is_touched_changes_and_the_others_don_t(
    fleet: Fleet, clock: FakeClock, aws: Aws
) -> None:
    before = await listed(aws)
    running = [
        one["InstanceId"]
        for one in before
        if one["State"]["Name"] == "running" and "InstanceLifecycle" not in one
    ]
    await aws("ec2", "stop_instances", InstanceIds=running[:1])
    await aws("ec2", "create_tags", Resources=running[1:2], Tags=[{"Key": "reaper:protect", "Value": ""}])
    await aws("ec2", "terminate_instances", InstanceIds=running[2:3])
    added = fleet.add("m5.large", "own")
    after = await listed(aws, MaxResults=40)
    assert [one["InstanceId"] for one in after] == [*(one["InstanceId"] for one in before), added.id]
    changed = {one["InstanceId"]: one for one, was in zip(after, [*before, None], strict=True) if one != was}
    assert set(changed) == {*running[:3], added.id}
    assert changed[running[0]]["State"]["Name"] == "stopping"
    clock.advance(hours(2))
    await instances(aws, InstanceIds=[])
    assert running[2] not in [one["InstanceId"] for one in await listed(aws)]
    code, _ = await refused(aws("ec2", "describe_instances", InstanceIds=running[2:3]))
    assert code == "InvalidInstanceID.NotFound"
    assert fleet.instance(running[0]).state == "stopped"


async def test_their_spot_requests_are_there(fleet: Fleet, aws: Aws) -> None:
    spots = {
        one["SpotInstanceRequestId"]: one["InstanceId"]
        for one in await listed(aws)
        if one.get("InstanceLifecycle") == "spot"
    }
    assert spots
    asked: list[dict[str, Any]] = [{}, {"SpotInstanceRequestIds": list(spots)}]
    for parameters in asked:
        answer = await aws("ec2", "describe_spot_instance_requests", **parameters)
        found = {one["SpotInstanceRequestId"]: one["InstanceId"] for one in answer["SpotInstanceRequests"]}
        assert found == spots
        assert {one["Type"] for one in answer["SpotInstanceRequests"]} == {"one-time"}
    first = next(iter(spots))
    await aws("ec2", "cancel_spot_instance_requests", SpotInstanceRequestIds=[first])
    answer = await aws("ec2", "describe_spot_instance_requests", SpotInstanceRequestIds=[first])
    assert answer["SpotInstanceRequests"][0]["State"] == "cancelled"
    code, _ = await refused(aws("ec2", "stop_instances", InstanceIds=[spots[first]]))
    assert code == "UnsupportedOperation"


async def test_their_metrics_are_there(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    rows = rows_of(fleet)
    clock.advance(minutes(10))
    listing = await aws("cloudwatch", "list_metrics", Namespace="CWAgent", RecentlyActive="PT3H")
    boxes = {
        part["Value"]
        for one in listing["Metrics"]
        for part in one["Dimensions"]
        if part["Name"] == "InstanceId"
    }
    running = {one.id for one in rows.with_gpus.values() if one.state == "running"}
    assert boxes == running
    queries = [
        {
            "Id": f"q{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/EC2",
                    "MetricName": "CPUUtilization",
                    "Dimensions": [{"Name": "InstanceId", "Value": rows.id(number)}],
                },
                "Period": 300,
                "Stat": "Maximum",
            },
        }
        for number in range(120)
    ]
    answer = await aws(
        "cloudwatch",
        "get_metric_data",
        MetricDataQueries=queries,
        StartTime=clock.now() - hours(1),
        EndTime=clock.now(),
    )
    for number, result in enumerate(answer["MetricDataResults"]):
        template = templates()[rows.kinds[number]]
        expected = set() if template.state == "stopped" else {37.0 if template.busy else 0.4}
        assert set(result["Values"]) == expected


def test_a_cache_lets_go_of_what_was_longest_not_asked_for() -> None:
    cache = PageCache(10)
    keys = [(1, number, 5, "") for number in range(3)]
    cache.put(keys[0], b"aaaa")
    cache.put(keys[1], b"bbbb")
    assert cache.get(keys[0]) == b"aaaa"
    cache.put(keys[2], b"cccc")
    assert [cache.get(key) for key in keys] == [b"aaaa", None, b"cccc"]


def test_it_runs_as_a_process_of_its_own() -> None:
    command = [
        sys.executable,
        "-m",
        "reaper.testing.ec2",
        "--instances",
        "7",
        "--latency",
        "1ms",
        "--throttle",
        "1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            assert told["environment"]["AWS_ENDPOINT_URL"] == told["url"]
            with urllib.request.urlopen(f"{told['url']}/_counts", timeout=10) as answer:  # noqa: S310 - our own address
                assert json.load(answer) == {"calls": {}, "metrics": 0}
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
