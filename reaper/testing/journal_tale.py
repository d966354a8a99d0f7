"""A tale for journals: looks and facts of every kind, in any order, folded into a world."""

# ruff: noqa: PLR2004 - what is chosen by number is said in the arm it leads to

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from reaper.core.batch import Batch, fold_facts, fold_look
from reaper.core.facts import (
    ActionState,
    ClockJumped,
    ClockSeen,
    ConfigLoaded,
    Fact,
    HoldPlaced,
    HoldReleased,
    LedgerEntry,
    NoticeGiven,
    Paused,
    PolicyApplied,
    Resumed,
    SettingChanged,
)
from reaper.core.model import (
    Activity,
    Collected,
    Hold,
    HoldMatcher,
    Observation,
    Poll,
    Resource,
    ResourceKey,
    ResourceRef,
)
from reaper.core.world import World
from reaper.testing.worlds import as_it_stands

__all__ = ["MAX_GAP", "START", "Tale", "told"]

START = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
"""When every tale begins."""

T = TypeVar("T")

MAX_GAP = timedelta(minutes=3)

_SOURCES = ("jupyter:http://127.0.0.1:8888/", "jupyter:http://127.0.0.1:9999/")
_KINDS = ("jupyter.kernel", "jupyter.terminal")
_IDS = ("1", "2", "a b c")
_SIGNALS = ("execution_state", "last_activity", "process")
_PAUSES = tuple(timedelta(seconds=s) for s in (0.000001, 1, 5, 60, 60, 60, 60, 181, 3600, 90000))


@dataclass(slots=True)
class _Thing:
    """Something that exists, whatever the looks see of it."""

    resource: Resource
    says: dict[str, tuple[Activity, datetime | None, str]] = field(default_factory=dict)


