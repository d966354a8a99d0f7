"""The book of prices as a source: its looks ask AWS, and its memo is what was learnt.

So both are supervised, bounded and journaled like everything else, and nobody who looks at resources waits for a price.
A look at it is always complete, since it has no resources: that a price can't be asked for is a note.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from reaper.clients.aws import Aws, AwsOptions
from reaper.clients.prices import PriceBook
from reaper.clients.prices.asking import PriceAsker
from reaper.clock import Clock
from reaper.core.model import Collected, Poll, Resource
from reaper.errors import ActionDenied
from reaper.plugins import ActOutcome, Look, Sources

__all__ = ["PricesProvider", "PricesSource"]

_NAME = "prices:aws"
_FIRST_WANT_S = 5.0
"""How long the first look waits for others to want a price: a `run --once` has no second one."""
_SOON = timedelta(seconds=15)
"""How soon it is looked again after a start, while others find out what they want."""
_EARLY_LOOKS = 4
_SHARE, _LONGEST_S = 0.8, 20.0
"""How much of a look's deadline is spent on asking, and how many seconds at most: a `run --once` waits for it."""


class PricesSource:
    """The book, and who fills it.

    Args:
        book: The process's own.
        asker: Asks AWS.
        clock: Tells the instants.
        interval: The longest between looks.
    """

    name = _NAME

    def __init__(self, book: PriceBook, asker: PriceAsker, clock: Clock, interval: timedelta) -> None:
        self._book = book
        self._asker = asker
        self._clock = clock
        self._interval = interval
        self._looks = 0
        self._kept: Mapping[str, object] | None = None

    @property
    def interval(self) -> timedelta | None:
        """The longest between looks: soon after a start, and then as seldom as AWS is looked at."""
        return _SOON if self._looks < _EARLY_LOOKS else self._interval

    async def collect(self, look: Look) -> Collected:
        """Ask for what is wanted; what was learnt is the memo, left alone where nothing was."""
        self._looks += 1
        if self._looks == 1:
            await self._book.wait_for_wants(min(_FIRST_WANT_S, look.deadline * (1 - _SHARE)))
        await self._asker.ask(min(_LONGEST_S, look.deadline * _SHARE))
        now = self._clock.now()
        memo = {**self._book.memo(now), "shut": self._asker.memo()}
        news, self._kept = (None if memo == self._kept else memo), memo
        poll = Poll(id=look.poll_id, source=self.name, started_at=look.at, finished_at=now, complete=True)
        return Collected(poll=poll, memo=news, notes=self._asker.problems)

    async def act(self, resource: Resource, action: str) -> ActOutcome:
        """Refuse: there is nothing to act on.

        Raises:
            ActionDenied: Always.
        """
        raise ActionDenied(f"{resource.ref}: prices have no resources, so that nothing can {action} them")

    async def close(self) -> None:
        """There is nothing to close: AWS is the provider's."""


class PricesProvider:
    """Keeps the book filled while the daemon runs.

    Args:
        book: The process's own.
        aws: How to talk to AWS.
        clock: Tells the instants.
        interval: The longest between looks.
    """

    name = "prices"
    kinds: Mapping[str, tuple[str, ...]] = {}

    def __init__(self, book: PriceBook, aws: AwsOptions, clock: Clock, interval: timedelta) -> None:
        self._book = book
        self._clock = clock
        self._aws = Aws(aws)
        self._asker = PriceAsker(book, self._aws, clock)
        self._source = PricesSource(book, self._asker, clock, interval)
        self._restored = False

    async def discover(self, now: datetime, memos: Mapping[str, Mapping[str, object]]) -> Sources:
        """Give the one source; take back what was learnt before a restart."""
        if not self._restored:
            memo = memos.get(_NAME, {})
            self._book.restore(memo, now)
            self._asker.restore(memo.get("shut"), now)
            self._restored = True
        return Sources(sources=(self._source,))

    async def close(self) -> None:
        """Close AWS."""
        await self._aws.close()
