"""EC2's operations that change something, and what EC2 refuses to do.

The refusals are of the EC2 API reference (StopInstances, TerminateInstances, StartInstances, Error codes) and
of the EC2 User Guide ("Stop and start", "Hibernate", "Termination protection", "Work with Spot Instances").
"""

from collections.abc import Callable
from typing import Any

from reaper.testing.aws_wire.faults import Refusal
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2.describe import state
from reaper.testing.ec2.fleet import Fleet
from reaper.testing.ec2.instance import Instance

__all__ = ["OPERATIONS"]

Answer = dict[str, Any]

MOST_TAGS = 50
"""On one resource (EC2 User Guide, "Tag restrictions")."""

_STOPPABLE = frozenset({"running", "stopping", "stopped"})


def stop_instances(fleet: Fleet, call: Call) -> Answer:
    """StopInstances: all of the ids or none."""
    hibernate = call.parameters.get("Hibernate", False)
    found = fleet.shard_of(call).find(call.parameters["InstanceIds"])
    fleet.stop_if_dry(call)
    for one in found:
        _refuse_stop(one, hibernate=hibernate)
    now, before = fleet.now(), {one.id: one.state for one in found}
    for one in found:
        if one.state == "running":
            one.stop(now, "hibernate" if hibernate else "user")
            if one.spot is not None:
                one.spot.state = "disabled"
    return {"StoppingInstances": _changes(found, before)}


def start_instances(fleet: Fleet, call: Call) -> Answer:
    """StartInstances: all of the ids or none."""
    found = fleet.shard_of(call).find(call.parameters["InstanceIds"])
    fleet.stop_if_dry(call)
    for one in found:
        if one.state not in {"running", "pending", "stopped"}:
            raise Refusal(
                "IncorrectInstanceState",
                f"The instance '{one.id}' is not in a state from which it can be started.",
            )
    now, before = fleet.now(), {one.id: one.state for one in found}
    for one in found:
        if one.state == "stopped":
            one.start(now)
            if one.spot is not None:
                one.spot.state = "active"
    return {"StartingInstances": _changes(found, before)}


def terminate_instances(fleet: Fleet, call: Call) -> Answer:
    """TerminateInstances.

    With a protected id among them, ids in the same zone as it are left alone and those in other zones are
    terminated, although the call answers an error (EC2 API reference, TerminateInstances).
    """
    shard = fleet.shard_of(call)
    found = shard.find(call.parameters["InstanceIds"])
    fleet.stop_if_dry(call)
    protected = [one for one in found if one.disable_api_termination and one.state != "terminated"]
    spared = {one.zone for one in protected}
    now, before = fleet.now(), {one.id: one.state for one in found}
    for one in found:
        if one.zone not in spared and one.state not in {"shutting-down", "terminated"}:
            one.terminate(now)
            shard.ended(one, now)
    if protected:
        raise Refusal(
            "OperationNotPermitted",
            f"The instance '{protected[0].id}' may not be terminated. Modify its 'disableApiTermination' "
            "instance attribute and try again.",
        )
    return {"TerminatingInstances": _changes(found, before)}


def create_tags(fleet: Fleet, call: Call) -> Answer:
    """CreateTags: adds or overwrites, on instances and volumes."""
    new = {tag["Key"]: tag.get("Value", "") for tag in call.parameters["Tags"]}
    _refuse_reserved(new)
    found = _tagged(fleet, call)
    fleet.stop_if_dry(call)
    for tags in found:
        if len({key for key in tags | new if not key.startswith("aws:")}) > MOST_TAGS:
            raise Refusal("TagLimitExceeded", "You have reached the maximum amount of tags for your resource")
    for tags in found:
        tags.update(new)
    return {}


def delete_tags(fleet: Fleet, call: Call) -> Answer:
    """DeleteTags: what is not there, or has another value than the one that is given, does not matter."""
    asked = call.parameters.get("Tags", [])
    _refuse_reserved({tag["Key"]: "" for tag in asked})
    found = _tagged(fleet, call)
    fleet.stop_if_dry(call)
    for tags in found:
        keys = [tag["Key"] for tag in asked if "Value" not in tag or tags.get(tag["Key"]) == tag["Value"]]
        for key in keys if asked else [key for key in tags if not key.startswith("aws:")]:
            tags.pop(key, None)
    return {}


OPERATIONS: dict[str, Callable[[Fleet, Call], Answer]] = {
    "StopInstances": stop_instances,
    "StartInstances": start_instances,
    "TerminateInstances": terminate_instances,
    "CreateTags": create_tags,
    "DeleteTags": delete_tags,
}


def _refuse_stop(one: Instance, *, hibernate: bool) -> None:
    if one.state not in _STOPPABLE:
        raise Refusal(
            "IncorrectInstanceState",
            f"This instance '{one.id}' is not in a state from which it can be stopped.",
        )
    if one.root_device != "ebs":
        raise Refusal(
            "UnsupportedOperation",
            f"The instance '{one.id}' does not have an 'ebs' root device type and cannot be stopped.",
        )
    if one.spot is not None and not one.spot.persistent:
        raise Refusal(
            "UnsupportedOperation",
            f"You can't stop the Spot Instance '{one.id}' because it is associated with a one-time Spot "
            "Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.",
        )
    if one.disable_api_stop:
        raise Refusal(
            "OperationNotPermitted",
            f"The instance '{one.id}' may not be stopped. Modify its 'disableApiStop' instance attribute and "
            "try again.",
        )
    if hibernate and not one.hibernation:
        raise Refusal(
            "UnsupportedHibernationConfiguration",
            f"Instance '{one.id}' is not configured for hibernation.",
        )


def _changes(found: list[Instance], before: dict[str, str]) -> list[Answer]:
    return [
        {"InstanceId": one.id, "CurrentState": state(one.state), "PreviousState": state(before[one.id])}
        for one in found
    ]


def _refuse_reserved(tags: dict[str, str]) -> None:
    if reserved := [key for key in tags if key.lower().startswith("aws:")]:
        raise Refusal(
            "InvalidParameterValue",
            f"Tag keys starting with 'aws:' are reserved for internal use: {reserved[0]}",
        )


def _tagged(fleet: Fleet, call: Call) -> list[dict[str, str]]:
    """Find the tags of what a call names."""
    shard, found = fleet.shard_of(call), []
    for name in call.parameters["Resources"]:
        if name.startswith("i-"):
            found.append(shard.find([name])[0].tags)
        elif name in shard.spot_requests:
            found.append(shard.spot_requests[name].tags)
        else:
            volumes = [volume.tags for _, volume in shard.volumes() if volume.id == name]
            if not volumes:
                raise Refusal("InvalidVolume.NotFound", f"The volume '{name}' does not exist.")
            found += volumes
    return found