class Tale:
    """Makes up looks and facts, and folds them into a world: every kind of look, in any order.

    Looks are complete, incomplete in all or some kinds, targeted; things appear, vanish, come back in
    another life or, under the same name, in the same; evidence stays equal or changes, signals are missing,
    time passes or stands nearly still.

    Args:
        below: Gives a number from 0 up to but not including its argument: how the tale is chosen
            (`random.Random(seed).randrange`, or a draw of Hypothesis).

    Attributes:
        world: As all batches so far made it.
        now: The tale's clock.
    """

    def __init__(self, below: Callable[[int], int]) -> None:
        self.world = World(max_gap=MAX_GAP)
        self.now = START
        self._below = below
        self._polls = self._names = 0
        self._things: dict[str, dict[ResourceKey, _Thing]] = {source: {} for source in _SOURCES}
        self._ended: list[ResourceRef] = []

    def go_on(self) -> Batch:
        """Let something happen; gives the batch for the journal."""
        self.now += self._one_of(_PAUSES)
        return self.fact() if self._below(4) == 0 else self.look()

    def look(self) -> Batch:
        """Look at a source, after things there have changed."""
        source = self._one_of(_SOURCES)
        things = self._things[source]
        for _ in range(self._below(3)):
            self._change(source, things)
        poll = self._poll(source)
        seen = [thing for key, thing in sorted(things.items()) if self._sees(poll, key)]
        observations = [
            Observation(
                ref=thing.resource.ref,
                signal=signal,
                activity=activity,
                evidence_at=at,
                value=value,
                covers_from=self.now - timedelta(seconds=60) if signal == "process" else None,
            )
            for thing in seen
            for signal, (activity, at, value) in thing.says.items()
            if self._below(8)
        ]
        holds = tuple(self._keepalive(source) for _ in range(self._below(3) == 0))
        memo = {"looks": self._polls, "cpu": [1, 2.5, None]} if self._below(2) else None
        resources = tuple(thing.resource for thing in seen)
        looked = Collected(
            poll=poll, resources=resources, observations=tuple(observations), holds=holds, memo=memo
        )
        return fold_look(self.world, looked)

    def _keepalive(self, source: str) -> Hold:
        return Hold(
            id=f"{source}#k",
            matcher=HoldMatcher(kind=_KINDS[0], id=self._one_of(_IDS)),
            who="keepalive",
            why="",
            starts_at=self.now,
            expires_at=self.now + timedelta(hours=self._below(3)),
        )

    def fact(self) -> Batch:
        """Let a few things happen besides evidence."""
        return fold_facts(self.world, tuple(self._fact() for _ in range(1 + self._below(2))))

    # --- looks -------------------------------------------------------------------------------------------------

    def _poll(self, source: str) -> Poll:
        self._polls += 1 + (self._below(5) == 0)
        complete, targeted = self._below(3) > 0, self._below(4) == 0
        return Poll(
            id=self._polls,
            source=source,
            started_at=self.now,
            finished_at=self.now + timedelta(microseconds=self._below(1000)),
            complete=complete,
            error=None if complete else self._one_of(("timed out", "502 \ud800 bad gateway")),
            targets=tuple(sorted({self._one_of(_IDS) for _ in range(1 + self._below(2))}))
            if targeted
            else None,
            failed_kinds=() if complete or self._below(2) else (self._one_of(_KINDS),),
        )

    def _sees(self, poll: Poll, key: ResourceKey) -> bool:
        if poll.failed(key.kind):
            return self._below(3) == 0  # a part was read before it failed
        if poll.targets is not None and key.id not in poll.targets:
            return self._below(6) == 0  # it told of more than it was asked for
        return True

    def _change(self, source: str, things: dict[ResourceKey, _Thing]) -> None:
        key = ResourceKey(self._one_of(_KINDS), source.partition(":")[2], self._one_of(_IDS))
        thing, what = things.get(key), self._below(8)
        if thing is None:
            self._appear(things, key)
        elif what == 0:
            self._ended.append(things.pop(key).resource.ref)
        elif what == 1:
            self._ended.append(thing.resource.ref)
            self._appear(things, key)
        elif what == 2:
            attributes = {"cpus": self._below(3), "spec": "python3", "servers": [{"port": 8080}]}
            thing.resource = replace(
                thing.resource, name=f"über {self._below(3)}.ipynb", attributes=attributes
            )
        elif what == 3 and thing.says:
            thing.says.pop(self._one_of(tuple(thing.says)))
        else:
            thing.says[self._one_of(_SIGNALS)] = self._says()

    def _appear(self, things: dict[ResourceKey, _Thing], key: ResourceKey) -> None:
        self._names += 1
        again = [ref for ref in self._ended if ref.key == key]
        if again and self._below(2) == 0:
            ref = again[-1]  # it was missing from a listing, no more
        else:
            ref = ResourceRef(kind=key.kind, scope=key.scope, id=key.id, incarnation=f"life {self._names}")
        started = self.now - timedelta(hours=1) if self._below(2) else None
        resource = Resource(
            ref=ref, name=key.id, owner="ana", tags={"Team": "ü"}, hourly_cost=0.5, started_at=started
        )
        things[key] = _Thing(
            replace(
                resource, aliases=("a", "b"), parent_key=ResourceKey("host", "", "h"), sample_interval_s=5.0
            )
        )
        for signal in _SIGNALS[: self._below(4)]:
            things[key].says[signal] = self._says()

    def _says(self) -> tuple[Activity, datetime | None, str]:
        activity = self._one_of(tuple(Activity))
        at = (None, self.now, self.now - timedelta(minutes=3, microseconds=1), START)[self._below(4)]
        return activity, at, self._one_of(("", "busy", "0.25 core", "naïve \udcff"))

    # --- facts -------------------------------------------------------------------------------------------------

    def _fact(self) -> Fact:
        kinds = (
            self._applied,
            self._notice,
            self._step,
            self._hold,
            self._release,
            self._pause,
            self._set,
            self._rest,
        )
        return self._one_of(kinds)()

    def _ref(self) -> ResourceRef:
        live = [history.ref for _, history in sorted(self.world.live.items())]
        if self._ended and (not live or self._below(5) == 0):
            return self._one_of(tuple(self._ended))
        if not live:
            return ResourceRef(kind=_KINDS[0], scope="", id="never seen", incarnation="")
        return self._one_of(tuple(live))

    def _applied(self) -> Fact:
        return PolicyApplied(
            at=self.now, ref=self._ref(), policy=self._one_of(("idle", "age")), digest=str(self._below(3))
        )

    def _notice(self) -> Fact:
        topic, delivered = self._one_of(("warning", "blind")), self._below(2) == 0
        return NoticeGiven(
            at=self.now,
            ref=self._ref(),
            policy="idle",
            topic=topic,
            delivered=delivered,
            channels=("log",),
            error="é",
        )

    def _step(self) -> Fact:
        """Take an action one step on, or begin one where none is under way."""
        ref = self._ref()
        history = self.world.live.get(ref.key)
        before = history.action if history is not None and history.ref == ref else None
        if before is not None and before.state is ActionState.STARTED:
            state = self._one_of((ActionState.SUCCEEDED, ActionState.FAILED, ActionState.UNKNOWN))
            return replace(before, at=self.now, state=state, outcome=self._one_of(("204", "timed out")))
        self._names += 1
        over = before is None or before.state in (ActionState.FAILED, ActionState.ABANDONED)
        return LedgerEntry(
            at=self.now,
            action_id=f"action {self._names}",
            state=ActionState.ABANDONED if over and self._below(4) == 0 else ActionState.STARTED,
            ref=ref,
            action="shutdown",
            policy="idle",
            decision_id="d",
            due_at=self.now,
            hourly_cost=self._one_of((None, 1.25)),
        )

    def _hold(self) -> Fact:
        until = None if self._below(3) == 0 else self.now + timedelta(minutes=self._below(200))
        matcher = HoldMatcher(id=self._one_of((None, *_IDS)))
        name = f"hold {self._below(3)}"
        return HoldPlaced(
            at=self.now,
            hold=Hold(id=name, matcher=matcher, who="ana", why="demo", starts_at=self.now, expires_at=until),
        )

    def _release(self) -> Fact:
        return HoldReleased(at=self.now, hold_id=f"hold {self._below(3)}", who="ana")

    def _pause(self) -> Fact:
        if self._below(2):
            return Resumed(at=self.now, who="ana")
        return Paused(at=self.now, who="ana", why="release day", until=self.now + timedelta(hours=1))

    def _set(self) -> Fact:
        value, name = self._one_of((None, "90m", "2h")), self._one_of(("idle-timeout", "keep-terminals"))
        return SettingChanged(
            at=self.now, name=name, value=value, previous="120m", underlying="120m", until=None, who="ana"
        )

    def _rest(self) -> Fact:
        which = self._below(3)
        if which == 0:
            return ClockJumped(at=self.now, seconds=-12.5)
        if which == 1:
            return ClockSeen(at=self.now, boot_id="b", offset_s=0.1)
        body = {
            "mode": "enforce",
            "n": self._below(3),
            "policies": [{"name": "idle", "params": {"timeout": 7200.0}}],
        }
        return ConfigLoaded(at=self.now, digest=f"digest {body['n']}", body=body)

    def _one_of(self, choices: tuple[T, ...]) -> T:
        return choices[self._below(len(choices))]


def told(seed: int, length: int = 40) -> tuple[list[Batch], list[World]]:
    """Tell a tale.

    Returns:
        Its batches, and the world before the first and after each: `worlds[k]` is that of batch k.
    """
    tale = Tale(random.Random(seed).randrange)  # noqa: S311 - made up to be told again, not to be a secret
    batches, worlds = [], [as_it_stands(tale.world)]
    for _ in range(length):
        batches.append(tale.go_on())
        worlds.append(as_it_stands(tale.world))
    return batches, worlds
