"""What exists in the fake: instances, their volumes and spot requests; states follow from instants alone."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from reaper.testing.ec2.catalog import TYPES, InstanceType
from reaper.testing.ec2.usage import Usage

__all__ = ["CODES", "Instance", "Place", "SpotRequest", "Timing", "Volume"]

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
"""The numbers of the states (EC2 API reference, InstanceState)."""

LISTED_AFTER_TERMINATION = timedelta(hours=1)
"""How long a terminated instance is still told of (EC2 User Guide, "Terminate your instance")."""

By = Literal["user", "hibernate", "os", "service"]

_REASONS: dict[str, tuple[str, str]] = {
    "user": ("Client.UserInitiatedShutdown", "User initiated shutdown"),
    "hibernate": ("Client.UserInitiatedHibernate", "User initiated hibernate"),
    "os": ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown"),
    "service": ("Server.SpotInstanceShutdown", "Stopped due to Spot capacity"),
}
_NEXT = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An account's region.

    Attributes:
        account: Its twelve digits.
        region: Its name.
    """

    account: str
    region: str

    def arn(self, resource: str) -> str:
        """Name a resource of EC2 here."""
        return f"arn:aws:ec2:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long transitions take.

    Attributes:
        boots_in: Pending.
        stops_in: Stopping.
        terminates_in: Shutting down.
        relaunches_in: Until a persistent spot request launches another instance.
    """

    boots_in: timedelta = timedelta(seconds=20)
    stops_in: timedelta = timedelta(seconds=30)
    terminates_in: timedelta = timedelta(seconds=30)
    relaunches_in: timedelta = timedelta(minutes=1)

    def of(self, state: str) -> timedelta:
        """Tell how long a state of transition lasts."""
        return {"pending": self.boots_in, "stopping": self.stops_in, "shutting-down": self.terminates_in}[
            state
        ]


@dataclass(slots=True, kw_only=True)
class Volume:
    """An EBS volume.

    Attributes:
        id: `vol-...`.
        device: `/dev/xvda`.
        size_gb: Its size.
        type: `gp3`.
        deleted_with_instance: It goes when its instance is terminated.
        tags: Its tags.
    """

    id: str
    device: str = "/dev/xvda"
    size_gb: int = 100
    type: str = "gp3"
    deleted_with_instance: bool = True
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class SpotRequest:
    """A spot request.

    Attributes:
        id: `sir-...`.
        persistent: It launches another instance when its own is terminated, until it is cancelled.
        behaviour: What EC2 does when it needs the capacity: `terminate`, `stop` or `hibernate`.
        created_at: When it was made.
        instance_id: Its instance; None: there is none at the moment.
        state: `open`, `active`, `closed`, `cancelled`, `disabled` (its instance was stopped by its user).
        type: Instance type that it launches.
        relaunches_at: When it launches the next.
    """

    id: str
    persistent: bool = False
    behaviour: str = "terminate"
    created_at: datetime
    instance_id: str | None = None
    state: str = "active"
    type: str
    relaunches_at: datetime | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True, eq=False)
class Instance:
    """An EC2 instance. Attributes may be set as a test likes.

    Attributes:
        id: `i-...`.
        place: Where it is.
        type: Instance type: one of `TYPES`, or a name that nobody knows.
        zone: Availability zone.
        launched_at: LaunchTime: when it was started last.
        state: `pending`, `running`, `stopping`, `stopped`, `shutting-down`, `terminated`.
        since: Since when it is in that state.
        tags: Its tags.
        lifecycle: `spot`, `scheduled`, `capacity-block`; empty: on demand.
        spot: Its spot request.
        root_device: `ebs` or `instance-store`.
        hibernation: Configured for hibernation.
        hibernated: It was stopped by hibernation.
        disable_api_stop: Stop protection.
        disable_api_termination: Termination protection.
        shutdown_behaviour: What a shutdown by its OS does: `stop` or `terminate`.
        detailed: Detailed monitoring: a datapoint a minute.
        platform: `windows`; empty: Linux.
        image: AMI.
        vpc: VPC; empty: none.
        subnet: Subnet.
        private_ip: Its address.
        key_name: SSH key.
        profile: Name of its instance profile; empty: none.
        operator: The service that manages it; empty: none.
        capacity_reservation: `cr-...`; empty: none.
        capacity_block: `cr-...` of a capacity block; empty: none.
        volumes: Its EBS volumes; the first is its root device.
        vcpus: CpuOptions; None: AWS says nothing.
        reservation: `r-...`.
        state_reason: StateReason: code and message.
        transition_reason: StateTransitionReason.
        lives: When it ran: from, until.
        listed_without_tags: DescribeInstances without ids forgets its tags, as was seen of AWS.
        usage: What it does.
    """

    id: str
    place: Place
    type: str
    zone: str
    launched_at: datetime
    state: str = "running"
    since: datetime
    tags: dict[str, str] = field(default_factory=dict)
    lifecycle: str = ""
    spot: SpotRequest | None = None
    root_device: str = "ebs"
    hibernation: bool = False
    hibernated: bool = False
    disable_api_stop: bool = False
    disable_api_termination: bool = False
    shutdown_behaviour: str = "stop"
    detailed: bool = False
    platform: str = ""
    image: str = "ami-0fake00000000000"
    vpc: str = "vpc-0fake00000000000"
    subnet: str = "subnet-0fake0000000000"
    private_ip: str = "10.0.0.10"
    key_name: str = "team"
    profile: str = ""
    operator: str = ""
    capacity_reservation: str = ""
    capacity_block: str = ""
    volumes: list[Volume] = field(default_factory=list)
    vcpus: int | None = None
    reservation: str = "r-0fake00000000000"
    state_reason: tuple[str, str] | None = None
    transition_reason: str = ""
    lives: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    listed_without_tags: bool = False
    usage: Usage = field(default_factory=Usage)

    @property
    def known_type(self) -> InstanceType | None:
        """Its type, where the fake knows it."""
        return TYPES.get(self.type)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.place.arn(f"instance/{self.id}")

    @property
    def private_dns(self) -> str:
        """Its private DNS name."""
        domain = (
            "ec2.internal" if self.place.region == "us-east-1" else f"{self.place.region}.compute.internal"
        )
        return f"ip-{self.private_ip.replace('.', '-')}.{domain}"

    def settle(self, now: datetime, timing: Timing) -> bool:
        """End a transition whose time is over; tell whether the instance is still told of."""
        while (after := _NEXT.get(self.state)) is not None and self.since + timing.of(self.state) <= now:
            self._enter(after, self.since + timing.of(self.state))
        return self.state != "terminated" or now < self.since + LISTED_AFTER_TERMINATION

    def start(self, now: datetime) -> None:
        """Let it boot."""
        self.launched_at, self.hibernated = now, False
        self._enter("pending", now)
        self.state_reason, self.transition_reason = ("pending", "pending"), ""
        self.lives.append((now, None))

    def stop(self, now: datetime, by: By = "user") -> None:
        """Let it stop."""
        self._go("stopping", now, by)
        self.hibernated = by == "hibernate"

    def terminate(self, now: datetime, by: By = "user") -> None:
        """Let it go."""
        if self.state == "stopped":
            self._go("shutting-down", now, by)
            self._enter("terminated", now)  # there is nothing to shut down
        else:
            self._go("shutting-down", now, by)

    def _go(self, state: str, now: datetime, by: By) -> None:
        code, words = _REASONS[by]
        self._enter(state, now)
        self.state_reason = (code, f"{code}: {words}")
        stamp = now.strftime("%Y-%m-%d %H:%M:%S GMT")
        whose = {"os": "", "service": f"Service initiated ({stamp})"}
        self.transition_reason = whose.get(by, f"User initiated ({stamp})")
        if self.lives and self.lives[-1][1] is None:
            self.lives[-1] = (self.lives[-1][0], now)

    def _enter(self, state: str, at: datetime) -> None:
        self.state, self.since = state, at
        if state == "running":
            self.state_reason, self.transition_reason = None, ""
