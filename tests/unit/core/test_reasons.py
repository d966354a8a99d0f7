"""One situation for each reason code, named by the code: what brings it about, and that nothing is missing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from reaper.core.decide import Decision, decide_one
from reaper.core.facts import ActionState, ClockJumped, LedgerEntry, MassTripped
from reaper.core.history import History
from reaper.core.model import Obstacle, Stopped
from reaper.core.plan import limited, plan
from reaper.core.ruleset import Budget, QuietHours, Ruleset, Step
from reaper.core.verdict import Finding, Reason, Verdict, Veto
from reaper.plugins import build_rule
from reaper.testing import (
    T0,
    Scene,
    WorldBuilder,
    active,
    days,
    hours,
    idle,
    minutes,
    policy,
    rules,
    sampled,
    seconds,
    unknown,
)
from reaper.testing.scene import ResourceFields

OVERDUE = idle(T0 - hours(3))


@dataclass(frozen=True, kw_only=True)
class Always:
    """A rule that says what it is told to."""

    verdict: Verdict
    timeout: timedelta = timedelta(hours=2)

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        if self.verdict is Verdict.UNKNOWN:
            msg = "a rule that raises"
            raise LookupError(msg)
        return Finding(policy=policy, verdict=self.verdict, reason=Reason.ACTIVE)


def at(
    now: datetime, builder: WorldBuilder, ruleset: Ruleset, which: str = "k", kind: str | None = None
) -> Decision:
    decision = decide_one(builder.world, ruleset, now, builder.ref(which, kind))
    assert decision is not None
    return decision


def kernel(**fields) -> WorldBuilder:
    """A kernel that has been idle for three hours, seen and under the default rules for a day."""
    signals = fields.pop("signals", {"execution_state": OVERDUE})
    builder = WorldBuilder(Scene().add("k", signals, started_at=T0 - days(2), **fields))
    builder.look(T0 - days(1)).apply(rules(), T0 - days(1))
    return builder.look(T0)


def overdue(ruleset: Ruleset | None = None, **fields) -> Decision:
    ruleset = ruleset or rules()
    return at(T0, kernel(**fields).apply(ruleset, T0 - days(1)), ruleset)


def said(**signals) -> Decision:
    return overdue(signals=signals)


def acted(state: ActionState, ago: timedelta, before: int = 0) -> Decision:
    builder = kernel()
    entry = LedgerEntry(
        at=T0 - ago,
        action_id="a1",
        state=state,
        ref=builder.ref("k"),
        action="shutdown",
        policy="quiet",
        decision_id="d1",
        outcome="HTTP 500",
    )
    for _ in range(before):
        builder.fact(replace(entry, at=T0 - days(1)))
    return at(T0, builder.fact(entry), rules())


def no_policy() -> Decision:
    return overdue(rules(policy(kind="ec2.instance")))


def sampling() -> Decision:
    signals = {"execution_state": OVERDUE, "process": sampled()}
    scene = Scene().add("k", signals, required_signals=("process",), sample_interval_s=5.0)
    return at(T0, WorldBuilder(scene).look(T0).apply(rules()), rules())


def evidence_lost() -> Decision:
    builder = kernel(
        signals={"execution_state": OVERDUE, "process": sampled()}, required_signals=("process",)
    )
    builder.scene.say("k", process=None)
    return at(T0 + minutes(1), builder.look(T0 + minutes(1)), rules())


def busy(busy_timeout_h: float | None = None) -> Decision:
    params = {} if busy_timeout_h is None else {"busy_timeout": busy_timeout_h * 3600.0}
    ruleset = rules(policy(params=params))
    scene = Scene().add("k", {"execution_state": active(), "process": sampled()}, started_at=T0 - days(2))
    builder = WorldBuilder(scene, max_gap=hours(2)).look(T0 - hours(5)).apply(ruleset, T0 - hours(5))
    return at(T0, builder.look_every(hours(1), start=T0 - hours(4), end=T0), ruleset)


def aged(age: timedelta) -> Decision:
    ruleset = rules(policy(rule="age", timeout=hours(24)))
    builder = WorldBuilder(Scene().add("k", {"execution_state": OVERDUE}, started_at=T0 - age))
    return at(T0, builder.look(T0 - minutes(1)).apply(ruleset, T0 - minutes(1)).look(T0), ruleset)


def failing(*, seen: bool) -> Decision:
    """A look that failed altogether; or one that saw the kernel, and not all there is to see of its kind."""
    ruleset = rules(policy(rule="age", params={"only_if_idle": False}, timeout=hours(1))) if seen else rules()
    return at(T0 + minutes(1), kernel().apply(ruleset, T0 - days(1)).fail(T0 + minutes(1)), ruleset)


def parent() -> Decision:
    ruleset = rules(policy("apps", kind="studio.app", action="delete"))
    scene = Scene()
    scene.add("app", {"state": OVERDUE}, kind="studio.app")
    scene.add("k", {"execution_state": OVERDUE}, parent=scene.key("app", "studio.app"))
    return at(T0, WorldBuilder(scene).look(T0).apply(ruleset), ruleset, "app", "studio.app")


def over_budget() -> Decision:
    ruleset = rules(budgets=(Budget(name="slow", actions=1),))
    scene = Scene().add("j", {"execution_state": idle(T0 - hours(4))}).add("k", {"execution_state": OVERDUE})
    builder = WorldBuilder(scene).look(T0).apply(ruleset)
    decisions = [at(T0, builder, ruleset, which) for which in ("j", "k")]
    return plan(decisions, builder.world, ruleset, T0).decisions[1]


def warned(ago: timedelta | None, *, delivered: bool = True, attempts: int = 1) -> Decision:
    ruleset = rules(policy(warn_before=minutes(10)))
    scene = Scene().add("k", {"execution_state": idle(T0 - days(5))}, started_at=T0 - days(6))
    builder = WorldBuilder(scene).look(T0 - days(2)).apply(ruleset, T0 - days(2))
    for attempt in range(attempts if ago is not None else 0):
        builder.warn("k", T0 - (ago or hours(0)) + minutes(attempt), delivered=delivered)
    return at(T0, builder.look(T0), ruleset)


LADDER = rules(policy(steps=(Step(action="stop"), Step(action="terminate", after=days(14)))))


def climbed(
    ago: timedelta, ruleset: Ruleset = LADDER, stopped: Stopped | None = None, action: str = "stop"
) -> Decision:
    """What a ladder acted on that long ago, and what it found stopped since then."""
    builder = kernel().apply(ruleset, T0 - days(1))
    started = LedgerEntry(
        at=T0 - ago,
        action_id="a1",
        state=ActionState.STARTED,
        ref=builder.ref("k"),
        action=action,
        policy="quiet",
        decision_id="d1",
    )
    builder.scene.change("k", stopped=stopped or Stopped(at=T0 - ago, why="User initiated"))
    builder.fact(started, replace(started, state=ActionState.SUCCEEDED))
    return at(T0, builder.look(T0), ruleset)


def in_the_way(code: str) -> Callable[[], Decision]:
    return lambda: overdue(obstacles=(Obstacle(reason=code),))


def tripped() -> Decision:
    fact = MassTripped(at=T0, kind="jupyter.kernel", scope="http://127.0.0.1:8888/", newly=40, total=50)
    return at(T0, kernel().fact(fact), rules())


def changed() -> Decision:
    return limited(overdue(), Veto(guard="fresh_look", reason=Reason.CHANGED))


def clock_jump() -> Decision:
    return at(T0, kernel().fact(ClockJumped(at=T0 - minutes(2), seconds=9 * 3600.0)), rules())


OFF_SINCE_EIGHT: dict[str, Any] = {"off": "0 8 * * *", "on": "0 20 * * *", "only_if_idle": False}
FALSE, TRUE = ({"rule": "where", "expression": f"resource.age {sign} 1.0"} for sign in "<>")


def by(rule: str, fields: ResourceFields | None = None, **params) -> Decision:
    """Decide what was started two days ago, at nine o'clock on a Monday, by another rule than `idle`."""
    return overdue(rules(policy(rule=build_rule(rule, params))), **(fields or {}))


