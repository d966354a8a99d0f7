"""The only place that reads the clock.

Everything else is handed its instants: one `now` a tick, passed in. Instants are aware UTC
datetimes; `monotonic` counts seconds and stands still while the machine is asleep
(CLOCK_MONOTONIC), which is how a sleep or a clock change is told from time that passed.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where instants come from."""

    def now(self) -> datetime:
        """Give the wall clock's instant, aware, in UTC."""

    def monotonic(self) -> float:
        """Give seconds since some fixed point; stands still while the machine sleeps."""

    def boot_id(self) -> str:
        """Name the boot that `monotonic` counts from; empty where that is not known."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Give the wall clock's instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds since boot without time asleep (CLOCK_MONOTONIC)."""
        return time.monotonic()

    def boot_id(self) -> str:
        """Read the kernel's boot id (Linux: /proc/sys/kernel/random/boot_id); empty elsewhere."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return ""
