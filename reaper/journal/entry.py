"""A batch as it is handed to the one who writes. Pure."""

from dataclasses import dataclass
from datetime import datetime

from reaper.core.batch import Batch
from reaper.core.decide import Decision
from reaper.core.facts import Fact
from reaper.core.history import Run
from reaper.core.model import Poll, Resource, ResourceKey, ResourceRef
from reaper.journal.rows import body

__all__ = ["Entry", "entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A batch, cut loose from what goes on changing (memos): safe to hand to another thread.

    Attributes:
        seq: As in `Batch`.
        poll: As in `Batch`.
        seen: Keys of what the look saw.
        appeared: New lives: each as the look saw it, and when that was.
        changed: Resources as the look saw them.
        gone: Lives that ended.
        opened: Runs that began.
        extended: Strands whose newest run goes on.
        memo: As JSON.
        facts: As in `Batch`.
        decisions: As in `Batch`.
    """

    seq: int
    poll: Poll | None
    seen: frozenset[ResourceKey]
    appeared: tuple[tuple[Resource, datetime], ...]
    changed: tuple[Resource, ...]
    gone: tuple[ResourceRef, ...]
    opened: tuple[tuple[ResourceRef, Run], ...]
    extended: tuple[tuple[ResourceRef, str], ...]
    memo: str | None
    facts: tuple[Fact, ...]
    decisions: tuple[Decision, ...]


def entry(batch: Batch) -> Entry:
    """Take what is to be written out of a batch, now."""
    delta = batch.delta
    return Entry(
        seq=batch.seq,
        poll=batch.poll,
        seen=frozenset(delta.seen),
        appeared=tuple((history.resource, history.first_seen_at) for history in delta.appeared),
        changed=tuple(history.resource for history in delta.changed),
        gone=tuple(history.ref for history in delta.gone),
        opened=tuple(delta.opened),
        extended=tuple(delta.extended),
        memo=None if batch.memo is None else body(batch.memo),
        facts=batch.facts,
        decisions=batch.decisions,
    )