def deadline(at: str | None) -> Decision:
    return by("deadline", {} if at is None else {"tags": {"reaper:deadline": at}})


RULES: dict[str, tuple[Verdict, Callable[[], Decision]]] = {
    "off_hours": (Verdict.REAP, lambda: by("schedule", **OFF_SINCE_EIGHT)),
    "on_hours": (Verdict.WAIT, lambda: by("schedule", **{**OFF_SINCE_EIGHT, "off": "0 19 * * *"})),
    "started_off_hours": (Verdict.WAIT, lambda: by("schedule", off="0 8 28 2 *", on="0 8 1 6 *")),
    "no_owner": (Verdict.REAP, lambda: by("untagged", timeout="1h")),
    "has_owner": (Verdict.WAIT, lambda: by("untagged", {"owner": "ada"}, timeout="1h")),
    "spent": (Verdict.REAP, lambda: by("spend", {"hourly_cost": 1.0}, limit=48)),
    "not_spent": (Verdict.WAIT, lambda: by("spend", {"hourly_cost": 1.0}, limit=49)),
    "cost_unknown": (Verdict.UNKNOWN, lambda: by("spend", limit=1)),
    "past_deadline": (Verdict.REAP, lambda: deadline("2026-03-02T09:00:00Z")),
    "before_deadline": (Verdict.WAIT, lambda: deadline("2026-03-02T09:00:01Z")),
    "no_deadline": (Verdict.WAIT, lambda: deadline(None)),
    "deadline_unreadable": (Verdict.UNKNOWN, lambda: deadline("at nine")),
    "condition_true": (Verdict.REAP, lambda: by("all", rules=[TRUE])),
    "condition_false": (Verdict.WAIT, lambda: by("any", rules=[FALSE])),
    "condition_failed": (Verdict.KEEP, lambda: by("where", expression="resource.tags.Owner == 'ada'")),
    "negated": (Verdict.REAP, lambda: by("not", of=FALSE)),
    "negated_due": (Verdict.WAIT, lambda: by("not", of=TRUE)),
}
"""What rules beside `idle` and `age` say, each with its verdict."""


