"""Parts of the world: what is known of a source, what a look changed, and the state that a journal gives back. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reaper.core.facts import Fact
from reaper.core.history import History, Run
from reaper.core.model import Poll, Resource, ResourceKey, ResourceRef

__all__ = ["Delta", "Image", "Life", "SourceState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life of a resource as the journal keeps it."""

    resource: Resource
    source: str
    first_seen_at: datetime
    last_seen_at: datetime
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a journal gives back: the state as of a sequence number.

    Attributes:
        seq: The last batch that is in it.
        polls: How many looks there have been, ever.
        last_poll_id: The highest poll id.
        lives: What is alive, each with the newest run of each signal, cut at `seq`.
        polls_by_source: Of each source: its latest complete look at the whole of it, if any, then all since.
        facts: All that still matter, in order: of each life in `lives` all notices, applications and ledger
            entries, the ledger's last day, the newest of each setting, and every hold that was not
            released, also when it has expired (a notice from before its end is void).
        memos: What providers want back, by source.
    """

    seq: int = 0
    polls: int = 0
    last_poll_id: int = 0
    lives: tuple[Life, ...] = ()
    polls_by_source: Mapping[str, tuple[Poll, ...]] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()
    memos: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Delta:
    """What one look changed: exactly what the journal has to write."""

    appeared: list[History] = field(default_factory=list)
    changed: list[History] = field(default_factory=list)
    gone: list[History] = field(default_factory=list)
    opened: list[tuple[ResourceRef, Run]] = field(default_factory=list)
    extended: list[tuple[ResourceRef, str]] = field(default_factory=list)
    seen: set[ResourceKey] = field(default_factory=set)
    facts: list[Fact] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class SourceState:
    """What is known of a source itself.

    Attributes:
        last: The latest look.
        last_complete_at: When the latest complete look started; None: never.
        since_complete: The incomplete looks since then, oldest first.
    """

    last: Poll
    last_complete_at: datetime | None = None
    since_complete: list[Poll] = field(default_factory=list)
