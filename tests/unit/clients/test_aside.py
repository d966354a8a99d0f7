"""Calls that may hang for good."""

import asyncio
import threading
from functools import partial

import pytest

from reaper.clients.aside import Aside
from reaper.errors import SourceUnavailable


async def test_gives_the_answer_and_raises_what_was_raised() -> None:
    aside = Aside("it")
    assert await aside.call(lambda: 42, 5) == 42
    with pytest.raises(ZeroDivisionError):
        await aside.call(lambda: 1 // 0, 5)
    for number in range(100):
        assert await aside.call(partial(int, number), 5) == number


async def test_one_that_hangs_takes_one_thread_and_says_so() -> None:
    aside, end = Aside("the file system"), threading.Event()
    before = threading.active_count()
    try:
        with pytest.raises(SourceUnavailable, match="did not answer within"):
            await aside.call(lambda: end.wait(30), 0.05)
        for _ in range(10):
            with pytest.raises(SourceUnavailable, match="still has not answered"):
                await aside.call(lambda: end.wait(30), 0.05)
        assert threading.active_count() == before + 1
        assert await Aside("another").call(lambda: "fine", 5) == "fine"
    finally:
        end.set()
    async with asyncio.timeout(10):
        while True:
            try:
                assert await aside.call(lambda: "back", 5) == "back"
            except SourceUnavailable:
                await asyncio.sleep(0.01)
            else:
                return
