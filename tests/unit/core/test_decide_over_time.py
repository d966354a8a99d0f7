"""When a policy begins to apply; what is blind; what makes a decision a row of its own."""

from datetime import timedelta

import pytest

from reaper.core.decide import decide, newly_applied
from reaper.core.facts import ClockJumped
from reaper.core.plan import plan
from reaper.core.ruleset import Budget, Match, Mode, Ruleset
from reaper.core.verdict import Reason
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
from tests.unit.core.deciding import Says, decided, kernel


class TestApplication:
    def test_is_noted_once_a_policy_and_form(self):
        builder = kernel(rules())
        assert newly_applied(builder.world, rules(), T0) == []
        (fact,) = newly_applied(builder.world, rules(policy(timeout=hours(1))), T0)
        assert (fact.policy, fact.at, fact.ref) == ("quiet", T0, builder.ref("k"))

    @pytest.mark.parametrize(
        "change",
        [
            rules(policy(timeout=hours(1))),
            rules(policy(action="delete")),
            rules(policy(rule="age")),
            rules(mode=Mode.DRY_RUN),
            rules(policy(mode=Mode.DRY_RUN)),
        ],
    )
    def test_is_new_when_rule_limit_action_or_mode_change(self, change):
        assert len(newly_applied(kernel(rules()).world, change, T0)) == 1

    def test_a_policy_that_applied_no_longer_applies_newly_when_it_is_back(self):
        """A tag that kept it away comes off: the grace runs again."""
        ruleset = rules(policy(match=Match(tags={"Keep": False})), apply_grace=minutes(10))
        builder = kernel(ruleset)
        builder.scene.change("k", tags={"Keep": "please"})
        builder.look(T0).apply(ruleset, T0)
        assert decided(builder, ruleset).reason is Reason.NO_POLICY
        assert newly_applied(builder.world, ruleset, T0) == []
        builder.scene.change("k", tags={})
        later = T0 + minutes(1)
        builder.look(later).apply(ruleset, later)
        decision = decided(builder, ruleset, later)
        assert (decision.reason, decision.due_at) == (Reason.NEWLY_APPLIED, later + minutes(10))

    def test_one_that_is_not_journaled_yet_never_acts(self):
        ruleset = rules(apply_grace=minutes(10))
        scene = Scene().add("k", {"execution_state": idle(T0 - hours(9))}, started_at=T0 - days(1))
        assert decided(WorldBuilder(scene).look(T0), ruleset).reason is Reason.NEWLY_APPLIED

    def test_never_lasts_longer_than_the_timeout(self):
        ruleset = rules(policy(timeout=minutes(1)), apply_grace=minutes(10))
        scene = Scene().add("k", {"execution_state": idle(T0 - hours(9))}, started_at=T0 - days(1))
        builder = WorldBuilder(scene).look(T0).apply(ruleset)
        assert decided(builder, ruleset).due_at == T0 + minutes(1)


class TestBlind:
    def test_what_was_idle_for_days_before_it_was_first_seen_is_not(self):
        ruleset = rules(apply_grace=minutes(10))
        scene = Scene().add("k", {"execution_state": idle(T0 - days(5))}, started_at=T0 - days(6))
        builder = WorldBuilder(scene).look(T0).apply(ruleset)
        decision = decided(builder, ruleset)
        assert (decision.reason, decision.blind) == (Reason.NEWLY_APPLIED, False)

    def test_nor_is_what_a_new_budget_holds_up(self):
        ruleset = rules(budgets=(Budget(name="none", actions=0),))
        scene = Scene().add("k", {"execution_state": idle(T0 - days(5))}, started_at=T0 - days(6))
        builder = WorldBuilder(scene).look(T0).apply(ruleset)
        (decision,) = plan(decide(builder.world, ruleset, T0), builder.world, ruleset, T0).decisions
        assert (decision.reason, decision.blind) == (Reason.DISRUPTION_BUDGET, False)
        builder.look(T0 + days(2))
        (decision,) = plan(
            decide(builder.world, ruleset, T0 + days(2)), builder.world, ruleset, T0 + days(2)
        ).decisions
        assert (decision.reason, decision.blind) == (Reason.DISRUPTION_BUDGET, True)

    def test_vetoed_for_more_than_a_day_is(self):
        builder = kernel(rules(), tags={"reaper:protect": "yes"})
        decision = decided(builder, rules(), T0)
        assert decision.blind_since == T0 - hours(1)
        builder.look(T0 + hours(23))
        assert not decided(builder, rules(), T0 + hours(23)).blind
        builder.look(T0 + hours(23) + seconds(1))
        assert decided(builder, rules(), T0 + hours(23) + seconds(1)).blind

    def test_unknown_in_changing_words_and_through_gaps_is(self):
        builder = kernel(rules())
        for hour in range(26):
            builder.scene.say("k", execution_state=unknown(f"HTTP {500 + hour}"))
            builder.look(T0 + hours(hour + 1))
        decision = decided(builder, rules(), T0 + hours(26))
        assert (decision.blind_since, decision.blind) == (T0 + hours(1), True)

    def test_a_source_that_fails_for_more_than_a_day_makes_it(self):
        builder = kernel(rules())
        for hour in range(26):
            builder.fail(T0 + hours(hour + 1))
        assert decided(builder, rules(), T0 + hours(26)).blind

    def test_the_opening_of_a_lid_after_a_weekend_does_not(self):
        builder = (
            kernel(rules())
            .fact(ClockJumped(at=T0 + days(3), seconds=days(3).total_seconds()))
            .look(T0 + days(3))
        )
        decision = decided(builder, rules(), T0 + days(3))
        assert (decision.reason, decision.blind) == (Reason.CLOCK_JUMP, False)


