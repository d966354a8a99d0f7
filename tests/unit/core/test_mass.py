"""The guard against everything being idle at once."""

from dataclasses import replace

import pytest

from reaper.core.decide import Decision, decide
from reaper.core.facts import ActionState, LedgerEntry, MassCleared, MassTripped
from reaper.core.mass import MassWatch
from reaper.core.model import ResourceKey, Stopped
from reaper.core.plan import plan
from reaper.core.ruleset import Budget, Mode, Ruleset, Step
from reaper.core.verdict import Reason
from reaper.policies.schedule import ScheduleRule
from reaper.testing import T0, Scene, WorldBuilder, active, days, hours, idle, minutes, policy, rules, seconds

RULES = rules(policy("gpus", kind="ec2.instance", timeout=hours(1), action="stop"))


def fleet(
    idling: int, working: int = 0, kind: str = "ec2.instance", ruleset: Ruleset = RULES
) -> WorldBuilder:
    """A fleet at work until T0 - 1h, where a part of it fell idle at once."""
    scene = Scene("ec2:1/eu", kind=kind, scope="1/eu")
    for number in range(idling):
        scene.add(f"idle-{number}", {"cpu": idle(T0 - hours(1) - minutes(1))}, started_at=T0 - days(3))
    for number in range(working):
        scene.add(f"work-{number}", {"cpu": active()}, started_at=T0 - days(3))
    return WorldBuilder(scene, max_gap=hours(2)).look(T0 - days(1)).apply(ruleset, T0 - days(1))


def decisions(builder: WorldBuilder, now, ruleset: Ruleset = RULES) -> dict[ResourceKey, Decision]:
    found = plan(decide(builder.world, ruleset, now), builder.world, ruleset, now).decisions
    return {decision.ref.key: decision for decision in found}


def trips(
    builder: WorldBuilder, ruleset: Ruleset = RULES, at=T0, watch: MassWatch | None = None
) -> list[MassTripped]:
    """Tick five minutes before, when all was at work, and at an instant."""
    watch, early = watch or MassWatch(), at - minutes(5)
    first = list(decide(builder.look(early).world, ruleset, early))
    assert not watch.trips({}, first, builder.world, ruleset, early)
    before = decisions(builder, early, ruleset)
    later = list(decide(builder.look(at).world, ruleset, at))
    return watch.trips(before, later, builder.world, ruleset, at)


@pytest.mark.parametrize(
    ("idling", "working", "trip"),
    [(20, 0, True), (9, 0, False), (10, 0, True), (10, 9, True), (10, 10, False), (30, 40, False)],
)
def test_more_than_half_and_ten_at_least(idling, working, trip):
    found = trips(fleet(idling, working))
    assert [(one.newly, one.total, one.policies) for one in found] == (
        [(idling, idling + working, ("gpus",))] if trip else []
    )


def test_jupyter_servers_are_left_out():
    ruleset = rules(policy(timeout=hours(1)))
    assert not trips(fleet(20, kind="jupyter.kernel", ruleset=ruleset), ruleset)


def test_what_is_only_shown_trips_nothing():
    ruleset = rules(policy("gpus", kind="ec2.instance", timeout=hours(1), action="stop"), mode=Mode.DRY_RUN)
    assert not trips(fleet(20, ruleset=ruleset), ruleset)


def test_it_can_be_turned_off():
    ruleset = rules(*RULES.policies, mass_trip=False)
    assert not trips(fleet(20, ruleset=ruleset), ruleset)


def ticks(
    builder: WorldBuilder, ruleset: Ruleset, *instants, watch: MassWatch | None = None
) -> list[MassTripped]:
    """Look and decide at some instants, one after another; give all trips."""
    watch, found = watch or MassWatch(), []
    before: dict[ResourceKey, Decision] = {}
    for at in instants:
        decided = list(decide(builder.look(at).world, ruleset, at))
        found += watch.trips(before, decided, builder.world, ruleset, at)
        before = {one.ref.key: one for one in plan(decided, builder.world, ruleset, at).decisions}
    return found


def test_what_waits_for_its_turn_in_a_budget_is_told_of_once():
    ruleset = rules(*RULES.policies, budgets=(Budget(name="gently", actions=1),))
    builder = fleet(20, ruleset=ruleset)
    (trip,) = ticks(builder, ruleset, *[T0 + minutes(5 * number) for number in range(-2, 12)])
    assert trip.at == T0


def test_warnings_that_are_delivered_one_by_one_spread_nothing():
    """By the time the acts come they are seconds apart: it is what became due that counts."""
    ladder = policy("gpus", kind="ec2.instance", timeout=hours(1), action="stop", warn_before=minutes(10))
    ruleset = rules(ladder)
    builder = fleet(100, ruleset=ruleset)
    (trip,) = ticks(builder, ruleset, T0 - minutes(5), T0)
    assert trip.newly == 100


def test_things_that_become_due_one_by_one_trip_nothing():
    scene = Scene("ec2:1/eu", kind="ec2.instance", scope="1/eu")
    for number in range(20):
        scene.add(f"i-{number}", {"cpu": idle(T0 + minutes(90 * number))}, started_at=T0 - days(3))
    builder = WorldBuilder(scene, max_gap=hours(2)).look(T0).apply(RULES, T0)
    assert not ticks(builder, RULES, *[T0 + minutes(30 * number) for number in range(1, 70)])


