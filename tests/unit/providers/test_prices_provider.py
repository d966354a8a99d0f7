"""The book of prices as a source: asked in its looks, kept in its memo, and never a source that fails."""

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta

import pytest

from reaper.clients.aws import AwsOptions
from reaper.clients.prices import Price, PriceBook, PriceKey
from reaper.clients.prices.asking import PriceAsker
from reaper.core.model import Resource, ResourceRef
from reaper.errors import ActionDenied
from reaper.plugins import Look
from reaper.providers.prices import PricesProvider
from reaper.providers.prices.provider import PricesSource
from reaper.testing.clock import FakeClock

G5 = PriceKey("us-east-1", "g5.xlarge")
TOLD = Price(hourly=1.1, source="pricing-api", date=date(2026, 3, 1))
MINUTES = timedelta(minutes=5)


class Asker(PriceAsker):
    """Answers what it is told to, without AWS."""

    def __init__(self, book: PriceBook, clock: FakeClock) -> None:
        self.answers: Mapping[PriceKey, Price] = {}
        self.said: tuple[str, ...] = ()
        self.seconds: list[float] = []
        self._books, self._at = book, clock
        self._shut = {}

    @property
    def problems(self) -> tuple[str, ...]:
        return self.said

    async def ask(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if self.answers:
            self._books.learn(self._books.due(self._at.now()), self.answers, self._at.now())


class Desk:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.book = PriceBook(self.clock, asks=True)
        self.asker = Asker(self.book, self.clock)
        self.source = PricesSource(self.book, self.asker, self.clock, MINUTES)

    def look(self) -> Look:
        return Look(poll_id=7, at=self.clock.now(), deadline=1.0)


async def test_what_was_learnt_is_the_memo_once() -> None:
    desk = Desk()
    desk.book.price(G5)
    desk.asker.answers = {G5: TOLD}
    first, second = await desk.source.collect(desk.look()), await desk.source.collect(desk.look())
    assert first.memo == {**desk.book.memo(desk.clock.now()), "shut": {}}
    assert second.memo is None
    assert (first.poll.complete, first.poll.id, first.resources, first.notes) == (True, 7, (), ())
    assert desk.asker.seconds == [0.8, 0.8]
    assert desk.book.price(G5) == TOLD


async def test_that_aws_can_not_be_asked_is_a_note_and_no_failed_look() -> None:
    desk = Desk()
    desk.book.price(G5)
    desk.asker.said = ("prices can't be asked for (denied)",)
    found = await desk.source.collect(desk.look())
    assert (found.poll.complete, found.poll.error, found.notes) == (True, None, desk.asker.said)


@pytest.mark.looptime
async def test_the_first_look_waits_for_who_wants_a_price() -> None:
    desk, loop = Desk(), asyncio.get_running_loop()
    desk.asker.answers = {G5: TOLD}
    loop.call_later(0.1, desk.book.price, G5)
    await desk.source.collect(desk.look())
    assert desk.book.price(G5) == TOLD
    assert loop.time() == pytest.approx(0.1)


@pytest.mark.looptime
async def test_where_nobody_wants_one_it_does_not_wait_long() -> None:
    desk, loop = Desk(), asyncio.get_running_loop()
    await desk.source.collect(desk.look())
    assert loop.time() == pytest.approx(0.2)
    await desk.source.collect(desk.look())
    assert loop.time() == pytest.approx(0.2)


async def test_it_looks_often_after_a_start_and_then_seldom() -> None:
    desk = Desk()
    desk.book.price(G5)
    found = []
    for _ in range(5):
        found.append(desk.source.interval)
        await desk.source.collect(desk.look())
    assert found == [timedelta(seconds=15)] * 4 + [MINUTES]


async def test_nothing_can_be_done_to_prices() -> None:
    ref = ResourceRef(kind="prices", scope="aws", id="x", incarnation="1")
    with pytest.raises(ActionDenied):
        await Desk().source.act(Resource(ref=ref, name="x"), "stop")


async def test_a_restart_takes_back_what_was_learnt() -> None:
    desk = Desk()
    desk.book.price(G5)
    desk.asker.answers = {G5: TOLD}
    memo = (await desk.source.collect(desk.look())).memo
    assert memo is not None
    book = PriceBook(desk.clock, asks=True)
    provider = PricesProvider(book, AwsOptions(), desk.clock, MINUTES)
    found = await provider.discover(desk.clock.now(), {"prices:aws": memo})
    assert [source.name for source in found.sources] == ["prices:aws"]
    assert (found.required, found.complete, found.problems) == ((), True, ())
    assert book.price(G5) == TOLD
    again = await provider.discover(desk.clock.now(), {"prices:aws": memo})
    assert again.sources == found.sources
    await provider.close()
