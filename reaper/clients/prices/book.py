"""The book of prices: answers at once with what it knows, and notes what it should ask for.

What is configured comes first, then what AWS told, then what is shipped. Who looks at resources asks the book and never
waits; `asking.py` asks AWS in its own time for what was wanted, and what it learnt is kept with its age. An
old price is better than none: it is used with its date until a newer one is there.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from reaper.clients.prices.models import PRICED_BY, Price, PriceKey, key_of
from reaper.clients.prices.shipped import shipped
from reaper.clock import Clock
from reaper.core.codec import instant_from_text, instant_to_text
from reaper.core.model import Resource

if TYPE_CHECKING:
    from reaper.clients.aws import Aws

__all__ = ["ON_DEMAND_FOR", "SPOT_FOR", "Learnt", "PriceBook"]

ON_DEMAND_FOR = timedelta(hours=24)
"""How long an on-demand price is taken to be in force before it is asked for again."""
SPOT_FOR = timedelta(hours=1)
"""The same of a spot price."""
_FORGET_AFTER = timedelta(days=7)
"""How long something is remembered whose price nobody wants any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What AWS told of a price.

    Attributes:
        price: None: it names none.
        asked_at: When.
    """

    price: Price | None
    asked_at: datetime


class PriceBook:
    """What things cost an hour. One for the whole process; asked from one event loop.

    Args:
        clock: Tells how old what is known is.
        overrides: What is configured: `g5.xlarge`, `eu-central-1/g5.xlarge`, `spot/g5.xlarge`,
            `spot/eu-central-1/g5.xlarge`, each with US dollars an hour.
        source: `auto`: what AWS told, then the shipped table; `shipped`: the table alone; `none`: neither.
        asks: AWS is to be asked, so that what is wanted is noted; only with `auto`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        overrides: Mapping[str, float] | None = None,
        source: Literal["auto", "shipped", "none"] = "auto",
        asks: bool = False,
    ) -> None:
        self.asks = asks and source == "auto"
        self._clock = clock
        self._overrides = {
            name: Price(hourly=hourly, source="override", date=None)
            for name, hourly in (overrides or {}).items()
        }
        self._source = source
        self._learnt: dict[PriceKey, Learnt] = {}
        self._wanted: dict[PriceKey, datetime] = {}
        self._answers: dict[
            tuple[object, ...], Price | None
        ] = {}  # of many things alike the answer is made once
        self._news = asyncio.Event()
        self._accounts: dict[str, Aws] = {}

    def register(self, account: str, aws: "Aws") -> None:
        """Tell how to talk to an account: spot prices are asked for where the instance runs. The caller closes it."""
        self._accounts[account] = aws

    def aws_of(self, account: str) -> "Aws | None":
        """Give how to talk to an account; None: nobody said."""
        return self._accounts.get(account)

    async def wait_for_wants(self, seconds: float) -> None:
        """Wait until somebody wants a price, so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def price(self, key: PriceKey) -> Price | None:
        """Give a price as far as it is known, at once. None is unknown: never 0."""
        configured = self._configured(key)
        if configured is not None or self._source == "none":
            return configured
        if not self.asks:
            return shipped(key)
        self._wanted[key] = self._clock.now()
        self._news.set()
        learnt = self._learnt.get(key)
        if learnt is not None and learnt.price is not None:
            return learnt.price
        return shipped(key)

    def of(self, kind: str, scope: str, attributes: Mapping[str, object]) -> Price | None:
        """Give the price of a resource, by what its provider says of it (`key_of`)."""
        get = attributes.get
        said = (kind, scope, *map(get, PRICED_BY))
        try:
            return self._answers[said]
        except TypeError:  # a list or a table where a text should be: nothing has such a type
            return None
        except KeyError:
            key = key_of(kind, scope, attributes)
            price = self._answers[said] = None if key is None else self.price(key)
            return price

    def priced(self, resource: Resource) -> Resource:
        """Give a resource with its hourly cost, and where that is known from as its attribute `price_source`."""
        price = self.of(resource.ref.kind, resource.ref.scope, resource.attributes)
        if price is None:
            return resource
        attributes = {**resource.attributes, "price_source": price.origin}
        return replace(resource, hourly_cost=price.hourly, attributes=attributes)

    def due(self, now: datetime) -> list[PriceKey]:
        """Give what is wanted and not known, or so old that it should be asked for again."""
        self._answers.clear()  # what is asked again is wanted still
        return [
            key for key in self._wanted if (kept := self._learnt.get(key)) is None or _old(key, kept, now)
        ]

    def learn(self, keys: Iterable[PriceKey], prices: Mapping[PriceKey, Price], now: datetime) -> None:
        """Keep what AWS answered; of what it was asked about and names no price (any more), that it was asked."""
        self._answers.clear()
        for key in {*keys, *prices}:
            before = self._learnt.get(key)
            price = prices.get(key) or (None if before is None else before.price)
            self._learnt[key] = Learnt(price=price, asked_at=now)

    def memo(self, now: datetime) -> dict[str, object]:
        """Give what was learnt, as JSON, for the next start; forget what nobody has wanted for a week."""
        self._wanted = {key: at for key, at in self._wanted.items() if now - at <= _FORGET_AFTER}
        self._learnt = {
            key: learnt
            for key, learnt in self._learnt.items()
            if now - self._wanted.get(key, learnt.asked_at) <= _FORGET_AFTER
        }
        return {"prices": [_kept(key, learnt) for key, learnt in self._learnt.items()]}

    def restore(self, memo: Mapping[str, object], now: datetime) -> None:
        """Take back what `memo` gave; what can't be read is asked for anew."""
        self._answers.clear()
        rows = memo.get("prices")
        for row in rows if isinstance(rows, list) else ():
            try:
                key, learnt = _restored(row)
            except (AttributeError, KeyError, TypeError, ValueError):
                continue
            self._learnt.setdefault(key, learnt)
            self._wanted.setdefault(key, now)

    def _configured(self, key: PriceKey) -> Price | None:
        """Find what is configured: of the region before what holds everywhere."""
        if not self._overrides:
            return None
        market = "spot/" if key.spot else ""
        return self._overrides.get(f"{market}{key.region}/{key.instance_type}") or self._overrides.get(
            f"{market}{key.instance_type}"
        )


def _old(key: PriceKey, learnt: Learnt, now: datetime) -> bool:
    age = now - learnt.asked_at
    return age >= (SPOT_FOR if key.spot else ON_DEMAND_FOR) or age < timedelta(0)  # a clock that was set back


def _kept(key: PriceKey, learnt: Learnt) -> dict[str, object]:
    price = learnt.price
    return {
        "of": list(key),
        "asked_at": instant_to_text(learnt.asked_at),
        "hourly": None if price is None else price.hourly,
        "source": None if price is None else price.source,
        "date": None if price is None or price.date is None else price.date.isoformat(),
    }


def _restored(row: Mapping[str, object]) -> tuple[PriceKey, Learnt]:
    key = PriceKey(*_words(row["of"]))
    price = None
    if row["hourly"] is not None:
        said = row["date"]
        price = Price(
            hourly=float(str(row["hourly"])),
            source=str(row["source"]),
            date=None if said is None else date.fromisoformat(str(said)),
        )
    return key, Learnt(price=price, asked_at=instant_from_text(str(row["asked_at"])))


def _words(given: object) -> list[Any]:
    """Check the fields of a key."""
    if not isinstance(given, list) or [type(one) for one in given] != [str, str, bool, str, str, str, str]:
        raise ValueError(f"{given!r} is no key of a price")
    return given
