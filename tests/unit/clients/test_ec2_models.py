"""What is made of EC2's descriptions of an instance and of a type."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from reaper.clients.ec2 import TypeModel, parse_instance, parse_type
from reaper.errors import SourceMalformed

BARE: dict[str, Any] = {"InstanceId": "i-0abc", "State": {"Code": 16, "Name": "running"}}


def test_little_is_needed() -> None:
    bare = parse_instance(BARE)
    assert (bare.id, bare.state, bare.lifecycle, bare.monitoring) == (
        "i-0abc",
        "running",
        "on-demand",
        "basic",
    )
    assert (bare.tags, bare.volumes, bare.vcpus, bare.launched_at, bare.operator) == ({}, (), None, None, "")


def test_all_that_is_told() -> None:
    told = parse_instance(
        {
            **BARE,
            "InstanceType": "g5.12xlarge",
            "LaunchTime": datetime(2026, 3, 2, 12, 0, tzinfo=timezone(timedelta(hours=9))),
            "Placement": {"AvailabilityZone": "eu-central-1a"},
            "InstanceLifecycle": "spot",
            "SpotInstanceRequestId": "sir-1",
            "Tags": [{"Key": "Name", "Value": "bert"}, {"Key": "reaper:protect"}],
            "PlatformDetails": "Linux/UNIX",
            "CpuOptions": {"CoreCount": 24, "ThreadsPerCore": 2},
            "Monitoring": {"State": "enabled"},
            "StateReason": {"Code": "Client.UserInitiatedShutdown", "Message": "..."},
            "HibernationOptions": {"Configured": True},
            "CapacityReservationId": "cr-1",
            "CapacityBlockId": "cb-1",
            "Operator": {"Managed": True, "Principal": "eks.amazonaws.com"},
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/sda1", "Ebs": {"VolumeId": "vol-1"}},
                {"DeviceName": "/dev/sdb", "Ebs": {}},
                {"DeviceName": "/dev/sdc"},
            ],
        }
    )
    assert told.launched_at == datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
    assert told.tags == {"Name": "bert", "reaper:protect": ""}
    assert (told.vcpus, told.monitoring, told.volumes) == (48, "detailed", ("vol-1",))
    assert (told.lifecycle, told.spot_request_id) == ("spot", "sir-1")
    assert (told.operator, told.capacity_block, told.hibernation) == ("eks.amazonaws.com", True, True)


@pytest.mark.parametrize(
    ("reason", "at"),
    [
        ("User initiated (2025-11-19 10:00:00 GMT)", datetime(2025, 11, 19, 10, tzinfo=UTC)),
        ("Service initiated (2025-11-19 10:00:00 UTC)", datetime(2025, 11, 19, 10, tzinfo=UTC)),
        ("User initiated", None),
        ("User initiated (2025-13-19 10:00:00 GMT)", None),
        ("User initiated (2025-11-19 10:00:00 CEST)", None),
        ("", None),
    ],
)
def test_when_it_stopped(reason: str, at: datetime | None) -> None:
    stopped = parse_instance({**BARE, "StateTransitionReason": reason})
    assert (stopped.stopped_at, stopped.state_transition_reason) == (at, reason)


@pytest.mark.parametrize(
    "operator", [None, {}, {"Managed": False, "Principal": "x"}, {"Principal": "x"}], ids=str
)
def test_nobody_manages_it(operator: object) -> None:
    assert parse_instance({**BARE, "Operator": operator}).operator == ""


def test_who_manages_it_may_not_be_named() -> None:
    assert parse_instance({**BARE, "Operator": {"Managed": True}}).operator == "an AWS service"


@pytest.mark.parametrize(
    "item",
    [
        None,
        [],
        "i-1",
        {},
        {"InstanceId": "i-1"},
        {**BARE, "InstanceId": 7},
        {**BARE, "InstanceId": "vol-1"},
        {**BARE, "InstanceId": "i-1\n"},
        {**BARE, "State": {"Name": ""}},
        {**BARE, "State": "running"},
        {**BARE, "Tags": [{"Value": "no key"}]},
        {**BARE, "Tags": [{"Key": "reaper:protect", "Value": 7}]},
        {**BARE, "LaunchTime": "yesterday"},
        {**BARE, "LaunchTime": datetime(2026, 3, 2)},  # noqa: DTZ001 - that is what is wrong with it
        {**BARE, "CpuOptions": 4},
        {**BARE, "BlockDeviceMappings": ["vol-1"]},
    ],
    ids=str,
)
def test_what_can_not_be_read_is_malformed(item: object) -> None:
    with pytest.raises(SourceMalformed, match="DescribeInstances"):
        parse_instance(item)


def test_a_malformed_one_is_named() -> None:
    with pytest.raises(SourceMalformed, match="instance i-0abc"):
        parse_instance({**BARE, "Placement": 7})


class TestTypes:
    def test_a_gpu_and_its_disk(self) -> None:
        told = parse_type(
            {
                "InstanceType": "g5.12xlarge",
                "VCpuInfo": {"DefaultVCpus": 48},
                "GpuInfo": {"Gpus": [{"Name": "A10G", "Manufacturer": "NVIDIA", "Count": 4}]},
                "InstanceStorageInfo": {"TotalSizeInGB": 3800},
                "HibernationSupported": False,
            }
        )
        assert told == TypeModel(
            name="g5.12xlarge", vcpus=48, gpus=4, accelerators="4 x A10G", instance_store_gb=3800
        )

    def test_a_part_of_a_gpu_is_one(self) -> None:
        gpus = {"Gpus": [{"Name": "L4", "Count": 0, "LogicalGpuCount": 1, "GpuPartitionSize": 0.125}]}
        told = parse_type({"InstanceType": "gr6f.4xlarge", "GpuInfo": gpus})
        assert (told.gpus, told.accelerators) == (1, "1 x L4")

    def test_accelerators_that_are_no_gpus(self) -> None:
        neuron = {"NeuronDevices": [{"Name": "Inferentia2", "Count": 6}]}
        old = {"Accelerators": [{"Name": "Inferentia", "Count": 1}]}
        told = parse_type(
            {"InstanceType": "inf2.24xlarge", "NeuronInfo": neuron, "InferenceAcceleratorInfo": old}
        )
        assert (told.gpus, told.accelerators) == (0, "6 x Inferentia2")
        told = parse_type({"InstanceType": "inf1.xlarge", "InferenceAcceleratorInfo": old})
        assert told.accelerators == "1 x Inferentia"

    def test_a_plain_one(self) -> None:
        plain = TypeModel(name="m5.large", vcpus=2, hibernation_supported=True)
        item = {"InstanceType": "m5.large", "VCpuInfo": {"DefaultVCpus": 2}, "HibernationSupported": True}
        assert parse_type(item) == plain

    @pytest.mark.parametrize("item", [None, {}, {"InstanceType": 7}, {"InstanceType": "x", "GpuInfo": 1}])
    def test_malformed(self, item: object) -> None:
        with pytest.raises(SourceMalformed, match="DescribeInstanceTypes"):
            parse_type(item)
