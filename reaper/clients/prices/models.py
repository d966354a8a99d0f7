"""What a price is, and what it is of. Pure values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

__all__ = ["LINUX", "PRICED_BY", "Price", "PriceKey", "key_of"]

PRICED_BY = ("instance_type", "lifecycle", "availability_zone", "platform", "app_type")
"""Attributes of a resource that decide its price, besides its kind and scope: `key_of` reads no others."""

LINUX = "Linux/UNIX"
"""What EC2 calls it in `PlatformDetails` and in the product descriptions of spot prices."""

_SPELLINGS = {"": LINUX, "linux": LINUX, "linux/unix": LINUX, "windows": "Windows"}
"""Platforms that are told otherwise in other places of the API: `Platform` says `windows`, or nothing for Linux."""

_UNPRICED = frozenset({"scheduled", "capacity-block"})
"""Paid before they start: to end one of these frees nothing."""

_COMPONENTS = {
    "sagemaker.notebook_instance": "Notebk",
    "sagemaker.endpoint": "Host",
}
"""How usage types of the price list call what a kind runs as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What an hour costs.

    Attributes:
        hourly: In `currency`; always more than 0: an unknown price is no price.
        source: `override`, `pricing-api`, `spot-history` or `shipped`.
        date: Since when it is in force by that source, or of when a shipped one is; None: of a configured one.
        currency: Always US dollars: other price lists are not read.
        origin: Source and date, for people and documents: `pricing-api 2025-11-01`, `override`.
    """

    hourly: float
    source: str
    date: date | None
    currency: str = "USD"
    origin: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.hourly < math.inf:
            raise ValueError(f"{self.hourly!r} is no price: an unknown one is None, never 0")
        origin = self.source if self.date is None else f"{self.source} {self.date.isoformat()}"
        object.__setattr__(self, "origin", origin)


class PriceKey(NamedTuple):
    """What has a price.

    Attributes:
        region: `eu-central-1`.
        instance_type: `g5.xlarge`, `ml.g5.xlarge`.
        spot: Bought on the spot market.
        platform: As EC2 tells it in `PlatformDetails`: it is part of the price. Of EC2 alone.
        zone: Availability zone: of spot instances, whose price it decides.
        component: What it runs as, of SageMaker, in the words of its usage types: `Notebk`, `Host`,
            `Studio:KernelGateway`.
        account: Of spot instances: two accounts may call different zones `us-east-1a`.
    """

    region: str
    instance_type: str
    spot: bool = False
    platform: str = LINUX
    zone: str = ""
    component: str = ""
    account: str = ""


def key_of(kind: str, scope: str, attributes: Mapping[str, object]) -> PriceKey | None:
    """Tell what price a resource has, by what its provider says of it. Pure.

    Args:
        kind: `ec2.instance`, `studio.app`, `sagemaker.notebook_instance` ...
        scope: `ACCOUNT/REGION`.
        attributes: `instance_type`; of EC2 also `lifecycle`, `availability_zone`, `platform`; of Studio `app_type`.

    Returns:
        None: it has none that could be known.
    """
    account, slash, region = scope.partition("/")
    instance_type = attributes.get("instance_type")
    if not slash or not region or "/" in region or not isinstance(instance_type, str) or not instance_type:
        return None
    if kind == "ec2.instance":
        return _ec2_key(account, region, instance_type, attributes)
    if not instance_type.startswith("ml."):
        return None
    component = f"Studio:{attributes.get('app_type')}" if kind == "studio.app" else _COMPONENTS.get(kind)
    return None if component is None else PriceKey(region, instance_type, component=component)


def _ec2_key(
    account: str, region: str, instance_type: str, attributes: Mapping[str, object]
) -> PriceKey | None:
    lifecycle = attributes.get("lifecycle")
    if lifecycle in _UNPRICED:
        return None
    said = str(attributes.get("platform") or "")
    platform = _SPELLINGS.get(said.lower(), said)
    if lifecycle != "spot":
        return PriceKey(region, instance_type, platform=platform)
    zone = str(attributes.get("availability_zone") or "")
    return PriceKey(region, instance_type, spot=True, platform=platform, zone=zone, account=account)
