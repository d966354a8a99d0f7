"""EC2's operations that only look: instances, their attributes, types, volumes, regions."""

import base64
import fnmatch
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from reaper.testing.aws_wire.faults import Refusal, Unsupported
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2.catalog import TYPES
from reaper.testing.ec2.describe import described, reservation, tag_list
from reaper.testing.ec2.fleet import Fleet
from reaper.testing.ec2.instance import CODES, Instance, Volume

__all__ = ["OPERATIONS", "page"]

Answer = dict[str, Any]
T = TypeVar("T")

_FIELDS: dict[str, Callable[[Instance], str]] = {
    "instance-id": lambda one: one.id,
    "instance-state-name": lambda one: one.state,
    "instance-state-code": lambda one: str(CODES[one.state]),
    "instance-type": lambda one: one.type,
    "instance-lifecycle": lambda one: one.lifecycle,
    "availability-zone": lambda one: one.zone,
    "image-id": lambda one: one.image,
    "key-name": lambda one: one.key_name,
    "platform": lambda one: one.platform,
    "private-dns-name": lambda one: one.private_dns,
    "private-ip-address": lambda one: one.private_ip,
    "reservation-id": lambda one: one.reservation,
    "root-device-type": lambda one: one.root_device,
    "spot-instance-request-id": lambda one: "" if one.spot is None else one.spot.id,
    "subnet-id": lambda one: one.subnet,
    "vpc-id": lambda one: one.vpc,
    "monitoring-state": lambda one: "enabled" if one.detailed else "disabled",
    "launch-time": lambda one: one.launched_at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    "owner-id": lambda one: one.place.account,
    "capacity-reservation-id": lambda one: one.capacity_reservation,
    "operator.managed": lambda one: str(bool(one.operator)).lower(),
    "operator.principal": lambda one: one.operator,
}
"""Filters of DescribeInstances that the fake has; beside them `tag:KEY` and `tag-key`."""


def describe_instances(fleet: Fleet, call: Call) -> Answer:
    """DescribeInstances: by ids, or in pages of at most 1,000."""
    parameters, shard = call.parameters, fleet.shard_of(call)
    ids = parameters.get("InstanceIds")
    if ids and "MaxResults" in parameters:
        raise Refusal(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        )
    found = shard.find(ids) if ids else list(shard.instances.values())
    fleet.stop_if_dry(call)
    filters = parameters.get("Filters", [])
    shown, onward = page(parameters, [one for one in found if _meets(one, filters)], 1000)
    reservations: dict[str, list[Instance]] = {}
    for one in shown:
        reservations.setdefault(one.reservation, []).append(one)
    return {
        "Reservations": [
            reservation([described(one, listed=not ids) for one in together], together[0])
            for together in reservations.values()
        ],
        **onward,
    }


def describe_instance_attribute(fleet: Fleet, call: Call) -> Answer:
    """DescribeInstanceAttribute: one attribute of one instance."""
    [instance] = fleet.shard_of(call).find([call.parameters["InstanceId"]])
    fleet.stop_if_dry(call)
    values: dict[str, tuple[str, object]] = {
        "disableApiStop": ("DisableApiStop", instance.disable_api_stop),
        "disableApiTermination": ("DisableApiTermination", instance.disable_api_termination),
        "ebsOptimized": ("EbsOptimized", True),
        "instanceInitiatedShutdownBehavior": (
            "InstanceInitiatedShutdownBehavior",
            instance.shutdown_behaviour,
        ),
        "instanceType": ("InstanceType", instance.type),
    }
    attribute = call.parameters["Attribute"]
    if attribute not in values:
        raise Unsupported(f"the fake has no attribute {attribute} of instances")
    name, value = values[attribute]
    return {"InstanceId": instance.id, name: {"Value": value}}


def describe_instance_types(fleet: Fleet, call: Call) -> Answer:
    """DescribeInstanceTypes: those that are named, or all in pages of at most 100."""
    names = call.parameters.get("InstanceTypes", [])
    if unknown := [name for name in names if name not in TYPES]:
        raise Refusal(
            "InvalidInstanceType",
            f"The following supplied instance types do not exist: [{', '.join(unknown)}]",
        )
    fleet.stop_if_dry(call)
    if call.parameters.get("Filters"):
        raise Unsupported("the fake does not filter instance types")
    found = [TYPES[name] for name in names] if names else list(TYPES.values())
    shown, onward = page(call.parameters, found, 100)
    return {"InstanceTypes": [one.described() for one in shown], **onward}


def describe_regions(fleet: Fleet, call: Call) -> Answer:
    """DescribeRegions: those that the account can use; all with AllRegions."""
    fleet.stop_if_dry(call)
    wanted = call.parameters.get("RegionNames")
    regions = [
        {
            "RegionName": name,
            "Endpoint": f"ec2.{name}.amazonaws.com",
            "OptInStatus": status,
        }
        for name, status in fleet.regions_of(call.account).items()
        if call.parameters.get("AllRegions") or status != "not-opted-in"
    ]
    return {"Regions": [one for one in regions if not wanted or one["RegionName"] in wanted]}


