"""Reads what AWS answers about prices: products of the Pricing API, and the history of spot prices. Pure.

A product of GetProducts is a JSON text; its form is that of the public price lists (AWS Billing User Guide, "Reading an
offer file"): `product.attributes`, `terms.OnDemand.*.priceDimensions.*.pricePerUnit.USD`. Nothing in it is taken for
granted: fields are missing, products of Capacity Blocks and reservations cost 0.0, China's are in CNY. What can't be
read for sure, or names two prices for one thing, is unknown.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from reaper.clients.prices.models import LINUX, Price, PriceKey

__all__ = [
    "PLATFORMS",
    "ec2_filters",
    "instance_price",
    "sagemaker_filters",
    "sagemaker_prices",
    "spot_prices",
]

PLATFORMS: dict[str, tuple[str, str]] = {
    LINUX: ("Linux", "NA"),
    "Red Hat Enterprise Linux": ("RHEL", "NA"),
    "SUSE Linux": ("SUSE", "NA"),
    "Ubuntu Pro": ("Ubuntu Pro", "NA"),
    "Windows": ("Windows", "NA"),
    "Windows with SQL Server Standard": ("Windows", "SQL Std"),
    "Windows with SQL Server Enterprise": ("Windows", "SQL Ent"),
    "Windows with SQL Server Web": ("Windows", "SQL Web"),
    "Linux with SQL Server Standard": ("Linux", "SQL Std"),
    "Linux with SQL Server Enterprise": ("Linux", "SQL Ent"),
    "Linux with SQL Server Web": ("Linux", "SQL Web"),
}
"""`PlatformDetails` of EC2 (User Guide, "AMI billing fields"): operatingSystem and preInstalledSw of the price list."""

_HOURS = frozenset({"hrs", "hr", "hour", "hours"})
_USAGE = re.compile(r"(?:[A-Z0-9]+-)?(?P<component>Notebk|Host|Studio:\w+)[:-](?P<type>ml\.[\w.-]+)")
"""`USE1-Notebk:ml.t3.medium`, `Host:ml.m5.large`, `EUC1-Studio:KernelGateway-ml.g4dn.xlarge`."""


def ec2_filters(key: PriceKey) -> list[dict[str, str]] | None:
    """Give the filters of GetProducts for an EC2 instance; None: nobody knows how its platform is called there."""
    if key.platform not in PLATFORMS:
        return None
    system, software = PLATFORMS[key.platform]
    return _filters(
        regionCode=key.region,
        instanceType=key.instance_type,
        operatingSystem=system,
        preInstalledSw=software,
        tenancy="Shared",
        capacitystatus="Used",
        licenseModel="No License required",
    )


def sagemaker_filters(region: str, instance_type: str) -> list[dict[str, str]]:
    """Give the filters of GetProducts for all that a type of SageMaker may run as."""
    return _filters(regionCode=region, instanceName=instance_type)


def _filters(**fields: str) -> list[dict[str, str]]:
    return [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in fields.items()]


def instance_price(products: Iterable[object], key: PriceKey, now: datetime) -> Price | None:
    """Find the price of an EC2 instance among products."""
    found = [
        price
        for product in _read(products)
        if _is_instance(_attributes(product), key)
        for price in _on_demand(product, now)
    ]
    return _one(found)


def sagemaker_prices(products: Iterable[object], region: str, now: datetime) -> dict[PriceKey, Price]:
    """Find the prices of a SageMaker type among products, by what it runs as."""
    found: dict[PriceKey, list[Price]] = {}
    for product in _read(products):
        attributes = _attributes(product)
        usage = _USAGE.fullmatch(str(attributes.get("usagetype")))
        if usage is not None and attributes.get("regionCode", region) == region:
            key = PriceKey(region, usage["type"], component=usage["component"])
            found.setdefault(key, []).extend(_on_demand(product, now))
    return {key: price for key, prices in found.items() if (price := _one(prices)) is not None}


def spot_prices(
    rows: Iterable[object], account: str, region: str, platform: str, now: datetime
) -> dict[PriceKey, Price]:
    """Find the newest price of each type in each zone in a history of spot prices."""
    newest: dict[PriceKey, tuple[datetime, float]] = {}
    for row in rows:
        if not isinstance(row, Mapping):
            continue
        at, hourly = row.get("Timestamp"), _amount(row.get("SpotPrice"))
        names = (row.get("InstanceType"), row.get("AvailabilityZone"))
        if hourly is None or not isinstance(at, datetime) or at.tzinfo is None or at > now:
            continue
        if row.get("ProductDescription") not in (platform, f"{platform} (Amazon VPC)") or not all(names):
            continue
        key = PriceKey(
            region, str(names[0]), spot=True, platform=platform, zone=str(names[1]), account=account
        )
        if key not in newest or at > newest[key][0]:
            newest[key] = (at, hourly)
    return {
        key: Price(hourly=hourly, source="spot-history", date=at.astimezone(UTC).date())
        for key, (at, hourly) in newest.items()
    }


def _read(products: Iterable[object]) -> Iterator[Mapping[str, Any]]:
    for product in products:
        if isinstance(product, str):
            try:
                product = json.loads(product)  # noqa: PLW2901 - the same product, read
            except ValueError:
                continue
        if isinstance(product, Mapping):
            yield product


def _attributes(product: Mapping[str, Any]) -> Mapping[str, Any]:
    return _table(_table(product.get("product")).get("attributes"))


def _is_instance(attributes: Mapping[str, Any], key: PriceKey) -> bool:
    """Tell whether a product is what was asked for, also where a filter was not heeded."""
    expected = {
        "instanceType": key.instance_type,
        "regionCode": key.region,
        "operatingSystem": PLATFORMS.get(key.platform, ("", ""))[0],
        "preInstalledSw": PLATFORMS.get(key.platform, ("", ""))[1],
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
    }
    return all(attributes.get(name, value) == value for name, value in expected.items())


def _on_demand(product: Mapping[str, Any], now: datetime) -> Iterator[Price]:
    """Give the on-demand prices of a product that are in force."""
    for term in _table(_table(product.get("terms")).get("OnDemand")).values():
        since = _instant(_table(term).get("effectiveDate")) or _instant(product.get("publicationDate"))
        if since is not None and since > now:
            continue
        for dimension in _table(_table(term).get("priceDimensions")).values():
            hourly = _hourly(_table(dimension))
            if hourly is not None:
                yield Price(hourly=hourly, source="pricing-api", date=_day(since, now))


def _hourly(dimension: Mapping[str, Any]) -> float | None:
    """Read an hourly price in US dollars, of the first tier; None: it is none, or 0."""
    unit = dimension.get("unit")
    if not isinstance(unit, str) or unit.lower() not in _HOURS:
        return None
    if str(dimension.get("beginRange", "0")) != "0":
        return None
    return _amount(_table(dimension.get("pricePerUnit")).get("USD"))


def _amount(given: object) -> float | None:
    """Read an amount; 0.0 is what a price list says of what is paid otherwise, so it is unknown."""
    if not isinstance(given, (str, int, float)) or isinstance(given, bool):
        return None
    try:
        amount = float(given)
    except ValueError:
        return None
    return amount if 0 < amount < math.inf else None


def _one(found: list[Price]) -> Price | None:
    """Choose among prices of one thing: the newest of those that say the same; None where they do not."""
    if len({price.hourly for price in found}) != 1:
        return None
    return max(found, key=lambda price: price.date or date.min)


def _instant(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _day(since: datetime | None, now: datetime) -> date:
    return (since or now).astimezone(UTC).date()


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
