"""Tales for journals as a Hypothesis strategy: which batches were made, and the world after each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hypothesis import strategies as st

from reaper.core.batch import Batch
from reaper.core.world import World
from reaper.testing.journal_tale import Tale
from reaper.testing.worlds import as_it_stands

__all__ = ["Told", "tales"]

_ENOUGH = 64
"""Bytes for one step; a long one that uses them up goes on with the first option of everything."""


@dataclass(frozen=True)
class Told:
    """A tale that was told.

    Attributes:
        batches: Its batches.
        worlds: The world before the first and after each: `worlds[k]` is that of batch k.
        now: The tale's clock at its end.
    """

    batches: Sequence[Batch]
    worlds: Sequence[World]
    now: datetime


def tales(longest: int) -> st.SearchStrategy[Told]:
    """Give a strategy of tales of up to so many batches.

    Each step is drawn as one piece of bytes: a draw for each of its choices takes ten times as long.
    """
    one = st.binary(min_size=_ENOUGH, max_size=_ENOUGH)
    return (
        st.integers(1, longest).flatmap(lambda many: st.lists(one, min_size=many, max_size=many)).map(_told)
    )


def _told(steps: list[bytes]) -> Told:
    chances = _Chances()
    tale = Tale(chances.below)
    batches, worlds = list[Batch](), [as_it_stands(tale.world)]
    for step in steps:
        chances.left = list(step)
        batches.append(tale.go_on())
        worlds.append(as_it_stands(tale.world))
    return Told(batches=batches, worlds=worlds, now=tale.now)


class _Chances:
    """Chooses by bytes, one a choice; once they are used up always the first option."""

    def __init__(self) -> None:
        self.left: list[int] = []

    def below(self, many: int) -> int:
        return self.left.pop() % many if self.left else 0
