"""The instances of one account's region."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from reaper.testing.aws_wire.faults import Refusal
from reaper.testing.ec2.instance import Instance, Place, SpotRequest, Timing, Volume
from reaper.testing.ec2.synthetic import Rows

__all__ = ["Shard"]

_OF_ROWS = "sir-0"
"""How the ids of spot requests of rows begin, which go on as their instances' do."""


class Shard:
    """What one account has in one region.

    Args:
        place: Where.
        timing: How long transitions take.

    Attributes:
        instances: By id; those of `rows` that were touched among them.
        rows: Many more that nobody touched yet.
        taken: Which of `rows` were touched, by number.
        spot_requests: By id.
        parameters: Of SSM, by name.
        listing: What ListMetrics was asked last, and all that it found: its further pages are of that.
    """

    def __init__(self, place: Place, timing: Timing) -> None:
        self.place = place
        self.timing = timing
        self.instances: dict[str, Instance] = {}
        self.rows: Rows | None = None
        self.taken: dict[int, Instance] = {}
        self.spot_requests: dict[str, SpotRequest] = {}
        self.parameters: dict[str, str] = {}
        self.listing: tuple[str, list[Any]] = ("", [])
        self._launched = 0

    def settle(self, now: datetime) -> None:
        """Let everything be as it is at an instant."""
        for request in list(self.spot_requests.values()):
            if request.relaunches_at is not None and request.relaunches_at <= now:
                self._relaunch(request, request.relaunches_at)
        gone = [one.id for one in self.instances.values() if not one.settle(now, self.timing)]
        for name in gone:
            del self.instances[name]

    def find(self, ids: list[str]) -> list[Instance]:
        """Find instances by id.

        Raises:
            Refusal: One of them is not there, or is no id.
        """
        malformed = [name for name in ids if not _is_id(name)]
        if malformed:
            raise Refusal("InvalidInstanceID.Malformed", f'Invalid id: "{malformed[0]}"')
        missing = [name for name in ids if self.take(name) is None]
        if len(missing) == 1:
            raise Refusal("InvalidInstanceID.NotFound", f"The instance ID '{missing[0]}' does not exist")
        if missing:
            names = ", ".join(missing)
            raise Refusal("InvalidInstanceID.NotFound", f"The instance IDs '{names}' do not exist")
        return [self.instances[name] for name in dict.fromkeys(ids)]

    def take(self, instance_id: str) -> Instance | None:
        """Find an instance that may be changed; None: there is none."""
        if instance_id in self.instances or self.rows is None:
            return self.instances.get(instance_id)
        number = self.rows.number(instance_id)
        if number is None or number in self.taken:
            return None
        made = self.taken[number] = self.instances[instance_id] = self.rows.make(number)
        if made.spot is not None:
            self.spot_requests[made.spot.id] = made.spot
        return made

    def peek(self, instance_id: str) -> Instance | None:
        """Find an instance to look at; None: there is none."""
        if instance_id in self.instances or self.rows is None:
            return self.instances.get(instance_id)
        number = self.rows.number(instance_id)
        return None if number is None or number in self.taken else self.rows.make(number)

    def spot_request(self, request_id: str) -> SpotRequest | None:
        """Find a spot request that may be changed; None: there is none."""
        if request_id not in self.spot_requests and request_id.startswith(_OF_ROWS):
            self.take(f"i-{request_id.removeprefix('sir-')}")
        return self.spot_requests.get(request_id)

    def all_spot_requests(self) -> list[SpotRequest]:
        """Give every spot request, to look at."""
        found = list(self.spot_requests.values())
        if self.rows is not None:
            spots = self.rows.matching(lambda one: one.spot is not None)
            numbers = (number for number, kind in enumerate(self.rows.kinds) if kind in spots)
            made = (self.rows.make(number).spot for number in numbers if number not in self.taken)
            found += [one for one in made if one is not None]
        return found

    def peek_spot_request(self, request_id: str) -> SpotRequest | None:
        """Find a spot request to look at; None: there is none."""
        if request_id in self.spot_requests or not request_id.startswith(_OF_ROWS):
            return self.spot_requests.get(request_id)
        instance = self.peek(f"i-{request_id.removeprefix('sir-')}")
        return None if instance is None else instance.spot

    def own(self) -> list[Instance]:
        """Give the instances that are none of the rows."""
        rows = {id(one) for one in self.taken.values()}
        return [one for one in self.instances.values() if id(one) not in rows]

    def everything(self) -> Iterator[Instance]:
        """Give every instance, to look at."""
        yield from self.instances.values()
        if self.rows is not None:
            yield from (
                self.rows.make(number) for number in range(self.rows.count) if number not in self.taken
            )

    def with_gpus(self) -> Iterator[Instance]:
        """Give every instance that may have GPUs, to look at."""
        yield from self.instances.values()
        if self.rows is not None:
            yield from (one for number, one in self.rows.with_gpus.items() if number not in self.taken)

    def volumes(self) -> Iterator[tuple[Instance, Volume]]:
        """Give every volume with its instance."""
        for instance in self.everything():
            if instance.state != "terminated":
                for volume in instance.volumes:
                    yield instance, volume

    def ended(self, instance: Instance, now: datetime) -> None:
        """Let an instance's spot request go on after it was terminated."""
        request = instance.spot
        if request is None or request.state == "cancelled":
            return
        request.instance_id = None
        if request.persistent:
            request.state, request.relaunches_at = "open", now + self.timing.relaunches_in
        else:
            request.state = "closed"

    def _relaunch(self, request: SpotRequest, at: datetime) -> None:
        self._launched += 1
        last = next((one for one in self.instances.values() if one.spot is request), None)
        instance = Instance(
            id=f"i-{request.id[4:]:0<12}{self._launched:05x}",
            place=self.place,
            type=request.type,
            zone=f"{self.place.region}a" if last is None else last.zone,
            launched_at=at,
            since=at,
            lifecycle="spot",
            spot=request,
            tags={},  # a request's tags are its own: what it launches has none of them
        )
        instance.start(at)
        self.instances[instance.id] = instance
        request.instance_id, request.state, request.relaunches_at = instance.id, "active", None


def _is_id(name: str) -> bool:
    digits = name.removeprefix("i-")
    return digits != name and len(digits) in {8, 17} and all(digit in "0123456789abcdef" for digit in digits)
