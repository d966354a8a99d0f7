"""A clock that stands still until a test moves it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["T0", "FakeClock"]

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday morning, the default start of everything in `reaper.testing`."""


class FakeClock:
    """Honours `reaper.clock.Clock`, and moves only as told, or with an event loop.

    Time that passes moves both clocks (`advance`); a machine that sleeps, and a clock that is set, move
    the wall clock alone (`sleep`, `jump`): that is how reaper tells them apart.

    Args:
        start: The wall clock's first instant.
        loop_time: Where else time comes from: an event loop's `time`, so that the clock follows
            looptime's virtual time (`FakeClock(loop_time=asyncio.get_running_loop().time)`).
        boot: What `boot_id` names.
    """

    def __init__(
        self, start: datetime = T0, *, loop_time: Callable[[], float] | None = None, boot: str = "fake-boot"
    ) -> None:
        if start.tzinfo is None:
            msg = f"{start} has no time zone"
            raise ValueError(msg)
        self._start = start.astimezone(UTC)
        self._loop_time = loop_time or _still
        self._loop_start = self._loop_time()
        self._passed = timedelta(0)
        self._jumped = timedelta(0)
        self._boot = boot

    def now(self) -> datetime:
        """Give the wall clock's instant."""
        return self._start + self._awake() + self._jumped

    def monotonic(self) -> float:
        """Give the seconds that passed awake."""
        return self._awake().total_seconds()

    def boot_id(self) -> str:
        """Name the boot."""
        return self._boot

    def advance(self, by: timedelta) -> datetime:
        """Let time pass, and give the instant after it.

        Raises:
            ValueError: Time does not run backwards; `jump` sets a clock back.
        """
        if by < timedelta(0):
            msg = f"time does not run backwards ({by}): use jump"
            raise ValueError(msg)
        self._passed += by
        return self.now()

    def advance_to(self, at: datetime) -> datetime:
        """Let time pass until an instant, and give it."""
        return self.advance(at - self.now())

    def jump(self, by: timedelta) -> datetime:
        """Set the wall clock, forward or back; no time passes. Gives the instant after it."""
        self._jumped += by
        return self.now()

    def sleep(self, lasting: timedelta) -> datetime:
        """Put the machine to sleep: the wall clock goes on, nothing else does. Gives the instant of waking."""
        if lasting < timedelta(0):
            msg = f"nothing sleeps for {lasting}"
            raise ValueError(msg)
        return self.jump(lasting)

    def reboot(self, boot: str) -> None:
        """Start another boot: `monotonic` counts from zero again, the wall clock goes on."""
        self._start, self._boot = self.now(), boot
        self._passed = self._jumped = timedelta(0)
        self._loop_start = self._loop_time()

    def _awake(self) -> timedelta:
        return self._passed + timedelta(seconds=self._loop_time() - self._loop_start)


def _still() -> float:
    return 0.0
