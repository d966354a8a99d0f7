"""Spot instances in the EC2 fake: what a request does after its instance, and what an hour costs."""

from datetime import datetime
from typing import Any

from reaper.testing import T0, FakeClock, days, hours, minutes
from reaper.testing.ec2 import Fleet
from tests.support.ec2 import Aws, fixture_aws, fixture_clock, fixture_fleet, instances, refused

__all__ = ["fixture_aws", "fixture_clock", "fixture_fleet"]


async def request(aws: Aws) -> dict[str, Any]:
    [found] = (await aws("ec2", "describe_spot_instance_requests"))["SpotInstanceRequests"]
    return dict(found)


async def test_a_persistent_request_launches_what_was_terminated(
    fleet: Fleet, clock: FakeClock, aws: Aws
) -> None:
    box = fleet.add("g5.xlarge", "trainer", spot="persistent")
    told = await request(aws)
    assert (told["Type"], told["State"], told["InstanceId"]) == ("persistent", "active", box.id)
    await aws("ec2", "terminate_instances", InstanceIds=[box.id])
    told = await request(aws)
    assert (told["State"], "InstanceId" in told) == ("open", False)
    clock.advance(minutes(2))
    found = await instances(aws)
    [new] = [one for one in found.values() if one["State"]["Name"] == "running"]
    assert new["InstanceId"] != box.id
    assert (new["SpotInstanceRequestId"], new["InstanceType"]) == (told["SpotInstanceRequestId"], "g5.xlarge")
    assert new["Tags"] == []
    assert (await request(aws))["InstanceId"] == new["InstanceId"]


async def test_a_cancelled_request_launches_nothing(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    box = fleet.add("g5.xlarge", spot="persistent")
    ids = [(await request(aws))["SpotInstanceRequestId"]]
    answer = await aws("ec2", "cancel_spot_instance_requests", SpotInstanceRequestIds=ids)
    assert answer["CancelledSpotInstanceRequests"] == [
        {"SpotInstanceRequestId": ids[0], "State": "cancelled"}
    ]
    assert (await request(aws))["Status"]["Code"] == "request-canceled-and-instance-running"
    assert (await instances(aws))[box.id]["State"]["Name"] == "running"
    await aws("ec2", "terminate_instances", InstanceIds=[box.id])
    clock.advance(minutes(10))
    assert {one["State"]["Name"] for one in (await instances(aws)).values()} == {"terminated"}
    missing = aws("ec2", "cancel_spot_instance_requests", SpotInstanceRequestIds=["sir-00000bad"])
    assert (await refused(missing))[0] == "InvalidSpotInstanceRequestID.NotFound"


async def test_a_one_time_request_ends_with_its_instance(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    box = fleet.add("g5.xlarge", spot="one-time")
    fleet.interrupt(box)
    clock.advance(minutes(10))
    told = (await instances(aws))[box.id]
    assert told["State"]["Name"] == "terminated"
    assert told["StateTransitionReason"].startswith("Service initiated (")
    assert (await request(aws))["State"] == "closed"


async def test_a_persistent_one_is_stopped_and_started(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    box = fleet.add("g5.xlarge", spot="persistent")
    await aws("ec2", "stop_instances", InstanceIds=[box.id])
    clock.advance(minutes(1))
    told = await request(aws)
    assert (told["State"], told["Status"]["Code"]) == ("disabled", "instance-stopped-by-user")
    await aws("ec2", "start_instances", InstanceIds=[box.id])
    assert (await request(aws))["State"] == "active"
    stopped = aws(
        "ec2", "describe_spot_instance_requests", Filters=[{"Name": "state", "Values": ["disabled"]}]
    )
    assert (await stopped)["SpotInstanceRequests"] == []


async def test_a_shutdown_from_within(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    stops = fleet.add("m5.large", disable_api_stop=True)
    ends = fleet.add("m5.large", shutdown_behaviour="terminate", disable_api_termination=True)
    for box in (stops, ends):
        fleet.shut_down(box)
    clock.advance(minutes(1))
    found = await instances(aws)
    assert [found[box.id]["State"]["Name"] for box in (stops, ends)] == ["stopped", "terminated"]
    assert {one["StateReason"]["Code"] for one in found.values()} == {"Client.InstanceInitiatedShutdown"}
    assert found[stops.id]["StateTransitionReason"] == ""


async def test_spot_prices_now_and_before(fleet: Fleet, aws: Aws) -> None:
    fleet.spot_prices |= {("g5.xlarge", "us-east-1b"): 0.5, ("g5.xlarge", "us-east-1c"): None}

    async def prices(start: datetime, **parameters: Any) -> dict[tuple[str, str, datetime], str]:
        answer = await aws("ec2", "describe_spot_price_history", StartTime=start, **parameters)
        return {
            (one["InstanceType"], one["AvailabilityZone"], one["Timestamp"]): one["SpotPrice"]
            for one in answer["SpotPriceHistory"]
        }

    asked: dict[str, Any] = {"InstanceTypes": ["g5.xlarge"], "ProductDescriptions": ["Linux/UNIX"]}
    now = await prices(T0, **asked)
    assert {zone for _, zone, _ in now} == {"us-east-1a", "us-east-1b"}
    assert {at <= T0 for _, _, at in now} == {True}
    assert [price for (_, zone, _), price in now.items() if zone.endswith("b")] == ["0.500000"]
    day = await prices(T0 - days(1), **asked, AvailabilityZone="us-east-1a")
    assert len(day) == 5
    assert min(at for _, _, at in day) <= T0 - days(1)
    assert await prices(T0, InstanceTypes=["trn1.2xlarge"]) == {}  # nobody says
    first = await aws("ec2", "describe_spot_price_history", StartTime=T0 - days(200), MaxResults=5, **asked)
    assert len(first["SpotPriceHistory"]) == 5
    assert first["NextToken"]
    windows = await prices(T0, InstanceTypes=["g5.xlarge"], ProductDescriptions=["Windows"])
    assert windows == {}
    assert await prices(T0 - hours(1), InstanceTypes=["g5.xlarge"], DryRun=False) == now
