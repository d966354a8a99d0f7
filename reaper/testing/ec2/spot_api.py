"""EC2's operations on spot requests and spot prices."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from reaper.testing.aws_wire.cloudwatch import floor, instant
from reaper.testing.aws_wire.faults import Refusal, Unsupported
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2.catalog import TYPES
from reaper.testing.ec2.describe import tag_list
from reaper.testing.ec2.filters import page
from reaper.testing.ec2.fleet import Fleet
from reaper.testing.ec2.instance import SpotRequest
from reaper.testing.ec2.shard import Shard

__all__ = ["OPERATIONS"]

Answer = dict[str, Any]

_REACHES_BACK = timedelta(days=90)
"""DescribeSpotPriceHistory (EC2 API reference)."""
_CHANGES_EVERY = timedelta(hours=6)
_PRODUCT = "Linux/UNIX"

_STATUS = {
    "active": ("fulfilled", "Your Spot request is fulfilled."),
    "open": (
        "pending-evaluation",
        "Your Spot request has been submitted for review, and is pending evaluation.",
    ),
    "disabled": ("instance-stopped-by-user", "The Spot Instance was stopped by the user."),
    "closed": ("instance-terminated-by-user", "The Spot Instance was terminated by the user."),
    "cancelled": ("canceled-before-fulfillment", "Your Spot request is canceled before it is fulfilled."),
}


def describe_spot_requests(fleet: Fleet, call: Call) -> Answer:
    """DescribeSpotInstanceRequests: by ids, or in pages."""
    shard, parameters = fleet.shard_of(call), call.parameters
    ids = parameters.get("SpotInstanceRequestIds")
    found = _requests(ids, shard.peek_spot_request) if ids else shard.all_spot_requests()
    fleet.stop_if_dry(call)
    for condition in parameters.get("Filters", []):
        if condition["Name"] != "state":
            raise Unsupported(f"the fake does not filter spot requests by {condition['Name']}")
        found = [one for one in found if one.state in condition["Values"]]
    shown, onward = page(parameters, found, 1000)
    return {"SpotInstanceRequests": [_request(shard, one) for one in shown], **onward}


def cancel_spot_requests(fleet: Fleet, call: Call) -> Answer:
    """CancelSpotInstanceRequests: instances run on, and nothing is launched any more."""
    found = _requests(call.parameters["SpotInstanceRequestIds"], fleet.shard_of(call).spot_request)
    fleet.stop_if_dry(call)
    for one in found:
        one.state, one.relaunches_at = "cancelled", None
    return {
        "CancelledSpotInstanceRequests": [
            {"SpotInstanceRequestId": one.id, "State": one.state} for one in found
        ]
    }


def describe_spot_prices(fleet: Fleet, call: Call) -> Answer:
    """DescribeSpotPriceHistory: the latest first, with the price that held when the time began."""
    parameters, now = call.parameters, fleet.now()
    end = min(instant(parameters["EndTime"]) if "EndTime" in parameters else now, now)
    start = instant(parameters["StartTime"]) if "StartTime" in parameters else now - _REACHES_BACK
    fleet.stop_if_dry(call)
    if parameters.get("Filters"):
        raise Unsupported("the fake does not filter spot prices: name types, products and zone")
    zones = [f"{call.region}{letter}" for letter in "abc"]
    if "AvailabilityZone" in parameters:
        zones = [zone for zone in zones if zone == parameters["AvailabilityZone"]]
    names = parameters.get("InstanceTypes") or list(TYPES)
    products = parameters.get("ProductDescriptions") or [_PRODUCT]
    history = [
        {
            "AvailabilityZone": zone,
            "InstanceType": name,
            "ProductDescription": _PRODUCT,
            "SpotPrice": f"{price:.6f}",
            "Timestamp": at,
        }
        for at in _changes(max(start, now - _REACHES_BACK), end)
        for name in names
        for zone in zones
        if _PRODUCT in products and (price := fleet.spot_price(name, zone, at)) is not None
    ]
    shown, onward = page(parameters, history, 1000)
    return {"SpotPriceHistory": list(shown), **onward}


OPERATIONS: dict[str, Callable[[Fleet, Call], Answer]] = {
    "DescribeSpotInstanceRequests": describe_spot_requests,
    "CancelSpotInstanceRequests": cancel_spot_requests,
    "DescribeSpotPriceHistory": describe_spot_prices,
}


def _requests(ids: list[str], find: Callable[[str], SpotRequest | None]) -> list[SpotRequest]:
    found = []
    for name in ids:
        request = find(name)
        if request is None:
            raise Refusal(
                "InvalidSpotInstanceRequestID.NotFound",
                f"The spot instance request ID '{name}' does not exist",
            )
        found.append(request)
    return found


def _request(shard: Shard, one: SpotRequest) -> Answer:
    instance = shard.peek(one.instance_id or "")
    code, message = _STATUS[one.state]
    if one.state == "cancelled" and instance is not None and instance.state == "running":
        code = "request-canceled-and-instance-running"
        message = "Your Spot request is canceled, but your instance is still running."
    answer: Answer = {
        "SpotInstanceRequestId": one.id,
        "CreateTime": one.created_at,
        "InstanceInterruptionBehavior": one.behaviour,
        "LaunchSpecification": {"InstanceType": one.type, "ImageId": "ami-0fake00000000000"},
        "ProductDescription": _PRODUCT,
        "SpotPrice": "1.000000",
        "State": one.state,
        "Status": {"Code": code, "Message": message, "UpdateTime": one.created_at},
        "Tags": tag_list(one.tags),
        "Type": "persistent" if one.persistent else "one-time",
    }
    if instance is not None:
        answer |= {"InstanceId": instance.id, "LaunchedAvailabilityZone": instance.zone}
    return answer


def _changes(start: datetime, end: datetime) -> Iterator[datetime]:
    """Give when prices changed, the latest first, as far as the change that holds at the start."""
    at = floor(end, _CHANGES_EVERY)
    while at > start:
        yield at
        at -= _CHANGES_EVERY
    yield at
