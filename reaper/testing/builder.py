"""Build a world by looks at explicit instants, and rules to decide it with: tests without sleeping.

world = (
    WorldBuilder(Scene().add("k1", {"execution_state": idle(T0 - hours(3))}))
    .look(T0)
    .apply(rules)
    .look(T0 + minutes(10))
    .world
)
decision = decide_one(world, rules, T0 + minutes(10), ...)
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

from reaper.core.batch import Batch, fold_facts, fold_look
from reaper.core.decide import newly_applied
from reaper.core.facts import Fact, HoldPlaced, NoticeGiven, Paused
from reaper.core.model import Hold, HoldMatcher, Poll, ResourceRef
from reaper.core.ruleset import Guards, Match, Mode, PolicySpec, Rule, Ruleset, Step
from reaper.core.warning import WARNING
from reaper.core.world import World
from reaper.plugins import load
from reaper.testing.clock import T0
from reaper.testing.scene import Scene

__all__ = ["WorldBuilder", "days", "hours", "minutes", "policy", "rules", "seconds"]


def seconds(count: float) -> timedelta:
    """Give so many seconds."""
    return timedelta(seconds=count)


def minutes(count: float) -> timedelta:
    """Give so many minutes."""
    return timedelta(minutes=count)


def hours(count: float) -> timedelta:
    """Give so many hours."""
    return timedelta(hours=count)


def days(count: float) -> timedelta:
    """Give so many days."""
    return timedelta(days=count)


@cache
def _rule_type(name: str) -> Any:
    """Load a rule once: reading every installed package's entry points takes 15 ms."""
    return load("reaper.policies", name)


def policy(
    name: str = "quiet",
    *,
    kind: str = "jupyter.kernel",
    timeout: timedelta = timedelta(hours=2),
    rule: Rule | str = "idle",
    params: Mapping[str, object] | None = None,
    action: str = "shutdown",
    steps: tuple[Step, ...] = (),
    match: Match | None = None,
    mode: Mode = Mode.ENFORCE,
    warn_before: timedelta = timedelta(0),
    minimum_age: timedelta = timedelta(0),
) -> PolicySpec:
    """Make a policy: by default, shut down kernels that are idle for two hours.

    Args:
        name: Its name.
        kind: Which kind it is about.
        timeout: The rule's timeout.
        rule: The rule, or its entry point's name.
        params: Further parameters of a rule that is named: durations in seconds.
        action: What it does; `steps` say more.
        steps: Its ladder, where it has one.
        match: Which resources it is about; by default all.
        mode: Its mode.
        warn_before: Notice this long before the act.
        minimum_age: Nothing younger is reaped.
    """
    all_params = {"timeout": timeout.total_seconds(), **(params or {})}
    named = rule if isinstance(rule, str) else "custom"
    return PolicySpec(
        name=name,
        kind=kind,
        rule_name=named,
        params=all_params if isinstance(rule, str) else {},
        rule=_rule_type(rule).from_params(all_params) if isinstance(rule, str) else rule,
        match=match or Match(),
        steps=steps or (Step(action=action),),
        mode=mode,
        warn_before=warn_before,
        minimum_age=minimum_age,
    )


def rules(
    *policies: PolicySpec, mode: Mode = Mode.ENFORCE, budgets: tuple[Any, ...] = (), **guards: Any
) -> Ruleset:
    """Make rules in force, in enforce mode and without graces, unless told otherwise.

    Args:
        *policies: The policies; none: the default one of `policy`.
        mode: The daemon's mode.
        budgets: Disruption budgets.
        **guards: Fields of `Guards`: `start_grace=minutes(5)` ...
    """
    settings = {"start_grace": timedelta(0), "apply_grace": timedelta(0), **guards}
    return Ruleset(mode=mode, policies=policies or (policy(),), guards=Guards(**settings), budgets=budgets)


class WorldBuilder:
    """Folds looks at a scene, and facts, into a world, in the order they are given; keeps the batches.

    Args:
        scene: What there is to see; `builder.scene` changes it between looks.
        max_gap: As in `World`.
    """

    def __init__(self, scene: Scene | None = None, *, max_gap: timedelta = timedelta(minutes=3)) -> None:
        self.scene = Scene() if scene is None else scene
        self.world = World(max_gap=max_gap)
        self.batches: list[Batch] = []
        self._poll_ids = count(1)

    def keep(self, batch: Batch) -> None:
        """Take a batch right after it was folded; override it to journal as you go."""
        self.batches.append(batch)

    def ref(self, which: str, kind: str | None = None) -> ResourceRef:
        """Give the ref of something in the scene."""
        return self.scene.ref(which, kind)

    def look(self, at: datetime = T0, *, targets: tuple[str, ...] | None = None) -> "WorldBuilder":
        """Look at everything (or at some ids), completely."""
        return self._poll(at, targets=targets)

    def look_every(self, interval: timedelta, *, start: datetime, end: datetime) -> "WorldBuilder":
        """Look completely at `start`, and on until `end`, both included where the interval fits."""
        at = start
        while at <= end:
            self.look(at)
            at += interval
        return self

    def fail(
        self,
        at: datetime,
        error: str = "connection refused",
        *,
        kinds: tuple[str, ...] = (),
        targets: tuple[str, ...] | None = None,
    ) -> "WorldBuilder":
        """Look, and fail: wholly, or for some kinds."""
        return self._poll(at, error=error, failed_kinds=kinds, targets=targets)

    def fact(self, *facts: Fact) -> "WorldBuilder":
        """Fold facts in."""
        self.keep(fold_facts(self.world, facts))
        return self

    def apply(self, ruleset: Ruleset, at: datetime = T0) -> "WorldBuilder":
        """Note that rules apply from now on to what they are about, as every tick does before it decides."""
        return self.fact(*newly_applied(self.world, ruleset, at))

    def warn(
        self,
        which: str,
        at: datetime,
        *,
        policy: str = "quiet",
        delivered: bool = True,
    ) -> "WorldBuilder":
        """Tell people of a reap to come, or try to."""
        channels = ("command:/bin/true",) if delivered else ()
        ref = self.ref(which)
        return self.fact(
            NoticeGiven(at=at, ref=ref, policy=policy, topic=WARNING, delivered=delivered, channels=channels)
        )

    def hold(
        self, at: datetime, until: datetime | None, which: str | None = None, name: str = "h1"
    ) -> "WorldBuilder":
        """Hold one resource, or everything, from an instant on."""
        matcher = HoldMatcher(id=which)
        hold = Hold(id=name, matcher=matcher, who="ada", why="a demo", starts_at=at, expires_at=until)
        return self.fact(HoldPlaced(at=at, hold=hold))

    def pause(self, at: datetime, until: datetime | None = None) -> "WorldBuilder":
        """Pull the kill switch."""
        return self.fact(Paused(at=at, who="ada", why="maintenance", until=until))

    def _poll(self, at: datetime, *, error: str | None = None, **fields: Any) -> "WorldBuilder":
        poll = Poll(
            id=next(self._poll_ids),
            source=self.scene.source,
            started_at=at,
            finished_at=at,
            complete=error is None,
            error=error,
            **fields,
        )
        self.keep(fold_look(self.world, self.scene.collected(poll)))
        return self
