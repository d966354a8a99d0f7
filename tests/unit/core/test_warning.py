"""Warn at T - W, act at T; and everything that makes a warning late, void, or impossible to deliver."""

from datetime import datetime, time

import pytest

from reaper.core.decide import Decision, decide_one
from reaper.core.facts import ClockJumped, Resumed
from reaper.core.ruleset import Mode, QuietHours, Ruleset, Step
from reaper.core.verdict import Reason, Verdict
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
)

W = minutes(10)
T = T0 + hours(2)  # the kernel was last active at T0
WARNING_RULES = rules(policy(warn_before=W))
LADDER = rules(policy(steps=(Step(action="notify"), Step(action="shutdown", after=W))))


def watched(ruleset: Ruleset = WARNING_RULES, **fields) -> WorldBuilder:
    scene = Scene().add("k", {"execution_state": idle(T0)}, started_at=T0 - hours(9), **fields)
    return WorldBuilder(scene).look(T0).apply(ruleset, T0)


def decided(
    builder: WorldBuilder, now: datetime, ruleset: Ruleset = WARNING_RULES, *, look: bool = True
) -> Decision:
    if look:
        builder.look(now)
    decision = decide_one(builder.world, ruleset, now, builder.ref("k"))
    assert decision is not None
    return decision


def reasons(decision: Decision) -> list[Reason]:
    return [veto.reason for veto in decision.vetoes]


class TestOnTime:
    def test_nobody_is_told_before_t_minus_w_and_the_daemon_wakes_for_it(self):
        decision = decided(watched(), T - W - seconds(1))
        assert (decision.notify, decision.wake_at, decision.due_at) == (False, T - W, T)

    def test_told_at_t_minus_w_while_it_still_waits(self):
        decision = decided(watched(), T - W)
        assert (decision.verdict, decision.notify, decision.due_at) == (Verdict.WAIT, True, T)

    def test_acts_at_t(self):
        builder = watched().warn("k", T - W)
        before = decided(builder, T - seconds(1))
        assert (before.verdict, before.notify, before.wake_at) == (Verdict.WAIT, False, T)
        assert decided(builder, T).to_act

    def test_a_notice_that_took_a_moment_moves_the_act_by_that_moment(self):
        builder = watched().warn("k", T - W + seconds(3))
        decision = decided(builder, T - minutes(1))
        assert (decision.due_at, decision.verdict) == (T + seconds(3), Verdict.WAIT)
        assert reasons(decided(builder, T)) == [Reason.NOTICE_GRACE]
        assert decided(builder, T + seconds(3)).to_act

    def test_a_late_notice_moves_the_act_to_delivery_plus_w(self):
        builder = watched()
        late = decided(builder, T + hours(1))
        assert (late.notify, late.due_at, reasons(late)) == (
            True,
            T + hours(1) + W,
            [Reason.NOTICE_UNDELIVERED],
        )
        builder.warn("k", T + hours(1))
        decision = decided(builder, T + hours(1) + W - seconds(1))
        assert (decision.due_at, reasons(decision)) == (T + hours(1) + W, [Reason.NOTICE_GRACE])
        assert decided(builder, T + hours(1) + W).to_act

    def test_w_longer_than_the_timeout_warns_at_once(self):
        ruleset = rules(policy(warn_before=hours(3)))
        builder = watched(ruleset)
        decision = decided(builder, T0 + seconds(1), ruleset)
        assert decision.notify
        builder.warn("k", T0 + seconds(1))
        assert decided(builder, T, ruleset).due_at == T0 + hours(3) + seconds(1)

    def test_a_busy_timeout_is_warned_of_like_any_other(self):
        ruleset = rules(policy(warn_before=W, params={"busy_timeout": 7200.0}))
        scene = Scene().add("k", {"execution_state": active(), "process": sampled()})
        builder = WorldBuilder(scene).look(T0).apply(ruleset, T0)
        builder.look_every(minutes(1), start=T0 + minutes(1), end=T0 + hours(2))
        began = T0
        before = decided(builder, began + hours(2) - W + minutes(1), ruleset, look=False)
        assert (before.verdict, before.notify) == (Verdict.WAIT, True)

    @pytest.mark.parametrize(
        "signals", [{"execution_state": active()}, {"execution_state": idle(T0), "process": active()}]
    )
    def test_nobody_is_warned_of_a_deadline_that_every_look_moves(self, signals):
        ruleset = rules(policy(warn_before=hours(3)))
        builder = watched(ruleset)
        builder.scene.say("k", **signals)
        assert not decided(builder, T0 + minutes(1), ruleset).notify


