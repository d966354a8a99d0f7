"""What is known of an EC2 instance and of an instance type. Pure.

Both are read from the mappings that botocore makes of EC2's answers, and those that our own parser makes (`fast.py`),
which have fewer keys of the same names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from sys import intern
from typing import Any

from reaper.errors import SourceMalformed

__all__ = ["InstanceModel", "Protection", "TypeModel", "parse_instance", "parse_type"]

_ID = re.compile(r"i-[0-9a-z]{1,64}")

_TRANSITION = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
"""`User initiated (2025-11-19 10:00:00 GMT)`: how StateTransitionReason tells when (EC2 API Reference, Instance)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceModel:
    """An instance, as DescribeInstances tells of it. Texts are empty where it tells nothing.

    Attributes:
        id: `i-...`.
        instance_type: `g5.xlarge`.
        state: `pending`, `running`, `stopping`, `stopped`, `shutting-down`, `terminated`.
        launched_at: When it was last started (LaunchTime); None: it is not told.
        availability_zone: `eu-central-1a`.
        lifecycle: `on-demand`, `spot`, `scheduled`, `capacity-block`, or what AWS comes to call others.
        spot_request_id: Of a spot instance: `sir-...`.
        tags: By key.
        private_dns: The name by which an agent without dimensions calls the host.
        vpc_id: `vpc-...`.
        subnet_id: `subnet-...`.
        image_id: `ami-...`.
        platform: `Linux/UNIX`, `Windows` ... (PlatformDetails), which its price depends on.
        architecture: `x86_64`.
        root_device_type: `ebs`, `instance-store`.
        vcpus: Cores x threads of CpuOptions; None: it is not told.
        monitoring: `basic` (a datapoint every five minutes) or `detailed` (every minute).
        state_reason: The code of StateReason: `Client.UserInitiatedShutdown`.
        state_transition_reason: StateTransitionReason.
        stopped_at: The instant in it; None: it can't be read.
        hibernation: It is set up to hibernate.
        capacity_reservation_id: The reservation that it runs in, which is paid for whether it runs or not.
        capacity_block: It runs in a capacity block, which is paid for in advance.
        operator: The AWS service that manages it; empty: none does.
        volumes: Ids of its EBS volumes.
    """

    id: str
    instance_type: str = ""
    state: str = ""
    launched_at: datetime | None = None
    availability_zone: str = ""
    lifecycle: str = "on-demand"
    spot_request_id: str = ""
    tags: Mapping[str, str]
    private_dns: str = ""
    vpc_id: str = ""
    subnet_id: str = ""
    image_id: str = ""
    platform: str = ""
    architecture: str = ""
    root_device_type: str = ""
    vcpus: int | None = None
    monitoring: str = "basic"
    state_reason: str = ""
    state_transition_reason: str = ""
    stopped_at: datetime | None = None
    hibernation: bool = False
    capacity_reservation_id: str = ""
    capacity_block: bool = False
    operator: str = ""
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeModel:
    """An instance type, as DescribeInstanceTypes tells of it.

    Attributes:
        name: `g5.xlarge`.
        vcpus: By default; None: it is not told.
        gpus: How many; 0: none.
        accelerators: `1 x A10G`; empty: it has none, of any make.
        instance_store_gb: Of local disks, the content of which is lost by stopping.
        hibernation_supported: It can hibernate, where an instance is set up for it.
    """

    name: str
    vcpus: int | None = None
    gpus: int = 0
    accelerators: str = ""
    instance_store_gb: int = 0
    hibernation_supported: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What an instance's own attributes forbid.

    Attributes:
        stop: DisableApiStop.
        terminate: DisableApiTermination.
    """

    stop: bool
    terminate: bool


_NOTHING: Mapping[str, Any] = {}


def parse_instance(item: object) -> InstanceModel:
    """Read one of DescribeInstances' instances.

    Raises:
        SourceMalformed: It has no id, no state, or a part of it is not what it must be.
    """
    try:
        return _instance(item)  # type: ignore[arg-type]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        name = item.get("InstanceId") if isinstance(item, Mapping) else None
        which = f"instance {name}" if isinstance(name, str) and _ID.fullmatch(name) else "an instance"
        raise SourceMalformed(
            f"ec2 DescribeInstances: {which} can't be read: {type(error).__name__}: {str(error)[:200]}"
        ) from error


def _instance(item: Mapping[str, Any]) -> InstanceModel:
    get = item.get
    id_ = get("InstanceId")
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise ValueError(f"{str(id_)[:40]!r} is no instance id")
    state = (get("State") or _NOTHING).get("Name")
    if not state:
        raise ValueError("it has no state")
    transition = get("StateTransitionReason") or ""
    block = get("CapacityBlockId")
    lifecycle = get("InstanceLifecycle") or "on-demand"
    operator = get("Operator") or _NOTHING
    monitoring = (get("Monitoring") or _NOTHING).get("State") or "disabled"
    cores = get("CpuOptions") or _NOTHING
    return InstanceModel(
        id=id_,
        instance_type=intern(get("InstanceType") or ""),
        state=intern(state),
        launched_at=_utc(get("LaunchTime")),
        availability_zone=intern((get("Placement") or _NOTHING).get("AvailabilityZone") or ""),
        lifecycle=intern(lifecycle),
        spot_request_id=get("SpotInstanceRequestId") or "",
        tags={intern(tag["Key"]): intern(tag.get("Value") or "") for tag in get("Tags") or ()},
        private_dns=get("PrivateDnsName") or "",
        vpc_id=intern(get("VpcId") or ""),
        subnet_id=intern(get("SubnetId") or ""),
        image_id=intern(get("ImageId") or ""),
        platform=intern(get("PlatformDetails") or ("Windows" if get("Platform") else "")),
        architecture=intern(get("Architecture") or ""),
        root_device_type=intern(get("RootDeviceType") or ""),
        vcpus=_product(cores.get("CoreCount"), cores.get("ThreadsPerCore")),
        monitoring="detailed" if monitoring in ("enabled", "pending") else "basic",
        state_reason=intern((get("StateReason") or _NOTHING).get("Code") or ""),
        state_transition_reason=intern(transition),
        stopped_at=_transition_at(transition) if transition else None,
        hibernation=(get("HibernationOptions") or _NOTHING).get("Configured") is True,
        capacity_reservation_id=get("CapacityReservationId") or "",
        capacity_block=bool(block) or lifecycle == "capacity-block",
        operator=intern(operator.get("Principal") or "an AWS service")
        if operator.get("Managed") is True
        else "",
        volumes=tuple(
            [
                ebs["VolumeId"]
                for ebs in [device.get("Ebs") for device in get("BlockDeviceMappings") or ()]
                if ebs and ebs.get("VolumeId")
            ]
        ),
    )


def _utc(at: datetime | None) -> datetime | None:
    if at is None or at.tzinfo is UTC:
        return at
    if at.tzinfo is None:
        raise ValueError("an instant has no time zone")
    return at.astimezone(UTC)


def _product(cores: int | None, threads: int | None) -> int | None:
    return cores * threads if cores and threads else None


def _transition_at(reason: str) -> datetime | None:
    found = _TRANSITION.search(reason)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except ValueError:
        return None


def parse_type(item: object) -> TypeModel:
    """Read one of DescribeInstanceTypes' types.

    Raises:
        SourceMalformed: It has no name, or a part of it is not what it must be.
    """
    try:
        return _type(item)  # type: ignore[arg-type]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SourceMalformed(
            f"ec2 DescribeInstanceTypes: a type can't be read: {type(error).__name__}: {str(error)[:200]}"
        ) from error


def _type(item: Mapping[str, Any]) -> TypeModel:
    gpus = _devices(item, "GpuInfo", "Gpus")
    others = [
        *_devices(item, "NeuronInfo", "NeuronDevices"),
        *_devices(item, "FpgaInfo", "Fpgas"),
        *_devices(item, "MediaAcceleratorInfo", "Accelerators"),
    ]
    if not others:  # types of before NeuronInfo
        others = _devices(item, "InferenceAcceleratorInfo", "Accelerators")
    stored = (item.get("InstanceStorageInfo") or _NOTHING).get("TotalSizeInGB") or 0
    vcpus = (item.get("VCpuInfo") or _NOTHING).get("DefaultVCpus")
    return TypeModel(
        name=intern(item["InstanceType"]),
        vcpus=int(vcpus) if vcpus else None,
        gpus=sum(count for count, _ in gpus),
        accelerators=", ".join(f"{count} x {name}" for count, name in [*gpus, *others]),
        instance_store_gb=int(stored),
        hibernation_supported=item.get("HibernationSupported") is True,
    )


def _devices(item: Mapping[str, Any], info: str, key: str) -> list[tuple[int, str]]:
    """Give how many there are of each device. A part of a GPU is at least one."""
    devices = (item.get(info) or _NOTHING).get(key) or ()
    return [(max(1, int(one.get("Count") or 1)), str(one.get("Name") or "accelerator")) for one in devices]
