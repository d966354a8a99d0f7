"""The EC2 fake as botocore's clients see it: instances, what they are, and what becomes of them."""

from typing import Any

import pytest

from reaper.testing import T0, FakeClock, hours, minutes, seconds
from reaper.testing.ec2 import TYPES, Fleet
from tests.support.ec2 import (
    Aws,
    fixture_aws,
    fixture_clock,
    fixture_fleet,
    instances,
    refused,
)

__all__ = ["fixture_aws", "fixture_clock", "fixture_fleet"]


async def test_an_instance_tells_what_it_is(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add("g5.xlarge", "trainer", age=hours(72), tags={"Owner": "ann"}, hibernation=False)
    told = (await instances(aws))[box.id]
    assert (told["InstanceType"], told["State"], told["LaunchTime"]) == (
        "g5.xlarge",
        {"Code": 16, "Name": "running"},
        T0 - hours(72),
    )
    assert told["Tags"] == [{"Key": "Name", "Value": "trainer"}, {"Key": "Owner", "Value": "ann"}]
    assert told["CpuOptions"] == {"CoreCount": 2, "ThreadsPerCore": 2}
    assert told["Placement"]["AvailabilityZone"] == "us-east-1a"
    assert told["PrivateDnsName"] == "ip-10-0-0-1.ec2.internal"
    assert told["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] == box.volumes[0].id
    assert told["Operator"] == {"Managed": False}
    assert "StateReason" not in told
    assert told["StateTransitionReason"] == ""


async def test_what_only_some_have_is_told(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add(
        "p4d.24xlarge",
        spot="one-time",
        region="eu-west-1",
        operator="eks.amazonaws.com",
        capacity_reservation="cr-1",
        platform="windows",
        profile="team",
        root_device="instance-store",
        detailed=True,
    )
    told = (await instances(aws, region="eu-west-1"))[box.id]
    assert (told["InstanceLifecycle"], told["SpotInstanceRequestId"]) == ("spot", "sir-00000001")
    assert told["Operator"] == {"Managed": True, "Principal": "eks.amazonaws.com"}
    assert told["CapacityReservationId"] == "cr-1"
    assert (told["Platform"], told["RootDeviceType"]) == ("windows", "instance-store")
    assert told["PrivateDnsName"].endswith(".eu-west-1.compute.internal")
    assert (told["BlockDeviceMappings"], told["Monitoring"]["State"]) == ([], "enabled")


async def test_each_account_and_region_has_its_own(fleet: Fleet, aws: Aws) -> None:
    here, there = fleet.add(), fleet.add(region="eu-west-1")
    assert list(await instances(aws)) == [here.id]
    assert list(await instances(aws, region="eu-west-1")) == [there.id]
    fleet.add(account="222222222222")
    assert list(await instances(aws)) == [here.id]


async def test_instances_come_in_pages(fleet: Fleet, aws: Aws) -> None:
    made = [fleet.add("t3.micro").id for _ in range(12)]
    found: list[str] = []
    asked: dict[str, Any] = {"MaxResults": 5}
    while True:
        answer = await aws("ec2", "describe_instances", **asked)
        found += [one["InstanceId"] for many in answer["Reservations"] for one in many["Instances"]]
        if "NextToken" not in answer:
            break
        asked["NextToken"] = answer["NextToken"]
    assert found == made
    assert len(fleet.calls("DescribeInstances")) == 3
    other = {**asked, "Filters": [{"Name": "instance-state-name", "Values": ["running"]}]}
    assert (await refused(aws("ec2", "describe_instances", **other)))[0] == "InvalidParameterValue"
    for size in (4, 1001):
        code, words = await refused(aws("ec2", "describe_instances", MaxResults=size))
        assert (code, words.startswith(f"Value ( {size} )")) == ("InvalidParameterValue", True)
    both = aws("ec2", "describe_instances", MaxResults=5, InstanceIds=made[:1])
    assert (await refused(both))[0] == "InvalidParameterCombination"


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("instance-state-name", ["running"], {"a", "b"}),
        ("instance-state-name", ["stopped", "running"], {"a", "b", "c"}),
        ("tag:Owner", ["ann"], {"a"}),
        ("tag:Owner", ["*"], {"a", "b"}),
        ("tag-key", ["Owner"], {"a", "b"}),
        ("instance-type", ["g5.*"], {"a"}),
        ("instance-lifecycle", ["spot"], {"b"}),
    ],
)
async def test_instances_are_filtered(
    name: str, values: list[str], expected: set[str], fleet: Fleet, aws: Aws
) -> None:
    fleet.add("g5.xlarge", "a", tags={"Owner": "ann"})
    fleet.add("m5.large", "b", tags={"Owner": "bob"}, spot="one-time")
    fleet.add("m5.large", "c", state="stopped")
    found = await instances(aws, Filters=[{"Name": name, "Values": values}])
    assert {one["Tags"][0]["Value"] for one in found.values()} == expected


async def test_a_filter_that_the_fake_has_not_is_a_violation(fleet: Fleet, aws: Aws) -> None:
    fleet.add()
    await refused(aws("ec2", "describe_instances", Filters=[{"Name": "instance-state", "Values": ["x"]}]))
    assert (
        fleet.pardon()
        == [
            "DescribeInstances: the fake does not filter instances by instance-state",
            "DescribeInstances never answers ValidationException",
        ][:1]
    )


async def test_ids_that_are_not_there(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add()
    one, other = "i-0000000000000dead", "i-0000000000000beef"
    assert await refused(aws("ec2", "describe_instances", InstanceIds=[box.id, one])) == (
        "InvalidInstanceID.NotFound",
        f"The instance ID '{one}' does not exist",
    )
    assert await refused(aws("ec2", "stop_instances", InstanceIds=[one, other])) == (
        "InvalidInstanceID.NotFound",
        f"The instance IDs '{one}, {other}' do not exist",
    )
    code, _ = await refused(aws("ec2", "describe_instances", InstanceIds=["i-box"]))
    assert code == "InvalidInstanceID.Malformed"


async def test_an_instance_is_stopped_and_started(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    box = fleet.add("m5.large", age=hours(5))
    answer = await aws("ec2", "stop_instances", InstanceIds=[box.id])
    assert answer["StoppingInstances"] == [
        {
            "InstanceId": box.id,
            "CurrentState": {"Code": 64, "Name": "stopping"},
            "PreviousState": {"Code": 16, "Name": "running"},
        }
    ]
    told = (await instances(aws))[box.id]
    assert told["StateTransitionReason"] == f"User initiated ({T0:%Y-%m-%d %H:%M:%S} GMT)"
    assert told["StateReason"] == {
        "Code": "Client.UserInitiatedShutdown",
        "Message": "Client.UserInitiatedShutdown: User initiated shutdown",
    }
    again = await aws("ec2", "stop_instances", InstanceIds=[box.id])
    assert again["StoppingInstances"][0]["PreviousState"]["Name"] == "stopping"
    assert (await refused(aws("ec2", "start_instances", InstanceIds=[box.id])))[0] == "IncorrectInstanceState"
    clock.advance(minutes(1))
    told = (await instances(aws))[box.id]
    assert (told["State"]["Name"], told["LaunchTime"]) == ("stopped", T0 - hours(5))
    assert told["StateTransitionReason"] == f"User initiated ({T0:%Y-%m-%d %H:%M:%S} GMT)"
    started = await aws("ec2", "start_instances", InstanceIds=[box.id])
    assert started["StartingInstances"][0]["CurrentState"] == {"Code": 0, "Name": "pending"}
    assert (await refused(aws("ec2", "stop_instances", InstanceIds=[box.id])))[0] == "IncorrectInstanceState"
    clock.advance(seconds(20))
    told = (await instances(aws))[box.id]
    assert (told["State"]["Name"], told["LaunchTime"]) == ("running", T0 + minutes(1))
    assert (told["StateTransitionReason"], "StateReason" in told) == ("", False)


async def test_an_instance_is_terminated_and_then_forgotten(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    box = fleet.add("m5.large")
    answer = await aws("ec2", "terminate_instances", InstanceIds=[box.id])
    assert answer["TerminatingInstances"][0]["CurrentState"]["Name"] == "shutting-down"
    assert (await refused(aws("ec2", "stop_instances", InstanceIds=[box.id])))[0] == "IncorrectInstanceState"
    clock.advance(minutes(1))
    told = (await instances(aws))[box.id]
    assert (told["State"]["Name"], "PrivateIpAddress" in told) == ("terminated", False)
    again = await aws("ec2", "terminate_instances", InstanceIds=[box.id])
    assert again["TerminatingInstances"][0]["PreviousState"]["Name"] == "terminated"
    clock.advance(hours(1))
    assert await instances(aws) == {}
    missing = await refused(aws("ec2", "terminate_instances", InstanceIds=[box.id]))
    assert missing[0] == "InvalidInstanceID.NotFound"


async def test_tags_are_added_overwritten_and_deleted(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add(name="a")
    resources = [box.id, box.volumes[0].id]
    for value in ("stop 1", "stop 2"):
        await aws(
            "ec2", "create_tags", Resources=resources, Tags=[{"Key": "reaper:last-action", "Value": value}]
        )
    assert box.tags == {"Name": "a", "reaper:last-action": "stop 2"}
    assert box.volumes[0].tags == {"reaper:last-action": "stop 2"}
    await aws(
        "ec2", "delete_tags", Resources=resources, Tags=[{"Key": "Name", "Value": "b"}, {"Key": "none"}]
    )
    assert "Name" in box.tags
    await aws("ec2", "delete_tags", Resources=resources, Tags=[{"Key": "Name"}])
    assert box.tags == {"reaper:last-action": "stop 2"}


async def test_tags_that_ec2_refuses(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add()

    async def add(resource: str, *keys: str) -> str:
        tags = [{"Key": key, "Value": ""} for key in keys]
        return (await refused(aws("ec2", "create_tags", Resources=[resource], Tags=tags)))[0]

    assert await add(box.id, "aws:mine") == "InvalidParameterValue"
    assert await add("i-0000000000000dead", "a") == "InvalidInstanceID.NotFound"
    assert await add("vol-0000", "a") == "InvalidVolume.NotFound"
    box.tags |= {f"key-{number}": "" for number in range(50)}
    assert await add(box.id, "one-more") == "TagLimitExceeded"


async def test_a_list_can_forget_tags(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add(name="a", tags={"reaper:protect": ""}, listed_without_tags=True)
    assert (await instances(aws))[box.id]["Tags"] == []
    assert len((await instances(aws, InstanceIds=[box.id]))[box.id]["Tags"]) == 2


async def test_attributes_are_told_one_by_one(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add(disable_api_stop=True)
    for attribute, name, value in (
        ("disableApiStop", "DisableApiStop", True),
        ("disableApiTermination", "DisableApiTermination", False),
        ("instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior", "stop"),
        ("instanceType", "InstanceType", "g5.xlarge"),
    ):
        answer = await aws("ec2", "describe_instance_attribute", InstanceId=box.id, Attribute=attribute)
        assert answer == {"InstanceId": box.id, name: {"Value": value}}


async def test_types_are_told_by_name_or_in_pages(fleet: Fleet, aws: Aws) -> None:
    answer = await aws(
        "ec2", "describe_instance_types", InstanceTypes=["g5.12xlarge", "m5.large", "trn1.2xlarge"]
    )
    gpu, plain, neuron = answer["InstanceTypes"]
    assert gpu["GpuInfo"]["Gpus"][0] == {
        "Name": "A10G",
        "Manufacturer": "NVIDIA",
        "Count": 4,
        "MemoryInfo": {"SizeInMiB": 22_888},
    }
    assert (gpu["HibernationSupported"], gpu["InstanceStorageInfo"]["TotalSizeInGB"]) == (False, 3800)
    assert (plain["VCpuInfo"]["DefaultVCpus"], plain["HibernationSupported"], "GpuInfo" in plain) == (
        2,
        True,
        False,
    )
    assert neuron["NeuronInfo"]["NeuronDevices"][0]["Count"] == 1
    fleet.unmodelled.add("g99.xlarge")
    unknown = await refused(aws("ec2", "describe_instance_types", InstanceTypes=["g99.xlarge"]))
    assert unknown[0] == "InvalidInstanceType"
    first = await aws("ec2", "describe_instance_types", MaxResults=20)
    rest = await aws("ec2", "describe_instance_types", MaxResults=20, NextToken=first["NextToken"])
    names = [one["InstanceType"] for one in first["InstanceTypes"] + rest["InstanceTypes"]]
    assert names == list(TYPES)


async def test_regions_that_an_account_has(fleet: Fleet, aws: Aws) -> None:
    async def names(**parameters: Any) -> dict[str, str]:
        answer = await aws("ec2", "describe_regions", **parameters)
        return {one["RegionName"]: one["OptInStatus"] for one in answer["Regions"]}

    assert len(await names()) == 17
    assert (await names(AllRegions=True))["af-south-1"] == "not-opted-in"
    fleet.add(region="af-south-1")
    assert (await names())["af-south-1"] == "opted-in"
    fleet.disable_region("eu-west-1", fleet.home.account)
    assert "eu-west-1" not in await names()
    assert list(await names(RegionNames=["us-east-1"])) == ["us-east-1"]


async def test_volumes_of_instances(fleet: Fleet, aws: Aws) -> None:
    one, other = fleet.add("m5.large"), fleet.add("m5.large")
    filters = [{"Name": "attachment.instance-id", "Values": [other.id]}]
    [told] = (await aws("ec2", "describe_volumes", Filters=filters))["Volumes"]
    assert (told["VolumeId"], told["Size"], told["VolumeType"]) == (other.volumes[0].id, 100, "gp3")
    [told] = (await aws("ec2", "describe_volumes", VolumeIds=[one.volumes[0].id]))["Volumes"]
    assert told["Attachments"][0]["InstanceId"] == one.id
    assert (await refused(aws("ec2", "describe_volumes", VolumeIds=["vol-1"])))[0] == "InvalidVolume.NotFound"
