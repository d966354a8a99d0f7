"""Delete the decisions, make each again from the evidence in the journal alone: they are the same."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from hypothesis import event, given

from reaper.core.batch import Batch
from reaper.core.decide import decide
from reaper.core.decision import Decision
from reaper.core.plan import plan
from reaper.core.ruleset import Rule, Ruleset
from reaper.core.world import World
from reaper.journal import MemoryJournal
from reaper.plugins import load
from reaper.testing import Scene, WorldBuilder, minutes
from reaper.testing.worlds import as_it_stands
from tests.support.properties import HOUSE
from tests.support.scripts import Played, scripts

LIMIT = 1_000_000


@cache
def rule_type(name: str) -> Any:
    return load("reaper.policies", name)


def build_rule(name: str, params: Mapping[str, object]) -> Rule:
    """Do as `reaper.plugins.build_rule` does, but read the entry points once: that takes 15 ms."""
    rule: Rule = rule_type(name).from_params(params)
    return rule


class Remembering(WorldBuilder):
    """Keeps the world as it was after each batch."""

    def __init__(self, scene: Scene | None = None) -> None:
        super().__init__(scene)
        self.lived: list[tuple[Batch, World]] = []

    def keep(self, batch: Batch) -> None:
        super().keep(batch)
        self.lived.append((batch, as_it_stands(self.world)))


def decided(world: World, ruleset: Ruleset, now: datetime) -> tuple[Decision, ...]:
    """Decide as a tick does: the budgets have their say."""
    return plan(decide(world, ruleset, now), world, ruleset, now).decisions


@HOUSE
@given(scripts(builder_type=Remembering))
async def test_every_decision_is_made_again_from_the_evidence(played: Played):
    builder = played.builder
    assert isinstance(builder, Remembering)
    journal, made = MemoryJournal(), list[Decision]()
    await journal.open(write=True)
    for batch, world in builder.lived:
        if batch.poll is not None:  # a minute later: timers run on
            decisions = decided(world, played.ruleset, batch.poll.started_at + minutes(1))
            batch = replace(batch, decisions=decisions)  # noqa: PLW2901
            made.extend(decisions)
        await journal.write(batch)
    assert await journal.decisions(limit=LIMIT) == made
    event(f"decisions: {min(len(made) // 10, 3)}0 or more")

    assert journal._store is not None
    assert journal._store._connection is not None
    journal._store._connection.execute("DELETE FROM decisions")
    assert await journal.decisions(limit=LIMIT) == []

    body = await journal.config(played.ruleset.digest())
    assert body is not None
    ruleset = Ruleset.from_body(body, build_rule)
    again = list[Decision]()
    for seq, at in dict.fromkeys((decision.basis, decision.at) for decision in made):
        world = World.restore(await journal.load(seq=seq), builder.world.max_gap)
        again.extend(decided(world, ruleset, at))
    assert again == made
    await journal.close()