_MINUTE = timedelta(minutes=1)


class TestEssence:
    """An unchanged situation makes no row: not at the next look, not at the next hundred."""

    def essences(
        self, ruleset: Ruleset, signals, *, looks: int = 60, every=_MINUTE, prepare=lambda b: b, **fields
    ):
        scene = Scene().add("k", signals, started_at=T0 - hours(30), **fields)
        builder = WorldBuilder(scene).look(T0).apply(ruleset)
        builder.look(T0 + every)
        prepare(builder)
        found = []
        for i in range(2, looks):
            now = T0 + every * i
            builder.look(now)
            found.append(decided(builder, ruleset, now).essence())
        return found

    @pytest.mark.parametrize(
        ("ruleset", "signals", "fields"),
        [
            (rules(), {"execution_state": active()}, {}),
            (rules(), {"execution_state": lambda at: active(at=at)}, {}),
            (rules(), {"execution_state": lambda at: idle(at - seconds(3))}, {}),
            (rules(), {"execution_state": idle(T0)}, {}),
            (rules(), {"execution_state": idle(T0 - hours(9))}, {"tags": {"reaper:protect": ""}}),
            (rules(policy(warn_before=minutes(5))), {"execution_state": idle(T0 - hours(9))}, {}),
            (rules(), {"execution_state": unknown("x")}, {}),
            (rules(), {"execution_state": lambda at: unknown(f"{at}")}, {}),
            (rules(), {"execution_state": idle(T0 - hours(9))}, {"required_signals": ("process",)}),
            (rules(), {"execution_state": idle(T0 - hours(9), "dead")}, {"tags": {"reaper:protect": ""}}),
            (
                rules(policy(rule="age", timeout=hours(1))),
                {"execution_state": idle(T0)},
                {"required_signals": ("process",)},
            ),
            (
                rules(policy(rule="age", timeout=hours(1))),
                {"execution_state": lambda at: unknown(f"{at}")},
                {},
            ),
            (rules(policy(rule="age", timeout=hours(90))), {"execution_state": active()}, {}),
            (rules(policy(rule=Says(answer=ValueError("x")))), {}, {}),
            (rules(policy(kind="host")), {}, {}),
            (rules(), {}, {}),
            (
                rules(policy(params={"busy_timeout": 600.0})),
                {"execution_state": active(), "process": lambda at: sampled(value=f"{at.minute % 2} core")},
                {"tags": {"reaper:protect": ""}},
            ),
        ],
    )
    def test_settles(self, ruleset, signals, fields):
        found = self.essences(ruleset, signals, **fields)
        assert len(set(found[20:])) == 1

    def test_of_a_signal_that_was_lost_settles(self):
        for rule in ("idle", "age"):
            found = self.essences(
                rules(policy(rule=rule, timeout=hours(1))),
                {"execution_state": idle(T0 - hours(9)), "process": sampled()},
                required_signals=("process",),
                prepare=lambda b: b.scene.say("k", process=None),
            )
            assert len(set(found)) == 1

    def test_under_cron_every_ten_minutes_settles_too(self):
        found = self.essences(rules(), {"execution_state": unknown("x")}, every=minutes(10))
        assert len(set(found[:100])) == 1

    def test_a_change_makes_one(self):
        builder = kernel(rules())
        essences = [decided(builder, rules()).essence()]
        builder.hold(T0, None)
        essences.append(decided(builder, rules()).essence())
        builder.scene.say("k", execution_state=active())
        essences.append(decided(builder.look(T0 + minutes(1)), rules(), T0 + minutes(1)).essence())
        builder.scene.add("k", {"execution_state": active()}, incarnation="life-2")
        essences.append(decided(builder.look(T0 + minutes(2)), rules(), T0 + minutes(2)).essence())
        assert len(set(essences)) == 4
