"""The book is filled in its own time: what is asked, and what it goes on with where AWS does not answer."""

import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from reaper.clients.aws import Aws, AwsOptions
from reaper.clients.prices import SHIPPED_ON, Price, PriceBook, PriceKey
from reaper.clients.prices.asking import PriceAsker
from reaper.testing.clock import T0, FakeClock
from tests.unit.clients.aws_server import AwsServer, serving
from tests.unit.clients.test_prices_list import dimension, product, studio

G5 = PriceKey("eu-central-1", "g5.xlarge")
LAB = PriceKey("eu-central-1", "ml.g5.xlarge", component="Studio:JupyterLab")
SPOT = G5._replace(spot=True, zone="eu-central-1a", account="123456789012")
SHIPPED = Price(hourly=1.258, source="shipped", date=SHIPPED_ON)
TOLD = Price(hourly=1.3, source="pricing-api", date=date(2026, 2, 1))
SPOT_ANSWER = """<?xml version="1.0" encoding="UTF-8"?>
<DescribeSpotPriceHistoryResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId>
<spotPriceHistorySet>
<item><instanceType>g5.xlarge</instanceType><productDescription>Linux/UNIX</productDescription>
<spotPrice>0.412300</spotPrice><timestamp>2026-03-02T06:00:00.000Z</timestamp>
<availabilityZone>eu-central-1a</availabilityZone></item>
</spotPriceHistorySet><nextToken></nextToken></DescribeSpotPriceHistoryResponse>"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trimmed models, made once for all tests of the module."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsServer]:
    async with serving() as running:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


class Desk:
    """A book and who fills it, at a clock that stands."""

    def __init__(self, cache: Path) -> None:
        self.clock = FakeClock()
        self.book = PriceBook(self.clock, asks=True)
        self.aws = Aws(AwsOptions(attempts=1, connect_timeout_s=2, read_timeout_s=1, cache=cache))
        self.book.register("123456789012", self.aws)
        self.asker = PriceAsker(self.book, self.aws, self.clock)

    async def ask(self, seconds: float = 20) -> None:
        await self.asker.ask(seconds)


@pytest.fixture
async def desk(server: AwsServer, cache: Path) -> AsyncIterator[Desk]:
    made = Desk(cache)
    yield made
    await made.aws.close()


def listed(*products: object) -> dict[str, object]:
    return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(one) for one in products]}


async def test_what_was_wanted_is_asked_for_once_a_day(server: AwsServer, desk: Desk) -> None:
    server.answer(listed(product(dimension("1.3"))))
    assert desk.book.price(G5) == SHIPPED
    await desk.ask()
    assert desk.book.price(G5) == TOLD
    [asked] = server.asked
    assert asked.operation == "GetProducts"
    assert asked.body["ServiceCode"] == "AmazonEC2"
    assert {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-central-1"} in asked.body["Filters"]
    await desk.ask()
    assert len(server.asked) == 1
    desk.clock.advance(timedelta(hours=24))
    await desk.ask()
    assert len(server.asked) == 2
    assert desk.asker.problems == ()


async def test_nothing_wanted_is_nothing_asked(server: AwsServer, desk: Desk) -> None:
    await desk.ask()
    assert server.asked == []


async def test_one_question_answers_all_that_a_type_of_sagemaker_runs_as(
    server: AwsServer, desk: Desk
) -> None:
    server.answer(
        listed(
            studio("EUC1-Notebk:ml.g5.xlarge", "1.76"), studio("EUC1-Studio:JupyterLab-ml.g5.xlarge", "1.79")
        )
    )
    keys = [LAB, LAB._replace(component="Notebk"), LAB._replace(component="Host")]
    assert [desk.book.price(key) for key in keys] == [None, None, None]
    await desk.ask()
    assert [None if price is None else price.hourly for price in map(desk.book.price, keys)] == [
        1.79,
        1.76,
        None,
    ]
    assert [asked.body["ServiceCode"] for asked in server.asked] == ["AmazonSageMaker"]


async def test_spot_prices_are_asked_for_where_the_instance_runs(server: AwsServer, desk: Desk) -> None:
    server.answer(SPOT_ANSWER, content_type="text/xml")
    other = SPOT._replace(zone="eu-central-1b")
    assert (desk.book.price(SPOT), desk.book.price(other)) == (None, None)
    await desk.ask()
    assert desk.book.price(SPOT) == Price(hourly=0.4123, source="spot-history", date=T0.date())
    assert desk.book.price(other) is None  # one zone's price says nothing of another's
    [asked] = server.asked
    assert "Linux%2FUNIX&StartTime=2026-03-02T09%3A00%3A00Z" in asked.operation
    assert "/eu-central-1/ec2/" in asked.headers["Authorization"]


async def test_an_account_that_can_not_be_asked_has_no_spot_prices(server: AwsServer, desk: Desk) -> None:
    assert desk.book.price(SPOT._replace(account="111111111111")) is None
    await desk.ask()
    assert server.asked == []


@pytest.mark.parametrize(
    "refusal",
    ["AccessDeniedException", "ThrottlingException", "InternalErrorException", "UnrecognizedClientException"],
)
async def test_where_aws_refuses_the_old_or_the_shipped_price_is_used(
    server: AwsServer, desk: Desk, refusal: str
) -> None:
    server.refuse(refusal)
    assert desk.book.price(G5) == SHIPPED
    await desk.ask()
    assert desk.book.price(G5) == SHIPPED
    [problem] = desk.asker.problems
    assert "prices can't be asked for" in problem
    assert "GetProducts" in problem
    asked = len(server.asked)
    desk.clock.advance(timedelta(minutes=4))
    await desk.ask()
    assert len(server.asked) == asked  # it is left alone for five minutes
    server.answers.clear()
    server.answer(listed(product(dimension("1.3"))))
    desk.clock.advance(timedelta(minutes=1))
    await desk.ask()
    assert (desk.book.price(G5), desk.asker.problems) == (TOLD, ())
    server.answers.clear()
    server.refuse(refusal)
    desk.clock.advance(timedelta(days=3))
    await desk.ask()
    assert desk.book.price(G5) == TOLD  # old, and its date says so


async def test_a_throttling_storm_is_waited_out_longer_and_longer(server: AwsServer, desk: Desk) -> None:
    server.refuse("ThrottlingException")
    for size in ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"):
        desk.book.price(G5._replace(instance_type=f"g6.{size}"))
    await desk.ask()
    assert len(server.asked) <= 8  # four at once, each in both regions; the others found the door shut
    rounds = 0
    for _ in range(24 * 12):
        before = len(server.asked)
        desk.clock.advance(timedelta(minutes=5))
        await desk.ask()
        rounds += len(server.asked) > before
    assert 5 <= rounds <= 12


async def test_a_restart_leaves_alone_what_did_not_answer(server: AwsServer, desk: Desk) -> None:
    """A `run --once` of cron would otherwise wait for it each time."""
    server.refuse("ThrottlingException")
    desk.book.price(G5)
    await desk.ask()
    asked, memo = len(server.asked), json.loads(json.dumps(desk.asker.memo()))
    later = PriceAsker(desk.book, desk.aws, desk.clock)
    later.restore(memo, desk.clock.now())
    assert later.problems == desk.asker.problems
    await later.ask(20)
    assert len(server.asked) == asked
    desk.clock.advance(timedelta(minutes=5))
    await later.ask(20)
    assert len(server.asked) > asked


@pytest.mark.parametrize(
    "memo",
    [
        None,
        [],
        {"pricing": None},
        {"pricing": {"problem": "x", "pause_s": 300, "until": "soon"}},
        {"pricing": {"problem": "x", "pause_s": 1e300, "until": "2026-03-02T09:01:00Z"}},
        {"pricing": {"problem": "x", "pause_s": 300, "until": "2027-03-02T09:01:00Z"}},
        {"pricing": {"problem": "x", "pause_s": 0, "until": "2026-03-02T09:00:00Z"}},
    ],
    ids=range(7),
)
def test_what_can_not_be_read_of_a_memo_shuts_nothing(memo: object) -> None:
    asker = PriceAsker(PriceBook(FakeClock()), Aws(), FakeClock())
    asker.restore(memo, T0)
    assert asker.problems == ()


async def test_where_nobody_answers_in_one_region_the_other_is_asked(server: AwsServer, desk: Desk) -> None:
    server.refuse("InternalErrorException", status=500)
    server.answer(listed(product(dimension("1.3"))))
    desk.book.price(G5)
    await desk.ask()
    assert desk.book.price(G5) == TOLD
    signed = [asked.headers["Authorization"].split("/")[2] for asked in server.asked]
    assert signed == ["us-east-1", "ap-south-1"]
    desk.clock.advance(timedelta(hours=24))
    await desk.ask()
    assert server.asked[-1].headers["Authorization"].split("/")[2] == "ap-south-1"


async def test_a_server_that_falls_silent_holds_nobody_up(server: AwsServer, desk: Desk) -> None:
    server.fall_silent()
    desk.book.price(G5)
    await desk.ask(0.2)
    assert desk.book.price(G5) == SHIPPED
    assert desk.book.due(desk.clock.now()) == [G5]


async def test_an_empty_or_senseless_list_is_no_price_and_is_not_asked_for_at_once(
    server: AwsServer, desk: Desk
) -> None:
    server.answer({"FormatVersion": "aws_v1", "PriceList": ["{", json.dumps(product(dimension("0.0")))]})
    desk.book.price(G5)
    await desk.ask()
    await desk.ask()
    assert desk.book.price(G5) == SHIPPED
    assert len(server.asked) == 1


async def test_a_price_that_is_no_longer_listed_is_kept_with_its_date(server: AwsServer, desk: Desk) -> None:
    server.answer(listed(product(dimension("1.3"))))
    server.answer(listed())
    desk.book.price(G5)
    await desk.ask()
    desk.clock.advance(timedelta(hours=24))
    await desk.ask()
    assert desk.book.price(G5) == TOLD
    assert desk.book.due(desk.clock.now()) == []


@pytest.mark.parametrize(
    "key", [G5._replace(region="cn-north-1"), G5._replace(platform="Plan 9")], ids=["cn", "os"]
)
async def test_what_has_no_price_in_dollars_is_never_asked_for(
    server: AwsServer, desk: Desk, key: PriceKey
) -> None:
    assert desk.book.price(key) is None
    await desk.ask()
    assert (desk.book.price(key), server.asked) == (None, [])
