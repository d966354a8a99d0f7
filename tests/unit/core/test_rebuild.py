"""The journal is the state: a world built from its rows is the world that was lived, and decides the same."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, strategies as st

from reaper.core.batch import Batch
from reaper.core.codec import from_json, to_json
from reaper.core.decide import decide
from reaper.core.facts import Fact, NoticeGiven, PolicyApplied, fact_from_json, fact_to_json
from reaper.core.history import Run
from reaper.core.model import Poll, Resource, ResourceKey
from reaper.core.world import Image, Life, World
from reaper.testing import WorldBuilder
from tests.support.scripts import scripts


class Rows:
    """The least that a journal must keep: it is shown batches one by one, and keeps JSON text alone."""

    def __init__(self) -> None:
        self.image_at: list[Image] = [Image()]
        self._lives: dict[ResourceKey, dict[str, Any]] = {}
        self._polls: dict[str, list[str]] = {}
        self._facts: list[tuple[str, str]] = []
        self._of_life: dict[ResourceKey, int] = {}
        self._count = self._last_id = 0

    def write(self, batch: Batch) -> None:
        if batch.poll is not None:
            self._look(batch, batch.poll)
        for fact in batch.facts:
            name, body = fact_to_json(fact)
            self._facts.append((name, json.dumps(body)))
        self.image_at.append(self._image(batch.seq))

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
            self._lives[ref.key]["runs"][run.signal] = json.dumps(to_json(run))
        for ref, signal in batch.delta.extended:
            runs = self._lives[ref.key]["runs"]
            run = from_json(Run, json.loads(runs[signal]))
            runs[signal] = json.dumps(to_json(replace(run, last_at=poll.started_at, looks=run.looks + 1)))

    def _image(self, seq: int) -> Image:
        lives = tuple(
            Life(
                resource=from_json(Resource, json.loads(life["resource"])),
                source=life["source"],
                first_seen_at=life["first"],
                last_seen_at=life["last"],
                runs=tuple(from_json(Run, json.loads(run)) for run in life["runs"].values()),
            )
            for life in self._lives.values()
        )
        polls = {
            source: tuple(from_json(Poll, json.loads(text)) for text in texts)
            for source, texts in self._polls.items()
        }
        facts = tuple(fact for i, fact in enumerate(self._read_facts()) if self._matters(i, fact))
        return Image(
            seq=seq,
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
        if not isinstance(fact, NoticeGiven | PolicyApplied):
            return True
        return i >= self._of_life.get(fact.ref.key, 0)


def lived(batches: list[Batch]) -> Rows:
    rows = Rows()
    for batch in batches:
        rows.write(batch)
    return rows


class Recorded(WorldBuilder):
    """Keeps rows as it goes, and the world as it was after every batch."""


def rebuilt(image: Image, like: World) -> World:
    return World.restore(image, like.max_gap)


@given(scripts(), st.lists(st.integers(0, 10_000), max_size=3))
def test_world_from_rows_is_the_world_that_was_lived(played, offsets):
    world = played.builder.world
    again = rebuilt(played.rows.image_at[-1], world)
    assert again == world
    for offset in (0, *offsets):
        now = played.now + timedelta(seconds=offset)
        assert list(decide(again, played.ruleset, now)) == list(decide(world, played.ruleset, now))


@given(scripts())
def test_every_instant_of_the_past_decides_as_it_did(played):
    """Delete the decisions, and make each again from the evidence that was there."""
    for image, (now, decisions) in zip(played.rows.image_at[1:], played.decided, strict=True):
        assert list(decide(rebuilt(image, played.builder.world), played.ruleset, now)) == decisions
