"""A ladder: stop, then terminate what it stopped itself, and nothing that anybody else stopped or started."""

from dataclasses import replace
from datetime import time, timedelta

import pytest

from reaper.core.decide import Decision, decide_one
from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.model import Obstacle, Stopped
from reaper.core.ruleset import Mode, QuietHours, Ruleset, Step
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.core.world import World
from reaper.journal.memory import MemoryJournal
from reaper.testing import T0, Scene, WorldBuilder, active, days, hours, idle, minutes, policy, rules
from tests.unit.core.deciding import Says

NOTICE = Step(action="notify")
STOP = Step(action="stop", after=minutes(10))
TERMINATE = Step(action="terminate", after=days(14))
LADDER = rules(policy("gpus", kind="ec2.instance", timeout=hours(1), steps=(NOTICE, STOP, TERMINATE)))


def instance(ruleset: Ruleset = LADDER, **fields) -> WorldBuilder:
    """An instance that was last active two hours before T0."""
    scene = Scene("ec2:1/eu", kind="ec2.instance", scope="1/eu")
    scene.add("i", {"cpu": idle(T0 - hours(2))}, started_at=T0 - days(3), **fields)
    builder = WorldBuilder(scene, max_gap=days(30)).look(T0 - days(1)).apply(ruleset, T0 - days(1))
    return builder.look(T0)


def entry(
    builder: WorldBuilder, at, state: ActionState, action: str = "stop", name: str = "a1"
) -> LedgerEntry:
    return LedgerEntry(
        at=at,
        action_id=name,
        state=state,
        ref=builder.ref("i"),
        action=action,
        policy="gpus",
        decision_id="d",
    )


def stopped_by_us(builder: WorldBuilder, at=T0, *, stopped: Stopped | None = None) -> WorldBuilder:
    builder.fact(
        entry(builder, at, ActionState.STARTED), entry(builder, at + minutes(0.1), ActionState.SUCCEEDED)
    )
    builder.scene.change("i", stopped=stopped or Stopped(at=at, why="User initiated"))
    builder.scene.say("i", cpu=None)
    return builder.look(at + minutes(5))


def decided(builder: WorldBuilder, now, ruleset: Ruleset = LADDER) -> Decision:
    found = decide_one(builder.world, ruleset, now, builder.ref("i"))
    assert found is not None
    return found


def test_its_first_rung_is_the_notice_and_the_stop():
    ladder = LADDER.policies[0]
    assert [ladder.rung(n).action for n in range(4)] == ["stop", "terminate", "terminate", "terminate"]
    assert ladder.rung(0).notice_gap == minutes(10)
    assert ladder.rung(1).notice_gap is None
    assert {ladder.rung(n).digest(Mode.ENFORCE) for n in range(2)} == {ladder.digest(Mode.ENFORCE)}


def test_it_stops_first():
    builder = instance().warn("i", T0 - minutes(11), policy="gpus")
    decision = decided(builder, T0)
    assert (decision.verdict, decision.action, decision.to_act) == (Verdict.REAP, "stop", True)


def test_what_it_stopped_waits_for_the_next_step_though_there_are_no_datapoints():
    decision = decided(stopped_by_us(instance()), T0 + days(3))
    assert (decision.verdict, decision.reason) == (Verdict.WAIT, Reason.LADDER_WAITS)
    assert decision.due_at == T0 + minutes(0.1) + days(14)


def test_what_it_stopped_is_terminated_when_the_next_step_is_due():
    builder = stopped_by_us(instance())
    at = T0 + days(14) + minutes(6)
    decision = decided(builder.look(at), at)
    assert (decision.verdict, decision.reason, decision.action) == (Verdict.REAP, Reason.LADDER, "terminate")
    assert decision.to_act


@pytest.mark.parametrize("off", [timedelta(hours=-1), timedelta(hours=1), timedelta(days=2)])
def test_what_somebody_else_stopped_at_another_time_is_never_terminated(off):
    builder = stopped_by_us(instance(), stopped=Stopped(at=T0 + off, why="User initiated"))
    at = T0 + days(30)
    decision = decided(builder.look(at), at)
    assert (decision.verdict, decision.reason, decision.due_at) == (Verdict.WAIT, Reason.STOPPED, None)


