"""The guard against everything being idle at once."""

from datetime import timedelta

import pytest

from reaper.core.decide import Decision, decide
from reaper.core.facts import MassCleared, MassTripped
from reaper.core.mass import mass_trips
from reaper.core.model import ResourceKey, Stopped
from reaper.core.plan import plan
from reaper.core.ruleset import Budget, Mode, Ruleset
from reaper.core.verdict import Reason
from reaper.testing import T0, Scene, WorldBuilder, active, days, hours, idle, minutes, policy, rules

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


def trips(builder: WorldBuilder, ruleset: Ruleset = RULES, at=T0) -> list[MassTripped]:
    before = decisions(builder.look(at - minutes(5)), at - minutes(5), ruleset)
    return mass_trips(before, decisions(builder.look(at), at, ruleset).values(), builder.world, ruleset)


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


def test_what_waits_for_its_turn_in_a_budget_is_not_new():
    ruleset = rules(*RULES.policies, budgets=(Budget(name="gently", actions=1),))
    builder = fleet(20, ruleset=ruleset)
    first = decisions(builder.look(T0), T0, ruleset)
    later = decisions(builder.look(T0 + minutes(5)), T0 + minutes(5), ruleset)
    again = list(decide(builder.world, ruleset, T0 + minutes(5)))
    assert not mass_trips(first, again, builder.world, ruleset)
    assert len(later) == 20


def test_after_a_restart_only_what_became_due_since_the_last_looks_counts():
    builder = fleet(20).look(T0 + hours(3))
    long_due = list(decide(builder.world, RULES, T0 + hours(3)))
    assert not mass_trips({}, long_due, builder.world, RULES)
    fresh = fleet(20).look(T0)
    assert mass_trips({}, list(decide(fresh.world, RULES, T0)), fresh.world, RULES)


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
    builder = fleet(20)
    (trip,) = trips(builder)
    vetoed = decisions(builder.fact(trip), T0)
    assert {one.reason for one in vetoed.values()} == {Reason.MASS_TRIP}
    assert not any(one.to_act for one in vetoed.values())
    cleared = MassCleared(at=T0, kind=trip.kind, scope=trip.scope, who="ana")
    freed = decisions(builder.fact(cleared), T0)
    assert all(one.to_act for one in freed.values())
    later = list(decide(builder.world, RULES, T0 + timedelta(minutes=1)))
    assert not mass_trips(freed, later, builder.world, RULES)
