"""A notifier that keeps what it is given."""

from dataclasses import dataclass, field

from reaper.errors import NotifyError
from reaper.plugins import Notice

__all__ = ["FakeNotifier"]


@dataclass(slots=True)
class FakeNotifier:
    """Honours `reaper.plugins.Notifier`.

    Attributes:
        address: Its address.
        counts_as_delivery: Whether a person can be expected to see it.
        failing: While set, nothing is delivered, and this is why.
        delivered: What was delivered, in order.
        refused: What was not.
        closed: It was closed.
    """

    address: str = "fake:"
    counts_as_delivery: bool = True
    failing: str = ""
    delivered: list[Notice] = field(default_factory=list)
    refused: list[Notice] = field(default_factory=list)
    closed: bool = False

    async def notify(self, notice: Notice) -> None:
        """Keep it, or refuse it.

        Raises:
            NotifyError: `failing` says so.
        """
        if self.failing:
            self.refused.append(notice)
            raise NotifyError(self.failing)
        self.delivered.append(notice)

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
