"""Thousands of instances that cost next to nothing until one is touched: each is a number.

What an instance is follows from its number: a template (type, zone, state, tags), a launch, an owner. A
template is rendered once; an instance's XML is that text with its own values in it.
"""

import functools
from array import array
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from reaper.testing.aws_wire import xml
from reaper.testing.aws_wire.contract import contract
from reaper.testing.ec2.catalog import TYPES
from reaper.testing.ec2.describe import described, reservation
from reaper.testing.ec2.instance import Instance, Place, SpotRequest, Volume
from reaper.testing.ec2.usage import Usage

__all__ = ["Rows", "Template", "templates"]

_ODD = 0x9E3779B97F4A7C15
_INVERSE = pow(_ODD, -1, 1 << 64)
_MASK = (1 << 64) - 1
"""Ids look random, and lead back to their number."""

_OWNERS = ("ann", "bob", "carla", "deniz", "emeka", "fatou", "goran", "hana", "ivo", "jun", "kim")
_WORDS = ("trainer", "worker", "notebook", "web", "build", "batch")
_SENTINEL = datetime(1999, 1, 1, tzinfo=UTC)
_EVERY = 512
"""Launches are that many seconds apart: texts of instants can be kept."""
_YOUNGEST = 3 * 3600 // _EVERY + 1
"""Three hours: what is stopped ran for an hour."""

_MIX = (
    ("t3.medium", 5),
    ("m5.large", 6),
    ("m6i.2xlarge", 4),
    ("c6i.4xlarge", 3),
    ("r5.2xlarge", 2),
    ("m7g.large", 3),
    ("m5d.large", 1),
    ("g4dn.xlarge", 2),
    ("g5.xlarge", 2),
    ("g5.12xlarge", 1),
    ("p3.8xlarge", 1),
)
"""Types, and how many of each there are among thirty."""


class Template:
    """What many instances have in common.

    Args:
        number: Which one it is.
        type_: Their instance type.
        zone: Letter of their zone.
        state: `running` or `stopped`.
        spot: They are one-time spot instances.
        busy: They have work.
    """

    def __init__(self, number: int, type_: str, zone: str, *, state: str, spot: bool, busy: bool) -> None:
        self.number = number
        self.type = type_
        self.zone = zone
        self.state = state
        self.spot = spot
        self.busy = busy

    def instance(
        self, place: Place, number: str, name: str, owner: str, private_ip: str, launched_at: datetime
    ) -> Instance:
        """Make one of them."""
        stopped = self.state == "stopped"
        gpus = TYPES[self.type].gpus
        owners = {"Owner": owner} if self.number % 7 else {}
        made = Instance(
            id=f"i-{number}",
            place=place,
            type=self.type,
            zone=f"{place.region}{self.zone}",
            launched_at=launched_at,
            state=self.state,
            since=launched_at + timedelta(hours=1) if stopped else launched_at,
            lives=[(launched_at, launched_at + timedelta(hours=1) if stopped else None)],
            tags={
                "Name": name,
                **owners,
                "Team": "research",
                "Environment": "dev" if self.number % 3 else "prod",
                "CostCenter": "4711",
                "aws:cloudformation:stack-name": f"stack-{_WORDS[self.number % len(_WORDS)]}",
            },
            private_ip=private_ip,
            reservation=f"r-{number}",
            volumes=[Volume(id=f"vol-{number}")],
            usage=Usage(
                cpu=37.0 if self.busy else 0.4,
                network_in=4e6 if self.busy else 900.0,
                gpus=[71.0 if self.busy else 0.0] * gpus,
            ),
        )
        if stopped:
            made.state_reason = (
                "Client.UserInitiatedShutdown",
                "Client.UserInitiatedShutdown: User initiated shutdown",
            )
            made.transition_reason = "User initiated (2025-11-19 10:00:00 GMT)"
        if self.spot:
            made.lifecycle = "spot"
            made.spot = SpotRequest(
                id=f"sir-{number}", created_at=launched_at, instance_id=made.id, type=self.type
            )
        return made

    @functools.cached_property
    def like(self) -> Instance:
        """One of them, with marks instead of what is its own."""
        place = Place(account="@account@", region="@region@")
        return self.instance(place, "@id@", "@name@", "@owner@", "@ip@", _SENTINEL)

    @functools.cached_property
    def pieces(self) -> list[str]:
        """Their XML, a reservation: text and names of values in turn."""
        values = reservation([described(self.like)], self.like)
        shape: Any = contract("ec2").model.shape_for("DescribeInstancesResult")
        text = xml.ec2_body(shape, {"Reservations": [values]})
        text = text.removeprefix("<reservationSet>").removesuffix("</reservationSet>")
        text = text.replace("ip-@ip@.@region@.compute.internal", "@dns@")
        return text.replace("1999-01-01T00:00:00.000Z", "@launched@").split("@")


