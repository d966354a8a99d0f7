"""What every notifier must do, as tests: for ours, and for those of plugin authors.

Subclass `NotifierContract` in a test module under a name that pytest collects, say how to make a notifier,
and the tests come along (they are coroutines: pytest-asyncio in auto mode)::

    class TestPager(NotifierContract):
        address = "pager://token-8f7d@pager.example/oncall"
        secrets = ("token-8f7d",)

        @asynccontextmanager
        async def working(self):
            async with a_local_pager() as pager:
                yield PagerNotifier.from_address(pager.url), pager.received

        @asynccontextmanager
        async def broken(self):
            yield PagerNotifier.from_address("pager://token-8f7d@127.0.0.1:1/oncall")
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from reaper.errors import NotifyError
from reaper.plugins import Notice, Notifier, load

__all__ = ["NotifierContract", "a_notice"]

DEADLINE_S = 13.0
"""A notifier bounds itself by 10 s; ending a program afterwards may take 2 more."""


def a_notice(**changes: Any) -> Notice:
    """Make a warning about an idle kernel, unless changed."""
    fields: dict[str, Any] = {
        "topic": "warning",
        "at": datetime(2026, 11, 22, 21, 0, tzinfo=UTC),
        "subject": "reaper: analysis.ipynb will be reaped (shutdown) in 10m",
        "text": "jupyter.kernel analysis.ipynb has been idle since 19:10 — keep it: reaper hold 6f1c --for 2h",
        "mode": "enforce",
        "resource": {
            "kind": "jupyter.kernel",
            "id": "6f1c2b54",
            "scope": "http://127.0.0.1:8888/",
            "name": "analysis.ipynb",
            "incarnation": "1",
        },
        "due_at": datetime(2026, 11, 22, 21, 10, tzinfo=UTC),
        "actions": (("keep it for 2 hours", "reaper hold 6f1c --for 2h"),),
    }
    return Notice(**{**fields, **changes})


class NotifierContract:
    """The tests. A subclass fills in what is about one notifier.

    Attributes:
        address: An address that its `from_address` takes and that is never used.
        secrets: The secret parts of the addresses: of `address`, and of those behind `working` and `broken`.
        counts: Whether it counts as delivery.
        can_break: Whether there is any way for it to fail.
    """

    address: str
    secrets: Sequence[str] = ()
    counts: bool = True
    can_break: bool = True

    def working(self) -> AbstractAsyncContextManager[tuple[Notifier, Sequence[Mapping[str, object]]]]:
        """Give a notifier whose channel works, and the list of documents that have arrived there."""
        raise NotImplementedError

    def broken(self) -> AbstractAsyncContextManager[Notifier]:
        """Give a notifier whose channel is dead."""
        raise NotImplementedError

    def made(self, address: SecretStr | str) -> Notifier:
        """Make one from an address, by the entry point of its scheme."""
        notifier: Notifier = load("reaper.notifiers", self.address.partition(":")[0]).from_address(address)
        return notifier

    async def test_takes_its_address_plain_or_as_a_secret(self) -> None:
        """Both forms make the same notifier."""
        for address in (self.address, SecretStr(self.address)):
            notifier = self.made(address)
            _expect(bool(notifier.address), "it has an address for logs")
            _expect(notifier.counts_as_delivery is self.counts, f"counts_as_delivery is {self.counts}")
            await notifier.close()

    async def test_shows_no_secret(self) -> None:
        """Neither `address` nor `repr` holds a secret part of the address."""
        notifier = self.made(self.address)
        self._expect_no_secret(notifier.address, "address")
        self._expect_no_secret(repr(notifier), "repr")
        await notifier.close()

    async def test_delivers_the_whole_notice(self) -> None:
        """What arrives is `Notice.body()`."""
        notice = a_notice()
        async with self.working() as (notifier, arrived):
            await _bounded(notifier, notice)
            _expect(len(arrived) == 1, f"one document arrived, not {len(arrived)}")
            _expect(dict(arrived[0]) == notice.body(), f"what arrived is the notice's body, not {arrived[0]}")
            await notifier.close()

    async def test_delivers_without_a_resource(self) -> None:
        """A notice about the daemon itself arrives too, whatever characters are in it."""
        notice = a_notice(
            topic="blocked", resource=None, due_at=None, actions=(), text="ü 漢字 \n\t\x00 '\"$(id)"
        )
        async with self.working() as (notifier, arrived):
            await _bounded(notifier, notice)
            _expect(dict(arrived[0]) == notice.body(), f"what arrived is the notice's body, not {arrived[0]}")
            await notifier.close()

    async def test_delivers_many_at_once(self) -> None:
        """Notices do not wait for, or mix with, each other."""
        notices = [a_notice(subject=f"number {number}") for number in range(5)]
        async with self.working() as (notifier, arrived):
            async with asyncio.TaskGroup() as group:
                for notice in notices:
                    group.create_task(_bounded(notifier, notice))
            subjects = sorted(str(document["subject"]) for document in arrived)
            _expect(subjects == [notice.subject for notice in notices], f"all arrived, not only {subjects}")
            await notifier.close()

    async def test_says_that_it_failed(self) -> None:
        """A dead channel is a `NotifyError` in time, that says why and holds no secret, nor leads to one."""
        if not self.can_break:
            return
        async with self.broken() as notifier:
            try:
                await _bounded(notifier, a_notice())
            except NotifyError as error:
                _expect(bool(str(error)), "the error says why")
                seen: BaseException | None = error
                while seen is not None:
                    self._expect_no_secret(f"{seen!r} {seen}", "error")
                    seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
            else:
                _expect(met=False, what="a dead channel raises NotifyError")
            await notifier.close()

    async def test_can_be_closed_twice_and_unused(self) -> None:
        """Closing is always possible."""
        notifier = self.made(self.address)
        await notifier.close()
        await notifier.close()

    def _expect_no_secret(self, text: str, where: str) -> None:
        for secret in self.secrets:
            _expect(secret not in text, f"the secret {secret!r} is not in its {where}")


async def _bounded(notifier: Notifier, notice: Notice) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await notifier.notify(notice)


def _expect(met: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not met:
        raise AssertionError(f"expected: {what}")
