"""When Python's garbage collector runs in the daemon: not at its start, and not in the midst of a tick.

What the daemon makes is freed by its reference count: values have no cycles. The collector is for the few that
libraries leave (an exception that holds its own traceback), and to find them it goes through everything that
lives. Measured: a fifth of the start, and a fifth of a tick over 10,000 resources.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["settle", "undisturbed"]

_THRESHOLDS = (10_000, 10, 10)
"""Python's own 700 in the youngest generation is less than what one look makes and drops; 10,000 objects are 1 MB."""


def settle() -> None:
    """Once, when the state is rebuilt: leave out of all later collections what will live to the end.

    Nothing is collected before: an import leaves 2,000 objects of garbage, and finding them costs as much as
    two ticks.
    """
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold the collector back while a tick makes new decisions and drops the ones before.

    Their number hardly changes, but all new ones stand beside all old ones for a moment, which to the collector looks
    like growth. Garbage of others waits until the end, a second at most.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