def test_what_a_person_stopped_is_never_terminated_whatever_other_policies_say():
    old = policy("old", kind="ec2.instance", rule="age", timeout=hours(72), action="terminate")
    ruleset = rules(*LADDER.policies, old)
    builder = instance(ruleset, stopped=Stopped(at=T0 - hours(5), why="User initiated"))
    at = T0 + days(30)
    decision = decided(builder.look(at), at, ruleset)
    assert decision.verdict is Verdict.WAIT
    assert {finding.reason for finding in decision.findings} == {Reason.STOPPED}


def test_another_policys_ladder_does_not_go_on_with_it():
    other = policy("others", kind="ec2.instance", timeout=hours(1), steps=(STOP, TERMINATE))
    ruleset = rules(other)
    builder = stopped_by_us(instance(ruleset))
    at = T0 + days(30)
    assert decided(builder.look(at), at, ruleset).reason is Reason.STOPPED


def test_what_was_started_again_is_another_life_and_starts_at_the_bottom():
    builder = stopped_by_us(instance())
    builder.scene.add("i", {"cpu": idle(T0 + hours(3))}, started_at=T0 + hours(3), incarnation="life-2")
    at = T0 + days(20)
    builder.look(T0 + hours(3)).apply(LADDER, T0 + hours(3)).look(at).warn("i", at - hours(1), policy="gpus")
    decision = decided(builder, at)
    assert (decision.verdict, decision.action) == (Verdict.REAP, "stop")


def test_a_time_of_stopping_that_cannot_be_read_is_unknown():
    builder = stopped_by_us(instance(), stopped=Stopped(at=None, why="?"))
    at = T0 + days(30)
    decision = decided(builder.look(at), at)
    assert decision.verdict is Verdict.UNKNOWN


def test_a_protecting_tag_stops_a_ladder_too():
    builder = stopped_by_us(instance())
    builder.scene.change("i", tags={"reaper:protect": ""})
    at = T0 + days(30)
    decision = decided(builder.look(at), at)
    assert [veto.reason for veto in decision.vetoes] == [Reason.PROTECTED]


@pytest.mark.parametrize(
    "steps", [(Step(action="terminate"),), (NOTICE, Step(action="terminate", after=hours(1)))]
)
def test_another_ladder_under_the_same_name_does_not_go_on_with_what_the_old_one_stopped(steps):
    """Whoever lets a policy terminate what is idle says nothing of what it stopped before."""
    builder = stopped_by_us(instance())
    ruleset = rules(policy("gpus", kind="ec2.instance", timeout=hours(1), steps=steps))
    at = T0 + days(20)
    builder.apply(ruleset, T0 + days(2)).look(at).warn("i", at - hours(2), policy="gpus")
    decision = decided(builder, at, ruleset)
    assert (decision.verdict, decision.reason, decision.to_act) == (Verdict.WAIT, Reason.STOPPED, False)


def test_a_shorter_wait_newly_applies():
    """Whoever writes 14m for 14d gets the time that every new limit gets."""
    builder = stopped_by_us(instance())
    quicker = (NOTICE, STOP, Step(action="terminate", after=hours(1)))
    ruleset = rules(
        policy("gpus", kind="ec2.instance", timeout=hours(1), steps=quicker), apply_grace=minutes(10)
    )
    at = T0 + days(2)
    decision = decided(builder.look(at).apply(ruleset, at), at, ruleset)
    assert [veto.reason for veto in decision.vetoes] == [Reason.NEWLY_APPLIED]


def test_after_its_last_step_there_is_nothing_left_to_do():
    ruleset = rules(policy("gpus", kind="ec2.instance", timeout=hours(1), steps=(NOTICE, STOP)))
    builder = stopped_by_us(instance(ruleset))
    at = T0 + days(30)
    decision = decided(builder.look(at), at, ruleset)
    assert (decision.reason, decision.verdict) == (Reason.LADDER_DONE, Verdict.WAIT)


def test_a_notice_between_two_acts_comes_before_the_second():
    steps = (STOP, Step(action="notify", after=days(13)), Step(action="terminate", after=days(1)))
    ruleset = rules(policy("gpus", kind="ec2.instance", timeout=hours(1), steps=steps))
    builder = stopped_by_us(instance(ruleset))
    told_at = T0 + days(13) + minutes(1)
    assert decided(builder.look(told_at), told_at, ruleset).notify
    builder.warn("i", told_at, policy="gpus")
    assert not decided(builder, told_at + hours(23), ruleset).to_act
    assert decided(builder.look(told_at + days(1)), told_at + days(1), ruleset).to_act


