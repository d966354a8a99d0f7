"""Every decision can be made again from the evidence alone: the decisions table is a convenience."""

import random
import sqlite3
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from reaper.core.decide import Decision, decide
from reaper.core.facts import HoldPlaced, HoldReleased, Paused, Resumed, SettingChanged
from reaper.core.model import Hold, HoldMatcher
from reaper.core.plan import plan
from reaper.core.ruleset import Budget, Ruleset
from reaper.core.world import World
from reaper.daemon.loop import Daemon
from reaper.daemon.rules import Setup
from reaper.errors import SourceUnavailable
from reaper.journal.sqlite import SqliteJournal
from reaper.plugins import build_rule
from reaper.testing import (
    FakeClock,
    FakeProvider,
    FakeSource,
    Scene,
    active,
    idle,
    minutes,
    policy,
    rules,
    sampled,
    unknown,
)

POLL = minutes(1)
BUDGET = Budget(name="two", actions=2, window=minutes(10))


def _build(overrides: Mapping[str, str]) -> Ruleset:
    timeout = minutes(20) if overrides else minutes(30)
    return rules(
        policy("idle", timeout=timeout, warn_before=minutes(3)),
        policy("old", rule="age", timeout=minutes(120)),
        budgets=(BUDGET,),
        apply_grace=minutes(5),
        max_gap=3 * POLL,
    )


class Play:
    """A daemon over a scene that a seeded random number changes between looks."""

    def __init__(self, journal: SqliteJournal, seed: int) -> None:
        self.clock = FakeClock()
        self.scene = Scene()
        self.source = FakeSource(scene=self.scene)
        self.order = random.Random(seed)
        self.lives = 0
        self.daemon = Daemon(
            setup=Setup(
                build_ruleset=_build,
                check_override=lambda _name, _value: None,
                underlying={"idle-timeout": "30m"},
                poll_interval=POLL,
            ),
            journal=journal,
            providers=(FakeProvider(sources=[self.source]),),
            notifiers=(),
            clock=self.clock,
            world=World(max_gap=3 * POLL),
        )

    async def run(self, looks: int) -> list[Decision]:
        """Go through so many looks; give every decision that was made, as the plan left it."""
        made: list[Decision] = []
        await self.daemon.looking.discover(self.clock.now())
        (watch,) = self.daemon.looking.watches.values()
        for _ in range(looks):
            self.clock.advance(POLL * self.order.choice((1, 1, 1, 1, 5)))
            self._change()
            self.source.failure = SourceUnavailable("no answer") if self.order.random() < 0.1 else None
            await self.daemon.looking.look(watch)
            the_plan = await self.daemon.decide_now()
            made += the_plan.decisions
            ready = [decision for decision in the_plan.decisions if decision.to_act]
            if ready and self.order.random() < 0.5:
                await self._reap(ready)
        return made

    async def _reap(self, ready: list[Decision]) -> None:
        async def work() -> None:
            await self.daemon.acting.reap(ready)

        await self.daemon.after_one_look(work)

    def _change(self) -> None:
        which = f"kernel-{self.order.randrange(6)}"
        now, dice = self.clock.now(), self.order.random()
        if dice < 0.2:
            self.lives += 1
            signals = {"execution_state": idle(now), "process": sampled()}
            self.scene.add(which, signals, incarnation=f"life-{self.lives}", required_signals=("process",))
        elif dice < 0.3:
            self.scene.remove(which)
        elif dice < 0.55 and any(key.id == which for key in self.daemon.world.live):
            self._say(which)
        elif dice < 0.7:
            self._meddle(which)

    def _say(self, which: str) -> None:
        if which not in self.scene.ids():
            return
        said = self.order.choice(
            (active(), idle(self.clock.now()), unknown(), idle(self.clock.now(), "dead"))
        )
        self.scene.say(which, execution_state=said)

    def _meddle(self, which: str) -> None:
        now = self.clock.now()
        hold = Hold(
            id=f"hold-{which}",
            matcher=HoldMatcher(id=which),
            who="test",
            why="",
            starts_at=now,
            expires_at=now + minutes(self.order.randrange(1, 60)),
        )
        change = SettingChanged(
            at=now,
            name="idle-timeout",
            value=self.order.choice(("20m", None)),
            previous="30m",
            underlying="30m",
            until=None,
            who="test",
        )
        self.daemon.recorder.facts(
            self.order.choice(
                (
                    HoldPlaced(at=now, hold=hold),
                    HoldReleased(at=now, hold_id=hold.id, who="test"),
                    Paused(at=now, who="test", why="", until=now + minutes(7)),
                    Resumed(at=now, who="test"),
                    change,
                )
            )
        )


@pytest.mark.parametrize("seed", range(3))
async def test_every_decision_is_made_again_from_the_evidence(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path)
    await journal.open(write=True)
    play = Play(journal, seed)
    made = await play.run(100)
    await play.daemon.close()
    assert len({decision.reason for decision in made}) >= 8, "the play is too dull to show anything"

    with sqlite3.connect(path) as opened:
        opened.execute("DELETE FROM decisions")
    opened.close()

    again = SqliteJournal(path)
    await again.open(write=False)
    try:
        bodies: dict[str, Ruleset] = {}
        for decision in made:
            if decision.config_digest not in bodies:
                body = await again.config(decision.config_digest)
                assert body is not None
                bodies[decision.config_digest] = Ruleset.from_body(body, build_rule)
            ruleset = bodies[decision.config_digest]
            world = World.restore(await again.load(seq=decision.basis), max_gap=timedelta(minutes=3))
            whole = plan(decide(world, ruleset, decision.at), world, ruleset, decision.at)
            assert decision in whole.decisions
    finally:
        await again.close()
