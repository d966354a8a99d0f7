"""What goes wrong in looking at a shard: CloudWatch or EC2 fail, lie or are late. Nothing is idle because of it."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from reaper.clients.aws import Models
from reaper.clients.ec2 import forget_types
from reaper.core.model import Activity, Collected
from reaper.testing import T0, FakeClock, hours, minutes
from reaper.testing.ec2 import Fleet, Instance, Usage
from tests.integration.ec2.watching import Watching, activities, signals
from tests.integration.studio.watching import made_models
from tests.support.ec2 import fixture_clock, fixture_fleet

__all__ = ["fixture_clock", "fixture_fleet"]

DAY = timedelta(days=1)


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


@pytest.fixture
def box(fleet: Fleet) -> Instance:
    return fleet.add("m5.large", "box", age=DAY)


def in_doubt(seen: Collected) -> bool:
    """Tell whether the look was complete, and says of the box that its activity is not known."""
    assert seen.poll.complete, seen.poll.error
    return Activity.UNKNOWN in activities(seen).values()


@pytest.mark.parametrize("operation", ["GetMetricData"])
@pytest.mark.parametrize("how", ["fail", "throttle", "deny", "garble", "html", "drop"])
async def test_cloudwatch_that_fails_leaves_the_listing(
    watching: Watching, fleet: Fleet, box: Instance, operation: str, how: str
) -> None:
    match how:
        case "fail":
            fleet.fail(operation, "InternalFailure", status=500, times=None)
        case "throttle":
            fleet.throttle(operation)
        case "deny":
            fleet.deny(operation)
        case _:
            getattr(fleet, how)(operation, times=None)
    assert in_doubt(await watching.look())
    fleet.heal()
    assert not in_doubt(await watching.look())


async def test_cloudwatch_that_never_answers(watching: Watching, fleet: Fleet, box: Instance) -> None:
    watching.deadline = 2.0
    fleet.hang("GetMetricData")
    seen = await watching.look()
    assert in_doubt(seen)
    assert "no complete answer within" in signals(seen)["cpu"].value


async def test_an_answer_that_is_not_complete(watching: Watching, fleet: Fleet, box: Instance) -> None:
    other = fleet.add("m5.large", "other", age=DAY)
    fleet.metrics.status[box.id] = "PartialData"
    seen = await watching.look()
    assert in_doubt(seen)
    assert Activity.UNKNOWN not in activities(seen, other.tags["Name"]).values()


async def test_gpus_whose_metrics_cant_be_listed(watching: Watching, fleet: Fleet) -> None:
    fleet.add("g5.xlarge", "box", age=DAY, usage=Usage(gpus=[0.0]))
    fleet.deny("ListMetrics")
    found = activities(await watching.look())
    assert (found["gpu"], found["cpu"]) == (Activity.UNKNOWN, Activity.IDLE)


@pytest.mark.parametrize("how", ["fail", "throttle", "deny", "garble"])
async def test_ec2_that_fails_is_a_look_that_brought_nothing(
    watching: Watching, fleet: Fleet, box: Instance, how: str
) -> None:
    match how:
        case "fail":
            fleet.fail("DescribeInstances", "InternalError", times=None)
        case "garble":
            fleet.garble("DescribeInstances", times=None)
        case "throttle":
            fleet.throttle("DescribeInstances")
        case _:
            fleet.deny("DescribeInstances")
    seen = await watching.look()
    assert (seen.poll.complete, seen.resources, bool(seen.poll.error)) == (False, (), True)


async def test_types_that_cant_be_described(watching: Watching, fleet: Fleet, box: Instance) -> None:
    """Whether it has local disks or GPUs is not known then, so it is neither stopped nor idle."""
    fleet.deny("DescribeInstanceTypes")
    seen = await watching.look()
    assert in_doubt(seen)
    (resource,) = seen.resources
    assert [one.reason for one in resource.obstacles] == ["instance_store"]
    assert any("DescribeInstanceTypes" in note for note in seen.notes)


async def test_spot_requests_that_cant_be_described(watching: Watching, fleet: Fleet) -> None:
    fleet.add("m5.large", "box", age=DAY, spot="one-time")
    fleet.deny("DescribeSpotInstanceRequests")
    seen = await watching.look()
    assert seen.poll.complete
    assert any("spot requests" in note for note in seen.notes)


@pytest.mark.parametrize("ahead", [hours(1), -minutes(4)])
async def test_a_clock_that_is_wrong_makes_nothing_idle_for_longer(
    fleet: Fleet, clock: FakeClock, models: Models, ahead: timedelta
) -> None:
    """Ours ahead: the newest datapoints look too old. Ours behind: nothing is dated in our future."""

    def at_work(begins: datetime) -> float:
        return 90.0 if begins >= T0 - minutes(10) else 0.1

    wrong = FakeClock(T0 + ahead)
    watching = Watching(fleet, wrong, models)
    fleet.add("m5.large", "box", age=DAY, usage=Usage(cpu=at_work))
    clock.advance(minutes(5))
    said = signals(await watching.look())["cpu"]
    if ahead > timedelta(0):
        assert said.activity is Activity.UNKNOWN
    else:
        assert said.evidence_at is not None
        assert T0 - minutes(4) <= said.evidence_at <= wrong.now()
    await watching.close()


async def test_datapoints_that_stop_make_it_unknown(watching: Watching, fleet: Fleet, box: Instance) -> None:
    box.usage.cpu = lambda begins: None if begins >= T0 else 0.1
    assert not in_doubt(await watching.look())
    assert in_doubt(await watching.look(minutes(30)))
