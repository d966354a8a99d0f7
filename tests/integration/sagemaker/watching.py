"""Sources of SageMaker's on the fake, looked at as the daemon does."""

from datetime import timedelta

from reaper.clients.aws import Aws, AwsOptions, Models
from reaper.core.model import Collected, Observation, Resource
from reaper.plugins import Look, Source
from reaper.testing import FakeClock

__all__ = ["Watching", "aws_of", "signals"]

MINUTE = timedelta(minutes=1)


def aws_of(models: Models) -> Aws:
    """Talk to the fake: each question once."""
    return Aws(AwsOptions(attempts=1, connect_timeout_s=2, read_timeout_s=1), models)


class Watching:
    """A source, looked at every minute.

    Args:
        clock: The fake's.
        source: The source.
        aws: What it asks by.
    """

    def __init__(self, clock: FakeClock, source: Source, aws: Aws) -> None:
        self.clock = clock
        self.source = source
        self.aws = aws
        self.polls = 0

    async def look(self, after: timedelta = MINUTE) -> Collected:
        """Look once, some time later."""
        self.clock.advance(after)
        self.polls += 1
        return await self.source.collect(Look(poll_id=self.polls, at=self.clock.now(), deadline=60.0))

    async def resources(self, after: timedelta = MINUTE) -> dict[str, Resource]:
        """Look once, completely, and give what is there by name."""
        seen = await self.look(after)
        assert seen.poll.complete, seen.poll.error
        return {resource.name: resource for resource in seen.resources}

    async def close(self) -> None:
        """Close everything."""
        await self.source.close()
        await self.aws.close()


def signals(seen: Collected, name: str) -> dict[str, Observation]:
    """Give what each signal said of something."""
    (ref,) = [resource.ref for resource in seen.resources if resource.name == name]
    return {o.signal: o for o in seen.observations if o.ref == ref}