@functools.cache
def templates() -> tuple[Template, ...]:
    """Give all that there are: a type's states, zones and loads."""
    made: list[Template] = []
    for type_, _ in _MIX:
        for zone in "abc":
            for state, spot, busy in (
                ("running", False, True),
                ("running", False, False),
                ("running", True, True),
                ("stopped", False, False),
            ):
                made.append(Template(len(made), type_, zone, state=state, spot=spot, busy=busy))
    return tuple(made)


class Rows:
    """Instances of one shard, by number.

    Args:
        place: Where they are.
        count: How many.
        seed: What they are follows from it.
        now: They were launched in the thirty days before it.
    """

    def __init__(self, place: Place, count: int, seed: int, now: datetime) -> None:
        self.place = place
        self.count = count
        self._salt = Random(f"{seed}/{place.account}/{place.region}").getrandbits(64)  # noqa: S311 -- replayable
        chance = Random(self._salt)  # noqa: S311 -- the same
        weights = [weight * part / 100 for _, weight in _MIX for _ in "abc" for part in (55, 30, 7, 8)]
        self.kinds = array("B", chance.choices(range(len(templates())), weights, k=count))
        epoch = int(now.timestamp()) // _EVERY
        month = 30 * 86_400 // _EVERY
        self._launches = array(
            "L", (epoch - int(month * chance.random() ** 2) - _YOUNGEST for _ in range(count))
        )
        east = place.region == "us-east-1"
        self._domain = "ec2.internal" if east else f"{place.region}.compute.internal"

    def id(self, number: int) -> str:
        """Name an instance by its number."""
        return f"i-0{(number * _ODD + self._salt) & _MASK:016x}"

    def number(self, instance_id: str) -> int | None:
        """Tell an instance's number; None: it is none of these."""
        if len(instance_id) != 19 or not instance_id.startswith("i-0"):  # noqa: PLR2004 -- "i-" and 17 digits
            return None
        try:
            number = (int(instance_id[3:], 16) - self._salt) * _INVERSE & _MASK
        except ValueError:
            return None
        return number if number < self.count else None

    def make(self, number: int) -> Instance:
        """Make an instance as its number has it."""
        template = templates()[self.kinds[number]]
        launched_at = datetime.fromtimestamp(self._launches[number] * _EVERY, UTC)
        name, owner = self._names(number)
        return template.instance(self.place, self.id(number)[2:], name, owner, _ip(number), launched_at)

    def matching(self, alike: Callable[[Instance], bool]) -> frozenset[int]:
        """Name the templates whose instances meet a condition on what they have in common."""
        return frozenset(one.number for one in templates() if alike(one.like))

    def texts(self, numbers: list[int]) -> Iterator[str]:
        """Give the XML of instances."""
        all_of = templates()
        values = {"account": self.place.account, "region": self.place.region}
        for number in numbers:
            ip = _ip(number)
            values["name"], values["owner"] = self._names(number)
            values["id"] = self.id(number)[2:]
            values["ip"] = ip
            values["dns"] = f"ip-{ip.replace('.', '-')}.{self._domain}"
            values["launched"] = _instant_text(self._launches[number])
            pieces = all_of[self.kinds[number]].pieces.copy()
            pieces[1::2] = [values[name] for name in pieces[1::2]]
            yield "".join(pieces)

    @functools.cached_property
    def with_gpus(self) -> Mapping[int, Instance]:
        """The instances with GPUs, by number, to look at."""
        wanted = frozenset(one.number for one in templates() if TYPES[one.type].gpus)
        return {number: self.make(number) for number, kind in enumerate(self.kinds) if kind in wanted}

    def _names(self, number: int) -> tuple[str, str]:
        return f"{_WORDS[number % len(_WORDS)]}-{number:05d}", _OWNERS[number % len(_OWNERS)]


def _ip(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@functools.lru_cache(maxsize=8192)
def _instant_text(launch: int) -> str:
    return datetime.fromtimestamp(launch * _EVERY, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