def test_a_mark_leaves_it_running_and_activity_starts_the_ladder_over():
    steps = (Step(action="tag"), Step(action="stop", after=hours(6)))
    ruleset = rules(policy("gpus", kind="ec2.instance", timeout=hours(1), steps=steps))
    builder = instance(ruleset)
    builder.fact(
        entry(builder, T0, ActionState.STARTED, "tag"), entry(builder, T0, ActionState.SUCCEEDED, "tag")
    )
    waits = decided(builder.look(T0 + hours(1)), T0 + hours(1), ruleset)
    assert (waits.reason, waits.due_at) == (Reason.LADDER_WAITS, T0 + hours(6))
    due = decided(builder.look(T0 + hours(7)), T0 + hours(7), ruleset)
    assert (due.to_act, due.action) == (True, "stop")
    builder.scene.say("i", cpu=idle(T0 + hours(8)))
    again = decided(builder.look(T0 + hours(10)), T0 + hours(10), ruleset)
    assert (again.to_act, again.action) == (True, "tag")


# --- after a crash ---------------------------------------------------------------------------------------------


def test_a_stop_without_outcome_that_a_look_finds_done_counts_as_done():
    """SIGKILL between the call and its record: looked up, not repeated; and the ladder goes on."""
    builder = instance()
    started = entry(builder, T0, ActionState.STARTED)
    builder.fact(started, replace(started, at=T0 + minutes(1), state=ActionState.UNKNOWN))
    builder.scene.change("i", obstacles=(Obstacle(reason="in_transition", detail="stopping"),))
    builder.look(T0 + minutes(2))
    assert decided(builder, T0 + minutes(2)).vetoes[0].reason is Reason.OUTCOME_UNKNOWN
    builder.scene.change("i", obstacles=(), stopped=Stopped(at=T0, why="User initiated"))
    builder.scene.say("i", cpu=None)
    builder.look(T0 + minutes(3)).look(T0 + minutes(5))
    decision = decided(builder, T0 + minutes(5))
    assert (decision.reason, decision.due_at) == (Reason.LADDER_WAITS, T0 + minutes(3) + days(14))
    facts = [fact for batch in builder.batches for fact in batch.facts if isinstance(fact, LedgerEntry)]
    assert [fact.state for fact in facts].count(ActionState.SUCCEEDED) == 1


@pytest.mark.parametrize("off", [timedelta(minutes=-1), timedelta(minutes=4), timedelta(minutes=8)])
def test_a_stop_without_outcome_is_not_mistaken_for_one_that_a_person_made_minutes_later(off):
    """The owner was just told, our request never arrived, and he stopped it himself: it is his."""
    builder = instance()
    started = entry(builder, T0, ActionState.STARTED)
    builder.fact(started, replace(started, at=T0 + minutes(0.5), state=ActionState.UNKNOWN))
    builder.fail(T0 + minutes(1))
    builder.scene.change("i", stopped=Stopped(at=T0 + off, why="User initiated"))
    builder.scene.say("i", cpu=None)
    at = T0 + days(20)
    decision = decided(builder.look(T0 + minutes(9)).look(at), at)
    assert (decision.verdict, decision.reason) == (Verdict.WAIT, Reason.STOPPED)


def test_a_stop_without_outcome_that_had_no_effect_is_decided_anew():
    builder = instance()
    started = entry(builder, T0, ActionState.STARTED)
    builder.fact(started, replace(started, at=T0 + minutes(1), state=ActionState.UNKNOWN))
    builder.look(T0 + minutes(2)).warn("i", T0 - minutes(20), policy="gpus")
    decision = decided(builder, T0 + minutes(2))
    assert (decision.to_act, decision.action) == (True, "stop")


# --- evidence that is behind -------------------------------------------------------------------------------------

LAGGING = rules(policy("gpus", kind="ec2.instance", timeout=hours(2), action="stop"))


def test_a_source_that_is_behind_must_be_looked_at_after_its_lag():
    builder = instance(LAGGING, evidence_lag_s=600.0)
    decision = decided(builder, T0, LAGGING)
    assert (decision.verdict, decision.reason) == (Verdict.REAP, Reason.EVIDENCE_BEHIND)
    assert decision.due_at == T0 + minutes(10)
    assert not decided(builder, T0 + minutes(10), LAGGING).to_act, "no look since"
    assert decided(builder.look(T0 + minutes(10)), T0 + minutes(10), LAGGING).to_act