class TestLadder:
    def test_notice_at_t_act_its_step_later(self):
        builder = watched(LADDER)
        assert decided(builder, T - seconds(1), LADDER).due_at == T + W
        at_t = decided(builder, T, LADDER)
        assert (at_t.notify, reasons(at_t)) == (True, [Reason.NOTICE_UNDELIVERED])
        builder.warn("k", T)
        assert decided(builder, T + W - seconds(1), LADDER).due_at == T + W
        assert decided(builder, T + W, LADDER).to_act

    def test_its_notice_replaces_warn_before(self):
        ladder = policy(steps=(Step(action="notify"), Step(action="stop", after=W)), warn_before=hours(1))
        assert (ladder.notice_lead, ladder.notice_gap, ladder.action) == (hours(0), W, "stop")

    def test_without_a_gap_it_still_waits_for_the_delivery(self):
        ruleset = rules(policy(steps=(Step(action="notify"), Step(action="shutdown"))))
        builder = watched(ruleset)
        assert reasons(decided(builder, T, ruleset)) == [Reason.NOTICE_UNDELIVERED]
        assert decided(builder.warn("k", T), T + seconds(1), ruleset).to_act


class TestVoid:
    def test_activity_after_the_notice(self):
        builder = watched().warn("k", T - W)
        builder.scene.say("k", execution_state=idle(T - minutes(5)))
        decision = decided(builder, T)
        assert (decision.verdict, decision.due_at, decision.notify) == (
            Verdict.WAIT,
            T + hours(2) - minutes(5),
            False,
        )
        assert decided(builder, T + hours(2) - minutes(5) - W).notify

    def test_activity_just_before_the_notice_that_showed_just_after_it(self):
        """A warning belongs to a deadline: not to the next one, two hours on."""
        builder = watched().warn("k", T - W)
        builder.scene.say("k", execution_state=idle(T - W - seconds(1)))
        builder.look(T)
        again = T - W - seconds(1) + hours(2)
        assert decided(builder, again - W).notify
        assert reasons(decided(builder, again)) == [Reason.NOTICE_UNDELIVERED]

    def test_a_longer_timeout(self):
        builder = watched().warn("k", T - W)
        longer = rules(policy(timeout=hours(4), warn_before=W))
        builder.apply(longer, T - minutes(1))
        assert decided(builder, T + hours(2) - W, longer).notify

    def test_rules_that_apply_only_since_then(self):
        """In dry run the log alone was told: nobody has been warned when it is enforced."""
        dry = rules(policy(warn_before=W), mode=Mode.DRY_RUN)
        builder = watched(dry).warn("k", T - W).apply(WARNING_RULES, T + minutes(1))
        decision = decided(builder, T + minutes(1))
        assert (decision.notify, reasons(decision)) == (True, [Reason.NOTICE_UNDELIVERED])

    def test_a_hold_that_ran_out(self):
        builder = watched().warn("k", T - W).hold(T - minutes(5), T + hours(3), "k")
        held = decided(builder, T + hours(3) - seconds(1))
        assert (held.notify, held.due_at) == (False, T + hours(3) + W)
        decision = decided(builder, T + hours(3))
        assert (decision.notify, reasons(decision)) == (True, [Reason.NOTICE_UNDELIVERED])
        assert decided(builder.warn("k", T + hours(3)), T + hours(3) + W).to_act

    def test_a_pause_that_ran_out(self):
        builder = watched().warn("k", T - W).pause(T - minutes(5), T + hours(3))
        assert not decided(builder, T + hours(3) - seconds(1)).notify
        assert decided(builder, T + hours(3)).notify

    def test_a_tag_that_ran_out(self):
        builder = watched().warn("k", T - W)
        builder.scene.change("k", tags={"reaper:hold-until": "2026-03-02T14:00:00Z"})
        assert decided(builder, T0 + hours(5)).notify

    def test_somebody_else_s_hold_does_not_matter(self):
        builder = watched().warn("k", T - W).hold(T - minutes(5), T - minutes(4), "another")
        assert decided(builder, T).to_act

    def test_a_hold_from_before_does_not_matter(self):
        builder = watched().hold(T0, T - hours(1), "k").warn("k", T - W)
        assert decided(builder, T).to_act

    def test_age_with_activity_after_the_notice(self):
        ruleset = rules(policy(rule="age", timeout=hours(12), params={"idle_for": 300.0}, warn_before=W))
        builder = watched(ruleset)
        due = T0 - hours(9) + hours(12)
        assert decided(builder, due - W, ruleset).notify
        builder.warn("k", due - W)
        builder.scene.say("k", execution_state=active())
        builder.look_every(minutes(1), start=due - minutes(5), end=due + hours(6))
        builder.scene.say("k", execution_state=idle(due + hours(6)))
        decision = decided(builder, due + hours(6) + minutes(6), ruleset)
        assert (decision.verdict, decision.notify, reasons(decision)) == (
            Verdict.REAP,
            True,
            [Reason.NOTICE_UNDELIVERED],
        )

    def test_a_small_correction_of_the_deadline_is_not_another_one(self):
        builder = watched().warn("k", T - W)
        builder.scene.say("k", execution_state=idle(T0 + seconds(2)))
        builder.look(T - minutes(9))
        assert decided(builder, T + seconds(2)).to_act


