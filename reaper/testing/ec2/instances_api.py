"""EC2's operations that only look: instances, their attributes, types, volumes, regions."""

from collections.abc import Callable
from typing import Any

from reaper.testing.aws_wire import wire
from reaper.testing.aws_wire.faults import Refusal, Unsupported
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2 import pages
from reaper.testing.ec2.catalog import TYPES
from reaper.testing.ec2.describe import described, reservation, tag_list
from reaper.testing.ec2.filters import meets, page
from reaper.testing.ec2.fleet import Fleet
from reaper.testing.ec2.instance import Instance, Volume

__all__ = ["OPERATIONS"]

Answer = dict[str, Any]


def describe_instances(fleet: Fleet, call: Call) -> Answer | wire.Answer:
    """DescribeInstances: by ids, or in pages of at most 1,000."""
    parameters, shard = call.parameters, fleet.shard_of(call)
    ids = parameters.get("InstanceIds")
    if not ids and shard.rows is not None:
        fleet.stop_if_dry(call)
        return pages.listed(fleet.page_cache, shard, shard.rows, call)
    if ids and "MaxResults" in parameters:
        raise Refusal(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        )
    found = shard.find(ids) if ids else list(shard.instances.values())
    fleet.stop_if_dry(call)
    filters = parameters.get("Filters", [])
    shown, onward = page(parameters, [one for one in found if meets(one, filters)], 1000)
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


OPERATIONS: dict[str, Callable[[Fleet, Call], Answer | wire.Answer]] = {
    "DescribeInstances": describe_instances,
    "DescribeInstanceAttribute": describe_instance_attribute,
    "DescribeInstanceTypes": describe_instance_types,
    "DescribeRegions": describe_regions,
    "DescribeVolumes": describe_volumes,
}


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
