"""What is written to the journal in one transaction. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reaper.core.decide import Decision
from reaper.core.facts import Fact
from reaper.core.image import Delta
from reaper.core.model import Collected, Poll
from reaper.core.world import World

__all__ = ["Batch", "fold_facts", "fold_look"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One transaction: a look with what it changed, or facts, or decisions.

    Attributes:
        seq: Counts up by one over the journal's life; a decision names the last one it rests on.
        poll: The look, if it is one.
        delta: What the look changed (its facts are in `facts`).
        memo: What the provider wants back, for `poll.source`; None leaves the stored one.
        facts: Facts, in order.
        decisions: Decisions that differ in essence from the ones before.
    """

    seq: int
    poll: Poll | None = None
    delta: Delta = field(default_factory=Delta)
    memo: Mapping[str, object] | None = None
    facts: tuple[Fact, ...] = ()
    decisions: tuple[Decision, ...] = ()


def fold_look(world: World, collected: Collected) -> Batch:
    """Fold a look into the world and give what to journal."""
    delta = world.observe(collected)
    world.seq += 1
    return Batch(
        seq=world.seq, poll=collected.poll, delta=delta, memo=collected.memo, facts=tuple(delta.facts)
    )


def fold_facts(world: World, facts: tuple[Fact, ...], decisions: tuple[Decision, ...] = ()) -> Batch:
    """Fold facts into the world and give what to journal; decisions change nothing."""
    for fact in facts:
        world.apply(fact)
    world.seq += 1
    return Batch(seq=world.seq, facts=facts, decisions=decisions)
