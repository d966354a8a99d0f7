"""Calls that may hang for good (a dead NFS, a stuck device), made aside so that they take nothing else with them."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from reaper.errors import SourceUnavailable

__all__ = ["Aside"]

T = TypeVar("T")


class Aside:
    """Makes one call at a time in a thread of its own.

    The event loop's own threads are few and shared: six calls that hang would stop every other one, and ending the
    process would wait for them. These are daemon threads, one at the most, and a call that comes while another
    hangs fails at once.

    Args:
        what: Names what is asked, for errors: `the file system of /home/ann`.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._answered = threading.Event()
        self._answered.set()
        self._turn = asyncio.Lock()

    async def call(self, work: Callable[[], T], seconds: float) -> T:
        """Call `work` in the thread and wait for it.

        Args:
            work: What to call; what it raises is raised here.
            seconds: How long to wait. The thread goes on after that, since nothing can end it.

        Raises:
            SourceUnavailable: It did not answer in time, or an earlier call still has not.
        """
        async with self._turn:
            if not self._answered.is_set():
                raise SourceUnavailable(f"{self._what} still has not answered an earlier question")
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[T] = loop.create_future()
            self._answered = threading.Event()
            arguments = (work, answer, loop, self._answered)
            threading.Thread(target=_answer, args=arguments, daemon=True, name="aside").start()
            try:
                async with asyncio.timeout(seconds):
                    return await answer
            except TimeoutError:
                if answer.cancelled():
                    raise SourceUnavailable(f"{self._what} did not answer within {seconds:g} s") from None
                raise


def _answer(
    work: Callable[[], Any],
    answer: "asyncio.Future[Any]",
    loop: asyncio.AbstractEventLoop,
    answered: threading.Event,
) -> None:
    try:
        result, error = work(), None
    except Exception as failure:  # noqa: BLE001 - raised again where the answer is awaited
        result, error = None, failure

    def tell() -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    answered.set()
    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:
        return  # the loop has ended meanwhile: nobody waits
