"""Runs of evidence: where they split, what they remember, since when they hold."""

from datetime import datetime, timedelta

import pytest

from reaper.core.history import Run
from reaper.core.model import Activity, Observation, ResourceRef
from reaper.testing import T0, Said, Scene, WorldBuilder, active, idle, minutes, sampled, seconds, unknown

REF = ResourceRef(kind="jupyter.kernel", scope="http://127.0.0.1:8888/", id="k", incarnation="life-1")
GAP = minutes(3)


def run(builder: WorldBuilder, signal: str = "s") -> Run:
    found = builder.world.live[builder.ref("k").key].latest(signal)
    assert found is not None
    return found


def kernel(said: Said | None = None) -> WorldBuilder:
    return WorldBuilder(Scene().add("k", {"s": said or idle(T0 - minutes(9))}), max_gap=GAP)


def test_equal_evidence_in_consecutive_looks_is_one_run():
    builder = kernel().look(T0).look(T0 + minutes(1)).look(T0 + minutes(2))
    assert (run(builder).first_at, run(builder).last_at, run(builder).looks) == (T0, T0 + minutes(2), 3)


SPLITS = {
    "another activity": idle(T0 - minutes(9)).__class__(
        activity=Activity.UNKNOWN, evidence_at=T0 - minutes(9), value="idle"
    ),
    "another time of the source": idle(T0 - minutes(8)),
    "another value": idle(T0 - minutes(9), "idle, 2 connections"),
}


@pytest.mark.parametrize("change", SPLITS)
def test_run_splits_on(change):
    builder = kernel().look(T0)
    builder.scene.say("k", s=SPLITS[change])
    assert run(builder.look(T0 + minutes(1))).first_at == T0 + minutes(1)


def test_run_splits_at_a_gap():
    at = T0 + GAP
    assert run(kernel().look(T0).look(at)).looks == 2
    assert run(kernel().look(T0).look(at + seconds(1))).looks == 1


def test_run_splits_at_a_look_that_did_not_see_it():
    builder = kernel().look(T0).fail(T0 + minutes(1)).look(T0 + minutes(2))
    assert run(builder).first_at == T0 + minutes(2)


def test_activity_of_earlier_runs_is_remembered():
    builder = kernel(active()).look(T0)
    builder.scene.say("k", s=idle(T0 - minutes(5)))
    assert run(builder.look(T0 + minutes(1))).active_at == T0
    builder.scene.say("k", s=unknown())
    assert run(builder.look(T0 + minutes(2))).active_at == T0


def test_active_run_was_active_at_its_last_look():
    assert run(kernel(active()).look(T0).look(T0 + minutes(1))).active_at == T0 + minutes(1)
    builder = kernel(active(at=T0 - minutes(9))).look(T0)
    assert run(builder).active_at == T0


def test_sampled_idle_claims_nothing_before_its_interval():
    found = run(kernel(sampled(since=T0 - seconds(5))).look(T0))
    assert found.active_at is None
    assert found.held_since == T0 - seconds(5)


def observed(said: Said) -> Observation:
    return Observation(
        ref=REF,
        signal="s",
        activity=said.activity,
        evidence_at=said.evidence_at,
        value=said.value,
        covers_from=said.covers_from,
    )


def opened(before: Said, after: Said, gap: timedelta, held: datetime | None = None) -> datetime:
    """Give since when a second run has held, whose look comes `gap` after the last of the first."""
    first = Run.opened_by(observed(before), T0, None, GAP)
    if held is not None:
        first = Run.opened_by(
            observed(before), T0, Run.opened_by(observed(before), held, None, GAP), T0 - held
        )
    return Run.opened_by(observed(after), T0 + gap, first, GAP).held_since


NEAR, FAR = minutes(1), minutes(30)
JOINS = {
    "unknown for another reason": (unknown("a"), unknown("b"), FAR, True),
    "unknown, then idle": (unknown("a"), idle(), NEAR, False),
    "sampled intervals that meet": (sampled(since=T0 - NEAR), sampled(since=T0, value="quieter"), FAR, True),
    "sampled intervals in looks close by": (
        sampled(since=T0 - NEAR),
        sampled(since=T0 + seconds(55), value="x"),
        NEAR,
        True,
    ),
    "sampled intervals apart": (sampled(since=T0 - NEAR), sampled(since=T0 + FAR - seconds(5)), FAR, False),
    "sampled work, then sampled rest": (
        sampled(Activity.ACTIVE, since=T0 - NEAR),
        sampled(since=T0),
        NEAR,
        False,
    ),
    "the same work, as the source dates it": (active(at=T0 - FAR), active(at=T0 - FAR), FAR, True),
    "the same work, undated, close by": (active(), active(), NEAR, True),
    "the same work, undated, after a gap": (active(), active(), FAR, False),
    "other work": (active("busy"), active("restarting"), NEAR, False),
    "rest without a date, in other words": (idle(value="no peers"), idle(value="none"), NEAR, True),
    "rest without a date, after a gap": (idle(value="no peers"), idle(value="no peers"), FAR, False),
    "rest since another time": (idle(T0 - FAR), idle(T0 - NEAR), NEAR, False),
}


@pytest.mark.parametrize("case", JOINS)
def test_holds_since_before_the_split(case):
    before, after, gap, joins = JOINS[case]
    start = Run.opened_by(observed(before), T0, None, GAP).held_since
    alone = Run.opened_by(observed(after), T0 + gap, None, GAP).held_since
    assert opened(before, after, gap) == (start if joins else alone)


def test_missing_is_what_is_required_and_was_not_in_the_latest_look():
    builder = WorldBuilder(Scene().add("k", {"a": idle()}, required_signals=("a", "b"))).look(T0)
    history = builder.world.live[builder.ref("k").key]
    assert history.missing() == ["b"]
    builder.scene.say("k", a=None, b=idle())
    builder.look(T0 + minutes(1))
    assert history.missing() == ["a"]
    assert [one.signal for one in history.current()] == ["b"]


def test_coverage_of_a_sampled_signal():
    builder = kernel(sampled()).look(T0)
    history = builder.world.live[builder.ref("k").key]
    assert history.coverage("s") is None
    builder.look(T0 + minutes(1)).look(T0 + minutes(2))
    assert history.coverage("s") == (T0, T0 + minutes(2))


@pytest.mark.parametrize(("value", "dead"), [("dead", True), ("idle", False)])
def test_dead_is_what_the_latest_look_found_dead(value, dead):
    builder = WorldBuilder(Scene().add("k", {"execution_state": idle(T0, value)})).look(T0)
    history = builder.world.live[builder.ref("k").key]
    assert history.dead is dead
    builder.scene.say("k", execution_state=None)
    builder.look(T0 + minutes(1))
    assert history.dead is False
