"""Asks AWS for the prices that the book wants, in its own time: nobody who looks at resources waits for it.

On-demand prices are the same for every account and come from the Pricing API, which answers in two regions alone (AWS
Billing User Guide, "Price List API endpoints"). Spot prices come from EC2 in the account and region where the instance
runs. What fails is tried again later and later; until then the book goes on with what it has.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.clients.aws import DESCRIBE_SPOT_PRICES, GET_PRODUCTS, Aws
from reaper.clients.prices.book import PriceBook
from reaper.clients.prices.models import Price, PriceKey
from reaper.clients.prices.pricelist import (
    ec2_filters,
    instance_price,
    sagemaker_filters,
    sagemaker_prices,
    spot_prices,
)
from reaper.clock import Clock
from reaper.core.codec import instant_from_text, instant_to_text
from reaper.errors import CollectError, SourceUnavailable

__all__ = ["PriceAsker"]

_PRICING_REGIONS = ("us-east-1", "ap-south-1")
_ELSEWHERE = ("cn-", "us-gov-", "us-iso")
"""Regions whose credentials the Pricing API does not know, or whose prices are in another currency."""
_AT_ONCE = 4
"""Questions at one time: GetProducts is throttled at some ten a second."""
_TYPES_A_CALL = 50
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One call, and which keys it answers.

    Attributes:
        door: What fails together and is left alone for a while together: `pricing`, `spot ACCOUNT/REGION`.
        keys: What it is asked for.
        ask: Asks.
    """

    door: str
    keys: tuple[PriceKey, ...]
    ask: Callable[[], Awaitable[Mapping[PriceKey, Price]]]


@dataclass(slots=True)
class _Shut:
    """A door that did not open: what it said, and when it is tried again."""

    problem: str
    pause: timedelta
    until: datetime