class TestUndelivered:
    def test_is_tried_again_with_growing_pauses(self):
        builder = watched()
        pauses = []
        now = T + hours(1)
        for _ in range(7):
            builder.warn("k", now, delivered=False)
            decision = decided(builder, now + seconds(1))
            assert not decision.notify
            assert decision.wake_at is not None
            pauses.append((decision.wake_at - now).total_seconds())
            now = decision.wake_at
            assert decided(builder, now).notify
        assert pauses == [30, 60, 120, 240, 480, 900, 900]

    def test_after_a_day_it_is_blocked_and_tried_on(self):
        builder = watched().warn("k", T - W, delivered=False).warn("k", T + hours(20), delivered=False)
        assert reasons(decided(builder, T - W + hours(24) - seconds(1))) == [Reason.NOTICE_UNDELIVERED]
        decision = decided(builder, T - W + hours(24))
        assert (reasons(decision), decision.notify, decision.due_at) == ([Reason.BLOCKED], True, None)
        builder.warn("k", T - W + hours(24))
        assert decided(builder, T + hours(24)).to_act

    def test_failures_before_activity_count_no_more(self):
        builder = watched().warn("k", T - W, delivered=False)
        builder.scene.say("k", execution_state=idle(T + days(3)))
        again = T + days(3) + hours(2)
        assert reasons(decided(builder, again)) == [Reason.NOTICE_UNDELIVERED]
        builder.warn("k", again, delivered=False).warn("k", again + hours(23), delivered=False)
        assert reasons(decided(builder, again + hours(21))) == [Reason.NOTICE_UNDELIVERED]
        assert reasons(decided(builder, again + hours(24))) == [Reason.BLOCKED]

    def test_it_spins_in_no_case(self):
        builder = watched()
        for now in (T - W, T, T + seconds(1)):
            decision = decided(builder, now)
            assert decision.notify
            assert decision.wake_at is None or decision.wake_at > now


class TestNotTold:
    def held(self, builder: WorldBuilder) -> WorldBuilder:
        return builder.hold(T0, None, "k")

    @pytest.mark.parametrize(
        ("fields", "prepare"),
        [
            ({"tags": {"reaper:protect": ""}}, lambda b: b),
            ({"tags": {"reaper:hold-until": "soon"}}, lambda b: b),
            ({}, lambda b: b.hold(T0, None, "k")),
            ({}, lambda b: b.hold(T0, T0 + days(9), "k")),
            ({}, lambda b: b.pause(T0)),
            ({}, lambda b: b.pause(T0, T0 + days(9))),
        ],
    )
    @pytest.mark.parametrize("now", [T - W, T, T + hours(5)])
    def test_of_what_somebody_prevents(self, fields, prepare, now):
        decision = decided(prepare(watched(**fields)), now)
        assert not decision.notify
        assert not decision.to_act

    def test_of_an_action_that_is_not_allowed(self):
        ruleset = rules(policy(warn_before=W), actions=())
        decision = decided(watched(ruleset), T, ruleset)
        assert (decision.notify, decision.due_at) == (False, None)

    def test_of_what_is_dead(self):
        builder = watched()
        builder.scene.say("k", execution_state=idle(T0, "dead"))
        decision = decided(builder, T0 + minutes(1))
        assert (decision.notify, decision.to_act) == (False, True)

    def test_after_a_resume_what_was_told_before_still_counts(self):
        """A person who resumes lets things go; only what runs out by itself surprises people."""
        builder = watched().warn("k", T - W).pause(T - minutes(5))
        builder.fact(Resumed(at=T + hours(1), who="ada"))
        assert decided(builder, T + hours(1)).to_act


class TestGracesMoveTheNotice:
    """The notice comes W before the act that can be foreseen, not W before a deadline that a grace outlasts."""

    def test_minimum_age(self):
        ruleset = rules(policy(warn_before=W, minimum_age=hours(15)))
        old_enough = T0 - hours(9) + hours(15)
        builder = watched(ruleset)
        early = decided(builder, T, ruleset)
        assert (early.notify, early.due_at) == (False, old_enough)
        assert decided(builder, old_enough - W, ruleset).notify

    def test_quiet_hours(self):
        night = QuietHours(start=time(10), end=time(20))
        ruleset = rules(policy(warn_before=W), quiet_hours=(night,))
        morning = T0.replace(hour=20)
        builder = watched(ruleset)
        assert decided(builder, T0 + minutes(30), ruleset).due_at == morning
        assert not decided(builder, T, ruleset).notify
        assert decided(builder, morning - W, ruleset).notify

    def test_newly_applied(self):
        ruleset = rules(policy(warn_before=minutes(4)), apply_grace=W)
        builder = watched(ruleset).apply(rules(policy(timeout=hours(1), warn_before=minutes(4))), T0)
        builder.apply(ruleset, T + hours(1))
        decision = decided(builder, T + hours(1), ruleset)
        assert (decision.notify, decision.due_at) == (False, T + hours(1) + W)
        assert decided(builder, T + hours(1) + minutes(6), ruleset).notify

    def test_a_clock_that_jumped(self):
        builder = watched().warn("k", T - W).fact(ClockJumped(at=T - minutes(1), seconds=3600.0))
        decision = decided(builder, T)
        assert (decision.due_at, reasons(decision)) == (T + minutes(9), [Reason.CLOCK_JUMP])
        assert decided(builder, T + minutes(9)).to_act
