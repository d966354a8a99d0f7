"""What stands against acting on an instance: stories w9, w10, w13 among it."""

from dataclasses import replace
from typing import Any

import pytest

from reaper.clients.ec2 import InstanceModel, Protection, TypeModel
from reaper.config.fleet import MANAGED_TAGS
from reaper.core.model import Obstacle
from reaper.providers.ec2.obstacles import STOPS, managed_by, obstacles

PLAIN = InstanceModel(id="i-1", instance_type="m5.large", state="running", root_device_type="ebs", tags={})
M5 = TypeModel(name="m5.large", vcpus=2, hibernation_supported=True)
G5 = TypeModel(name="g5.xlarge", vcpus=4, gpus=1, accelerators="1 x A10G", instance_store_gb=250)


def found(
    instance: InstanceModel = PLAIN, kind: TypeModel | None = M5, **options: Any
) -> tuple[Obstacle, ...]:
    given = {"persistent": None, "managed_tags": MANAGED_TAGS, **options}
    return obstacles(instance, kind, **given)


def test_nothing_stands_against_a_plain_one() -> None:
    assert found() == ()


@pytest.mark.parametrize(
    ("story", "tags", "reason"),
    [
        ("w13", {"aws:autoscaling:groupName": "web"}, "auto_scaling"),
        ("w13", {"karpenter.sh/nodepool": "default"}, "service_managed"),
        ("w13", {"eks:nodegroup-name": "gpu"}, "service_managed"),
        ("w13", {"kubernetes.io/cluster/prod": "owned"}, "service_managed"),
        ("w13", {"aws:elasticmapreduce:job-flow-id": "j-1"}, "service_managed"),
        ("w13", {"AWSBatchServiceTag": "batch"}, "service_managed"),
        ("w13", {"parallelcluster:cluster-name": "hpc"}, "service_managed"),
        ("w13", {"Vendor": "Databricks"}, "service_managed"),
        ("w13", {"vendor": "Databricks"}, "service_managed"),
        ("w13", {"aws:ec2:fleet-id": "fleet-1"}, "service_managed"),
        ("w13", {"aws:ec2spot:fleet-request-id": "sfr-1"}, "service_managed"),
    ],
)
def test_what_others_would_replace(story: str, tags: dict[str, str], reason: str) -> None:
    (one,) = found(replace(PLAIN, tags=tags))
    assert (one.reason, one.actions) == (reason, ())
    assert found(replace(PLAIN, tags=tags), allow=frozenset({reason})) == ()


@pytest.mark.parametrize("tags", [{"Vendor": "Dell"}, {"Purpose": "eks:x"}, {"eks": "x"}])
def test_tags_that_only_look_like_it(tags: dict[str, str]) -> None:
    assert managed_by(tags, MANAGED_TAGS) is None


def test_w13_a_service_that_says_so_itself() -> None:
    (one,) = found(replace(PLAIN, operator="eks.amazonaws.com"))
    assert (one.reason, "eks.amazonaws.com" in one.detail) == ("service_managed", True)


@pytest.mark.parametrize(
    "instance",
    [
        replace(PLAIN, capacity_reservation_id="cr-1"),
        replace(PLAIN, capacity_block=True),
        replace(PLAIN, lifecycle="capacity-block"),
    ],
)
def test_w10_reserved_capacity_is_vetoed(instance: InstanceModel) -> None:
    (one,) = found(instance)
    assert (one.reason, one.actions, "saves nothing" in one.detail) == ("reserved_capacity", (), True)


def test_w9_local_disks_say_how_much_a_stop_erases() -> None:
    (one,) = found(kind=G5)
    assert (one.reason, one.actions, "250 GB" in one.detail) == ("instance_store", STOPS, True)
    assert found(kind=G5, allow=frozenset({"instance_store"})) == ()
    assert found(replace(PLAIN, state="stopped"), G5) == ()


def test_a_type_that_cant_be_described_may_have_local_disks() -> None:
    assert [one.reason for one in found(kind=None)] == ["instance_store"]


def test_a_root_on_local_disk_cant_be_stopped_whatever_is_allowed() -> None:
    (one,) = found(replace(PLAIN, root_device_type="instance-store"), allow=frozenset({"instance_store"}))
    assert (one.actions, "only terminated" in one.detail) == (STOPS, True)


@pytest.mark.parametrize("state", ["pending", "stopping", "shutting-down"])
def test_what_is_in_transition(state: str) -> None:
    assert [(one.reason, one.actions) for one in found(replace(PLAIN, state=state))] == [
        ("in_transition", ())
    ]


@pytest.mark.parametrize(
    ("persistent", "reasons"), [(True, []), (None, []), (False, ["one_time_spot"])], ids=["yes", "?", "no"]
)
def test_a_one_time_spot_instance_cant_be_stopped(persistent: bool | None, reasons: list[str]) -> None:
    spot = found(replace(PLAIN, lifecycle="spot"), persistent=persistent)
    assert [one.reason for one in spot] == reasons
    assert {one.actions for one in spot} <= {STOPS}


@pytest.mark.parametrize(
    ("prepared", "kind", "reasons"),
    [
        (True, M5, []),
        (False, M5, ["hibernation_unsupported"]),
        (True, replace(M5, hibernation_supported=False), ["hibernation_unsupported"]),
    ],
    ids=["prepared", "not prepared", "type can't"],
)
def test_what_cant_hibernate(prepared: bool, kind: TypeModel, reasons: list[str]) -> None:
    given = found(replace(PLAIN, hibernation=prepared), kind, hibernates=True)
    assert [one.reason for one in given] == reasons
    assert {one.actions for one in given} <= {("hibernate",)}


@pytest.mark.parametrize(
    ("protection", "expected"),
    [
        (None, []),
        (Protection(stop=False, terminate=False), []),
        (Protection(stop=True, terminate=False), [("stop_protection", STOPS)]),
        (Protection(stop=False, terminate=True), [("termination_protection", ("terminate",))]),
    ],
    ids=["not read", "none", "stop", "terminate"],
)
def test_protection_attributes(protection: Protection | None, expected: list[tuple[str, Any]]) -> None:
    assert [(one.reason, one.actions) for one in found(protection=protection)] == expected