def describe_volumes(fleet: Fleet, call: Call) -> Answer:
    """DescribeVolumes: of instances."""
    parameters = call.parameters
    wanted = parameters.get("VolumeIds")
    found = list(fleet.shard_of(call).volumes())
    if wanted and (missing := set(wanted) - {volume.id for _, volume in found}):
        raise Refusal("InvalidVolume.NotFound", f"The volume '{min(missing)}' does not exist.")
    fleet.stop_if_dry(call)
    for condition in parameters.get("Filters", []):
        if condition["Name"] != "attachment.instance-id":
            raise Unsupported(f"the fake does not filter volumes by {condition['Name']}")
        found = [pair for pair in found if pair[0].id in condition["Values"]]
    shown, onward = page(parameters, [one for one in found if not wanted or one[1].id in wanted], 500)
    return {"Volumes": [_volume(instance, volume) for instance, volume in shown], **onward}


OPERATIONS: dict[str, Callable[[Fleet, Call], Answer]] = {
    "DescribeInstances": describe_instances,
    "DescribeInstanceAttribute": describe_instance_attribute,
    "DescribeInstanceTypes": describe_instance_types,
    "DescribeRegions": describe_regions,
    "DescribeVolumes": describe_volumes,
}


def page(
    parameters: Mapping[str, Any], things: Sequence[T], usual: int
) -> tuple[Sequence[T], dict[str, str]]:
    """Cut out the page that a request asks for; give it with the `NextToken` that leads on, if one does.

    Raises:
        Refusal: A size that EC2 refuses, or a token that is not ours or of other filters.
    """
    size = parameters.get("MaxResults", usual)
    if not 5 <= size <= 1000:  # noqa: PLR2004 -- EC2 API reference, DescribeInstances
        bound = "greater than 5" if size < 5 else "less than 1000"  # noqa: PLR2004 -- the same
        raise Refusal(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value {bound}.",
        )
    start = token_start(parameters)
    end = start + size
    if end >= len(things):
        return things[start:], {}
    return things[start:end], {"NextToken": token(parameters, end)}


def token(parameters: Mapping[str, Any], start: int) -> str:
    """Write a token that leads on from a place; it belongs to the filters that it came with, as AWS' do."""
    return base64.urlsafe_b64encode(json.dumps([start, _filters(parameters)]).encode()).decode()


def token_start(parameters: Mapping[str, Any]) -> int:
    """Read where a request's token leads.

    Raises:
        Refusal: It is not one of ours, or of other filters.
    """
    if (written := parameters.get("NextToken")) is None:
        return 0
    try:
        start, of = json.loads(base64.urlsafe_b64decode(written))
    except ValueError:
        start, of = 0, None
    if of != _filters(parameters):
        raise Refusal("InvalidParameterValue", "Unable to parse pagination token")
    return int(start)


def _filters(parameters: Mapping[str, Any]) -> str:
    return repr(sorted((key, repr(value)) for key, value in parameters.items() if key not in _PAGING))


_PAGING = frozenset({"NextToken", "MaxResults", "DryRun"})


def _meets(instance: Instance, filters: Iterable[Mapping[str, Any]]) -> bool:
    return all(_meets_one(instance, one["Name"], one.get("Values", [])) for one in filters)


def _meets_one(instance: Instance, name: str, patterns: list[str]) -> bool:
    if name.startswith("tag:"):
        values = [instance.tags[name[4:]]] if name[4:] in instance.tags else []
    elif name == "tag-key":
        values = list(instance.tags)
    elif name in _FIELDS:
        values = [_FIELDS[name](instance)]
    else:
        raise Unsupported(f"the fake does not filter instances by {name}")
    return any(fnmatch.fnmatchcase(value, pattern) for value in values for pattern in patterns)


def _volume(instance: Instance, volume: Volume) -> Answer:
    attachment = {
        "AttachTime": instance.launched_at,
        "Device": volume.device,
        "InstanceId": instance.id,
        "State": "attached",
        "VolumeId": volume.id,
        "DeleteOnTermination": volume.deleted_with_instance,
    }
    return {
        "VolumeId": volume.id,
        "Size": volume.size_gb,
        "VolumeType": volume.type,
        "State": "in-use",
        "AvailabilityZone": instance.zone,
        "CreateTime": instance.launched_at,
        "Attachments": [attachment],
        "Encrypted": False,
        "SnapshotId": "",
        "Iops": 3000,
        "MultiAttachEnabled": False,
        "Tags": tag_list(volume.tags),
    }
