"""The EC2 fake beside moto's server, where moto is right: the same fields, of the same types.

moto ships what DescribeInstanceTypes of AWS itself answered, so our types are held to that.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from moto.server import ThreadedMotoServer

from reaper.testing.ec2 import TYPES, Fleet
from tests.support.ec2 import Aws, fixture_aws, fixture_clock, fixture_fleet, instances
from tests.support.studio import aws_session

__all__ = ["fixture_aws", "fixture_clock", "fixture_fleet"]

IMAGE = "ami-12c6146b"
"""One that moto has."""

PATIENT = AioConfig(retries={"total_max_attempts": 1}, read_timeout=60)

ONLY_MOTO_S = {
    "Instance.PublicIpAddress",
    "Instance.SriovNetSupport",
    "Instance.StateReason",  # of a running instance, with nothing in it: AWS tells none
    "Instance.StateReason.Code",
    "Instance.StateReason.Message",
    "Instance.Platform",  # of its image, which is of Windows
    "Instance.BlockDeviceMappings.Ebs.AssociatedResource",
}
"""What ours have not: no public addresses, and what AWS does not tell (of Linux that runs)."""

OLD = {"g4ad.xlarge", "p3.2xlarge", "p3.8xlarge"}
"""Types of ours that moto's copy of AWS' list has no more."""


@pytest.fixture(scope="module", name="moto_url")
def fixture_moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(name="moto")
async def fixture_moto(moto_url: str, fleet: Fleet) -> AsyncIterator[Any]:
    """A client of moto; keys and region are the fleet's."""
    async with AsyncExitStack() as stack:
        context = aws_session().create_client("ec2", endpoint_url=moto_url, config=PATIENT)
        yield await stack.enter_async_context(context)


def fields(value: object, where: str) -> dict[str, type]:
    """Name every field with its type; of lists, those of their items."""
    found: dict[str, type] = {}
    if isinstance(value, dict):
        for name, part in value.items():
            found |= {f"{where}.{name}": type(part)} | fields(part, f"{where}.{name}")
    elif isinstance(value, list):
        for part in value:
            found |= fields(part, where)
    return found


async def test_an_instance_has_the_fields_that_moto_s_has(fleet: Fleet, aws: Aws, moto: Any) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "a"}]}]
    launched = await moto.run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        InstanceType="g5.xlarge",
        KeyName="team",
        TagSpecifications=tags,
    )
    [name] = [one["InstanceId"] for one in launched["Instances"]]
    fleet.add("g5.xlarge", "a")
    try:
        answers = await asyncio.gather(
            moto.describe_instances(InstanceIds=[name]), aws("ec2", "describe_instances")
        )
    finally:
        await moto.terminate_instances(InstanceIds=[name])
    theirs, ours = (list(answer["Reservations"]) for answer in answers)
    assert {part for part in theirs[0] if theirs[0][part] not in ([], "")} <= set(ours[0])
    wanted = fields(theirs[0]["Instances"], "Instance")
    got = fields(ours[0]["Instances"], "Instance")
    assert {part for part in wanted if part not in got and ".Association" not in part} <= ONLY_MOTO_S
    assert {part: kind for part, kind in wanted.items() if got.get(part, kind) is not kind} == {}


async def test_acts_are_answered_as_moto_answers_them(fleet: Fleet, aws: Aws, moto: Any) -> None:
    launched = await moto.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, InstanceType="m5.large")
    [name] = [one["InstanceId"] for one in launched["Instances"]]
    box = fleet.add("m5.large")
    for operation, key in (
        ("stop_instances", "StoppingInstances"),
        ("terminate_instances", "TerminatingInstances"),
    ):
        theirs = (await getattr(moto, operation)(InstanceIds=[name]))[key]
        ours = (await aws("ec2", operation, InstanceIds=[box.id]))[key]
        assert fields(ours, "Change") == fields(theirs, "Change")
    told = (await instances(aws))[box.id]
    answer = await moto.describe_instances(InstanceIds=[name])
    other = answer["Reservations"][0]["Instances"][0]
    assert told["StateReason"] == other["StateReason"]
    word = other["StateTransitionReason"].partition("(")[0]
    assert told["StateTransitionReason"].startswith(word)


def facts(told: dict[str, Any]) -> dict[str, object]:
    """Give of a type what reaper asks for."""
    gpus = told.get("GpuInfo", {}).get("Gpus", [])
    return {
        "vcpus": told["VCpuInfo"]["DefaultVCpus"],
        "cores": told["VCpuInfo"]["DefaultCores"],
        "threads": told["VCpuInfo"]["DefaultThreadsPerCore"],
        "memory": told["MemoryInfo"]["SizeInMiB"],
        "gpus": [(one["Name"], one["Manufacturer"], one["Count"]) for one in gpus],
        "store": told.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0),
        "neuron": sum(one["Count"] for one in told.get("NeuronInfo", {}).get("NeuronDevices", [])),
        "hibernation": told["HibernationSupported"],
        "architectures": told["ProcessorInfo"]["SupportedArchitectures"],
        "bare metal": told["BareMetal"],
        "burstable": told["BurstablePerformanceSupported"],
    }


async def test_types_are_what_aws_says_of_them(aws: Aws, moto: Any) -> None:
    names = [name for name in TYPES if name not in OLD]
    theirs = await moto.describe_instance_types(InstanceTypes=names)
    ours = await aws("ec2", "describe_instance_types", InstanceTypes=names)
    known = {one["InstanceType"]: facts(one) for one in theirs["InstanceTypes"]}
    assert {one["InstanceType"]: facts(one) for one in ours["InstanceTypes"]} == known
