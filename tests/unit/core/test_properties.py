"""What must hold whatever happens: safety of every decision, over arbitrary worlds and rules."""

import os
import time
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import event, given, strategies as st

from reaper.core.decide import Decision, decide, decide_one
from reaper.core.history import History
from reaper.core.model import Activity
from reaper.core.plan import plan
from reaper.core.verdict import Reason, Verdict
from reaper.core.world import World
from reaper.testing import seconds
from reaper.testing.worlds import as_it_stands
from tests.support.properties import HOUSE
from tests.support.scripts import Played, scripts

IDLE_ONLY = ("idle",)


def decided(played: Played, now: datetime | None = None) -> list[Decision]:
    return list(decide(played.builder.world, played.ruleset, now or played.now))


def lives(played: Played) -> list[tuple[History, Decision]]:
    world = played.builder.world
    pairs = [(world.live[decision.ref.key], decision) for decision in decided(played)]
    assert len(pairs) == len(world.live)
    return pairs


@HOUSE
@given(scripts(IDLE_ONLY))
def test_fresh_activity_never_yields_a_reap(played):
    """By a policy that reads activity; the dead hold nothing."""
    for history, decision in lives(played):
        shortest = min(policy.rule.timeout for policy in played.ruleset.policies)
        seen = history.idle_since()
        fresh = seen is not None and played.now - seen < shortest
        works = any(run.activity is Activity.ACTIVE for run in history.current())
        if (fresh or works) and not history.dead:
            event("fresh")
            assert decision.verdict is not Verdict.REAP


@HOUSE
@given(scripts())
def test_protection_holds_and_pause_dominate(played):
    world = played.builder.world
    for history, decision in lives(played):
        protected = any(key.lower() == "reaper:protect" for key in history.resource.tags)
        if protected or world.holds_on(history.ref, played.now) or world.is_paused(played.now):
            event("kept by people")
            assert not decision.to_act
            assert not decision.notify


@HOUSE
@given(scripts(IDLE_ONLY))
def test_unknown_never_acts(played):
    for history, decision in lives(played):
        unknown = any(run.activity is Activity.UNKNOWN for run in history.current())
        if (
            unknown or history.missing() or history.failing_since or not history.current()
        ) and not history.dead:
            event("unknown")
            assert decision.verdict is not Verdict.REAP
        assert decision.verdict is not Verdict.UNKNOWN or not decision.to_act


@HOUSE
@given(scripts())
def test_an_incomplete_or_stale_look_never_acts(played):
    world = played.builder.world
    for history, decision in lives(played):
        failed = world.sources[history.source].last.failed_to_see(history.ref)
        stale = played.now - history.last_seen_at > played.ruleset.guards.max_gap
        if failed or stale or history.failing_since is not None:
            event("failed or stale")
            assert not decision.to_act


@HOUSE
@given(scripts())
def test_nothing_due_is_past_and_nothing_wakes_at_once(played):
    the_plan = plan(decided(played), played.builder.world, played.ruleset, played.now)
    for decision in the_plan.decisions:
        assert decision.due_at is None or decision.due_at > played.now
        assert decision.wake_at is None or decision.wake_at > played.now
        assert all(veto.until is None or veto.until > played.now for veto in decision.vetoes)
        for finding in decision.findings:
            assert finding.verdict is Verdict.REAP or finding.due_at is None or finding.due_at > played.now
            assert finding.verdict is not Verdict.REAP or (finding.due_at or played.now) <= played.now
        assert not (decision.to_act and decision.due_at)


@HOUSE
@given(scripts(quiet_hours=()), st.floats(0, 1))
def test_nothing_changes_before_it_wakes(played, part):
    """Without a look and without a fact; but that evidence grows stale, and quiet hours begin."""
    for history, decision in lives(played):
        fresh_until = history.last_seen_at + played.ruleset.guards.max_gap
        end = min(
            fresh_until, decision.wake_at - timedelta(microseconds=1) if decision.wake_at else fresh_until
        )
        later = played.now + (end - played.now) * part
        if later <= played.now:
            continue
        event("slept")
        again = decide_one(played.builder.world, played.ruleset, later, history.ref)
        assert again is not None
        assert (again.verdict, again.reason, again.policy, again.notify) == (
            decision.verdict,
            decision.reason,
            decision.policy,
            decision.notify,
        )
        assert [veto.reason for veto in again.vetoes] == [veto.reason for veto in decision.vetoes]