SITUATIONS: dict[str, Callable[[], Decision]] = {
    # findings
    "active": lambda: said(execution_state=active()),
    "busy_without_work": busy,
    "idle": overdue,
    "idle_not_long_enough": lambda: said(execution_state=idle(T0 - hours(1))),
    "busy_timeout": lambda: busy(busy_timeout_h=4),
    "sampling": sampling,
    "too_old": lambda: aged(hours(30)),
    "young_enough": lambda: aged(hours(23)),
    "dead": lambda: said(execution_state=idle(T0 - seconds(1), "dead")),
    "no_policy": no_policy,
    "no_evidence": said,
    "evidence_unknown": lambda: said(execution_state=unknown()),
    "evidence_lost": evidence_lost,
    "source_failing": lambda: failing(seen=False),
    "rule_failed": lambda: overdue(rules(policy(rule=Always(verdict=Verdict.UNKNOWN)))),
    **{code: situation for code, (_, situation) in RULES.items()},
    "stopped": lambda: overdue(stopped=Stopped(at=T0 - hours(1), why="User initiated")),
    "ladder": lambda: climbed(hours(1), rules(policy(steps=(Step(action="stop"), Step(action="terminate"))))),
    "ladder_waits": lambda: climbed(hours(1)),
    "ladder_done": lambda: climbed(hours(1), action="terminate"),
    # vetoes
    "evidence_behind": lambda: overdue(evidence_lag_s=4 * 3600.0),
    "mass_trip": tripped,
    "auto_scaling": in_the_way("auto_scaling"),
    "service_managed": in_the_way("service_managed"),
    "reserved_capacity": in_the_way("reserved_capacity"),
    "instance_store": in_the_way("instance_store"),
    "one_time_spot": in_the_way("one_time_spot"),
    "stop_protection": in_the_way("stop_protection"),
    "termination_protection": in_the_way("termination_protection"),
    "hibernation_unsupported": in_the_way("hibernation_unsupported"),
    "in_transition": in_the_way("in_transition"),
    "obstacle": in_the_way("of a plugin"),
    "would_be_denied": in_the_way("would_be_denied"),
    "protected": lambda: overdue(tags={"Reaper:Protect": "no"}),
    "held": lambda: overdue(tags={"reaper:hold-until": "next week"}),
    "paused": lambda: at(T0, kernel().pause(T0 - hours(1)), rules()),
    "newly_applied": lambda: at(
        T0,
        kernel().apply(rules(apply_grace=minutes(10))),
        rules(policy(timeout=hours(1)), apply_grace=minutes(10)),
    ),
    "action_not_allowed": lambda: overdue(rules(actions=("ec2.stop",))),
    "minimum_age": lambda: overdue(rules(policy(minimum_age=days(3)))),
    "start_grace": lambda: overdue(rules(start_grace=days(3))),
    "stale_evidence": lambda: at(T0 + minutes(4), kernel(), rules()),
    "incomplete_poll": lambda: failing(seen=True),
    "active_child": parent,
    "in_flight": lambda: acted(ActionState.STARTED, minutes(1)),
    "outcome_unknown": lambda: acted(ActionState.UNKNOWN, minutes(-1)),
    "cooldown": lambda: acted(ActionState.FAILED, seconds(20)),
    "disruption_budget": over_budget,
    "clock_jump": clock_jump,
    "notice_undelivered": lambda: warned(None),
    "notice_grace": lambda: warned(minutes(4)),
    "blocked": lambda: warned(hours(25), delivered=False, attempts=3),
    "quiet_hours": lambda: overdue(rules(quiet_hours=(QuietHours(start=time(8), end=time(10)),))),
    "changed": changed,
}

