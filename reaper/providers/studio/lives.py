"""Which life of an app this is, where its JupyterServer lists it: that tells names alone, and names are used again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.core.codec import instant_from_text, instant_to_text, to_json

__all__ = ["Life", "Lives"]


@dataclass(slots=True, kw_only=True)
class Life:
    """What is known of one life of a name.

    Attributes:
        first_seen_at: The first look that saw it, or our own DELETE of the life before.
        doubted_at: When a DELETE of ours had no clear answer: it may be another one since.
    """

    first_seen_at: datetime
    doubted_at: datetime | None = None

    @property
    def began_at(self) -> datetime:
        """Since when it has surely been this one: its idleness is never older."""
        return self.doubted_at or self.first_seen_at

    @property
    def incarnation(self) -> str:
        """Names this life."""
        return f"seen/{instant_to_text(self.first_seen_at)}"


class Lives:
    """All lives that a server lists."""

    def __init__(self) -> None:
        """Start knowing none."""
        self._kept: dict[str, Life] = {}

    def see(self, name: str, at: datetime) -> Life:
        """Note that a look saw a name."""
        return self._kept.setdefault(name, Life(first_seen_at=at))

    def forget_all_but(self, names: set[str]) -> None:
        """Forget what a complete look did not see: its name comes back as another."""
        self._kept = {name: life for name, life in self._kept.items() if name in names}

    def deleted(self, name: str, at: datetime) -> None:
        """Note that we deleted it: from this instant the name is another's."""
        before = self._kept.get(name)
        if before is not None and at <= before.first_seen_at:  # a clock that was set back, or stands
            at = before.first_seen_at + timedelta(microseconds=1)
        self._kept[name] = Life(first_seen_at=at)

    def doubt(self, name: str, at: datetime) -> None:
        """Note that we may have deleted it."""
        if name in self._kept:
            self._kept[name].doubted_at = at

    def memo(self) -> dict[str, object]:
        """Give what a restart needs, as JSON."""
        return {
            name: {
                "first_seen_at": instant_to_text(life.first_seen_at),
                "doubted_at": to_json(life.doubted_at),
            }
            for name, life in self._kept.items()
        }

    def restore(self, memo: object) -> None:
        """Take back what `memo` gave; anything unreadable is left out, and begins a new life."""
        for name, kept in memo.items() if isinstance(memo, Mapping) else ():
            try:
                doubted = kept.get("doubted_at")
                self._kept[str(name)] = Life(
                    first_seen_at=instant_from_text(kept["first_seen_at"]),
                    doubted_at=None if doubted is None else instant_from_text(doubted),
                )
            except (AttributeError, KeyError, TypeError, ValueError):
                continue
