"""AWS's answers about prices, read without trusting them: nothing but a sure, positive price in dollars is one."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from reaper.clients.prices import Price, PriceKey
from reaper.clients.prices.pricelist import (
    ec2_filters,
    instance_price,
    sagemaker_filters,
    sagemaker_prices,
    spot_prices,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
G5 = PriceKey("eu-central-1", "g5.xlarge")
ATTRIBUTES = {
    "servicecode": "AmazonEC2",
    "instanceType": "g5.xlarge",
    "regionCode": "eu-central-1",
    "operatingSystem": "Linux",
    "preInstalledSw": "NA",
    "tenancy": "Shared",
    "capacitystatus": "Used",
    "usagetype": "EUC1-BoxUsage:g5.xlarge",
}


def dimension(amount: object = "1.2580000000", **changed: Any) -> dict[str, Any]:
    return {"unit": "Hrs", "beginRange": "0", "endRange": "Inf", "pricePerUnit": {"USD": amount}} | changed


def product(
    *dimensions: Any,
    attributes: dict[str, Any] | None = None,
    since: object = "2026-02-01T00:00:00Z",
    **changed: Any,
) -> dict[str, Any]:
    """Make a product as the price list has it."""
    rows = {f"X.JRTC.{number}": one for number, one in enumerate(dimensions or (dimension(),))}
    term = {"offerTermCode": "JRTCKXETXF", "effectiveDate": since, "priceDimensions": rows}
    return {
        "product": {"productFamily": "Compute Instance", "sku": "X", "attributes": ATTRIBUTES | (attributes or {})},
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {"X.JRTC": term}, "Reserved": {}},
        "publicationDate": "2026-02-20T10:00:00Z",
    } | changed  # fmt: skip


def read(*products: object) -> Price | None:
    return instance_price(products, G5, NOW)


def without(table: dict[str, Any], *path: str) -> dict[str, Any]:
    """Give a copy without something that is in it."""
    copy: dict[str, Any] = json.loads(json.dumps(table))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return copy


def test_a_product_is_read_as_text_and_as_it_is() -> None:
    told = Price(hourly=1.258, source="pricing-api", date=date(2026, 2, 1))
    assert read(json.dumps(product())) == told
    assert read(product()) == told


@pytest.mark.parametrize(
    "given",
    [
        product(dimension("0.0000000000")),
        product(dimension("-1")),
        product(dimension("nan")),
        product(dimension("inf")),
        product(dimension("free")),
        product(dimension(None)),
        product(dimension(amount=True)),
        product(dimension(pricePerUnit={"CNY": "8.2"})),
        product(dimension(pricePerUnit={})),
        product(dimension(pricePerUnit=None)),
        product(dimension(unit="Quantity")),
        product(dimension(unit=None)),
        product(dimension(beginRange="100")),
        product(None),
        product(attributes={"tenancy": "Dedicated"}),
        product(attributes={"operatingSystem": "Windows"}),
        product(attributes={"preInstalledSw": "SQL Std"}),
        product(attributes={"capacitystatus": "AllocatedCapacityReservation"}),
        product(attributes={"marketoption": "CapacityBlock"}),
        product(attributes={"instanceType": "g5.2xlarge"}),
        product(attributes={"regionCode": "eu-west-1"}),
        product(since="2026-03-02T09:00:01Z"),
        product(terms={}),
        product(terms={"OnDemand": []}),
        product(terms={"OnDemand": {"X": None}}),
        product(terms=None),
        {},
        [],
        None,
        7,
        "{",
        "[]",
        '"x"',
    ],
    ids=range(33),
)
def test_what_is_no_sure_price_is_unknown(given: object) -> None:
    assert read(given) is None


@pytest.mark.parametrize("field", ["tenancy", "capacitystatus", "regionCode", "preInstalledSw", "usagetype"])
def test_a_missing_attribute_does_not_hide_what_was_asked_for(field: str) -> None:
    assert read(without(product(), "product", "attributes", field)) is not None


def test_the_date_is_that_of_the_term_of_the_list_or_of_today() -> None:
    assert _date(product(since=None)) == date(2026, 2, 20)
    assert _date(product(since="yesterday")) == date(2026, 2, 20)
    assert _date(product(since=None, publicationDate=None)) == NOW.date()
    assert _date(product(since="2026-02-01T00:00:00")) == date(2026, 2, 20)  # no zone: no instant


def _date(given: dict[str, Any]) -> date | None:
    found = read(given)
    return None if found is None else found.date


def test_a_dimension_of_0_beside_a_price_does_not_count() -> None:
    found = read(product(dimension("0.0"), dimension("1.258"), dimension("9", unit="Quantity")))
    assert found is not None
    assert found.hourly == 1.258


def test_two_prices_for_one_thing_are_none() -> None:
    assert read(product(dimension("1.258"), dimension("1.3"))) is None
    assert read(product(dimension("1.258")), product(dimension("1.3"))) is None


def test_the_same_price_twice_is_one_the_newest() -> None:
    found = read(product(since="2025-01-01T00:00:00Z"), product())
    assert found == Price(hourly=1.258, source="pricing-api", date=date(2026, 2, 1))


def test_one_that_can_not_be_read_does_not_hide_the_others() -> None:
    assert read("{", None, product(dimension("0")), json.dumps(product())) is not None


def test_what_is_asked_of_an_instance() -> None:
    asked = {one["Field"]: one["Value"] for one in ec2_filters(G5) or []}
    assert asked == {
        "regionCode": "eu-central-1",
        "instanceType": "g5.xlarge",
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "licenseModel": "No License required",
    }
    windows = ec2_filters(G5._replace(platform="Windows with SQL Server Web")) or []
    assert {"Type": "TERM_MATCH", "Field": "preInstalledSw", "Value": "SQL Web"} in windows
    assert ec2_filters(G5._replace(platform="Plan 9")) is None
    assert sagemaker_filters("eu-central-1", "ml.g5.xlarge")[1]["Value"] == "ml.g5.xlarge"


def studio(usage: str, amount: str, **changed: Any) -> dict[str, Any]:
    attributes = {"usagetype": usage, "instanceName": "ml.g5.xlarge"} | changed
    return product(dimension(amount), attributes=attributes)


def test_a_sagemaker_type_has_a_price_for_each_thing_it_runs_as() -> None:
    products = [
        studio("EUC1-Notebk:ml.g5.xlarge", "1.76"),
        studio("EUC1-Host:ml.g5.xlarge", "1.77"),
        studio("EUC1-Studio:KernelGateway-ml.g5.xlarge", "1.78"),
        studio("Studio:JupyterLab-ml.g5.xlarge", "1.79"),
        studio("EUC1-Train:ml.g5.xlarge", "9"),
        studio("EUC1-Host:ml.g5.xlarge", "8", regionCode="eu-west-1"),
        studio("EUC1-Notebk:VolumeUsage.gp2", "7"),
        studio("EUC1-Studio:CodeEditor-ml.g5.xlarge", "0.0"),
    ]
    found = sagemaker_prices(map(json.dumps, products), "eu-central-1", NOW)
    assert {key.component: price.hourly for key, price in found.items()} == {
        "Notebk": 1.76,
        "Host": 1.77,
        "Studio:KernelGateway": 1.78,
        "Studio:JupyterLab": 1.79,
    }
    assert {(key.region, key.instance_type) for key in found} == {("eu-central-1", "ml.g5.xlarge")}


def row(amount: object = "0.4123", **changed: Any) -> dict[str, Any]:
    return {
        "AvailabilityZone": "eu-central-1a",
        "InstanceType": "g5.xlarge",
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": amount,
        "Timestamp": NOW - timedelta(hours=3),
    } | changed


def spot(*rows: object) -> dict[str, float]:
    found = spot_prices(rows, "123456789012", "eu-central-1", "Linux/UNIX", NOW)
    return {f"{key.instance_type} {key.zone}": price.hourly for key, price in found.items()}


def test_the_newest_spot_price_of_each_zone_counts() -> None:
    rows = [
        row("0.5", Timestamp=NOW - timedelta(days=2)),
        row(),
        row("0.6", Timestamp=NOW - timedelta(days=1)),
        row("0.3", AvailabilityZone="eu-central-1b"),
        row("0.2", InstanceType="g4dn.xlarge", ProductDescription="Linux/UNIX (Amazon VPC)"),
    ]
    assert spot(*rows) == {
        "g5.xlarge eu-central-1a": 0.4123,
        "g5.xlarge eu-central-1b": 0.3,
        "g4dn.xlarge eu-central-1a": 0.2,
    }
    found = spot_prices(rows, "123456789012", "eu-central-1", "Linux/UNIX", NOW)
    key = G5._replace(spot=True, zone="eu-central-1a", account="123456789012")
    assert found[key] == Price(hourly=0.4123, source="spot-history", date=NOW.date())


@pytest.mark.parametrize(
    "given",
    [
        row("0.0"), row(None), row("x"), row(Timestamp=None), row(Timestamp="2026-03-02"),
        row(Timestamp=NOW.replace(tzinfo=None)), row(Timestamp=NOW + timedelta(seconds=1)),
        row(InstanceType=None), row(AvailabilityZone=""), row(ProductDescription="Windows"), None, "x", {},
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_sure_spot_price_is_unknown(given: object) -> None:
    assert spot(given) == {}