def test_some_seconds_apart_is_at_once():
    """Ticks come at every deadline: what a source's looks found in one poll belongs together."""
    scene = Scene("ec2:1/eu", kind="ec2.instance", scope="1/eu")
    for number in range(20):
        scene.add(f"i-{number}", {"cpu": idle(T0 - hours(1) + seconds(2 * number))}, started_at=T0 - days(3))
    builder = WorldBuilder(scene, max_gap=hours(2)).look(T0 - hours(1)).apply(RULES, T0 - hours(1))
    (trip,) = ticks(builder, RULES, T0 - minutes(1), *[T0 + seconds(2 * number) for number in range(20)])
    assert trip.newly == 11


def test_what_a_calendar_says_is_no_error():
    off = {"off": "0 19 * * *", "on": "0 7 * * *"}
    rule = ScheduleRule.from_params(off)
    ruleset = rules(policy("nights", kind="ec2.instance", rule=rule, action="stop"))
    scene = Scene("ec2:1/eu", kind="ec2.instance", scope="1/eu")
    for number in range(20):
        scene.add(f"i-{number}", {"cpu": active()}, started_at=T0 - days(3))
    evening = T0.replace(hour=19, minute=0)
    builder = WorldBuilder(scene, max_gap=hours(2)).look(T0 - days(1)).apply(ruleset, T0 - days(1))
    assert not ticks(builder, ruleset, evening - minutes(5), evening, evening + minutes(5))
    assert all(one.to_act for one in decide(builder.world, ruleset, evening + minutes(5)))


def test_what_a_ladder_stopped_itself_is_no_part_of_it():
    ladder = policy(
        "gpus",
        kind="ec2.instance",
        timeout=hours(1),
        steps=(Step(action="stop"), Step(action="terminate", after=days(1))),
    )
    ruleset = rules(ladder)
    builder = fleet(12, 20, ruleset=ruleset)
    for number in range(12):
        ref = builder.ref(f"idle-{number}")
        started = LedgerEntry(
            at=T0,
            action_id=str(number),
            state=ActionState.STARTED,
            ref=ref,
            action="stop",
            policy="gpus",
            decision_id="d",
        )
        builder.fact(started, replace(started, state=ActionState.SUCCEEDED))
        builder.scene.change(ref.id, stopped=Stopped(at=T0, why="User initiated"))
    later = T0 + days(1)
    assert not ticks(builder, ruleset, later - minutes(5), later, later + minutes(5))
    assert sum(one.to_act for one in decide(builder.world, ruleset, later + minutes(5))) == 12


# --- after a start, and from cron --------------------------------------------------------------------------------


def test_after_a_restart_what_was_due_before_the_last_look_is_not_new():
    builder = fleet(20).look(T0 + hours(3))
    decided = list(decide(builder.world, RULES, T0 + hours(3)))
    assert not MassWatch(looked_at=T0 + hours(2)).trips({}, decided, builder.world, RULES, T0 + hours(3))


@pytest.mark.parametrize("ago", [minutes(10), minutes(60)])
def test_from_cron_what_became_due_since_the_last_run_is_new(ago):
    """However rarely cron comes."""
    builder = fleet(20).look(T0 + ago)
    decided = list(decide(builder.world, RULES, T0 + ago))
    (trip,) = MassWatch(looked_at=T0 - minutes(5)).trips({}, decided, builder.world, RULES, T0 + ago)
    assert trip.newly == 20


def test_from_cron_a_policy_that_newly_matches_most_is_new_when_its_grace_is_over():
    shorter = policy("gpus", kind="ec2.instance", timeout=minutes(30), action="stop")
    ruleset = rules(shorter, apply_grace=minutes(10))
    builder = fleet(20).look(T0 + days(2)).apply(ruleset, T0 + days(2))
    at = T0 + days(2) + minutes(10)
    decided = list(decide(builder.look(at).world, ruleset, at))
    assert MassWatch(looked_at=T0 + days(2)).trips({}, decided, builder.world, ruleset, at)


def test_stopped_ones_are_not_counted_as_running():
    builder = fleet(12)
    for number in range(40):
        builder.scene.add(f"off-{number}", stopped=Stopped(at=T0 - days(2), why="User initiated"))
    (trip,) = trips(builder)
    assert (trip.newly, trip.total) == (12, 12)


def test_scopes_are_counted_apart():
    builder = fleet(12)
    other = Scene("ec2:2/eu", kind="ec2.instance", scope="2/eu")
    for number in range(100):
        other.add(f"w-{number}", {"cpu": active()}, started_at=T0 - days(3))
    builder.scene, kept = other, builder.scene
    builder.look(T0 - days(1)).look(T0 - minutes(5))
    builder.scene = kept
    (trip,) = trips(builder)
    assert trip.scope == "1/eu"


def test_a_trip_vetoes_until_a_person_resumes():
    builder, watch = fleet(20), MassWatch()
    (trip,) = trips(builder, watch=watch)
    vetoed = decisions(builder.fact(trip), T0)
    assert {one.reason for one in vetoed.values()} == {Reason.MASS_TRIP}
    assert not any(one.to_act for one in vetoed.values())
    cleared = MassCleared(at=T0, kind=trip.kind, scope=trip.scope, who="ana")
    freed = decisions(builder.fact(cleared), T0)
    assert all(one.to_act for one in freed.values())
    later = list(decide(builder.world, RULES, T0 + minutes(1)))
    assert not watch.trips(vetoed, later, builder.world, RULES, T0 + minutes(1))
