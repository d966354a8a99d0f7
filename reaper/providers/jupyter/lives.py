"""Which life of a kernel or terminal this is, and what is kept of it between looks.

An id may be used again (terminal names are), a kernel keeps its id through a restart, and the API
gives no start time: a life begins with the server's start, the first look that saw the id, and the
process where it is known; it ends with another process or with absence in a complete look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from reaper.clients.host import ProcessKey, TreeSample
from reaper.core.codec import instant_from_text, instant_to_text, to_json

__all__ = ["KeptLife", "Lives", "Samples", "process_text"]

_SPACING = timedelta(seconds=1)
_NO_TIME = timedelta(0)


@dataclass(slots=True, kw_only=True)
class KeptLife:
    """What is kept of one kernel or terminal.

    Attributes:
        first_seen_at: The first look that saw it.
        began_with: The process it was first seen with, as text; empty: none was known.
        process: The process it has now, as text.
        process_began_at: When that process began, as first seen: later readings move when the clock is set.
        readable: Its processes could be read once; from then on they must be.
    """

    first_seen_at: datetime
    began_with: str = ""
    process: str = ""
    process_began_at: datetime | None = None
    readable: bool = False


class Samples:
    """Cumulative counters of earlier looks, by the process at the top of the tree.

    Kept by process and not by kernel or terminal: a shell that can't be told from another is still sampled.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._kept: dict[str, list[_Kept]] = {}

    def baseline(self, sample: TreeSample, least: timedelta) -> TreeSample | None:
        """Give the newest earlier sample of the same tree that is at least so old; None: there is none yet."""
        for old in reversed(self._kept.get(process_text(sample.root), ())):
            if old.sample.root == sample.root and _between(old.sample, sample) >= least:
                return old.sample
        return None

    def keep(self, sample: TreeSample, least: timedelta) -> None:
        """Keep a sample for later looks, and no more than those need."""
        name = process_text(sample.root)
        kept = [old for old in self._kept.get(name, ()) if old.sample.root == sample.root]
        if kept and _NO_TIME <= _between(kept[-1].sample, sample) < _SPACING:
            return
        old_enough = [old for old in kept if _between(old.sample, sample) >= least]
        recent = [old for old in kept if old not in old_enough]
        self._kept[name] = [*old_enough[-1:], *recent, _Kept(sample, sample.to_json())]

    def forget_all_but(self, roots: Iterable[ProcessKey]) -> None:
        """Forget trees that are no more."""
        there = {process_text(root) for root in roots}
        self._kept = {root: samples for root, samples in self._kept.items() if root in there}

    def memo(self) -> dict[str, object]:
        """Give what a restart needs, as JSON."""
        return {root: [old.text for old in kept] for root, kept in self._kept.items()}

    def restore(self, memo: object) -> None:
        """Take back what `memo` gave; anything unreadable is left out."""
        for root, texts in memo.items() if isinstance(memo, Mapping) else ():
            written = [str(text) for text in texts] if isinstance(texts, list) else []
            found = [(TreeSample.from_json(text), text) for text in written]
            self._kept[str(root)] = [_Kept(sample, text) for sample, text in found if sample is not None]


class _Kept(NamedTuple):
    """A sample, and how it is kept for a restart: written down once, and not at each look."""

    sample: TreeSample
    text: str


def _between(before: TreeSample, after: TreeSample) -> timedelta:
    if (
        before.monotonic is not None
        and after.monotonic is not None
        and before.root.boot_id == after.root.boot_id
    ):
        return timedelta(seconds=after.monotonic - before.monotonic)
    return after.at - before.at


class Lives:
    """All lives of one kind on one server."""

    def __init__(self) -> None:
        """Start knowing none."""
        self._kept: dict[str, KeptLife] = {}

    def see(self, name: str, process: ProcessKey | None, at: datetime) -> KeptLife:
        """Note that a look saw an id, with its process where that is known; a new process is a new life."""
        text = "" if process is None else process_text(process)
        life = self._kept.get(name)
        if life is None or (life.process and text and life.process != text):
            life = KeptLife(first_seen_at=at, began_with=text, process=text)
            self._kept[name] = life
        if process is not None and (life.process != text or life.process_began_at is None):
            life.process, life.process_began_at = text, process.created_at
        return life

    def process(self, name: str) -> str:
        """Give the process that an id has in this life, as text; empty: not known."""
        life = self._kept.get(name)
        return "" if life is None else life.process

    def forget_all_but(self, names: set[str]) -> None:
        """Forget what a complete look did not see."""
        self._kept = {name: life for name, life in self._kept.items() if name in names}

    def memo(self) -> dict[str, object]:
        """Give what a restart needs, as JSON."""
        return {
            name: {
                "first_seen_at": instant_to_text(life.first_seen_at),
                "began_with": life.began_with,
                "process": life.process,
                "process_began_at": to_json(life.process_began_at),
                "readable": life.readable,
            }
            for name, life in self._kept.items()
        }

    def restore(self, memo: object) -> None:
        """Take back what `memo` gave; anything unreadable is left out, and begins a new life."""
        for name, kept in memo.items() if isinstance(memo, Mapping) else ():
            try:
                began = kept.get("process_began_at")
                self._kept[str(name)] = KeptLife(
                    first_seen_at=instant_from_text(kept["first_seen_at"]),
                    began_with=str(kept["began_with"]),
                    process=str(kept["process"]),
                    process_began_at=None if began is None else instant_from_text(began),
                    readable=bool(kept["readable"]),
                )
            except (AttributeError, KeyError, TypeError, ValueError):
                continue


def process_text(process: ProcessKey) -> str:
    """Write which process it is, as lives keep it."""
    return f"{process.pid}:{process.start_ticks}:{process.boot_id[:8]}"
