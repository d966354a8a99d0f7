"""Filters of instances, and pages of anything that EC2 lists."""

import base64
import fnmatch
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from reaper.testing.aws_wire.faults import Refusal, Unsupported
from reaper.testing.ec2.instance import CODES, Instance

__all__ = ["are_of_templates", "meets", "page", "page_size", "token", "token_start"]

T = TypeVar("T")

_FIELDS: dict[str, Callable[[Instance], str]] = {
    "instance-id": lambda one: one.id,
    "instance-state-name": lambda one: one.state,
    "instance-state-code": lambda one: str(CODES[one.state]),
    "instance-type": lambda one: one.type,
    "instance-lifecycle": lambda one: one.lifecycle,
    "availability-zone": lambda one: one.zone,
    "image-id": lambda one: one.image,
    "key-name": lambda one: one.key_name,
    "platform": lambda one: one.platform,
    "private-dns-name": lambda one: one.private_dns,
    "private-ip-address": lambda one: one.private_ip,
    "reservation-id": lambda one: one.reservation,
    "root-device-type": lambda one: one.root_device,
    "spot-instance-request-id": lambda one: "" if one.spot is None else one.spot.id,
    "subnet-id": lambda one: one.subnet,
    "vpc-id": lambda one: one.vpc,
    "monitoring-state": lambda one: "enabled" if one.detailed else "disabled",
    "launch-time": lambda one: one.launched_at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    "owner-id": lambda one: one.place.account,
    "capacity-reservation-id": lambda one: one.capacity_reservation,
    "operator.managed": lambda one: str(bool(one.operator)).lower(),
    "operator.principal": lambda one: one.operator,
}
"""Filters of DescribeInstances that the fake has; beside them `tag:KEY` and `tag-key`."""

_SHARED = frozenset(
    {
        "image-id",
        "instance-lifecycle",
        "instance-state-code",
        "instance-state-name",
        "instance-type",
        "monitoring-state",
        "platform",
        "root-device-type",
        "tag-key",
        "vpc-id",
    }
)


def page(
    parameters: Mapping[str, Any], things: Sequence[T], usual: int
) -> tuple[Sequence[T], dict[str, str]]:
    """Cut out the page that a request asks for; give it with the `NextToken` that leads on, if one does.

    Raises:
        Refusal: A size that EC2 refuses, or a token that is not ours or of other filters.
    """
    size = page_size(parameters, usual)
    start = token_start(parameters)
    end = start + size
    if end >= len(things):
        return things[start:], {}
    return things[start:end], {"NextToken": token(parameters, end)}


def page_size(parameters: Mapping[str, Any], usual: int) -> int:
    """Tell how many a request asks for.

    Raises:
        Refusal: As EC2 refuses it.
    """
    size = int(parameters.get("MaxResults", usual))
    if not 5 <= size <= 1000:  # noqa: PLR2004 -- EC2 API reference, DescribeInstances
        bound = "greater than 5" if size < 5 else "less than 1000"  # noqa: PLR2004 -- the same
        raise Refusal(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value {bound}.",
        )
    return size


def token(parameters: Mapping[str, Any], start: int) -> str:
    """Write a token that leads on from a place; it belongs to the filters that it came with, as AWS' do."""
    return base64.urlsafe_b64encode(json.dumps([start, _filters(parameters)]).encode()).decode()


def token_start(parameters: Mapping[str, Any]) -> int:
    """Read where a request's token leads.

    Raises:
        Refusal: It is not one of ours, or of other filters.
    """
    if (written := parameters.get("NextToken")) is None:
        return 0
    try:
        start, of = json.loads(base64.urlsafe_b64decode(written))
    except ValueError:
        start, of = 0, None
    if of != _filters(parameters):
        raise Refusal("InvalidParameterValue", "Unable to parse pagination token")
    return int(start)


def _filters(parameters: Mapping[str, Any]) -> str:
    return repr(sorted((key, repr(value)) for key, value in parameters.items() if key not in _PAGING))


_PAGING = frozenset({"NextToken", "MaxResults", "DryRun"})


def are_of_templates(filters: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether filters ask only for what instances of a template have in common."""
    return all(one["Name"] in _SHARED for one in filters)


def meets(instance: Instance, filters: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether an instance meets every filter.

    Raises:
        Unsupported: A filter that the fake has not.
    """
    return all(_meets_one(instance, one["Name"], one.get("Values", [])) for one in filters)


def _meets_one(instance: Instance, name: str, patterns: list[str]) -> bool:
    if name.startswith("tag:"):
        values = [instance.tags[name[4:]]] if name[4:] in instance.tags else []
    elif name == "tag-key":
        values = list(instance.tags)
    elif name in _FIELDS:
        values = [_FIELDS[name](instance)]
    else:
        raise Unsupported(f"the fake does not filter instances by {name}")
    return any(fnmatch.fnmatchcase(value, pattern) for value in values for pattern in patterns)
