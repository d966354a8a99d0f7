"""What the book answers, of what it knows: configured, learnt, shipped, in that order, and never 0."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from reaper.clients.prices import SHIPPED_ON, Price, PriceBook, PriceKey, key_of
from reaper.core.model import Resource, ResourceRef
from reaper.testing.clock import T0, FakeClock

G5 = PriceKey("us-east-1", "g5.xlarge")
SPOT = PriceKey("us-east-1", "g5.xlarge", spot=True, zone="us-east-1a", account="123456789012")
TOLD = Price(hourly=1.1, source="pricing-api", date=date(2026, 3, 1))


def book(**given: Any) -> PriceBook:
    return PriceBook(given.pop("clock", None) or FakeClock(), **given)


@pytest.mark.parametrize("hourly", [0, 0.0, -1.0, float("nan"), float("inf")])
def test_an_unknown_price_is_no_price(hourly: float) -> None:
    with pytest.raises(ValueError, match="never 0"):
        Price(hourly=hourly, source="shipped", date=None)


def test_a_price_says_where_it_comes_from_and_of_when_it_is() -> None:
    assert TOLD.origin == "pricing-api 2026-03-01"
    assert Price(hourly=1, source="override", date=None).origin == "override"
    assert (TOLD.currency, TOLD.hourly) == ("USD", 1.1)


@pytest.mark.parametrize(
    ("key", "hourly"),
    [
        (G5, 1.006),
        (PriceKey("us-west-2", "m5.24xlarge"), 4.608),
        (PriceKey("us-east-2", "t4g.nano"), 0.0042),
        (PriceKey("eu-central-1", "g5.xlarge"), 1.258),
        (PriceKey("eu-west-1", "c5.9xlarge"), 1.728),
        (PriceKey("us-east-1", "ml.g5.xlarge", component="Studio:KernelGateway"), 1.408),
        (PriceKey("eu-west-1", "g6.xlarge"), None),
        (PriceKey("us-east-1", "c5.16xlarge"), None),
        (PriceKey("us-east-1", "t3.16xlarge"), None),
        (PriceKey("mars-north-1", "g5.xlarge"), None),
        (PriceKey("us-east-1", "z9.huge"), None),
        (PriceKey("us-east-1", ""), None),
        (PriceKey("us-east-1", "g5.xlarge", platform="Windows"), None),
        (PriceKey("eu-central-1", "ml.g5.xlarge", component="Notebk"), None),
        (SPOT, None),
    ],
    ids=lambda one: "-".join(filter(None, map(str, one))) if isinstance(one, tuple) else str(one),
)
def test_the_shipped_table_says_what_it_knows_and_no_more(key: PriceKey, hourly: float | None) -> None:
    found = book().price(key)
    assert found == (None if hourly is None else Price(hourly=hourly, source="shipped", date=SHIPPED_ON))


def test_what_is_configured_comes_first_and_the_region_before_everywhere() -> None:
    overrides = {"g5.xlarge": 0.9, "eu-central-1/g5.xlarge": 1.2, "spot/g5.xlarge": 0.4}
    known = book(overrides=overrides, asks=True)
    known.learn([G5], {G5: TOLD}, T0)
    assert known.price(G5) == Price(hourly=0.9, source="override", date=None)
    assert known.price(G5._replace(region="eu-central-1")) == Price(hourly=1.2, source="override", date=None)
    assert known.price(SPOT) == Price(hourly=0.4, source="override", date=None)
    assert known.due(T0) == []  # nobody asks AWS what is configured


def test_an_on_demand_override_says_nothing_of_spot() -> None:
    assert book(overrides={"g5.xlarge": 0.9}).price(SPOT) is None


def test_with_none_only_what_is_configured_has_a_price() -> None:
    known = book(overrides={"m5.large": 0.1}, source="none", asks=True)
    assert known.price(G5) is None
    assert known.price(PriceKey("us-east-1", "m5.large")) is not None
    assert known.due(T0) == []


def test_with_shipped_aws_is_never_asked() -> None:
    known = book(source="shipped", asks=True)
    assert known.price(G5) is not None
    assert (known.asks, known.due(T0)) == (False, [])


def test_what_aws_told_comes_before_the_table_and_is_used_when_old() -> None:
    clock = FakeClock()
    known = book(asks=True, clock=clock)
    assert known.price(G5) == Price(hourly=1.006, source="shipped", date=SHIPPED_ON)
    assert known.due(clock.now()) == [G5]
    known.learn([G5], {G5: TOLD}, clock.now())
    assert (known.price(G5), known.due(clock.now())) == (TOLD, [])
    clock.advance(timedelta(hours=24))
    assert (known.price(G5), known.due(clock.now())) == (
        TOLD,
        [G5],
    )  # AWS can't be reached: its date says how old


def test_a_spot_price_is_asked_for_again_after_an_hour() -> None:
    clock = FakeClock()
    known = book(asks=True, clock=clock)
    assert known.price(SPOT) is None
    told = Price(hourly=0.41, source="spot-history", date=date(2026, 3, 2))
    known.learn([SPOT], {SPOT: told}, clock.now())
    clock.advance(timedelta(minutes=59))
    assert (known.price(SPOT), known.due(clock.now())) == (told, [])
    clock.advance(timedelta(minutes=1))
    assert known.due(clock.now()) == [SPOT]


def test_what_aws_names_no_price_of_is_not_asked_for_all_the_time() -> None:
    known = book(asks=True)
    odd = PriceKey("us-east-1", "z9.huge")
    assert known.price(odd) is None
    known.learn([odd], {}, T0)
    assert (known.price(odd), known.due(T0 + timedelta(hours=23))) == (None, [])


def test_a_clock_that_was_set_back_makes_no_price_last_for_ever() -> None:
    known = book(asks=True)
    known.price(G5)
    known.learn([G5], {G5: TOLD}, T0 + timedelta(days=400))
    assert known.due(T0) == [G5]


def test_a_restart_keeps_what_was_learnt_with_its_age() -> None:
    clock = FakeClock()
    before = book(asks=True, clock=clock)
    odd = PriceKey("us-east-1", "z9.huge")
    for key in (G5, SPOT, odd):
        before.price(key)
    told = Price(hourly=0.41, source="spot-history", date=date(2026, 3, 2))
    before.learn([G5, SPOT, odd], {G5: TOLD, SPOT: told}, clock.now())
    after = book(asks=True, clock=clock)
    after.restore(before.memo(clock.now()), clock.now())
    assert (after.price(G5), after.price(SPOT), after.price(odd)) == (TOLD, told, None)
    assert after.due(clock.now()) == []
    assert after.due(clock.advance(timedelta(hours=1))) == [SPOT]
    assert after.memo(clock.now()) == before.memo(clock.now())


def test_what_nobody_wants_for_a_week_is_forgotten() -> None:
    clock = FakeClock()
    known = book(asks=True, clock=clock)
    known.price(G5)
    known.learn([G5], {G5: TOLD}, clock.now())
    clock.advance(timedelta(days=1))
    assert known.price(G5) == TOLD
    assert known.memo(clock.advance(timedelta(days=7)))["prices"] != []
    assert known.memo(clock.advance(timedelta(seconds=1)))["prices"] == []
    assert known.due(clock.now()) == []


@pytest.mark.parametrize(
    "row",
    [
        None,
        {},
        "x",
        {"of": ["us-east-1"], "asked_at": "2026-03-02T09:00:00Z", "hourly": 1, "source": "x", "date": None},
        {"of": [*G5], "asked_at": "yesterday", "hourly": 1.0, "source": "pricing-api", "date": None},
        {"of": [*G5], "asked_at": "2026-03-02T09:00:00Z", "hourly": 0.0, "source": "pricing-api", "date": None},
        {"of": [*G5], "asked_at": "2026-03-02T09:00:00Z", "hourly": "x", "source": "pricing-api", "date": None},
        {"of": [*G5], "asked_at": "2026-03-02T09:00:00Z", "hourly": 1.0, "source": "pricing-api", "date": "soon"},
    ],
    ids=range(8),
)  # fmt: skip
def test_a_memo_that_can_not_be_read_is_asked_for_anew(row: object) -> None:
    known = book(asks=True, source="auto")
    known.restore({"prices": [row]}, T0)
    assert known.due(T0) == []
    assert known.price(G5) == Price(hourly=1.006, source="shipped", date=SHIPPED_ON)
    assert known.due(T0) == [G5]


def test_a_memo_of_another_form_is_no_memo() -> None:
    known = book(asks=True)
    known.restore({"prices": "none"}, T0)
    known.restore({}, T0)
    assert known.memo(T0) == {"prices": []}


EC2 = {
    "instance_type": "g5.xlarge",
    "lifecycle": "on-demand",
    "availability_zone": "us-east-1a",
    "platform": "Linux/UNIX",
}


@pytest.mark.parametrize(
    ("kind", "attributes", "key"),
    [
        ("ec2.instance", EC2, G5),
        ("ec2.instance", {**EC2, "lifecycle": "spot"}, SPOT),
        ("ec2.instance", {**EC2, "platform": "windows"}, G5._replace(platform="Windows")),
        ("ec2.instance", {**EC2, "platform": ""}, G5),
        ("ec2.instance", {**EC2, "platform": "SUSE Linux"}, G5._replace(platform="SUSE Linux")),
        ("ec2.instance", {"instance_type": "g5.xlarge"}, G5),
        ("ec2.instance", {**EC2, "lifecycle": "capacity-block"}, None),
        ("ec2.instance", {**EC2, "lifecycle": "scheduled"}, None),
        ("ec2.instance", {**EC2, "instance_type": None}, None),
        ("studio.app", {"instance_type": "ml.g5.xlarge", "app_type": "KernelGateway"},
         PriceKey("us-east-1", "ml.g5.xlarge", component="Studio:KernelGateway")),
        ("studio.app", {"instance_type": "system", "app_type": "JupyterServer"}, None),
        ("sagemaker.notebook_instance", {"instance_type": "ml.t3.medium"},
         PriceKey("us-east-1", "ml.t3.medium", component="Notebk")),
        ("sagemaker.endpoint", {"instance_type": "ml.t3.medium"},
         PriceKey("us-east-1", "ml.t3.medium", component="Host")),
        ("jupyter.kernel", {"instance_type": "ml.t3.medium"}, None),
        ("jupyter.kernel", {}, None),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_a_resource_is_priced_as(kind: str, attributes: dict[str, object], key: PriceKey | None) -> None:
    assert key_of(kind, "123456789012/us-east-1", attributes) == key


@pytest.mark.parametrize("scope", ["http://127.0.0.1:8888/", "", "123456789012", "123456789012/"])
def test_a_scope_that_is_no_region_has_no_prices(scope: str) -> None:
    assert key_of("ec2.instance", scope, EC2) is None
    assert book().of("ec2.instance", scope, EC2) is None


def test_a_resource_is_told_its_cost_and_where_it_is_known_from() -> None:
    ref = ResourceRef(kind="ec2.instance", scope="123456789012/us-east-1", id="i-1", incarnation="1")
    resource = Resource(ref=ref, name="box", attributes=EC2)
    priced = book().priced(resource)
    assert (priced.hourly_cost, priced.attributes["price_source"]) == (1.006, f"shipped {SHIPPED_ON}")
    rare = replace(resource, attributes={**EC2, "instance_type": "z9.huge"})
    assert book().priced(rare) == rare


def test_an_answer_that_was_given_before_follows_what_is_learnt() -> None:
    known = book(asks=True)
    scope = "123456789012/us-east-1"
    assert [known.of("ec2.instance", scope, EC2) for _ in range(2)] == [known.price(G5)] * 2
    known.learn([G5], {G5: TOLD}, T0)
    assert known.of("ec2.instance", scope, EC2) == TOLD
    restored = book(asks=True)
    assert restored.of("ec2.instance", scope, EC2) != TOLD
    restored.restore(known.memo(T0), T0)
    assert restored.of("ec2.instance", scope, EC2) == TOLD


def test_what_is_asked_for_over_and_over_stays_wanted() -> None:
    clock = FakeClock()
    known = book(asks=True, clock=clock)
    for _ in range(20):
        known.of("ec2.instance", "123456789012/us-east-1", EC2)
        assert known.due(clock.now()) == [G5]
        known.memo(clock.advance(timedelta(days=1)))


@pytest.mark.parametrize("odd", [["g5.xlarge"], {"g5.xlarge": 1}], ids=["list", "table"])
def test_attributes_of_any_form_are_no_type(odd: object) -> None:
    assert book().of("ec2.instance", "123456789012/us-east-1", {**EC2, "instance_type": odd}) is None


def test_the_book_prices_resources() -> None:
    found = book().of("ec2.instance", "123456789012/us-east-1", EC2)
    assert found is not None
    assert found.origin == f"shipped {SHIPPED_ON}"
