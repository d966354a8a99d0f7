"""The EC2 fake's CloudWatch as botocore's clients see it, and who asks (STS)."""

from datetime import datetime
from typing import Any

import pytest

from reaper.testing import T0, FakeClock, hours, minutes
from reaper.testing.ec2 import Fleet, Usage
from tests.support.ec2 import Aws, fixture_aws, fixture_clock, fixture_fleet, instances, refused
from tests.support.studio import ONCE, aws_session

__all__ = ["fixture_aws", "fixture_clock", "fixture_fleet"]


def query(
    name: str,
    dimensions: dict[str, str],
    *,
    namespace: str = "AWS/EC2",
    stat: str = "Maximum",
    period: int = 300,
) -> dict[str, Any]:
    metric = {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }
    return {"Id": "q", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}


async def points(aws: Aws, asked: dict[str, Any], start: datetime, end: datetime) -> dict[datetime, float]:
    answer = await aws(
        "cloudwatch", "get_metric_data", MetricDataQueries=[asked], StartTime=start, EndTime=end
    )
    [result] = answer["MetricDataResults"]
    assert result["StatusCode"] == "Complete"
    return dict(zip(result["Timestamps"], result["Values"], strict=True))


async def test_datapoints_lag_behind(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    box = fleet.add("m5.large", age=hours(1), usage=Usage(cpu=3.0))
    asked = query("CPUUtilization", {"InstanceId": box.id})
    found = await points(aws, asked, T0 - hours(3), T0)
    assert len(found) == 11  # the hour has twelve periods, and the last is not there yet
    assert (min(found), max(found), set(found.values())) == (T0 - hours(1), T0 - minutes(10), {3.0})
    fleet.metrics.lag = minutes(15)
    assert max(await points(aws, asked, T0 - hours(3), T0)) == T0 - minutes(20)
    clock.advance(minutes(4))
    fleet.metrics.lag = minutes(5)
    assert max(await points(aws, asked, T0 - hours(3), clock.now())) == T0 - minutes(10)


async def test_detailed_monitoring_has_a_datapoint_a_minute(fleet: Fleet, aws: Aws) -> None:
    basic, detailed = fleet.add("m5.large", age=hours(2)), fleet.add("m5.large", age=hours(2), detailed=True)
    found = [
        await points(aws, query("CPUUtilization", {"InstanceId": box.id}, period=60), T0 - hours(1), T0)
        for box in (basic, detailed)
    ]
    assert [len(one) for one in found] == [11, 55]
    assert all(at.minute % 5 == 0 for at in found[0])


async def test_bytes_are_those_of_a_minute(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add("m5.large", age=hours(4), usage=Usage(network_in=1000.0, ebs_write=None))
    inward = {"InstanceId": box.id}
    for period, total in ((300, 5000.0), (3600, 60_000.0)):
        found = await points(
            aws, query("NetworkIn", inward, stat="Sum", period=period), T0 - hours(3), T0 - hours(1)
        )
        assert set(found.values()) == {total}
    assert await points(aws, query("EBSWriteBytes", inward, stat="Sum"), T0 - hours(3), T0) == {}
    assert await points(aws, query("CPUUtilization", {}), T0 - hours(3), T0) == {}  # no subset finds anything


async def test_a_function_gives_bursts_and_gaps(fleet: Fleet, aws: Aws) -> None:
    def load(begins: datetime) -> float | None:
        if begins == T0 - minutes(30):
            return 97.0
        return None if begins < T0 - minutes(40) else 1.0

    box = fleet.add("m5.large", age=hours(2), usage=Usage(cpu=load))
    asked = query("CPUUtilization", {"InstanceId": box.id})
    found = await points(aws, asked, T0 - hours(1), T0)
    assert (min(found), found[T0 - minutes(30)], found[T0 - minutes(25)]) == (T0 - minutes(40), 97.0, 1.0)


async def test_a_stopped_instance_has_no_datapoints(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    box = fleet.add("m5.large", age=hours(1))
    await aws("ec2", "stop_instances", InstanceIds=[box.id])
    clock.advance(hours(1))
    await aws("ec2", "start_instances", InstanceIds=[box.id])
    clock.advance(hours(1))
    found = await points(aws, query("CPUUtilization", {"InstanceId": box.id}), T0 - hours(1), clock.now())
    assert T0 - minutes(5) in found
    assert not [at for at in found if T0 < at < T0 + hours(1)]
    assert T0 + hours(1) in found


@pytest.mark.parametrize("host", [False, True], ids=["instance", "host"])
async def test_gpus_are_found_by_their_dimensions(host: bool, fleet: Fleet, aws: Aws) -> None:
    box = fleet.add(
        "g5.12xlarge", age=hours(2), usage=Usage(gpus=[0.0, 0.0, 88.0, 0.0], agent_names_host=host)
    )
    fleet.add("g5.xlarge", age=hours(2))  # without an agent
    listed = await aws(
        "cloudwatch",
        "list_metrics",
        Namespace="CWAgent",
        MetricName="nvidia_smi_utilization_gpu",
        RecentlyActive="PT3H",
    )
    found = [{part["Name"]: part["Value"] for part in metric["Dimensions"]} for metric in listed["Metrics"]]
    assert [one["index"] for one in found] == ["0", "1", "2", "3"]
    if host:
        told = (await instances(aws))[box.id]
        assert {one["host"] for one in found} == {told["PrivateDnsName"]}
        assert "InstanceId" not in found[0]
    else:
        assert {one["InstanceId"] for one in found} == {box.id}
    asked = query("nvidia_smi_utilization_gpu", found[2], namespace="CWAgent", period=60)
    assert set((await points(aws, asked, T0 - hours(1), T0)).values()) == {88.0}


async def test_metrics_are_listed_by_what_is_asked(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    box = fleet.add("m5.large", age=hours(2))
    fleet.add("m5.large", age=hours(2))

    async def names(**parameters: Any) -> list[str]:
        answer = await aws("cloudwatch", "list_metrics", **parameters)
        return [metric["MetricName"] for metric in answer["Metrics"]]

    mine = [{"Name": "InstanceId", "Value": box.id}]
    assert len(await names(Dimensions=mine)) == 5
    assert await names(Dimensions=[{"Name": "InstanceId"}], MetricName="NetworkIn") == ["NetworkIn"] * 2
    await aws("ec2", "stop_instances", InstanceIds=[box.id])
    clock.advance(hours(4))
    assert len(await names(Dimensions=mine)) == 5
    assert await names(Dimensions=mine, RecentlyActive="PT3H") == []


async def test_metrics_come_in_pages(fleet: Fleet, aws: Aws) -> None:
    for _ in range(101):
        fleet.add("m5.large")
    first = await aws("cloudwatch", "list_metrics")
    rest = await aws("cloudwatch", "list_metrics", NextToken=first["NextToken"])
    assert (len(first["Metrics"]), len(rest["Metrics"]), "NextToken" in rest) == (500, 5, False)


async def test_500_queries_are_the_most(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add("m5.large", age=hours(1))
    asked = [{**query("CPUUtilization", {"InstanceId": box.id}), "Id": f"q{number}"} for number in range(501)]
    times: dict[str, Any] = {"StartTime": T0 - hours(1), "EndTime": T0}
    code, _ = await refused(aws("cloudwatch", "get_metric_data", MetricDataQueries=asked, **times))
    assert code == "ValidationError"
    answer = await aws("cloudwatch", "get_metric_data", MetricDataQueries=asked[:500], **times)
    assert len(answer["MetricDataResults"]) == 500
    assert fleet.metrics.asked == 1001
    twice = aws("cloudwatch", "get_metric_data", MetricDataQueries=[asked[0], asked[0]], **times)
    assert (await refused(twice))[0] == "ValidationError"


async def test_datapoints_come_in_pages_and_in_part(fleet: Fleet, aws: Aws) -> None:
    boxes = [fleet.add("m5.large", age=hours(1)) for _ in range(2)]
    asked: dict[str, Any] = {
        "MetricDataQueries": [
            {**query("CPUUtilization", {"InstanceId": box.id}), "Id": f"q{number}"}
            for number, box in enumerate(boxes)
        ],
        "StartTime": T0 - hours(1),
        "EndTime": T0,
        "MaxDatapoints": 15,
    }
    first = await aws("cloudwatch", "get_metric_data", **asked)
    assert [one["StatusCode"] for one in first["MetricDataResults"]] == ["Complete", "PartialData"]
    rest = await aws("cloudwatch", "get_metric_data", **asked, NextToken=first["NextToken"])
    counts = [len(one["Values"]) for page in (first, rest) for one in page["MetricDataResults"]]
    assert counts == [11, 4, 0, 7]
    fleet.metrics.status[boxes[0].id] = "PartialData"
    del asked["MaxDatapoints"]
    answer = await aws("cloudwatch", "get_metric_data", **asked)
    assert [one["StatusCode"] for one in answer["MetricDataResults"]] == ["PartialData", "Complete"]


async def test_a_test_puts_its_own_series(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add("m5.large", age=hours(1))
    dimensions = {"InstanceId": box.id}
    fleet.metrics.put(box.place, "AWS/EC2", "CPUUtilization", dimensions, {T0 - minutes(50): 71.0})
    found = await points(aws, query("CPUUtilization", dimensions), T0 - hours(1), T0)
    assert found == {T0 - minutes(50): 71.0}


async def test_volumes_have_datapoints_where_somebody_uses_them(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add("m5.large", age=hours(2), usage=Usage(ebs_read=None, ebs_write=None, volume_write=1000.0))
    mine = {"VolumeId": box.volumes[0].id}
    asked = [
        query(name, mine, namespace="AWS/EBS", stat="Sum") for name in ("VolumeWriteBytes", "VolumeReadBytes")
    ]
    written, read = [await points(aws, one, T0 - hours(1), T0 - minutes(15)) for one in asked]
    assert (set(written.values()), read) == ({5000.0}, {})
    none = query("EBSWriteBytes", {"InstanceId": box.id}, stat="Sum")
    assert await points(aws, none, T0 - hours(1), T0) == {}


async def test_one_metric_a_call_as_others_ask(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add("m5.large", age=hours(2), usage=Usage(cpu=3.0))
    asked: dict[str, Any] = {
        "Namespace": "AWS/EC2",
        "MetricName": "CPUUtilization",
        "Dimensions": [{"Name": "InstanceId", "Value": box.id}],
        "StartTime": T0 - hours(1),
        "EndTime": T0,
        "Statistics": ["Average", "SampleCount"],
    }
    answer = await aws("cloudwatch", "get_metric_statistics", Period=300, **asked)
    assert len(answer["Datapoints"]) == 11
    assert answer["Datapoints"][0] == {"Timestamp": T0 - hours(1), "Average": 3.0, "SampleCount": 5.0}
    box.detailed = True
    box.lives[0] = (T0 - hours(30), None)
    asked["StartTime"] = T0 - hours(25)
    assert (await refused(aws("cloudwatch", "get_metric_statistics", Period=60, **asked)))[0] == (
        "InvalidParameterCombination"
    )


async def test_who_asks(fleet: Fleet, aws: Aws) -> None:
    identity = await aws("sts", "get_caller_identity")
    assert (identity["Account"], identity["Arn"]) == ("123456789012", "arn:aws:iam::123456789012:user/ops")


async def test_an_assumed_role_sees_its_own_account(fleet: Fleet, aws: Aws) -> None:
    fleet.add_account("222222222222", role="reaper", external_id="secret")
    there = fleet.add(account="222222222222")
    fleet.add()
    role = {"RoleArn": "arn:aws:iam::222222222222:role/reaper", "RoleSessionName": "host"}
    for wrong in (
        role,
        {**role, "ExternalId": "other"},
        {**role, "RoleArn": "arn:aws:iam::222222222222:role/admin", "ExternalId": "secret"},
        {**role, "RoleArn": "arn:aws:iam::333333333333:role/reaper"},
    ):
        code, words = await refused(aws("sts", "assume_role", **wrong))
        assert (code, "is not authorized to perform: sts:AssumeRole" in words) == ("AccessDenied", True)
    credentials = (await aws("sts", "assume_role", **role, ExternalId="secret"))["Credentials"]
    async with aws_session().create_client(
        "ec2",
        config=ONCE,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    ) as client:
        [found] = (await client.describe_instances())["Reservations"]
    assert (found["Instances"][0]["InstanceId"], found["OwnerId"]) == (there.id, "222222222222")
    assert fleet.requests[-1].account == "222222222222"
