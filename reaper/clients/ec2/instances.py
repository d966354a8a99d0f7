"""What instances there are, of what types, and what protects them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Collection, Iterable, Iterator, Mapping
from typing import Any

from reaper.clients.aws import (
    DESCRIBE_INSTANCE_ATTRIBUTE,
    DESCRIBE_INSTANCE_TYPES,
    DESCRIBE_INSTANCES,
    DESCRIBE_SPOT_REQUESTS,
    Aws,
)
from reaper.clients.ec2.models import InstanceModel, Protection, TypeModel, parse_instance, parse_type
from reaper.errors import SourceMalformed, SourceUnavailable

__all__ = [
    "LIVE",
    "describe_instances",
    "describe_types",
    "forget_types",
    "persistent_requests",
    "protection",
]

LIVE = ("pending", "running", "stopping", "stopped", "shutting-down")
"""Every state but `terminated`."""

_MOST_VALUES = 200
"""In one filter (EC2 API Reference), and of ids that are asked about at once."""

_MOST_TYPES = 100
"""In one DescribeInstanceTypes (EC2 API Reference). One that the region does not have spoils all of them."""

_FEW = 50
"""Instances that are made from a page without a thread: it takes a millisecond."""

_types: dict[str, TypeModel] = {}


async def describe_instances(
    aws: Aws, region: str, *, ids: Collection[str] | None = None, states: Collection[str] | None = LIVE
) -> AsyncGenerator[list[InstanceModel]]:
    """List instances, a page at a time.

    Args:
        aws: How to ask.
        region: Where.
        ids: Only these; those that are not there are left out.
        states: Only those in such a state; None: in any.

    Yields:
        A page's instances. Nothing is known of those that were not given where a later page fails.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`.
    """
    wanted = [{"Name": "instance-state-name", "Values": list(states)}] if states is not None else []
    if ids is not None and len(ids) == 1:
        # By id, not by a filter: an answer to a filter may lag behind, and lack tags.
        answer = await aws.read(DESCRIBE_INSTANCES, region=region, InstanceIds=list(ids), Filters=wanted)
        if answer is not None:
            yield await _models(_list(answer, "Reservations"))
        return
    filters = [wanted] if ids is None else [[*wanted, *batch] for batch in _by("instance-id", ids)]
    for one in filters:
        async with contextlib.aclosing(
            aws.each_page(DESCRIBE_INSTANCES, region=region, Filters=one)
        ) as pages:
            page = await anext(pages, None)
            while page is not None:  # instances are made of a page while the next one is on its way
                made, page = await _both(_models(page), anext(pages, None))
                yield made


async def _both(
    first: Awaitable[list[InstanceModel]], second: Awaitable[list[Any] | None]
) -> tuple[list[InstanceModel], list[Any] | None]:
    """Wait for two things, for both to the end even where one fails: a generator that still runs can't be closed."""
    one, two = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(one, BaseException):
        raise one
    if isinstance(two, BaseException):
        raise two
    return one, two


async def _models(reservations: list[Any]) -> list[InstanceModel]:
    items: list[Any] = []
    for reservation in reservations:
        items += _list(reservation, "Instances")
    if len(items) <= _FEW:
        return _parse(items)
    return await asyncio.to_thread(_parse, items)


def _parse(items: list[Any]) -> list[InstanceModel]:
    return [parse_instance(item) for item in items]


async def describe_types(aws: Aws, region: str, names: Iterable[str]) -> dict[str, TypeModel]:
    """Describe instance types; each is asked for once in a process's life.

    Returns:
        Those that the region has.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`.
    """
    wanted = {name for name in names if name}
    unknown = sorted(wanted - _types.keys())
    for start in range(0, len(unknown), _MOST_TYPES):
        batch = unknown[start : start + _MOST_TYPES]
        for kind in await _ask_for_types(aws, region, batch):
            _types[kind.name] = kind
    return {name: _types[name] for name in wanted & _types.keys()}


async def _ask_for_types(aws: Aws, region: str, names: list[str]) -> list[TypeModel]:
    answer = await aws.read(DESCRIBE_INSTANCE_TYPES, region=region, InstanceTypes=names)
    if answer is not None:
        return [parse_type(item) for item in _list(answer, "InstanceTypes", "DescribeInstanceTypes")]
    if len(names) == 1:
        return []
    return [kind for name in names for kind in await _ask_for_types(aws, region, [name])]


def forget_types() -> None:
    """Ask for every type again: for tests, each of which has an AWS of its own."""
    _types.clear()


async def protection(aws: Aws, region: str, instance: str) -> Protection:
    """Ask what an instance's own attributes forbid.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.read`; SourceUnavailable also where there is no such
            instance.
    """
    stop, terminate = await asyncio.gather(
        _attribute(aws, region, instance, "disableApiStop", "DisableApiStop"),
        _attribute(aws, region, instance, "disableApiTermination", "DisableApiTermination"),
    )
    return Protection(stop=stop, terminate=terminate)


async def _attribute(aws: Aws, region: str, instance: str, asked: str, key: str) -> bool:
    answer = await aws.read(DESCRIBE_INSTANCE_ATTRIBUTE, region=region, InstanceId=instance, Attribute=asked)
    if answer is None:
        raise SourceUnavailable(f"ec2 DescribeInstanceAttribute in {region}: there is no {instance}")
    found = answer.get(key)
    value = found.get("Value") if isinstance(found, Mapping) else None
    if not isinstance(value, bool):
        raise SourceMalformed(f"ec2 DescribeInstanceAttribute in {region}: {instance} has no {asked}")
    return value


async def persistent_requests(aws: Aws, region: str, requests: Iterable[str]) -> dict[str, bool]:
    """Tell which spot requests are persistent: they start anew what was terminated, and can be stopped.

    Returns:
        By request's id; those that are not there any more are left out.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`.
    """
    wanted = sorted(set(requests))
    found: dict[str, bool] = {}
    for start in range(0, len(wanted), _MOST_VALUES):
        for item in await _ask_for_requests(aws, region, wanted[start : start + _MOST_VALUES]):
            id_, kind = _request(item)
            if kind not in ("one-time", "persistent"):
                raise SourceMalformed(
                    f"ec2 DescribeSpotInstanceRequests in {region}: {id_[:40]!r} has no type"
                )
            found[id_] = kind == "persistent"
    return found


async def _ask_for_requests(aws: Aws, region: str, ids: list[str]) -> list[Any]:
    found = await aws.pages(DESCRIBE_SPOT_REQUESTS, region=region, SpotInstanceRequestIds=ids)
    if found is not None:
        return found
    if len(ids) == 1:
        return []
    return [item for one in ids for item in await _ask_for_requests(aws, region, [one])]


def _request(item: object) -> tuple[str, str]:
    told = item if isinstance(item, Mapping) else {}
    return str(told.get("SpotInstanceRequestId") or ""), str(told.get("Type") or "")


def _by(name: str, values: Collection[str]) -> Iterator[list[dict[str, Any]]]:
    """Make filters for values, as many at a time as one may have."""
    every = list(values)
    for start in range(0, len(every), _MOST_VALUES):
        yield [{"Name": name, "Values": every[start : start + _MOST_VALUES]}]


def _list(item: object, key: str, operation: str = "DescribeInstances") -> list[Any]:
    found = item.get(key) if isinstance(item, Mapping) else None
    if not isinstance(found, list):
        raise SourceMalformed(f"ec2 {operation}: the answer has no {key}")
    return found
