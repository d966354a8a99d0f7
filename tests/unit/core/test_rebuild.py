"""The journal is the state: a world built from its rows is the world that was lived, and decides the same."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, strategies as st

from reaper.core.batch import Batch
from reaper.core.codec import from_json, to_json
from reaper.core.decide import decide
from reaper.core.facts import ChildLeft, Fact, NoticeGiven, PolicyApplied, fact_from_json, fact_to_json
from reaper.core.history import Run
from reaper.core.image import Image, Life
from reaper.core.model import Poll, Resource, ResourceKey
from reaper.core.world import World
from reaper.testing import T0, Scene, WorldBuilder, idle, minutes, rules, seconds
from reaper.testing.worlds import as_it_stands
from tests.support.properties import HOUSE
from tests.support.scripts import Played, scripts


class Rows:
    """The least that a journal must keep: it is shown batches one by one, and keeps JSON text and instants alone."""

    def __init__(self) -> None:
        self._lives: dict[ResourceKey, dict[str, Any]] = {}
        self._polls: dict[str, list[str]] = {}
        self._facts: list[tuple[str, str]] = []
        self._of_life: dict[ResourceKey, int] = {}
        self._seq = self._count = self._last_id = 0

    def write(self, batch: Batch) -> None:
        if batch.poll is not None:
            self._look(batch, batch.poll)
        for fact in batch.facts:
            name, body = fact_to_json(fact)
            self._facts.append((name, json.dumps(body)))
        self._seq = batch.seq

    def _look(self, batch: Batch, poll: Poll) -> None:
        self._count += 1
        self._last_id = max(self._last_id, poll.id)
        polls = self._polls.setdefault(poll.source, [])
        if poll.complete and poll.targets is None:
            polls.clear()
        polls.append(json.dumps(to_json(poll)))
        for history in batch.delta.gone:
            self._lives.pop(history.ref.key, None)
        for history in batch.delta.appeared:
            self._lives[history.ref.key] = {"first": poll.started_at, "source": poll.source, "runs": {}}
            self._of_life[history.ref.key] = len(self._facts)
        for history in (*batch.delta.appeared, *batch.delta.changed):
            self._lives[history.ref.key]["resource"] = json.dumps(to_json(history.resource))
        for key in batch.delta.seen:
            self._lives[key]["last"] = poll.started_at
        for ref, run in batch.delta.opened:
            self._lives[ref.key]["runs"][run.signal] = [json.dumps(to_json(run)), run.last_at, run.looks]
        for ref, signal in batch.delta.extended:
            text, _, looks = self._lives[ref.key]["runs"][signal]
            self._lives[ref.key]["runs"][signal] = [text, poll.started_at, looks + 1]

    def image(self) -> Image:
        lives = tuple(
            Life(
                resource=from_json(Resource, json.loads(life["resource"])),
                source=life["source"],
                first_seen_at=life["first"],
                last_seen_at=life["last"],
                runs=tuple(
                    replace(from_json(Run, json.loads(text)), last_at=last_at, looks=looks)
                    for text, last_at, looks in life["runs"].values()
                ),
            )
            for life in self._lives.values()
        )
        polls = {
            source: tuple(from_json(Poll, json.loads(text)) for text in texts)
            for source, texts in self._polls.items()
        }
        facts = tuple(fact for i, fact in enumerate(self._read_facts()) if self._matters(i, fact))
        return Image(
            seq=self._seq,
            polls=self._count,
            last_poll_id=self._last_id,
            lives=lives,
            polls_by_source=polls,
            facts=facts,
        )

    def _read_facts(self) -> list[Fact]:
        return [fact_from_json(name, json.loads(body)) for name, body in self._facts]

    def _matters(self, i: int, fact: Fact) -> bool:
        """A fact of an earlier life with the same ref is none of this one's (but counts in budgets)."""
        if not isinstance(fact, ChildLeft | NoticeGiven | PolicyApplied):
            return True
        return i >= self._of_life.get(fact.ref.key, 0)


EVERY = 5


class Journaled(WorldBuilder):
    """Writes rows as it goes; every few batches it keeps the world and the rows as they are then."""

    def __init__(self, scene: Scene | None = None) -> None:
        super().__init__(scene)
        self.rows = Rows()
        self.past: list[tuple[World, Rows]] = []

    def keep(self, batch: Batch) -> None:
        super().keep(batch)
        self.rows.write(batch)
        if batch.seq % EVERY == 1:
            self.past.append((as_it_stands(self.world), deepcopy(self.rows)))

    def rebuilt(self) -> World:
        return World.restore(self.rows.image(), self.world.max_gap)


def builder_of(played: Played) -> Journaled:
    assert isinstance(played.builder, Journaled)
    return played.builder


@HOUSE
@given(scripts(builder_type=Journaled), st.lists(st.integers(0, 10_000), max_size=3))
def test_world_from_rows_is_the_world_that_was_lived(played, offsets):
    builder = builder_of(played)
    world, again = builder.world, builder.rebuilt()
    assert again == world
    for offset in (0, *offsets):
        now = played.now + timedelta(seconds=offset)
        assert list(decide(again, played.ruleset, now)) == list(decide(world, played.ruleset, now))


@HOUSE
@given(scripts(builder_type=Journaled))
def test_any_instant_of_the_past_decides_as_it_did(played):
    """Delete the decisions, and make each again from the evidence that was there, not from what came later."""
    for lived, rows in builder_of(played).past:
        again = World.restore(rows.image(), lived.max_gap)
        assert again == lived
        assert list(decide(again, played.ruleset, played.now)) == list(
            decide(lived, played.ruleset, played.now)
        )


@HOUSE
@given(scripts(builder_type=Journaled), st.integers(0, 2**16))
def test_a_restart_in_the_middle_changes_nothing_that_comes_after(played, seed):
    """Both worlds see the same looks from there on."""
    builder = builder_of(played)
    lived, rows = builder.past[seed % len(builder.past)]
    again = World.restore(rows.image(), lived.max_gap)
    at = played.now
    for _ in range(3):
        at += seconds(1 + seed % 200)
        poll = Poll(
            id=lived.last_poll_id + 1,
            source="fake:one",
            started_at=at,
            finished_at=at,
            complete=seed % 5 > 0,
            error=None,
        )
        collected = builder.scene.collected(poll)
        before, after = lived.observe(collected), again.observe(collected)
        assert (before.opened, before.extended) == (after.opened, after.extended)
        assert lived == again
    assert list(decide(again, played.ruleset, at)) == list(decide(lived, played.ruleset, at))


def test_a_failing_look_at_another_does_not_fail_it_after_a_restart():
    scene = Scene()
    for which in ("a", "b"):
        scene.add(which, {"execution_state": idle(T0)})
    builder = Journaled(scene)
    builder.look(T0).fail(T0 + minutes(1), targets=("a",))
    again = builder.rebuilt()
    failing = {key.id: history.failing_since for key, history in again.live.items()}
    assert failing == {"a": T0 + minutes(1), "b": None}


def test_a_journal_that_lost_the_looks_still_decides():
    builder = Journaled(Scene().add("a", {"execution_state": idle(T0)}))
    builder.look(T0)
    image = replace(builder.rows.image(), polls_by_source={})
    assert len(list(decide(World.restore(image, minutes(3)), rules(), T0))) == 1
