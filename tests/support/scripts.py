"""Whatever can happen to a few resources in a few hours, as a Hypothesis strategy: looks, facts, changes.

A script is drawn as a number and one piece of bytes: a draw for each choice takes ten times as long, most of it
spent by Hypothesis. The first bytes make the rules and the resources, four make each step. Instants only go forward.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from itertools import islice
from typing import Any, TypeVar

from hypothesis import strategies as st

from reaper.core.decide import newly_applied
from reaper.core.facts import ActionState, ClockJumped, ConfigLoaded, HoldReleased, LedgerEntry, Resumed
from reaper.core.model import Activity, HoldMatcher
from reaper.core.ruleset import Budget, Mode, PolicySpec, QuietHours, Ruleset, Step
from reaper.testing import (
    T0,
    Scene,
    WorldBuilder,
    active,
    idle,
    minutes,
    policy,
    rules,
    sampled,
    seconds,
    unknown,
)

T = TypeVar("T")

IDS = ("a", "b", "c")
NONE = timedelta(0)
PAUSES = (
    seconds(0.001),
    seconds(1),
    seconds(5),
    minutes(1),
    minutes(2),
    minutes(4),
    minutes(30),
    minutes(130),
)
TIMEOUTS = (minutes(1), minutes(5), minutes(30), minutes(120))
LADDER = (Step(action="notify"), Step(action="shutdown", after=minutes(3)))
ENFORCED = (Mode.ENFORCE, Mode.ENFORCE, Mode.DRY_RUN)
OPEN = (ActionState.STARTED, ActionState.UNKNOWN, ActionState.SUCCEEDED)
LEADING_UP = (ActionState.PLANNED, ActionState.NOTICED, ActionState.CONFIRMED, ActionState.ABANDONED)
NIGHT = (QuietHours(start=time(10), end=time(11), zone="Europe/Berlin"),)


class Dice:
    """Makes choices out of one number; the smaller the number, the earlier the options it picks."""

    def __init__(self, number: int) -> None:
        self._left = number

    def pick(self, options: Sequence[T]) -> T:
        """Pick one."""
        self._left, index = divmod(self._left, len(options))
        return options[index]


@dataclass(frozen=True)
class Played:
    """A script after it was played.

    Attributes:
        builder: The world and its batches.
        ruleset: The rules in force.
        now: An instant at or after its last step.
    """

    builder: WorldBuilder
    ruleset: Ruleset
    now: datetime


LONGEST = 14
RULES, SCENE, STEP = 8, 12, 4
"""Bytes for the rules, the resources, and each step: its kind, the pause before it, and its choices."""


def scripts(
    rule_names: tuple[str, ...] = ("idle", "idle", "age"),
    builder_type: type[WorldBuilder] = WorldBuilder,
    **guards: Any,
) -> st.SearchStrategy[Played]:
    """Give a strategy of everything that can happen, played.

    Args:
        rule_names: The rules to choose from.
        builder_type: What plays it.
        **guards: What is not left to chance: `quiet_hours=()` ...
    """
    size = RULES + SCENE + LONGEST * STEP
    return st.builds(
        lambda *drawn: _play(builder_type, rule_names, guards, *drawn),
        st.integers(0, LONGEST),
        st.binary(min_size=size, max_size=size),
    )


def _play(
    builder_type: type[WorldBuilder],
    rule_names: tuple[str, ...],
    guards: dict[str, Any],
    length: int,
    drawn: bytes,
) -> Played:
    ruleset = _ruleset(Dice(int.from_bytes(drawn[:RULES])), rule_names, guards)
    dice = Dice(int.from_bytes(drawn[RULES : RULES + SCENE]))
    builder = builder_type(_scene(dice))
    builder.fact(ConfigLoaded(at=T0, digest=ruleset.digest(), body=ruleset.body()))
    now = T0
    steps = (drawn[at : at + STEP] for at in range(RULES + SCENE, len(drawn), STEP))
    for kind, pause, *rest in (bytes(STEP), *islice(steps, length)):
        now += PAUSES[pause % len(PAUSES)]
        _HAPPENINGS[kind % len(_HAPPENINGS)](builder, now, Dice(int.from_bytes(rest)))
        if facts := newly_applied(builder.world, ruleset, now):
            builder.fact(*facts)
    return Played(builder=builder, ruleset=ruleset, now=now + dice.pick(PAUSES))


def _ruleset(dice: Dice, rule_names: tuple[str, ...], guards: dict[str, Any]) -> Ruleset:
    names = dice.pick((("p",), ("p", "q")))
    settings: dict[str, Any] = {
        "mode": dice.pick(ENFORCED),
        "start_grace": dice.pick((NONE, minutes(5))),
        "apply_grace": dice.pick((NONE, minutes(10))),
        "quiet_hours": dice.pick(((), (), NIGHT)),
        "budgets": dice.pick(((), (Budget(name="slow", actions=1),))),
    }
    return rules(*(_policy(dice, name, rule_names) for name in names), **{**settings, **guards})


def _policy(dice: Dice, name: str, rule_names: tuple[str, ...]) -> PolicySpec:
    return policy(
        name,
        rule=dice.pick(rule_names),
        timeout=dice.pick(TIMEOUTS),
        steps=dice.pick(((), (), LADDER)),
        mode=dice.pick(ENFORCED),
        warn_before=dice.pick((NONE, minutes(2), minutes(10))),
        minimum_age=dice.pick((NONE, NONE, minutes(45))),
    )


def _scene(dice: Dice) -> Scene:
    scene = Scene()
    for which in IDS[: dice.pick((1, 2, 3))]:
        scene.add(
            which,
            {"execution_state": _said(dice)},
            started_at=T0 - dice.pick((minutes(300), minutes(1))),
            required_signals=dice.pick(((), (), ("process",))),
            sample_interval_s=5.0,
            hourly_cost=dice.pick((None, 1.5)),
            parent=scene.key("a") if which != "a" and dice.pick((False, True)) else None,
        )
    return scene


def _said(dice: Dice) -> Any:
    """What a signal says from the next look on; None: it is not there."""
    kind = dice.pick(("idle", "idle", "idle", "active", "dated", "unknown", "sampled", "working", "gone"))
    text, at = dice.pick(("x", "y")), T0 + dice.pick((-180, -100, -10, -1, 0, 30, 60, 200)) * minutes(1)
    made: dict[str, Any] = {
        "idle": idle(at, dice.pick(("idle", "idle", "idle", "dead"))),
        "active": active(text),
        "dated": active(text, at),
        "unknown": unknown(text),
        "sampled": sampled(value=text),
        "working": sampled(Activity.ACTIVE, text),
        "gone": None,
    }
    return made[kind]


def _look(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    b.look(now)


def _look_at_one(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    b.look(now, targets=(dice.pick(IDS),))


def _fail(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    some: tuple[dict[str, Any], ...] = ({}, {}, {"kinds": ("jupyter.terminal",)}, {"targets": ("a",)})
    b.fail(now, **dice.pick(some))


def _speak(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    which, signal = dice.pick(IDS), dice.pick(("execution_state", "process", "notebook"))
    if _known(b, which):
        b.scene.say(which, **{signal: _said(dice)})


def _tag(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    which = dice.pick(IDS)
    tags: tuple[dict[str, str], ...] = (
        {},
        {"reaper:protect": "x"},
        {"reaper:hold-until": "2026-03-02T10:00:00Z"},
    )
    if _known(b, which):
        b.scene.change(which, tags=dice.pick(tags))


def _begin(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    b.scene.add(
        dice.pick(IDS), {"execution_state": idle(now)}, incarnation=f"life-{len(b.batches)}", started_at=now
    )


def _remove(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    b.scene.remove(dice.pick(IDS))


def _warn(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    which = dice.pick(IDS)
    if _known(b, which):
        b.warn(which, now, policy=dice.pick(("p", "q")), delivered=dice.pick((True, False)))


def _hold(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    lasting = dice.pick((minutes(1), minutes(90), None))
    b.hold(now, None if lasting is None else now + lasting, dice.pick((*IDS, None)))


def _release(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    b.fact(HoldReleased(at=now, hold_id="h1", who="ada"))


def _pause(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    lasting = dice.pick((minutes(1), minutes(90), None))
    b.pause(now, None if lasting is None else now + lasting)


def _resume(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    b.fact(Resumed(at=now, who="ada"))


def _jump(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    b.fact(ClockJumped(at=now, seconds=3600.0))


def _act(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    """Write any step of an action; but none that only leads up to one while the outcome of another is open."""
    which, state = dice.pick(IDS), dice.pick(tuple(ActionState))
    if not _known(b, which):
        return
    before = b.world.live[b.scene.key(which)].action
    if before is not None and before.state in OPEN and state in LEADING_UP:
        return
    entry = LedgerEntry(
        at=now,
        action_id=f"{which}-{len(b.batches)}",
        state=state,
        ref=b.scene.ref(which),
        action="shutdown",
        policy="p",
        decision_id="d",
    )
    b.fact(entry)


def _source_hold(b: WorldBuilder, now: datetime, dice: Dice) -> None:
    b.hold(now, now)  # a template that is over at once
    lasting = dice.pick((None, minutes(10), NONE))
    until = None if lasting is None else now + lasting
    made = replace(
        b.world.holds["h1"], id="keepalive", matcher=HoldMatcher(), starts_at=now, expires_at=until
    )
    b.scene.holds = [] if lasting == NONE else [made]


def _known(b: WorldBuilder, which: str) -> bool:
    """Tell whether it is both in the scene and in the world, in the same life."""
    history = b.world.live.get(b.scene.key(which))
    return history is not None and b.scene.has(history.ref)


_HAPPENINGS = (
    _look,
    _look,
    _look,
    _look,
    _look_at_one,
    _fail,
    _speak,
    _speak,
    _speak,
    _tag,
    _begin,
    _remove,
    _warn,
    _warn,
    _hold,
    _release,
    _pause,
    _resume,
    _jump,
    _act,
    _source_hold,
)
