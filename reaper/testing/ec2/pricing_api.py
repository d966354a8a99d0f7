"""The Pricing API: products as the public price lists have them, each a JSON text.

Beside what somebody would pay stands what misleads: reservations, Capacity Blocks at 0.0, other tenancies.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reaper.testing.aws_wire.faults import Refusal
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2.accounts import OFF, REGIONS
from reaper.testing.ec2.catalog import TYPES, InstanceType
from reaper.testing.ec2.fleet import Fleet

__all__ = ["OPERATIONS"]

Answer = dict[str, Any]

ENDPOINTS = frozenset({"us-east-1", "eu-central-1", "ap-south-1"})
"""Where the Pricing API is (AWS Billing User Guide, "Finding services and products")."""
_PAGE = 100
_SYSTEMS = {
    "Linux": ("RunInstances", 0.0),
    "Windows": ("RunInstances:0002", 0.046),
    "RHEL": ("RunInstances:0010", 0.0288),
}
_COMPONENTS = ("Notebk", "Host", "Studio:KernelGateway", "Studio:JupyterLab")
_PREFIXES = {
    "us-east-1": "",
    "us-east-2": "USE2-",
    "us-west-2": "USW2-",
    "eu-west-1": "EU-",
    "eu-central-1": "EUC1-",
}


def get_products(fleet: Fleet, call: Call) -> Answer:
    """GetProducts: those that match every filter, 100 a page at most."""
    if call.region not in ENDPOINTS:
        raise Refusal("AccessDeniedException", f"there is no Pricing API in {call.region}")
    wanted = {one["Field"]: one["Value"] for one in call.parameters.get("Filters", [])}
    regions = [wanted["regionCode"]] if "regionCode" in wanted else [*REGIONS, *OFF]
    products = {"AmazonEC2": _ec2, "AmazonSageMaker": _sagemaker}.get(call.parameters["ServiceCode"])
    if products is None:
        raise Refusal("NotFoundException", f"there is no service {call.parameters['ServiceCode']}")
    found = [
        product
        for region in regions
        for product in products(fleet, region)
        if all(product["product"]["attributes"].get(name) == value for name, value in wanted.items())
    ]
    start = call.parameters.get("NextToken", "0")
    if not start.isdecimal():
        raise Refusal("InvalidNextTokenException", "The pagination token is invalid.")
    end = int(start) + call.parameters.get("MaxResults", _PAGE)
    answer: Answer = {
        "FormatVersion": "aws_v1",
        "PriceList": [json.dumps(one) for one in found[int(start) : end]],
    }
    if end < len(found):
        answer["NextToken"] = str(end)
    return answer


OPERATIONS: dict[str, Callable[[Fleet, Call], Answer]] = {"GetProducts": get_products}


def _ec2(fleet: Fleet, region: str) -> Iterator[dict[str, Any]]:
    for kind in TYPES.values():
        hourly = fleet.price(kind.name, region)
        if hourly is None:
            continue
        for system, (operation, more) in _SYSTEMS.items():
            attributes = {**_attributes(kind, region), "operatingSystem": system, "operation": operation}
            sku = f"{kind.name}/{region}/{system}"
            price = hourly + more * kind.vcpus
            yield _product(
                "AmazonEC2", sku, attributes, price, f"${price:.4f} per On Demand {system} {kind.name}"
            )
        plain = {**_attributes(kind, region), "operatingSystem": "Linux", "operation": "RunInstances"}
        for name, value, price in (
            ("tenancy", "Dedicated", hourly * 1.1),
            ("capacitystatus", "AllocatedCapacityReservation", 0.0),
            ("capacitystatus", "UnusedCapacityReservation", hourly),
            ("marketoption", "CapacityBlock", 0.0),
        ):
            sku = f"{kind.name}/{region}/{value}"
            yield _product("AmazonEC2", sku, {**plain, name: value}, price, f"{value} {kind.name}")


def _sagemaker(fleet: Fleet, region: str) -> Iterator[dict[str, Any]]:
    for kind in TYPES.values():
        hourly = fleet.price(kind.name, region)
        if hourly is None:
            continue
        for component in _COMPONENTS:
            name = f"ml.{kind.name}"
            separator = "-" if ":" in component else ":"
            attributes = {
                "regionCode": region,
                "instanceName": name,
                "usagetype": f"{_PREFIXES.get(region, 'XX-')}{component}{separator}{name}",
                "component": component,
                "vCpu": str(kind.vcpus),
            }
            price = round(hourly * 1.25, 6)
            yield _product(
                "AmazonSageMaker", f"{name}/{region}/{component}", attributes, price, f"{component} {name}"
            )


def _attributes(kind: InstanceType, region: str) -> dict[str, str]:
    return {
        "regionCode": region,
        "instanceType": kind.name,
        "vcpu": str(kind.vcpus),
        "memory": f"{kind.memory_gib:g} GiB",
        "preInstalledSw": "NA",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
        "licenseModel": "No License required",
        "servicecode": "AmazonEC2",
        "usagetype": f"{_PREFIXES.get(region, 'XX-')}BoxUsage:{kind.name}",
    }


def _product(
    service: str, sku: str, attributes: Mapping[str, str], price: float, description: str
) -> dict[str, Any]:
    dimension = {
        "unit": "Hrs",
        "beginRange": "0",
        "endRange": "Inf",
        "description": description,
        "rateCode": f"{sku}.JRTCKXETXF.6YS6EN2CT7",
        "appliesTo": [],
        "pricePerUnit": {"USD": f"{price:.10f}"},
    }
    term = {
        "sku": sku,
        "offerTermCode": "JRTCKXETXF",
        "effectiveDate": "2026-01-01T00:00:00Z",
        "termAttributes": {},
        "priceDimensions": {f"{sku}.JRTCKXETXF.6YS6EN2CT7": dimension},
    }
    return {
        "product": {"productFamily": "Compute Instance", "sku": sku, "attributes": dict(attributes)},
        "serviceCode": service,
        "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": term}},
        "version": "20260102000000",
        "publicationDate": "2026-01-02T00:00:00Z",
    }
