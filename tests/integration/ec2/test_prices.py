"""Prices of a fleet, on the fake: what is asked, what misleads, and what goes wrong."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from reaper.clients.aws import Aws, AwsOptions, Models
from reaper.clients.prices import SHIPPED_ON, PriceBook
from reaper.clients.prices.asking import PriceAsker
from reaper.core.model import Resource, ResourceRef
from reaper.testing import FakeClock, hours, minutes
from reaper.testing.ec2 import Fleet
from tests.support.ec2 import fixture_clock, fixture_fleet

__all__ = ["fixture_clock", "fixture_fleet"]

HERE, ACCOUNT = "us-east-1", "111111111111"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("cache"))


@dataclass
class Desk:
    clock: FakeClock
    book: PriceBook
    asker: PriceAsker
    account: str

    async def cost(
        self, instance_type: str, *, kind: str = "ec2.instance", region: str = HERE, **attributes: Any
    ) -> tuple[float | None, object]:
        """Give what a resource costs, before and after AWS was asked, and where that is known from."""
        ref = ResourceRef(kind=kind, scope=f"{self.account}/{region}", id="i-1", incarnation="1")
        said = {
            "instance_type": instance_type,
            "lifecycle": "on-demand",
            "platform": "Linux/UNIX",
            **attributes,
        }
        resource = Resource(ref=ref, name="box", attributes=said)
        self.book.priced(resource)
        await self.asker.ask(20)
        priced = self.book.priced(resource)
        return priced.hourly_cost, priced.attributes.get("price_source")


@pytest.fixture
async def desk(fleet: Fleet, clock: FakeClock, models: Models) -> AsyncIterator[Desk]:
    aws = Aws(AwsOptions(attempts=1, connect_timeout_s=2, read_timeout_s=2), models)
    book = PriceBook(clock, asks=True)
    [account] = fleet.accounts
    book.register(account, aws)
    yield Desk(clock, book, PriceAsker(book, aws, clock), account)
    await aws.close()


LISTED = "pricing-api 2026-01-01"
SHIPPED = f"shipped {SHIPPED_ON}"


async def test_the_list_price_among_all_that_misleads(fleet: Fleet, desk: Desk) -> None:
    """Beside it stand reservations and Capacity Blocks at 0.0, and other tenancies."""
    fleet.prices["g5.xlarge", HERE] = 1.5
    assert await desk.cost("g5.xlarge") == (1.5, LISTED)
    assert len(fleet.calls("GetProducts")) == 1
    assert await desk.cost("g5.xlarge") == (1.5, LISTED)
    assert len(fleet.calls("GetProducts")) == 1


async def test_another_system_and_another_region_cost_something_else(fleet: Fleet, desk: Desk) -> None:
    fleet.prices["g5.xlarge", HERE] = 1.5
    fleet.prices["g5.xlarge", "eu-west-1"] = 1.75
    windows, _ = await desk.cost("g5.xlarge", platform="Windows")
    assert windows == pytest.approx(1.5 + 4 * 0.046)
    assert await desk.cost("g5.xlarge", region="eu-west-1") == (1.75, LISTED)


async def test_sagemaker_has_prices_of_its_own(fleet: Fleet, desk: Desk) -> None:
    fleet.prices["g5.xlarge", HERE] = 1.6
    assert await desk.cost("ml.g5.xlarge", kind="studio.app", app_type="JupyterLab") == (2.0, LISTED)
    assert await desk.cost("ml.g5.xlarge", kind="sagemaker.notebook_instance") == (2.0, LISTED)
    calls = fleet.calls("GetProducts")
    assert [call["ServiceCode"] for call in calls] == [
        "AmazonSageMaker"
    ]  # one answer has all that it runs as


async def test_a_spot_price_is_of_the_zone_and_an_hour_old_at_most(fleet: Fleet, desk: Desk) -> None:
    fleet.spot_prices["g5.xlarge", f"{HERE}a"] = 0.41
    fleet.spot_prices["g5.xlarge", f"{HERE}b"] = 0.52
    for zone, hourly in (("a", 0.41), ("b", 0.52)):
        cost, source = await desk.cost("g5.xlarge", lifecycle="spot", availability_zone=f"{HERE}{zone}")
        assert cost == hourly
        assert str(source).startswith("spot-history 2026-03-0")
    fleet.spot_prices["g5.xlarge", f"{HERE}a"] = 0.6
    desk.clock.advance(minutes(59))
    assert (await desk.cost("g5.xlarge", lifecycle="spot", availability_zone=f"{HERE}a"))[0] == 0.41
    desk.clock.advance(minutes(1))
    assert (await desk.cost("g5.xlarge", lifecycle="spot", availability_zone=f"{HERE}a"))[0] == 0.6


async def test_a_price_that_nobody_says_is_unknown(fleet: Fleet, desk: Desk) -> None:
    fleet.spot_prices["g5.xlarge", f"{HERE}a"] = None
    fleet.prices["p5.48xlarge", "eu-west-1"] = None
    assert await desk.cost("g5.xlarge", lifecycle="spot", availability_zone=f"{HERE}a") == (None, None)
    assert await desk.cost("p5.48xlarge", region="eu-west-1") == (None, None)


async def test_0_is_unknown_and_the_shipped_price_says_of_when_it_is(fleet: Fleet, desk: Desk) -> None:
    fleet.prices["g5.xlarge", HERE] = 0.0
    assert await desk.cost("g5.xlarge") == (1.006, SHIPPED)
    fleet.prices["p5.48xlarge", "eu-west-1"] = 0.0
    assert await desk.cost("p5.48xlarge", region="eu-west-1") == (None, None)


@pytest.mark.parametrize("trouble", ["denied", "throttled", "down"])
async def test_what_is_known_is_used_while_aws_says_nothing(fleet: Fleet, desk: Desk, trouble: str) -> None:
    if trouble == "denied":
        fleet.deny("GetProducts")
    elif trouble == "throttled":
        fleet.throttle("GetProducts")
    else:
        fleet.fail("GetProducts", "InternalErrorException", status=500, times=100)
    assert await desk.cost("g5.xlarge") == (1.006, SHIPPED)
    assert await desk.cost("g6.48xlarge", region="eu-west-1") == (None, None)
    assert len(desk.asker.problems) == 1
    asked = len(fleet.calls("GetProducts"))
    await desk.asker.ask(20)
    assert len(fleet.calls("GetProducts")) == asked
    fleet.heal()
    desk.clock.advance(minutes(5))
    fleet.prices["g5.xlarge", HERE] = 1.5
    assert await desk.cost("g5.xlarge") == (1.5, LISTED)
    assert not desk.asker.problems


async def test_one_regions_spot_prices_failing_hide_no_others(fleet: Fleet, desk: Desk) -> None:
    fleet.spot_prices["g5.xlarge", "eu-west-1a"] = 0.4
    fleet.throttle("DescribeSpotPriceHistory", region=HERE)
    fleet.prices["g5.xlarge", HERE] = 1.5
    assert (await desk.cost("g5.xlarge", lifecycle="spot", availability_zone=f"{HERE}a"))[0] is None
    spot = await desk.cost("g5.xlarge", region="eu-west-1", lifecycle="spot", availability_zone="eu-west-1a")
    assert spot[0] == 0.4
    assert (await desk.cost("g5.xlarge"))[0] == 1.5
    [problem] = desk.asker.problems
    assert HERE in problem


async def test_a_fleet_of_many_types_asks_once_a_type_and_region_and_day(fleet: Fleet, desk: Desk) -> None:
    types = ["g5.xlarge", "g5.2xlarge", "m5.large", "c5.large"]
    scope = f"{desk.account}/{HERE}"
    for number in range(2000):
        spot = number % 2 == 1
        attributes = {
            "instance_type": types[number // 2 % len(types)],
            "lifecycle": "spot" if spot else "on-demand",
            "platform": "Linux/UNIX",
            "availability_zone": f"{HERE}{'abc'[number % 3]}",
        }
        desk.book.of("ec2.instance", scope, attributes)
    await desk.asker.ask(20)
    assert len(fleet.calls("GetProducts")) == len(types)
    assert len(fleet.calls("DescribeSpotPriceHistory")) == 1
    await desk.asker.ask(20)
    desk.clock.advance(hours(1))
    await desk.asker.ask(20)
    assert len(fleet.calls("GetProducts")) == len(types)
    assert len(fleet.calls("DescribeSpotPriceHistory")) == 2
