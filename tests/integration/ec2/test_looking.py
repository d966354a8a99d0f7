"""The instances of an account and region on the fake: what is listed, what is asked of CloudWatch, what it says."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from reaper.clients.aws import Models
from reaper.clients.ec2 import forget_types
from reaper.clients.prices import PriceBook
from reaper.core.model import Activity
from reaper.providers.ec2.options import Thresholds, Timeouts, never
from reaper.testing import T0, FakeClock, hours, minutes
from reaper.testing.ec2 import Fleet, Usage
from tests.integration.ec2.watching import Watching, activities, signals
from tests.integration.studio.watching import made_models
from tests.support.ec2 import fixture_clock, fixture_fleet

__all__ = ["fixture_clock", "fixture_fleet"]

DAY = timedelta(days=1)


def nothing(_begins: datetime) -> None:
    """No datapoint."""


ALL = {"state", "cpu", "network", "ebs"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return made_models(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def no_types() -> None:
    forget_types()


@pytest.fixture
async def watching(fleet: Fleet, clock: FakeClock, models: Models) -> AsyncIterator[Watching]:
    one = Watching(fleet, clock, models)
    yield one
    await one.close()


class TestListing:
    async def test_what_is_told_of_one(self, watching: Watching, fleet: Fleet) -> None:
        box = fleet.add("g5.xlarge", "box", age=3 * DAY, tags={"Owner": "ann", "reaper:protect": ""})
        seen = await watching.look()
        (resource,) = seen.resources
        assert (resource.ref.kind, resource.ref.scope, resource.ref.id) == (
            "ec2.instance",
            "123456789012/us-east-1",
            box.id,
        )
        assert (resource.name, resource.owner, resource.started_at) == ("box", "ann", T0 - 3 * DAY)
        wanted = {
            "instance_type": "g5.xlarge",
            "state": "running",
            "lifecycle": "on-demand",
            "gpus": 1,
            "vcpus": 4,
        }
        assert wanted.items() <= resource.attributes.items()
        assert "reaper:protect" in resource.tags
        assert watching.source.interval == minutes(5)

    async def test_states(self, watching: Watching, fleet: Fleet) -> None:
        for state in ("running", "pending", "stopping", "stopped", "shutting-down", "terminated"):
            fleet.add("m5.large", state, age=hours(1), state=state)
        seen = await watching.look(timedelta(0))
        assert {
            resource.name: signals(seen, resource.name)["state"].activity for resource in seen.resources
        } == {
            "running": Activity.IDLE,
            "pending": Activity.ACTIVE,
            "stopping": Activity.UNKNOWN,
            "stopped": Activity.IDLE,
            "shutting-down": Activity.UNKNOWN,
        }
        found = {resource.name: resource for resource in seen.resources}
        assert {name for name, one in found.items() if one.stopped is not None} == {"stopped"}
        reasons = {name: [obstacle.reason for obstacle in one.obstacles] for name, one in found.items()}
        assert reasons == {
            "running": [],
            "stopped": [],
            "pending": ["in_transition"],
            "stopping": ["in_transition"],
            "shutting-down": ["in_transition"],
        }

    async def test_a_start_is_a_new_life(self, watching: Watching, fleet: Fleet, clock: FakeClock) -> None:
        box = fleet.add("m5.large", "box", age=DAY)
        before = (await watching.resources())["box"]
        box.stop(clock.now())
        stopped = (await watching.resources())["box"]
        assert (stopped.ref, stopped.stopped is not None) == (before.ref, True)
        assert stopped.stopped is not None
        assert stopped.stopped.at == clock.now() - minutes(5)
        box.start(clock.now())
        after = (await watching.resources())["box"]
        assert (after.ref.key == before.ref.key, after.ref == before.ref) == (True, False)

    async def test_cost_is_told_while_it_runs(self, fleet: Fleet, clock: FakeClock, models: Models) -> None:
        prices = PriceBook(clock, overrides={"g5.xlarge": 1.006})
        watching = Watching(fleet, clock, models, prices=prices)
        fleet.add("g5.xlarge", "box")
        fleet.add("g5.xlarge", "off", state="stopped")
        found = await watching.resources()
        assert (found["box"].hourly_cost, found["off"].hourly_cost) == (1.006, None)
        assert found["box"].attributes["price_source"] == "override"
        assert "price_source" not in found["off"].attributes
        await watching.close()


class TestAsking:
    async def test_nobody_pays_before_a_deadline_can_have_come(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        fleet.add("m5.large", "box", age=hours(1))
        seen = await watching.look()
        assert (set(signals(seen)), fleet.metrics.asked) == ({"state"}, 0)

    async def test_nobody_pays_where_no_policy_reads_activity(
        self, fleet: Fleet, clock: FakeClock, models: Models
    ) -> None:
        watching = Watching(fleet, clock, models, timeouts=never)
        fleet.add("g5.xlarge", "box", age=DAY)
        assert set(signals(await watching.look())) == {"state"}
        assert fleet.metrics.asked == 0
        await watching.close()

    async def test_nobody_pays_before_a_term_is_near(
        self, fleet: Fleet, clock: FakeClock, models: Models
    ) -> None:
        far = Timeouts(ask_after=minutes(5), look_back=DAY, asks=False)
        watching = Watching(fleet, clock, models, timeouts=lambda _: far)
        fleet.add("m5.large", "box", age=DAY)
        seen = await watching.look()
        assert (set(signals(seen)), fleet.metrics.asked) == ({"state"}, 0)
        (resource,) = seen.resources
        assert set(signals(await watching.look(refs=(resource.ref,)))) == ALL
        await watching.close()

    async def test_cpu_first_and_the_rest_only_where_it_is_quiet(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        fleet.add("m5.large", "busy", age=DAY, usage=Usage(cpu=90.0))
        fleet.add("m5.large", "quiet", age=DAY)
        seen = await watching.look()
        assert (set(signals(seen, "busy")), set(signals(seen, "quiet"))) == ({"state", "cpu"}, ALL)
        assert fleet.metrics.asked == 2 + 4
        assert len(fleet.calls("GetMetricData")) == 2

    async def test_one_at_work_is_not_asked_about_again_for_the_timeout(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        fleet.add("m5.large", "box", age=DAY, usage=Usage(cpu=90.0))
        said = signals(await watching.look())["cpu"]
        assert (said.activity, said.evidence_at) == (Activity.IDLE, T0)
        for _ in range(20):
            assert signals(await watching.look())["cpu"].evidence_at == T0
        assert fleet.metrics.asked == 1
        assert signals(await watching.look(hours(1)))["cpu"].evidence_at == T0 + minutes(160)
        assert fleet.metrics.asked == 2

    async def test_a_fresh_look_asks_everything_of_one(self, watching: Watching, fleet: Fleet) -> None:
        fleet.add("m5.large", "box", age=minutes(30))
        fleet.add("m5.large", "other", age=DAY)
        found = (await watching.resources())["box"]
        before = fleet.metrics.asked
        seen = await watching.look(timedelta(0), (found.ref,))
        assert (seen.poll.targets, set(signals(seen)), fleet.metrics.asked - before) == (
            (found.ref.id,),
            ALL,
            5,
        )

    @pytest.mark.parametrize(
        ("tags", "why"),
        [
            ({"Reaper:Protect": "no"}, "Reaper:Protect"),
            ({"aws:autoscaling:groupName": "web"}, "Auto Scaling group web"),
        ],
        ids=["protected", "scaled"],
    )
    async def test_nobody_pays_for_what_is_never_acted_on(
        self, watching: Watching, fleet: Fleet, tags: dict[str, str], why: str
    ) -> None:
        fleet.add("m5.large", "box", age=DAY, tags=tags, usage=Usage(cpu=90.0))
        seen = await watching.look()
        said = signals(seen)["cpu"]
        assert (said.activity, said.evidence_at) == (Activity.IDLE, T0 - DAY)
        assert ("not asked" in said.value, why in said.value) == (True, True)
        (resource,) = seen.resources
        await watching.look(timedelta(0), (resource.ref,))
        assert fleet.metrics.asked == 0

    async def test_what_may_be_terminated_is_asked_about_though_it_cant_be_stopped(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        fleet.add("m5.large", "box", age=DAY, spot="one-time")
        assert set(signals(await watching.look())) == ALL

    async def test_what_was_known_before_it_was_protected_stays_known(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        box = fleet.add("m5.large", "box", age=DAY, usage=Usage(cpu=90.0))
        await watching.look()
        asked = fleet.metrics.asked
        box.tags["reaper:protect"] = ""
        said = signals(await watching.look(DAY))["cpu"]
        assert (said.activity, said.evidence_at, fleet.metrics.asked) == (Activity.IDLE, T0, asked)
        del box.tags["reaper:protect"]
        assert signals(await watching.look())["cpu"].evidence_at == T0 + DAY + minutes(5)

    async def test_five_hundred_a_call(self, watching: Watching, fleet: Fleet) -> None:
        for number in range(510):
            fleet.add("m5.large", f"b-{number}", age=hours(2), usage=Usage(cpu=90.0))
        await watching.resources()
        assert (fleet.metrics.asked, len(fleet.calls("GetMetricData"))) == (510, 2)


class TestIdle:
    async def test_since_its_launch(self, watching: Watching, fleet: Fleet) -> None:
        fleet.add("m5.large", "box", age=hours(20))
        seen = await watching.look()
        assert set(activities(seen).values()) == {Activity.IDLE}
        assert {one.evidence_at for one in signals(seen).values()} == {T0 - hours(20)}
        (resource,) = seen.resources
        assert resource.evidence_lag_s == 600.0  # since the newest datapoint began

    @pytest.mark.parametrize(
        ("signal", "usage"),
        [
            ("cpu", "cpu"),
            ("network", "network_in"),
            ("network", "network_out"),
            ("ebs", "ebs_read"),
            ("ebs", "ebs_write"),
        ],
    )
    async def test_since_the_end_of_its_work(
        self, watching: Watching, fleet: Fleet, signal: str, usage: str
    ) -> None:
        box = fleet.add("m5.large", "box", age=hours(20))

        def load(begins: datetime) -> float:
            at_work = T0 - hours(4) <= begins < T0 - hours(3)
            return {"cpu": 60.0}.get(usage, 5e6) if at_work else 0.1

        setattr(box.usage, usage, load)
        found = signals(await watching.look())
        assert (found[signal].activity, found[signal].evidence_at) == (Activity.IDLE, T0 - hours(3))

    async def test_w8_eight_busy_cores_of_192(self, watching: Watching, fleet: Fleet) -> None:
        """4 % of CPU, GPUs at 0, data on EBS."""
        fleet.add("p5.48xlarge", "box", age=DAY, usage=Usage(cpu=4.2, gpus=[0.0] * 8))
        said = signals(await watching.look())["cpu"]
        assert (said.activity, said.evidence_at) == (Activity.IDLE, T0)

    async def test_f11_chatter_of_agents_over_72_hours(self, watching: Watching, fleet: Fleet) -> None:
        fleet.add("m5.large", "box", age=3 * DAY, usage=Usage(network_out=60_000.0, network_in=15_000.0))
        said = signals(await watching.look())["network"]
        assert (said.activity, said.evidence_at) == (Activity.IDLE, T0 + minutes(5) - DAY)

    async def test_what_was_learnt_is_kept_over_a_restart(
        self, watching: Watching, fleet: Fleet, clock: FakeClock, models: Models
    ) -> None:
        box = fleet.add("m5.large", "box", age=5 * DAY)
        before = await watching.look()
        box.usage.cpu = lambda begins: 60.0 if begins >= T0 + hours(1) else 0.1
        again = Watching(fleet, clock, models, memo=before.memo)
        found = signals(await again.look(hours(2)))
        assert found["cpu"].evidence_at == T0 + hours(2)
        spans = [call["EndTime"] - call["StartTime"] for call in fleet.calls("GetMetricData")]
        assert spans[-1] < hours(13).total_seconds() < spans[0]
        await again.close()

    async def test_what_was_learnt_under_other_thresholds_is_forgotten(
        self, watching: Watching, fleet: Fleet, clock: FakeClock, models: Models
    ) -> None:
        """A GPU at 30 % was no work at first, and is work now."""
        busy_until = T0 - hours(1)
        gpu = [lambda begins: 30.0 if begins < busy_until else 0.0]
        fleet.add("g5.xlarge", "box", age=3 * DAY, usage=Usage(gpus=gpu))
        before = Watching(fleet, clock, models, thresholds=Thresholds(gpu_percent=50.0))
        memo = (await before.look()).memo
        await before.close()
        again = Watching(fleet, clock, models, memo=memo, thresholds=Thresholds(gpu_percent=5.0))
        (ref,) = [resource.ref for resource in (await again.look()).resources]
        found = signals(await again.look(timedelta(0), (ref,)))
        assert found["gpu"].evidence_at == busy_until
        await again.close()

    async def test_a_fresh_look_takes_no_earlier_answer_for_its_own(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        """CloudWatch answers completely, and has nothing: since the last look anything may have been done."""
        box = fleet.add("m5.large", "box", age=DAY)
        seen = await watching.look()
        assert activities(seen)["cpu"] is Activity.IDLE
        box.usage = Usage(cpu=nothing, network_in=nothing, network_out=nothing)
        (resource,) = seen.resources
        said = signals(await watching.look(refs=(resource.ref,)))
        assert {said[name].activity for name in ("cpu", "network")} == {Activity.UNKNOWN}
        assert "answer has none" in said["cpu"].value

    async def test_the_evidence_of_one_stays_the_same_look_after_look(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        fleet.add("m5.large", "box", age=5 * DAY)
        first = signals(await watching.look())
        for _ in range(5):
            assert signals(await watching.look()) == first


class TestGpus:
    async def test_one_that_works(self, watching: Watching, fleet: Fleet) -> None:
        def training(begins: datetime) -> float:
            return 97.0 if begins < T0 - hours(3) else 0.0

        fleet.add("g5.12xlarge", "box", age=DAY, usage=Usage(gpus=[0.0, training, 0.0, 0.0]))
        said = signals(await watching.look())["gpu"]
        assert (said.activity, said.evidence_at) == (Activity.IDLE, T0 - hours(3))

    async def test_without_an_agent_it_is_unknown(self, watching: Watching, fleet: Fleet) -> None:
        fleet.add("g5.xlarge", "box", age=DAY)
        found = signals(await watching.look())
        assert (found["gpu"].activity, found["cpu"].activity) == (Activity.UNKNOWN, Activity.IDLE)
        assert "CloudWatch agent" in found["gpu"].value

    async def test_where_the_agent_tells_of_some_only_it_is_unknown(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        fleet.add("g5.12xlarge", "box", age=DAY, usage=Usage(gpus=[0.0, 0.0]))
        said = signals(await watching.look())["gpu"]
        assert (said.activity, "2 of its 4" in said.value) == (Activity.UNKNOWN, True)

    async def test_f10_an_agent_with_only_the_host_dimension(self, watching: Watching, fleet: Fleet) -> None:
        for name in ("box", "other"):
            busy = 90.0 if name == "other" else 0.0
            fleet.add("g5.xlarge", name, age=DAY, usage=Usage(gpus=[busy], agent_names_host=True))
        seen = await watching.look()
        assert signals(seen)["gpu"].evidence_at == T0 + minutes(5) - DAY
        assert signals(seen, "other")["gpu"].evidence_at == T0

    async def test_a_host_name_that_two_have_tells_nothing(self, watching: Watching, fleet: Fleet) -> None:
        for name in ("box", "twin"):
            usage = Usage(gpus=[0.0], agent_names_host=True)
            fleet.add("g5.xlarge", name, age=DAY, usage=usage, private_ip="10.0.0.5")
        said = signals(await watching.look())["gpu"]
        assert (said.activity, "several" in said.value) == (Activity.UNKNOWN, True)

    @pytest.mark.parametrize("working", [(), (3,), tuple(range(8))], ids=["none", "one", "all"])
    async def test_a_gpu_that_may_be_divided_must_have_shown_something(
        self, watching: Watching, fleet: Fleet, working: tuple[int, ...]
    ) -> None:
        """A GPU in MIG mode shows 0 whatever it does."""

        def trained(begins: datetime) -> float:
            return 1.0 if begins < T0 - hours(12) else 0.0

        gpus = [trained if number in working else 0.0 for number in range(8)]
        fleet.add("p4d.24xlarge", "box", age=DAY - hours(1), usage=Usage(gpus=gpus))
        said = signals(await watching.look())["gpu"]
        everything = len(working) == 8
        assert said.activity is (Activity.IDLE if everything else Activity.UNKNOWN)
        assert ("MIG" in said.value, "0, 1, 2, 4" in said.value) == (not everything, working == (3,))

    async def test_what_a_divisible_gpu_showed_is_kept_over_a_restart(
        self, watching: Watching, fleet: Fleet, clock: FakeClock, models: Models
    ) -> None:
        def trained(begins: datetime) -> float:
            return 1.0 if begins < T0 - hours(12) else 0.0

        fleet.add("p4d.24xlarge", "box", age=DAY - hours(1), usage=Usage(gpus=8 * [trained]))
        again = Watching(fleet, clock, models, memo=(await watching.look()).memo)
        assert signals(await again.look())["gpu"].activity is Activity.IDLE
        await again.close()

    async def test_what_the_agent_called_gpus_before_does_not_blind(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        """ListMetrics names it for two weeks, and so it does GPUs of an earlier life on a greater type."""
        box = fleet.add("g5.xlarge", "box", age=hours(20), usage=Usage(gpus=[0.0]))
        namespace, name = "CWAgent", "nvidia_smi_utilization_gpu"
        for index, points in (
            ("0", {T0 - hours(30): 50.0, T0 - hours(19): 50.0}),
            ("1", {T0 - hours(30): 50.0}),
        ):
            fleet.metrics.put(box.place, namespace, name, {"InstanceId": box.id, "index": index}, points)
        said = signals(await watching.look())["gpu"]
        assert (said.activity, said.evidence_at) == (Activity.IDLE, T0 - hours(19) + minutes(5))

    async def test_an_accelerator_that_nobody_measures(self, watching: Watching, fleet: Fleet) -> None:
        fleet.add("trn1.2xlarge", "box", age=DAY)
        assert signals(await watching.look())["gpu"].activity is Activity.UNKNOWN


class TestVolumes:
    """Types that are not of the Nitro system have no EBS metrics of their own."""

    async def test_idle_volumes_have_no_datapoints(self, watching: Watching, fleet: Fleet) -> None:
        fleet.add("p3.2xlarge", "box", age=DAY, usage=Usage(ebs_read=None, ebs_write=None, gpus=[0.0]))
        said = signals(await watching.look())["ebs"]
        assert said.activity is Activity.IDLE

    async def test_a_volume_at_work(self, watching: Watching, fleet: Fleet) -> None:
        box = fleet.add("p3.2xlarge", "box", age=DAY, usage=Usage(ebs_read=None, ebs_write=None, gpus=[0.0]))
        for name in ("VolumeReadBytes", "VolumeWriteBytes"):
            points = {T0 - hours(3): 9e6}
            fleet.metrics.put(box.place, "AWS/EBS", name, {"VolumeId": box.volumes[0].id}, points)
        said = signals(await watching.look())["ebs"]
        assert (said.activity, said.evidence_at) == (Activity.IDLE, T0 - hours(3) + minutes(5))
