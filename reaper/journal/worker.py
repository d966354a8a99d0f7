"""One thread that does all that takes long, one thing at a time, writes first."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Worker"]

T = TypeVar("T")


@dataclass(slots=True)
class _Job:
    """Something to do, and who waits for it."""

    steps: Generator[None, None, Any]
    future: "asyncio.Future[Any]"


def _at_once(call: Callable[[], T]) -> Generator[None, None, T]:
    yield from ()
    return call()


class Worker:
    """A thread with two queues: urgent jobs, and patient ones that let urgent ones pass between their steps.

    A job is done also when nobody waits for it any more: cancelling a write does not undo it.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._urgent: deque[_Job] = deque()
        self._patient: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._ended: asyncio.Future[None] | None = None
        # A daemon thread: a process that ends without closing its journal ends all the same.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call ahead of everything patient, and give its result."""
        return await self._submit(self._urgent, _at_once(call))

    async def run_patiently(self, steps: Generator[None, None, T]) -> T:
        """Run a generator to its end, step by step, and give what it returns."""
        return await self._submit(self._patient, steps)

    async def stop(self) -> None:
        """Do what is queued, then end the thread."""
        with self._wake:
            if self._ended is None:
                self._ended = asyncio.get_running_loop().create_future()
                self._wake.notify()
        await asyncio.shield(self._ended)
        self._thread.join()  # telling us was the last thing it did

    def _submit(self, queue: deque[_Job], steps: Generator[None, None, T]) -> "asyncio.Future[T]":
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._ended is not None:
                raise RuntimeError("the journal's thread was told to end")
            queue.append(_Job(steps, future))
            self._wake.notify()
        return future

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                next(job.steps)
            except StopIteration as stop:
                self._finish(job, stop.value, None)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the one who waits
                self._finish(job, None, error)
        if self._ended is not None:
            _tell(self._ended, None, None)

    def _next(self) -> _Job | None:
        with self._wake:
            while True:
                for queue in (self._urgent, self._patient):
                    if queue:
                        return queue[0]
                if self._ended is not None:
                    return None
                self._wake.wait()

    def _finish(self, job: _Job, result: object, error: BaseException | None) -> None:
        with self._wake:
            queue = self._urgent if self._urgent and self._urgent[0] is job else self._patient
            queue.popleft()
        _tell(job.future, result, error)


def _tell(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    def settle() -> None:
        if future.done():
            return  # cancelled: nobody waits any more
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    with contextlib.suppress(RuntimeError):  # the loop is closed: the same
        future.get_loop().call_soon_threadsafe(settle)
