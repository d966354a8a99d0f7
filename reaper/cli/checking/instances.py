"""EC2's part of `reaper check`: what runs in one account and region, a page at a time."""

from collections.abc import AsyncIterator
from datetime import datetime

from reaper.cli.checking.rows import Row, exempt
from reaper.clients.aws import Aws
from reaper.clients.ec2 import InstanceModel, describe_instances, persistent_requests
from reaper.clients.prices import PriceKey, key_of
from reaper.errors import CollectError

__all__ = ["ec2_rows"]

_RUNS = ("running", "pending")
"""States that are paid for, and that a person can end."""


_STOP = ("ec2", "stop-instances", "--instance-ids")
_TERMINATE = ("ec2", "terminate-instances", "--instance-ids")


async def ec2_rows(aws: Aws, scope: str, now: datetime) -> AsyncIterator[list[Row]]:
    """Give the instances that run in an account and region, a page at a time.

    Args:
        aws: How to ask.
        scope: `ACCOUNT/REGION`.
        now: The instant of the check.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `describe_instances`.
    """
    from reaper.providers.ec2.shaping import owner_of

    region = scope.partition("/")[2]
    keys: dict[PriceKey, PriceKey] = {}
    async for page in describe_instances(aws, region, states=_RUNS):
        persistent = await _persistent(aws, region, page)
        rows = []
        for instance in page:
            key = key_of(
                "ec2.instance",
                scope,
                {
                    "instance_type": instance.instance_type,
                    "lifecycle": instance.lifecycle,
                    "availability_zone": instance.availability_zone,
                    "platform": instance.platform,
                },
            )
            launched = instance.launched_at
            rows.append(
                Row(
                    kind="ec2.instance",
                    id=instance.id,
                    scope=scope,
                    name=instance.tags.get("Name") or instance.id,
                    owner=owner_of(instance.tags),
                    instance_type=instance.instance_type or None,
                    spot=instance.lifecycle == "spot",
                    runtime_s=None if launched is None else max(0.0, (now - launched).total_seconds()),
                    exempt=exempt(instance.tags, now),
                    end=_end(instance, persistent.get(instance.spot_request_id)),
                    key=None if key is None else keys.setdefault(key, key),
                )
            )
        yield rows


async def _persistent(aws: Aws, region: str, page: list[InstanceModel]) -> dict[str, bool]:
    """Find out which spot requests are persistent; where that can't be read, none is known to be."""
    requests = {instance.spot_request_id for instance in page if instance.spot_request_id}
    try:
        return await persistent_requests(aws, region, requests) if requests else {}
    except CollectError:
        return {}


def _end(instance: InstanceModel, persistent: bool | None) -> tuple[str, ...]:
    """Name the command that ends it: stopped where that is possible, which loses nothing that is on EBS."""
    stops = instance.root_device_type != "instance-store" and (
        instance.lifecycle != "spot" or persistent is True
    )
    return _STOP if stops else _TERMINATE
