"""What the sources of this provider have in common: how a look goes and fails, tags, how an act is not sent."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from reaper.clients.aws import Aws, Operation
from reaper.clients.prices import PriceBook
from reaper.clients.sagemaker import read_tags
from reaper.clients.studio import Said
from reaper.clock import Clock
from reaper.core.model import Activity, Collected, Observation, Poll, Resource, ResourceRef
from reaper.errors import ActionDenied, ActionUnavailable, CollectError, SourceDenied
from reaper.plugins import Look

__all__ = [
    "GONE",
    "Region",
    "bounded",
    "check_tags",
    "each_tags",
    "failed",
    "not_sent",
    "observed",
    "seen",
    "tags_unknown",
]

GONE = "it was gone already"

_AT_ONCE = 8
"""Questions about single things at one time: SageMaker throttles by account."""


class Region:
    """A region of an account, and how to ask about it.

    Args:
        account: Its twelve digits.
        name: The region's name.
        aws: Shared with other sources; the provider closes it.
        clock: Tells the instants.
        interval: The longest between looks.
        prices: What things cost; None: that is not known.
    """

    def __init__(
        self,
        account: str,
        name: str,
        aws: Aws,
        clock: Clock,
        interval: timedelta,
        prices: PriceBook | None = None,
    ) -> None:
        self.scope = f"{account}/{name}"
        self.name = name
        self.aws = aws
        self.clock = clock
        self.interval = interval
        self.prices = prices
        self.turns = asyncio.Semaphore(_AT_ONCE)


async def bounded(look: Look, source: str, collect: Callable[[Look], Awaitable[Collected]]) -> Collected:
    """Look within the deadline; a failure is a look that brought nothing."""
    try:
        async with asyncio.timeout(look.deadline):
            return await collect(look)
    except TimeoutError:
        return failed(look, source, f"no complete answer within {look.deadline:g} s")
    except CollectError as error:
        return failed(look, source, str(error))


def failed(look: Look, source: str, error: str) -> Collected:
    """Give a look that brought nothing: then nothing is known. Pure."""
    poll = Poll(
        id=look.poll_id,
        source=source,
        started_at=look.at,
        finished_at=look.at,
        complete=False,
        error=error,
    )
    return Collected(poll=poll)


def seen(look: Look, source: str, clock: Clock) -> Poll:
    """Give a complete look that ends now."""
    return Poll(id=look.poll_id, source=source, started_at=look.at, finished_at=clock.now(), complete=True)


def not_sent(error: CollectError) -> ActionDenied | ActionUnavailable:
    """Turn a look that failed right before an act into an act that was not sent. Pure."""
    kind = ActionDenied if isinstance(error, SourceDenied) else ActionUnavailable
    return kind(f"not sent, since it could not be looked at: {error}")


def observed(ref: ResourceRef, signal: str, said: Said) -> Observation:
    """Make an observation of what a signal says. Pure."""
    return Observation(
        ref=ref, signal=signal, activity=said.activity, evidence_at=said.evidence_at, value=said.value
    )


def tags_unknown(ref: ResourceRef, why: str) -> Observation:
    """Say that something can't be idle, since its tags can't be read. Pure."""
    said = f"its tags can't be read, and one may protect it: {why}"
    return observed(ref, "tags", Said(Activity.UNKNOWN, None, said))


async def each_tags(region: Region, asked: Iterable[tuple[Operation, str]]) -> list[dict[str, str] | str]:
    """Read the tags of several things by ARN, or say of each why they can't be read."""

    async def one(operation: Operation, arn: str) -> dict[str, str] | str:
        if not arn:
            return "SageMaker does not name its ARN"
        async with region.turns:
            try:
                return await read_tags(region.aws, operation, arn, region.name)
            except CollectError as error:
                return str(error)

    return await asyncio.gather(*(one(operation, arn) for operation, arn in asked))


async def check_tags(aws: Aws, operation: Operation, arn: str, region: str, resource: Resource) -> None:
    """Make sure right before an act that the tags are those that were decided on.

    A rule by age reads no signals, so that tags could not be read keeps nothing from it.

    Raises:
        ActionDenied, ActionUnavailable: They can't be read, or are others now: one may protect it.
    """
    if not arn:
        raise ActionUnavailable("not sent: SageMaker does not name its ARN, so its tags can't be read")
    try:
        tags = await read_tags(aws, operation, arn, region)
    except CollectError as error:
        raise not_sent(error) from error
    if tags != dict(resource.tags):
        raise ActionUnavailable("not sent: its tags have changed since it was decided on")