@HOUSE
@given(scripts(), st.floats(0, 1))
def test_nothing_is_reaped_before_it_is_due(played, part):
    """Looks that find nothing new, and a warning that is delivered as soon as it is asked for."""
    for history, decision in lives(played):
        if decision.due_at is None or history.dead:
            continue
        event("due")
        builder = deepcopy(played.builder)
        world = builder.world
        for when in sorted({played.now, played.now + (decision.due_at - played.now) * part}):
            if when >= decision.due_at or not builder.scene.has(history.ref):
                continue
            builder.look(when)
            again = decide_one(world, played.ruleset, when, history.ref)
            if again is None or any(
                run.activity is Activity.ACTIVE for run in world.live[history.ref.key].current()
            ):
                break
            if again.notify and again.policy:
                builder.warn(history.ref.id, when, policy=again.policy)
            assert not again.to_act or _came_back(decision, again)


def _came_back(before: Decision, after: Decision) -> bool:
    """A fresh look may lift what had no end: a failing source, a lost signal, an act whose outcome it shows."""
    endless = any(veto.until is None for veto in before.vetoes)
    unknown = any(finding.verdict is Verdict.UNKNOWN for finding in before.findings)
    gone = {finding.since for finding in before.findings} != {finding.since for finding in after.findings}
    return endless or unknown or gone or before.verdict is Verdict.UNKNOWN


@HOUSE
@given(scripts())
def test_deciding_changes_nothing_and_says_the_same_twice(played):
    world = played.builder.world
    before = deepcopy(world)
    first = decided(played)
    the_plan = plan(first, world, played.ruleset, played.now)
    assert world == before
    assert decided(played) == first
    assert plan(first, world, played.ruleset, played.now) == the_plan
    for decision in first:
        assert decide_one(world, played.ruleset, played.now, decision.ref) == decision


@HOUSE
@given(scripts(), st.randoms(use_true_random=False))
def test_order_decides_nothing(played, random):
    world, now = played.builder.world, played.now
    shuffled = _shuffled(as_it_stands(world), random)
    assert shuffled == world
    ordered = {d.ref: d for d in plan(decided(played), world, played.ruleset, now).decisions}
    other = plan(list(decide(shuffled, played.ruleset, now)), shuffled, played.ruleset, now)
    assert {d.ref: d for d in other.decisions} == ordered


def _shuffled(world: World, random) -> World:
    tables: list[dict[Any, Any]] = [world.live, world.holds, *(one.runs for one in world.live.values())]
    for table in tables:
        items = list(table.items())
        random.shuffle(items)
        table.clear()
        table.update(items)
    for history in world.live.values():
        tags = list(history.resource.tags.items())
        random.shuffle(tags)
        history.resource = replace(history.resource, tags=dict(tags))
    return world


@pytest.fixture
def _zone_restored():
    before = os.environ.get("TZ")
    yield
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("_zone_restored")
def test_the_local_zone_decides_nothing():
    @HOUSE
    @given(scripts())
    def in_every_zone(played):
        found = []
        for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
            os.environ["TZ"] = zone
            time.tzset()
            found.append(decided(played))
        assert found[0] == found[1] == found[2]

    in_every_zone()


@HOUSE
@given(scripts())
def test_no_decision_of_an_old_life_is_confirmed_for_a_new_one(played):
    builder = played.builder
    old = [decision for decision in decided(played) if builder.scene.has(decision.ref)]
    for decision in old:
        builder.scene.add(decision.ref.id, {}, incarnation="another life")
    builder.look(played.now + seconds(1))
    for decision in old:
        assert decide_one(builder.world, played.ruleset, played.now + seconds(1), decision.ref) is None
        assert builder.world.live[decision.ref.key].ref != decision.ref
        assert not any(d.to_act and d.ref == decision.ref for d in decided(played, played.now + seconds(1)))


@HOUSE
@given(scripts())
def test_a_reason_is_always_given(played):
    for _, decision in lives(played):
        event(decision.reason.value)
        assert decision.reason.prose
        assert (decision.policy is None) == (decision.reason is Reason.NO_POLICY)
        assert (decision.verdict is Verdict.REAP) or decision.reason not in {
            veto.reason for veto in decision.vetoes
        }
        assert decision.to_act == (decision.verdict is Verdict.REAP and not decision.vetoes)
