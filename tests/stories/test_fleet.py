"""The stories of the fleet: what must survive, and what must go."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import botocore
import pytest
from botocore.loaders import Loader

from reaper.clients.aws import trimmed
from reaper.testing import T0, hours, minutes
from reaper.testing.ec2 import Usage
from tests.stories.fleets import IDLE, LADDER, OLD, FleetStory, fleet_story

DAY = timedelta(days=1)

Tell = Callable[..., AbstractAsyncContextManager[FleetStory]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    home = trimmed.cache_dir({"XDG_CACHE_HOME": str(folder)})
    assert home is not None
    trimmed.build(trimmed.place(home, botocore.__version__), Loader())
    return folder


@pytest.fixture
def tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Tell:
    return partial(_told, tmp_path, monkeypatch, cache)


def _told(
    home: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, policies: str = IDLE, **settings: str
) -> AbstractAsyncContextManager[FleetStory]:
    return fleet_story(home, monkeypatch, policies, cache, **settings)


async def test_an_idle_instance_is_stopped_and_one_at_work_is_not(tell: Tell) -> None:
    async with tell() as story:
        box = story.fleet.add("m5.large", "box", age=DAY)
        busy = story.fleet.add("m5.large", "busy", age=DAY, usage=Usage(cpu=80.0))
        young = story.fleet.add("m5.large", "young", age=hours(1))
        kept = story.fleet.add("m5.large", "kept", age=DAY, tags={"reaper:protect": "demo"})
        await story.rounds(4)
        assert story.states([box.id, busy.id, young.id, kept.id]) == ["stopped", *3 * ["running"]]
        assert story.status("busy")["hourly_cost"] is not None
        assert story.status("kept")["reason"] == "protected"
        (entry,) = await story.done()
        action, at, *by = box.tags["reaper:last-action"].split()
        assert (action, at[:11], by) == ("stop", "2026-03-02T", ["idle", entry.decision_id])


async def test_cloudwatch_unreachable_stops_none_of_twenty(tell: Tell) -> None:
    """cloud-custodian 0.9.53 stops all twenty: without metrics it takes them for idle."""
    async with tell() as story:
        ids = [story.fleet.add("m5.large", f"b-{number}", age=3 * DAY).id for number in range(20)]
        story.fleet.fail("GetMetricData", "InternalFailure", status=500, times=None)
        await story.rounds(8)
        assert story.states(ids) == 20 * ["running"]
        assert (story.acts(), story.status("b-0")["verdict"]) == ([], "unknown")


async def test_w8_eight_processes_on_192_vcpus(tell: Tell) -> None:
    async with tell(EC2__ALLOW="instance_store") as story:
        usage = Usage(cpu=4.2, gpus=8 * [0.0])
        box = story.fleet.add("p5.48xlarge", "box", age=3 * DAY, usage=usage)
        await story.rounds(6)
        assert story.states([box.id]) == ["running"]


async def test_w9_local_disks(tell: Tell) -> None:
    async with tell() as story:
        box = story.fleet.add("g5.xlarge", "box", age=DAY, usage=Usage(gpus=[0.0]))
        await story.rounds(4)
        assert story.states([box.id]) == ["running"]
        assert story.status()["reason"] == "instance_store"
        assert "erases 250 GB" in await story.explain()


@pytest.mark.parametrize("reserved", ["capacity_reservation", "capacity_block"])
async def test_w10_reserved_capacity(tell: Tell, reserved: str) -> None:
    async with tell() as story:
        box = story.fleet.add("m5.large", "box", age=DAY)
        setattr(box, reserved, "cr-0123456789abcdef0")
        await story.rounds(4)
        assert (story.states([box.id]), await story.done()) == (["running"], [])
        assert story.status()["reason"] == "reserved_capacity"
        assert "saves nothing" in await story.explain()


async def test_w11_what_its_owner_stopped_is_never_terminated(tell: Tell) -> None:
    async with tell(LADDER) as story:
        box = story.fleet.add("m5.large", "box", age=DAY)
        await story.rounds(1)
        box.stop(story.clock.now())
        await story.rounds(20, DAY)
        assert (story.states([box.id]), story.acts()) == (["stopped"], [])


async def test_w11_nor_what_its_owner_started_after_our_stop_and_stopped_again(tell: Tell) -> None:
    async with tell(LADDER) as story:
        box = story.fleet.add("m5.large", "box", age=DAY)
        await story.rounds(6)
        assert (story.states([box.id]), story.acts()) == (["stopped"], ["StopInstances"])
        box.start(story.clock.now())
        await story.rounds(1)
        box.stop(story.clock.now())
        await story.rounds(20, DAY)
        assert (story.states([box.id]), story.acts()) == (["stopped"], ["StopInstances"])


async def test_w12_training_that_began_three_minutes_before_the_act(tell: Tell) -> None:
    """CloudWatch is ten minutes behind: the work shows only after the instant at which it became due."""
    async with tell() as story:
        story.fleet.metrics.lag = minutes(10)
        begun = T0 + minutes(57)

        def training(begins: datetime) -> float:
            return 97.0 if begins >= begun else 0.3

        box = story.fleet.add("m5.large", "box", age=hours(1), usage=Usage(cpu=training))
        await story.rounds(48)
        assert (story.states([box.id]), story.acts()) == (["running"], [])


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"aws:autoscaling:groupName": "web"}, "auto_scaling"),
        ({"karpenter.sh/nodepool": "default"}, "service_managed"),
        ({"eks:cluster-name": "prod"}, "service_managed"),
        ({"aws:elasticmapreduce:job-flow-id": "j-1"}, "service_managed"),
        ({"AWSBatchServiceTag": "batch"}, "service_managed"),
        ({"parallelcluster:cluster-name": "hpc"}, "service_managed"),
        ({"Vendor": "Databricks"}, "service_managed"),
        ({"aws:ec2:fleet-id": "fleet-1"}, "service_managed"),
    ],
)
async def test_w13_nodes_of_others(tell: Tell, tags: dict[str, str], reason: str) -> None:
    async with tell(OLD) as story:
        box = story.fleet.add("m5.large", "box", age=5 * DAY, tags=tags)
        await story.rounds(4)
        assert (story.states([box.id]), story.status()["reason"]) == (["running"], reason)


async def test_w15_a_persistent_spot_instance_can_be_started_again(tell: Tell) -> None:
    async with tell() as story:
        box = story.fleet.add("m5.large", "box", age=DAY, spot="persistent")
        await story.rounds(5)
        assert (story.states([box.id]), story.acts()) == (["stopped"], ["StopInstances"])
        assert box.spot is not None
        assert box.spot.state == "disabled"  # not cancelled: it starts again with its instance


async def test_f5_a_g5_of_three_days_without_an_agent_goes_by_age(tell: Tell) -> None:
    async with tell(IDLE + OLD, EC2__ALLOW="instance_store") as story:
        box = story.fleet.add("g5.xlarge", "box", age=hours(72))
        await story.rounds(5)
        assert story.states([box.id]) == ["stopped"]
        (entry,) = await story.done()
        assert entry.policy == "old"
        assert entry.hourly_cost == pytest.approx(1.006, abs=0.01)


async def test_f10_an_agent_with_only_the_host_dimension_is_found(tell: Tell) -> None:
    async with tell(EC2__ALLOW="instance_store") as story:
        for name, load in (("box", 0.0), ("busy", 90.0)):
            usage = Usage(gpus=[load], agent_names_host=True)
            story.fleet.add("g5.xlarge", name, age=DAY, usage=usage)
        await story.rounds(4)
        found = {one.tags["Name"]: one.state for one in story.fleet.shard().instances.values()}
        assert found == {"box": "stopped", "busy": "running"}


async def test_f11_the_chatter_of_agents_keeps_nothing(tell: Tell) -> None:
    async with tell() as story:
        usage = Usage(network_in=15_000.0, network_out=60_000.0, ebs_write=60_000.0)
        box = story.fleet.add("m5.large", "box", age=3 * DAY, usage=usage)
        await story.rounds(4)
        assert story.states([box.id]) == ["stopped"]


async def test_f12_the_ladder_goes_on_without_datapoints(tell: Tell) -> None:
    async with tell(LADDER) as story:
        box = story.fleet.add("m5.large", "box", age=DAY)
        await story.rounds(6)
        assert story.states([box.id]) == ["stopped"]
        await story.rounds(13, DAY)
        assert (story.states([box.id]), story.status()["reason"]) == (["stopped"], "ladder_waits")
        await story.rounds(2, DAY)
        assert story.acts() == ["StopInstances", "TerminateInstances"]
        assert [entry.action for entry in await story.done()] == ["stop", "terminate"]


async def test_a_throttling_storm_delays_and_does_not_mislead(tell: Tell) -> None:
    async with tell() as story:
        box = story.fleet.add("m5.large", "box", age=DAY)
        busy = story.fleet.add("m5.large", "busy", age=DAY, usage=Usage(cpu=80.0))
        story.fleet.throttle("GetMetricData")
        await story.rounds(1)
        story.fleet.heal()
        await story.rounds(5)
        assert story.states([box.id, busy.id]) == ["stopped", "running"]


async def test_one_that_changes_between_the_look_and_the_act(tell: Tell) -> None:
    async with tell() as story:
        box = story.fleet.add("m5.large", "box", age=DAY)
        story.fleet.before("DescribeInstanceAttribute", lambda: box.tags.update({"reaper:protect": ""}))
        await story.rounds(6)
        assert (story.states([box.id]), story.acts()) == (["running"], [])
        assert story.status()["reason"] == "protected"


async def test_a_plan_says_what_would_be_denied(tell: Tell) -> None:
    async with tell(MODE="dry-run") as story:
        box = story.fleet.add("m5.large", "box", age=DAY)
        story.fleet.deny("StopInstances")
        await story.rounds(4)
        plan = await story.plan()
        (item,) = plan["items"]
        assert (item["name"], "ec2:StopInstances" in item["would_be_denied"]) == ("box", True)
        assert (story.states([box.id]), box.tags.get("reaper:last-action")) == (["running"], None)