class PriceAsker:
    """Fills the book.

    Args:
        book: What is wanted, where answers go, and how to talk to the accounts where spot instances run.
        aws: For the Pricing API.
        clock: Tells the instants.
    """

    def __init__(self, book: PriceBook, aws: Aws, clock: Clock) -> None:
        self._book = book
        self._aws = aws
        self._clock = clock
        self._shut: dict[str, _Shut] = {}
        self._region = _PRICING_REGIONS[0]

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be asked, for people: each says what is used instead."""
        return tuple(
            f"prices can't be asked for ({shut.problem}): what is known of before, or shipped, is used with its date"
            for shut in self._shut.values()
        )

    def memo(self) -> dict[str, object]:
        """Give what did not open, as JSON: a `run --once` of cron need not find it out each time."""
        return {
            door: {
                "problem": shut.problem,
                "pause_s": shut.pause.total_seconds(),
                "until": instant_to_text(shut.until),
            }
            for door, shut in self._shut.items()
        }

    def restore(self, memo: object, now: datetime) -> None:
        """Take back what `memo` gave; what can't be read, or lies too far ahead, is tried at once."""
        for door, kept in memo.items() if isinstance(memo, Mapping) else ():
            try:
                pause, until = timedelta(seconds=kept["pause_s"]), instant_from_text(kept["until"])
                shut = _Shut(str(kept["problem"]), pause, until)
            except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
                continue
            if _FIRST_PAUSE <= pause <= _LONGEST_PAUSE and until - now <= pause:
                self._shut[str(door)] = shut

    async def ask(self, seconds: float) -> None:
        """Ask for what is due, for so long at most; what was not reached is due the next time."""
        now = self._clock.now()
        turns = asyncio.Semaphore(_AT_ONCE)
        questions = [one for one in self._questions(self._book.due(now)) if self._open(one.door, now)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(self._put(question, turns) for question in questions))

    async def _put(self, question: _Question, turns: asyncio.Semaphore) -> None:
        async with turns:
            if not self._open(question.door, self._clock.now()):
                return  # it was found shut by another question meanwhile
            try:
                prices = await question.ask()
            except CollectError as error:
                self._close(question.door, str(error))
                return
        self._shut.pop(question.door, None)
        self._book.learn(question.keys, prices, self._clock.now())

    def _questions(self, keys: Iterable[PriceKey]) -> list[_Question]:
        """Put keys together that one call answers."""
        together: dict[tuple[str, ...], list[PriceKey]] = {}
        for key in keys:
            if key.region.startswith(_ELSEWHERE):
                continue
            if key.spot:
                group: tuple[str, ...] = ("spot", key.account, key.region, key.platform)
            elif key.component:
                group = ("sagemaker", key.region, key.instance_type)
            else:
                group = ("ec2", *map(str, key))
            together.setdefault(group, []).append(key)
        found: list[_Question] = []
        for (what, *_), asked in together.items():
            if what == "spot":
                found += self._spot_questions(asked)
            elif what == "sagemaker":
                found.append(self._question(asked, self._sagemaker))
            elif ec2_filters(asked[0]) is not None:
                found.append(self._question(asked, self._ec2))
        return found

    def _question(
        self, keys: list[PriceKey], ask: Callable[[PriceKey], Awaitable[Mapping[PriceKey, Price]]]
    ) -> _Question:
        return _Question(door="pricing", keys=tuple(keys), ask=lambda: ask(keys[0]))

    def _spot_questions(self, keys: list[PriceKey]) -> list[_Question]:
        aws = self._book.aws_of(keys[0].account)
        if aws is None:
            return []
        types = sorted({key.instance_type for key in keys})
        found = []
        for first in range(0, len(types), _TYPES_A_CALL):
            some = types[first : first + _TYPES_A_CALL]
            asked = tuple(key for key in keys if key.instance_type in some)
            door = f"spot {asked[0].account}/{asked[0].region}"
            found.append(_Question(door=door, keys=asked, ask=_spot(aws, asked[0], some, self._clock)))
        return found

    async def _ec2(self, key: PriceKey) -> Mapping[PriceKey, Price]:
        products = await self._products("AmazonEC2", ec2_filters(key) or [])
        price = instance_price(products, key, self._clock.now())
        return {} if price is None else {key: price}

    async def _sagemaker(self, key: PriceKey) -> Mapping[PriceKey, Price]:
        products = await self._products("AmazonSageMaker", sagemaker_filters(key.region, key.instance_type))
        return sagemaker_prices(products, key.region, self._clock.now())

    async def _products(self, service: str, filters: list[dict[str, str]]) -> list[object]:
        """Ask where it was answered last, and where nobody answers in the other region."""
        first = self._region
        try:
            return await self._products_in(first, service, filters)
        except SourceUnavailable as error:
            other = next(region for region in _PRICING_REGIONS if region != first)
            try:
                found = await self._products_in(other, service, filters)
            except CollectError:
                raise error from None
            self._region = other
            return found

    async def _products_in(self, region: str, service: str, filters: list[dict[str, str]]) -> list[object]:
        return await self._aws.pages(GET_PRODUCTS, region=region, ServiceCode=service, Filters=filters) or []

    def _open(self, door: str, now: datetime) -> bool:
        shut = self._shut.get(door)
        return shut is None or shut.until <= now

    def _close(self, door: str, problem: str) -> None:
        """Leave a door alone, each time it is found shut for twice as long."""
        before = self._shut.get(door)
        now = self._clock.now()
        if before is not None and before.until > now:
            return  # another question found it shut in the same round
        pause = _FIRST_PAUSE if before is None else min(2 * before.pause, _LONGEST_PAUSE)
        self._shut[door] = _Shut(problem, pause, now + pause)


def _spot(
    aws: Aws, key: PriceKey, types: list[str], clock: Clock
) -> Callable[[], Awaitable[Mapping[PriceKey, Price]]]:
    """Make the question for the spot prices of some types in a region: those in force now, of every zone."""

    async def ask() -> Mapping[PriceKey, Price]:
        now = clock.now()
        rows = await aws.pages(
            DESCRIBE_SPOT_PRICES,
            region=key.region,
            InstanceTypes=types,
            ProductDescriptions=[key.platform],
            StartTime=now,
            EndTime=now,
        )
        return spot_prices(rows or [], key.account, key.region, key.platform, clock.now())

    return ask
