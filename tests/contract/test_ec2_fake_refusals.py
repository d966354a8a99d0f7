"""What EC2 refuses, the fake refuses: each with its code, and with nothing done."""

from typing import Any

import pytest

from reaper.testing import FakeClock, minutes
from reaper.testing.ec2 import Fleet, Instance
from tests.support.ec2 import Aws, fixture_aws, fixture_clock, fixture_fleet, instances, refused

__all__ = ["fixture_aws", "fixture_clock", "fixture_fleet"]


@pytest.mark.parametrize(
    ("attributes", "hibernate", "code"),
    [
        ({"spot": "one-time"}, False, "UnsupportedOperation"),
        ({"root_device": "instance-store"}, False, "UnsupportedOperation"),
        ({"disable_api_stop": True}, False, "OperationNotPermitted"),
        ({"hibernation": False}, True, "UnsupportedHibernationConfiguration"),
        ({"state": "pending"}, False, "IncorrectInstanceState"),
        ({"state": "shutting-down"}, False, "IncorrectInstanceState"),
        ({"state": "terminated"}, False, "IncorrectInstanceState"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
async def test_a_stop_is_refused(
    attributes: dict[str, Any], hibernate: bool, code: str, fleet: Fleet, aws: Aws
) -> None:
    box, other = fleet.add("m5.large", **attributes), fleet.add("m5.large", hibernation=True)
    before = box.state
    told, words = await refused(
        aws("ec2", "stop_instances", InstanceIds=[other.id, box.id], Hibernate=hibernate)
    )
    assert (told, box.id in words) == (code, True)
    assert (box.state, other.state) == (before, "running")  # in a batch nothing is done either


async def test_what_can_be_stopped_in_spite_of_it(fleet: Fleet, aws: Aws) -> None:
    ids = [
        fleet.add("m5.large", spot="persistent").id,
        fleet.add("m5.large", disable_api_termination=True).id,
        fleet.add("m5.large", state="stopped").id,
    ]
    answer = await aws("ec2", "stop_instances", InstanceIds=ids)
    assert [one["CurrentState"]["Name"] for one in answer["StoppingInstances"]] == [
        "stopping",
        "stopping",
        "stopped",
    ]


async def test_a_hibernation_is_told_as_one(fleet: Fleet, clock: FakeClock, aws: Aws) -> None:
    box = fleet.add("m5.large", hibernation=True)
    await aws("ec2", "stop_instances", InstanceIds=[box.id], Hibernate=True)
    clock.advance(minutes(1))
    told = (await instances(aws))[box.id]
    assert told["StateReason"]["Code"] == "Client.UserInitiatedHibernate"
    assert told["StateTransitionReason"].startswith("User initiated (")


async def test_a_protected_one_spares_its_zone_alone(fleet: Fleet, aws: Aws) -> None:
    protected = fleet.add("m5.large", zone="a", disable_api_termination=True)
    same, other = fleet.add("m5.large", zone="a"), fleet.add("m5.large", zone="b")
    call = aws("ec2", "terminate_instances", InstanceIds=[same.id, other.id, protected.id])
    code, words = await refused(call)
    assert (code, f"'{protected.id}' may not be terminated" in words) == ("OperationNotPermitted", True)
    assert [one.state for one in (protected, same, other)] == ["running", "running", "shutting-down"]


async def test_stop_protection_does_not_hinder_a_termination(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add("m5.large", disable_api_stop=True)
    await aws("ec2", "terminate_instances", InstanceIds=[box.id])
    assert box.state == "shutting-down"


def act(box: Instance, operation: str) -> dict[str, Any]:
    if operation == "create_tags":
        return {"Resources": [box.id], "Tags": [{"Key": "a", "Value": "b"}]}
    return {"InstanceIds": [box.id]}


@pytest.mark.parametrize(
    "operation", ["stop_instances", "terminate_instances", "start_instances", "create_tags"]
)
async def test_a_dry_run_says_whether_it_may(operation: str, fleet: Fleet, aws: Aws) -> None:
    box = fleet.add("m5.large", disable_api_stop=True)
    name = "".join(part.capitalize() for part in operation.split("_"))
    asked = act(box, operation)
    assert await refused(aws("ec2", operation, DryRun=True, **asked)) == (
        "DryRunOperation",
        "Request would have succeeded, but DryRun flag is set.",
    )
    fleet.deny(name, resource=box.id)
    for dry in (True, False):
        code, words = await refused(aws("ec2", operation, DryRun=dry, **asked))
        assert (code, f"ec2:{name}" in words, box.id in words) == ("UnauthorizedOperation", True, True)
    assert (box.state, box.tags) == ("running", {})
    fleet.heal()
    missing: dict[str, Any] = {**asked, next(iter(asked)): ["i-0000000000000dead"]}
    assert (await refused(aws("ec2", operation, DryRun=True, **missing)))[0] == "InvalidInstanceID.NotFound"