def test_it_waits_with_the_lag_in_its_deadline():
    builder = instance(LAGGING, evidence_lag_s=600.0)
    builder.scene.say("i", cpu=idle(T0 - hours(1)))
    decision = decided(builder.look(T0 + minutes(1)), T0 + minutes(1), LAGGING)
    assert decision.due_at == T0 + hours(1) + minutes(10)


def test_work_that_began_right_before_it_was_due_shows_in_time():
    """Story w12: the datapoint of the training is ten minutes late, the act waits for it."""
    builder = instance(LAGGING, evidence_lag_s=600.0)
    builder.scene.say("i", cpu=active(at=T0 - minutes(3)))
    decision = decided(builder.look(T0 + minutes(10)), T0 + minutes(10), LAGGING)
    assert decision.verdict is Verdict.WAIT


def test_when_quiet_hours_end_what_people_began_before_must_show():
    """Quiet until nine; somebody began at a quarter to, which CloudWatch shows ten minutes later."""
    quiet = QuietHours(start=time(20), end=time(9))
    ruleset = rules(*LAGGING.policies, quiet_hours=(quiet,))
    builder = instance(ruleset, evidence_lag_s=600.0)
    builder.scene.say("i", cpu=idle(T0 - hours(9)))
    assert T0.hour == 9
    nine = T0
    decision = decided(builder.look(nine), nine, ruleset)
    assert (decision.reason, decision.due_at) == (Reason.EVIDENCE_BEHIND, nine + minutes(10))
    assert decided(builder.look(nine + minutes(10)), nine + minutes(10), ruleset).to_act


def test_a_condition_that_knows_no_deadline_acts_all_the_same():
    rule = Says(
        answer=Finding(policy="gpus", verdict=Verdict.REAP, reason=Reason.NEGATED, evidence=("cpu",)),
        timeout=hours(1),
    )
    ruleset = rules(policy("gpus", kind="ec2.instance", rule=rule, action="stop"))
    builder = instance(ruleset, evidence_lag_s=600.0)
    assert decided(builder, T0, ruleset).to_act, "it has applied for a day"


def test_age_needs_no_signal_and_so_no_lag():
    ruleset = rules(policy("old", kind="ec2.instance", rule="age", timeout=hours(72), action="stop"))
    builder = instance(ruleset, evidence_lag_s=600.0)
    assert decided(builder, T0, ruleset).to_act


def test_a_notice_goes_out_on_time_and_the_act_sees_the_time_after_it():
    ruleset = rules(
        policy("gpus", kind="ec2.instance", timeout=hours(2), action="stop", warn_before=minutes(10))
    )
    builder = instance(ruleset, evidence_lag_s=300.0)
    builder.scene.say("i", cpu=idle(T0 - hours(2) + minutes(10)))
    assert decided(builder.look(T0), T0, ruleset).notify
    builder.warn("i", T0, policy="gpus")
    at = T0 + minutes(10)
    assert decided(builder.look(at), at, ruleset).due_at == at + minutes(5)
    assert decided(builder.look(at + minutes(5)), at + minutes(5), ruleset).to_act


# --- obstacles -----------------------------------------------------------------------------------------------------


def test_an_obstacle_stands_against_the_acts_that_it_names():
    store = Obstacle(reason="instance_store", detail="600 GB", actions=("stop", "hibernate"))
    builder = instance(LAGGING, obstacles=(store,))
    (veto,) = decided(builder, T0, LAGGING).vetoes
    assert (veto.reason, veto.detail) == (Reason.INSTANCE_STORE, "600 GB")
    terminating = rules(policy("gpus", kind="ec2.instance", timeout=hours(2), action="terminate"))
    builder.apply(terminating, T0 - days(1))
    assert decided(builder, T0, terminating).to_act


async def test_a_world_rebuilt_from_the_journal_knows_how_far_its_ladders_came():
    builder = stopped_by_us(instance(hourly_cost=1.0, obstacles=(Obstacle(reason="instance_store"),)))
    journal = MemoryJournal()
    await journal.open(write=True)
    for batch in builder.batches:
        await journal.write(batch)
    again = World.restore(await journal.load(), max_gap=days(30))
    await journal.close()
    assert again.live == builder.world.live
    assert again.live[builder.ref("i").key].climbed