VERDICTS = {
    Verdict.KEEP: {"no_policy"},
    Verdict.WAIT: {
        "active",
        "busy_without_work",
        "idle_not_long_enough",
        "sampling",
        "young_enough",
        "stopped",
        "ladder_waits",
        "ladder_done",
    },
    Verdict.UNKNOWN: {"no_evidence", "evidence_unknown", "evidence_lost", "source_failing", "rule_failed"},
}
TO_ACT = {"idle", "busy_timeout", "too_old", "dead", "ladder"}
for _code, (_verdict, _) in RULES.items():
    (TO_ACT if _verdict is Verdict.REAP else VERDICTS[_verdict]).add(_code)


def test_every_reason_has_a_situation():
    assert set(SITUATIONS) == {reason.value for reason in Reason}


@pytest.mark.parametrize("code", SITUATIONS)
def test_situation_gives_its_reason(code):
    decision = SITUATIONS[code]()
    assert decision.reason == code
    wanted = next((verdict for verdict, codes in VERDICTS.items() if code in codes), Verdict.REAP)
    assert decision.verdict is wanted
    assert decision.to_act == (code in TO_ACT)
    assert decision.due_at is None or decision.due_at > decision.at
    assert decision.wake_at is None or decision.wake_at > decision.at


@pytest.mark.parametrize("reason", Reason)
def test_reason_says_what_it_is_in_a_line(reason):
    assert reason.value == reason.name.lower()
    assert reason.prose.strip() == reason.prose != ""
    assert "\n" not in reason.prose
    assert not reason.prose.endswith(".")
    assert Reason(reason.value) is reason  # type: ignore[call-arg]


def test_reasons_are_told_apart():
    assert len({reason.prose for reason in Reason}) == len(Reason)


def test_reasons_are_documented():
    page = Path(__file__).parents[3] / "docs" / "reference" / "reasons.md"
    if not page.exists():
        pytest.skip("the reference is generated later")
    text = page.read_text(encoding="utf-8")
    missing = [reason.value for reason in Reason if f"`{reason.value}`" not in text]
    assert not missing
