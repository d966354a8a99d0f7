"""How long core takes for a tick over 10,000 resources with 5 signals each: `python -m tests.bench.core`.

The target is 1 s for a whole tick: fold the look, note what applies, decide, plan. The garbage collector runs as
in the daemon: while it decides, not at all.
"""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from reaper.core.batch import fold_facts, fold_look
from reaper.core.decide import decide, newly_applied
from reaper.core.model import Activity, Collected, Observation, Poll, Resource, ResourceRef
from reaper.core.plan import plan
from reaper.core.ruleset import Ruleset
from reaper.core.world import World
from reaper.daemon.memory import undisturbed
from reaper.testing import T0, hours, minutes, policy, rules

__all__ = ["Bench", "decide_ten_thousand", "fold_ten_thousand", "main", "tick_ten_thousand"]

T = TypeVar("T")

RESOURCES, SOURCES = 10_000, 50
SIGNALS = ("execution_state", "process", "gpu", "peers", "notebook")


@dataclass
class Bench:
    """A world of 10,000 resources at 50 sources, idle since this morning, one in ten at work."""

    world: World
    ruleset: Ruleset
    now: datetime
    polls: int = 0

    @classmethod
    def make(cls, policies: int = 1) -> "Bench":
        """Make it: one look at everything, and the first so many rules applied."""
        every = (
            policy("quiet", timeout=hours(4), warn_before=minutes(10)),
            policy("old", rule="age", timeout=hours(24)),
        )
        ruleset = rules(
            *every[:policies],
            start_grace=minutes(5),
            apply_grace=minutes(10),
        )
        bench = cls(world=World(), ruleset=ruleset, now=T0)
        bench.look()
        bench.apply()
        return bench

    def collected(self) -> list[Collected]:
        """Make a minute later's look at every source; nothing has changed."""
        self.now += timedelta(minutes=1)
        per_source = RESOURCES // SOURCES
        return [self._collected(n, range(n * per_source, (n + 1) * per_source)) for n in range(SOURCES)]

    def fold(self, looks: list[Collected]) -> None:
        """Fold looks in."""
        for collected in looks:
            fold_look(self.world, collected)

    def look(self) -> None:
        """Look at everything and fold it in."""
        self.fold(self.collected())

    def apply(self) -> None:
        """Note what newly applies, as every tick does."""
        if facts := newly_applied(self.world, self.ruleset, self.now):
            fold_facts(self.world, tuple(facts))

    def decide(self) -> None:
        """Decide everything, and plan."""
        decisions = list(decide(self.world, self.ruleset, self.now))
        for decision in decisions:
            decision.essence()
        plan(decisions, self.world, self.ruleset, self.now)

    def _collected(self, n: int, numbers: range) -> Collected:
        self.polls += 1
        poll = Poll(
            id=self.polls,
            source=f"bench:{n}",
            started_at=self.now,
            finished_at=self.now,
            complete=True,
        )
        resources = [_resource(n, i) for i in numbers]
        observations = [
            one for i in numbers for one in _observations(resources[i - numbers.start].ref, i, self.now)
        ]
        return Collected(poll=poll, resources=tuple(resources), observations=tuple(observations))


def _resource(n: int, i: int) -> Resource:
    ref = ResourceRef(
        kind="jupyter.kernel", scope=f"http://10.0.0.{n}:8888/", id=f"kernel-{i:08d}", incarnation="x1"
    )
    return Resource(
        ref=ref,
        name=f"team/notebook-{i}.ipynb",
        aliases=(f"notebook-{i}.ipynb",),
        tags={"team": "vision"},
        started_at=T0 - timedelta(hours=3),
        required_signals=("process",),
        sample_interval_s=5.0,
        attributes={"kernel": "python3", "connections": 1},
    )


def _observations(ref: ResourceRef, i: int, now: datetime) -> list[Observation]:
    works = i % 10 == 0
    since = T0 - timedelta(seconds=i % 7200)
    evidence = (since, None, None, None, since)
    return [
        Observation(
            ref=ref,
            signal=signal,
            activity=Activity.ACTIVE if works and signal == "process" else Activity.IDLE,
            evidence_at=at,
            value="quiet",
            covers_from=now - timedelta(minutes=1) if signal in {"process", "gpu"} else None,
        )
        for signal, at in zip(SIGNALS, evidence, strict=True)
    ]


def fold_ten_thousand(repeat: int = 5) -> float:
    """Give the seconds that folding in a look at everything takes (the median)."""
    bench = Bench.make()
    return _median(bench.fold, bench.collected, repeat)


def decide_ten_thousand(repeat: int = 5, policies: int = 1) -> float:
    """Give the seconds that noting what applies, deciding and planning take (the median)."""
    bench = Bench.make(policies)

    def decided(_: object) -> None:
        with undisturbed():
            bench.apply()
            bench.decide()

    return _median(decided, bench.look, repeat)


def tick_ten_thousand(repeat: int = 5, policies: int = 1) -> float:
    """Give the seconds of a whole tick: fold, apply, decide, plan (the median)."""
    bench = Bench.make(policies)

    def tick(looks: list[Collected]) -> None:
        bench.fold(looks)
        with undisturbed():
            bench.apply()
            bench.decide()

    return _median(tick, bench.collected, repeat)


def _median(measured: Callable[[T], object], prepare: Callable[[], T], repeat: int) -> float:
    taken = []
    for _ in range(repeat):
        prepared = prepare()
        gc.collect()
        start = time.process_time()
        measured(prepared)
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def main() -> None:
    """Print the figures."""
    print(f"{RESOURCES:,} resources with {len(SIGNALS)} signals each; seconds of CPU, median of 5")
    print(f"fold a look                  {fold_ten_thousand():.3f}")
    for policies, words in ((1, "one policy"), (2, "two policies")):
        print(f"decide and plan {words:12} {decide_ten_thousand(policies=policies):.3f}")
        print(f"whole tick      {words:12} {tick_ten_thousand(policies=policies):.3f}")


if __name__ == "__main__":
    main()
