"""How DescribeInstances tells of an instance."""

from typing import Any

from reaper.testing.ec2.instance import CODES, Instance

__all__ = ["described", "reservation", "state", "tag_list"]


def state(name: str) -> dict[str, Any]:
    """Tell a state as EC2 does."""
    return {"Code": CODES[name], "Name": name}


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tell tags as EC2 does."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def reservation(instances: list[dict[str, Any]], instance: Instance) -> dict[str, Any]:
    """Put instances that were launched together into their reservation."""
    answer: dict[str, Any] = {
        "ReservationId": instance.reservation,
        "OwnerId": instance.place.account,
        "Groups": [],
        "Instances": instances,
    }
    if instance.tags.get("aws:autoscaling:groupName"):
        answer["RequesterId"] = "940372691376"
    return answer


def described(instance: Instance, *, listed: bool = True) -> dict[str, Any]:
    """Tell of an instance.

    Args:
        instance: Of which.
        listed: In a list, where tags may be forgotten; else it was asked for by its id.
    """
    gone = instance.state == "terminated"
    answer: dict[str, Any] = {
        "InstanceId": instance.id,
        "ImageId": instance.image,
        "State": state(instance.state),
        "PrivateDnsName": "" if gone else instance.private_dns,
        "PublicDnsName": "",
        "StateTransitionReason": instance.transition_reason,
        "KeyName": instance.key_name,
        "AmiLaunchIndex": 0,
        "ProductCodes": [],
        "InstanceType": instance.type,
        "LaunchTime": instance.launched_at,
        "Placement": {"AvailabilityZone": instance.zone, "GroupName": "", "Tenancy": "default"},
        "Monitoring": {"State": "enabled" if instance.detailed else "disabled"},
        "Architecture": "x86_64",
        "BlockDeviceMappings": [] if gone else _devices(instance),
        "ClientToken": f"fake-token-{instance.id[2:]}",
        "EbsOptimized": True,
        "EnaSupport": True,
        "Hypervisor": "xen",
        "NetworkInterfaces": [] if gone else [_interface(instance)],
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": instance.root_device,
        "SecurityGroups": [] if gone else _groups(),
        "SourceDestCheck": True,
        "Tags": [] if listed and instance.listed_without_tags else tag_list(instance.tags),
        "VirtualizationType": "hvm",
        "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
        "HibernationOptions": {"Configured": instance.hibernation},
        "MetadataOptions": _METADATA,
        "EnclaveOptions": {"Enabled": False},
        "BootMode": "uefi-preferred",
        "PlatformDetails": "Windows" if instance.platform == "windows" else "Linux/UNIX",
        "UsageOperation": "RunInstances:0002" if instance.platform == "windows" else "RunInstances",
        "UsageOperationUpdateTime": instance.launched_at,
        "PrivateDnsNameOptions": _DNS_OPTIONS,
        "MaintenanceOptions": {"AutoRecovery": "default"},
        "CurrentInstanceBootMode": "legacy-bios",
        "NetworkPerformanceOptions": {"BandwidthWeighting": "default"},
        "Operator": {"Managed": bool(instance.operator)},
    }
    if instance.operator:
        answer["Operator"]["Principal"] = instance.operator
    if not gone and instance.vpc:
        answer |= {
            "SubnetId": instance.subnet,
            "VpcId": instance.vpc,
            "PrivateIpAddress": instance.private_ip,
        }
    return {**answer, **_sometimes(instance)}


def _sometimes(instance: Instance) -> dict[str, Any]:
    """Tell what only some instances have."""
    answer: dict[str, Any] = {}
    kind = instance.known_type
    if kind is not None:
        answer["Architecture"] = kind.architecture
    if instance.vcpus is not None or kind is not None:
        vcpus = instance.vcpus or (kind.vcpus if kind else 1)
        threads = kind.threads if kind is not None and vcpus % kind.threads == 0 else 1
        answer["CpuOptions"] = {"CoreCount": vcpus // threads, "ThreadsPerCore": threads}
    if instance.state_reason is not None:
        answer["StateReason"] = dict(zip(("Code", "Message"), instance.state_reason, strict=True))
    if instance.lifecycle:
        answer["InstanceLifecycle"] = instance.lifecycle
    if instance.spot is not None:
        answer["SpotInstanceRequestId"] = instance.spot.id
    if instance.platform:
        answer["Platform"] = instance.platform
    if instance.profile:
        arn = f"arn:aws:iam::{instance.place.account}:instance-profile/{instance.profile}"
        answer["IamInstanceProfile"] = {"Arn": arn, "Id": "AIPAFAKE000000000000"}
    if instance.capacity_reservation:
        answer["CapacityReservationId"] = instance.capacity_reservation
    if instance.capacity_block:
        answer["CapacityBlockId"] = instance.capacity_block
    return answer


def _devices(instance: Instance) -> list[dict[str, Any]]:
    return [
        {
            "DeviceName": volume.device,
            "Ebs": {
                "AttachTime": instance.launched_at,
                "DeleteOnTermination": volume.deleted_with_instance,
                "Status": "attached",
                "VolumeId": volume.id,
            },
        }
        for volume in instance.volumes
    ]


def _interface(instance: Instance) -> dict[str, Any]:
    number = instance.id[2:]
    return {
        "Attachment": {
            "AttachTime": instance.launched_at,
            "AttachmentId": f"eni-attach-{number}",
            "DeleteOnTermination": True,
            "DeviceIndex": 0,
            "Status": "attached",
            "NetworkCardIndex": 0,
        },
        "Description": "",
        "Groups": _groups(),
        "Ipv6Addresses": [],
        "MacAddress": "06:fa:4e:00:00:01",
        "NetworkInterfaceId": f"eni-{number}",
        "OwnerId": instance.place.account,
        "PrivateDnsName": instance.private_dns,
        "PrivateIpAddress": instance.private_ip,
        "PrivateIpAddresses": [
            {
                "Primary": True,
                "PrivateDnsName": instance.private_dns,
                "PrivateIpAddress": instance.private_ip,
            }
        ],
        "SourceDestCheck": True,
        "Status": "in-use",
        "SubnetId": instance.subnet,
        "VpcId": instance.vpc,
        "InterfaceType": "interface",
        "Operator": {"Managed": False},
    }


def _groups() -> list[dict[str, str]]:
    return [{"GroupId": "sg-0fake00000000000", "GroupName": "team"}]


_METADATA = {
    "State": "applied",
    "HttpTokens": "required",
    "HttpPutResponseHopLimit": 2,
    "HttpEndpoint": "enabled",
    "HttpProtocolIpv6": "disabled",
    "InstanceMetadataTags": "disabled",
}
_DNS_OPTIONS = {
    "HostnameType": "ip-name",
    "EnableResourceNameDnsARecord": False,
    "EnableResourceNameDnsAAAARecord": False,
}
