"""The instances of a shard on the fake, looked at as the daemon does."""

from collections.abc import Mapping
from datetime import timedelta

from reaper.clients.aws import Aws, AwsOptions, Models
from reaper.config.fleet import MANAGED_TAGS
from reaper.core.model import Activity, Collected, Observation, Resource, ResourceRef
from reaper.plugins import Look
from reaper.providers.ec2.options import Ec2Options, Timeouts
from reaper.providers.ec2.source import InstancesSource, Shard
from reaper.testing import FakeClock, hours, minutes
from reaper.testing.ec2 import Fleet

__all__ = ["TIMEOUT", "Watching", "idle", "options", "signals"]

TIMEOUT = hours(2)
FIVE = minutes(5)


def idle(_resource: Resource) -> Timeouts | None:
    """Every instance's activity matters after two hours."""
    return Timeouts(ask_after=TIMEOUT, look_back=timedelta(days=1))


def options(**given: object) -> Ec2Options:
    """Give the settings' defaults, and what a test wants to be otherwise."""
    return Ec2Options(**{"managed_tags": MANAGED_TAGS, "timeouts": idle, "hibernates": False, **given})  # type: ignore[arg-type]


class Watching:
    """A shard's source, looked at every five minutes.

    Args:
        fleet: The fake.
        clock: Its clock.
        models: Service models, shared by a module's tests.
        memo: What earlier looks left.
        given: Of the options.
    """

    def __init__(
        self,
        fleet: Fleet,
        clock: FakeClock,
        models: Models,
        *,
        memo: Mapping[str, object] | None = None,
        **given: object,
    ) -> None:
        self.fleet = fleet
        self.clock = clock
        self.aws = Aws(AwsOptions(attempts=1, connect_timeout_s=2, read_timeout_s=20), models)
        shard = Shard(scope="123456789012/us-east-1", region="us-east-1", aws=self.aws, clock=clock)
        self.source = InstancesSource(shard, options(**given), memo)
        self.polls = 0
        self.deadline = 30.0

    async def look(self, after: timedelta = FIVE, refs: tuple[ResourceRef, ...] | None = None) -> Collected:
        """Look once, some time later."""
        self.clock.advance(after)
        self.polls += 1
        look = Look(poll_id=self.polls, at=self.clock.now(), deadline=self.deadline, refs=refs)
        return await self.source.collect(look)

    async def resources(self, after: timedelta = FIVE) -> dict[str, Resource]:
        """Look once, completely, and give what is there by name."""
        seen = await self.look(after)
        assert seen.poll.complete, seen.poll.error
        return {resource.name: resource for resource in seen.resources}

    async def one(self, name: str = "box") -> Resource:
        """Give one resource, freshly looked at as right before an act."""
        found = (await self.resources())[name]
        seen = await self.look(timedelta(0), (found.ref,))
        assert seen.poll.complete, seen.poll.error
        (resource,) = seen.resources
        return resource

    async def close(self) -> None:
        """Close everything."""
        await self.source.close()
        await self.aws.close()


def signals(seen: Collected, name: str = "box") -> dict[str, Observation]:
    """Give what each signal said of something."""
    (ref,) = [resource.ref for resource in seen.resources if resource.name == name]
    return {one.signal: one for one in seen.observations if one.ref == ref}


def activities(seen: Collected, name: str = "box") -> dict[str, Activity]:
    """Give what each signal said, in a word."""
    return {signal: one.activity for signal, one in signals(seen, name).items()}
