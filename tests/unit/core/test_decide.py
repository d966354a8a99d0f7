"""One decision out of several policies; what is dead, in dry run, or lives in something; rules that fail."""

from copy import deepcopy
from datetime import UTC, datetime

import pytest

from reaper.core.decide import Decision, decide, decide_one
from reaper.core.ruleset import Match, Mode, Ruleset
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
    seconds,
    unknown,
)
from tests.unit.core.deciding import Says, decided, finds, kernel


class TestSeveralPolicies:
    def test_idle_and_age_go_at_the_earlier(self):
        """Story f6."""
        both = rules(policy(timeout=hours(4)), policy("old", rule="age", timeout=hours(24)))
        decision = decided(kernel(both), both)
        assert (decision.reason, decision.policy) == (Reason.TOO_OLD, "old")
        both = rules(policy(timeout=hours(2)), policy("old", rule="age", timeout=hours(500)))
        assert decided(kernel(both), both).policy == "quiet"

    def test_age_goes_where_idleness_is_unknown(self):
        """Story f5: no metrics at all, and 72 hours old."""
        both = rules(
            policy(kind="ec2.instance", action="stop"),
            policy("forgotten", kind="ec2.instance", rule="age", timeout=hours(48), action="stop"),
        )
        scene = Scene(kind="ec2.instance").add(
            "k", {"cloudwatch": unknown("no agent")}, started_at=T0 - days(3)
        )
        builder = WorldBuilder(scene).look(T0 - minutes(1)).apply(both, T0 - minutes(1)).look(T0)
        decision = decided(builder, both)
        assert (decision.to_act, decision.policy) == (True, "forgotten")

    def test_unknown_beside_an_age_to_come_still_wakes_and_warns_for_it(self):
        both = rules(
            policy(kind="ec2.instance"),
            policy("old", kind="ec2.instance", rule="age", timeout=hours(73), warn_before=minutes(10)),
        )
        scene = Scene(kind="ec2.instance").add(
            "k", {"cloudwatch": unknown("no agent")}, started_at=T0 - days(3)
        )
        builder = WorldBuilder(scene).look(T0).apply(both, T0)
        decision = decided(builder, both)
        due = T0 + hours(1)
        assert (decision.verdict, decision.due_at, decision.wake_at) == (
            Verdict.UNKNOWN,
            due,
            due - minutes(10),
        )
        decision = decided(builder.look(due - minutes(10)), both, due - minutes(10))
        assert (decision.notify, decision.policy) == (True, "old")

    def test_a_vetoed_policy_does_not_stop_another(self):
        both = rules(policy("young", minimum_age=days(9)), policy("stop", action="stop", timeout=hours(2)))
        assert decided(kernel(both), both).policy == "stop"

    def test_a_policy_that_can_never_act_does_not_swallow_another_s_warning(self):
        both = rules(
            policy("never", action="explode"),
            policy("stop", timeout=hours(2.5), warn_before=minutes(10)),
            actions=("jupyter.shutdown",),
        )
        builder = kernel(both)
        decision = decided(builder, both)
        assert (decision.notify, decision.policy) == (True, "stop")
        builder.warn("k", T0, policy="stop").look(T0 + minutes(10))
        assert decided(builder, both, T0 + minutes(10)).to_act

    def test_a_dry_run_beside_it_never_hides_an_enforced_policy(self):
        """Neither its reap, nor the warning that must come first."""
        trial = policy("trial", timeout=hours(1), mode=Mode.DRY_RUN)
        both = rules(trial, policy("real", timeout=hours(2), warn_before=minutes(10)))
        builder = kernel(both)
        decision = decided(builder, both)
        assert (decision.policy, decision.enforced, decision.notify) == ("real", True, True)
        builder.warn("k", T0, policy="real").look(T0 + minutes(10))
        decision = decided(builder, both, T0 + minutes(10))
        assert (decision.policy, decision.enforced, decision.to_act) == ("real", True, True)
        assert [finding.policy for finding in decision.findings] == ["trial", "real"]

    def test_a_dry_run_alone_shows_what_it_would_do(self):
        for ruleset in (rules(policy(mode=Mode.DRY_RUN)), rules(mode=Mode.DRY_RUN)):
            decision = decided(kernel(ruleset), ruleset)
            assert (decision.to_act, decision.enforced) == (True, False)

    @pytest.mark.parametrize("mode", Mode)
    def test_keep_keeps_whatever_its_mode(self, mode):
        both = rules(policy(), policy("office", rule=finds(Verdict.KEEP), mode=mode))
        decision = decided(kernel(both), both)
        assert (decision.verdict, decision.policy, decision.due_at) == (Verdict.KEEP, "office", None)

    def test_waits_for_the_earliest_that_can_happen(self):
        both = rules(
            policy("soon", rule=finds(Verdict.WAIT, T0 + hours(1), T0), minimum_age=days(4)),
            policy("late", rule=finds(Verdict.WAIT, T0 + hours(3), T0)),
        )
        decision = decided(kernel(both), both)
        assert (decision.due_at, decision.wake_at) == (T0 + hours(3), T0 + hours(1))


class TestDead:
    DEAD = idle(T0 - seconds(5), "dead")

    def test_goes_at_once_whatever_the_others_say(self):
        """Story f7, through every grace, and beside a rule that keeps."""
        ruleset = rules(
            policy(rule="age", timeout=days(9), minimum_age=days(9), warn_before=hours(1)),
            policy("office", rule=finds(Verdict.KEEP)),
            start_grace=days(9),
            apply_grace=days(9),
        )
        builder = kernel(ruleset)
        builder.scene.say("k", execution_state=self.DEAD)
        decision = decided(builder.look(T0), ruleset)
        assert (decision.reason, decision.to_act, decision.enforced) == (Reason.DEAD, True, True)

    def test_goes_by_the_policy_that_is_in_earnest(self):
        ruleset = rules(policy("trial", mode=Mode.DRY_RUN), policy("real"))
        decision = decided(kernel(ruleset, {"execution_state": self.DEAD}), ruleset)
        assert (decision.policy, decision.enforced, decision.to_act) == ("real", True, True)

    def test_goes_by_the_policy_whose_action_is_allowed(self):
        ruleset = rules(policy("never", action="explode"), policy("real"), actions=("jupyter.shutdown",))
        assert decided(kernel(ruleset, {"execution_state": self.DEAD}), ruleset).policy == "real"

    @pytest.mark.parametrize(
        "prepare", [lambda b: b.hold(T0, None), lambda b: b.pause(T0), lambda b: b.fail(T0)]
    )
    def test_people_and_a_failing_source_still_keep_it(self, prepare):
        builder = prepare(kernel(rules(), {"execution_state": self.DEAD}))
        assert not decided(builder, rules()).to_act


class TestBadRules:
    @pytest.mark.parametrize(
        "rule",
        [
            Says(answer=ZeroDivisionError("division by zero")),
            Says(answer=None),
            Says(answer=Verdict.REAP),
            finds(Verdict.REAP, due_at=datetime(2026, 3, 2)),  # noqa: DTZ001 - that is the point
            finds(Verdict.REAP, due_at=T0, since=datetime(2026, 3, 2)),  # noqa: DTZ001
            finds(Verdict.REAP, due_at=T0, policy="another"),
        ],
    )
    def test_is_unknown_and_the_others_go_on(self, rule):
        """Story f19."""
        ruleset = rules(
            policy("bad", rule=rule, match=Match(name=("k",))), policy("good", match=Match(name=("j",)))
        )
        scene = Scene()
        for one in ("k", "j"):
            scene.add(one, {"execution_state": idle(T0 - hours(3))}, started_at=T0 - days(3))
        builder = WorldBuilder(scene).look(T0).apply(ruleset)
        bad, good = decide(builder.world, ruleset, T0)
        assert (bad.verdict, bad.reason) == (Verdict.UNKNOWN, Reason.RULE_FAILED)
        assert bad.findings[0].detail
        assert good.to_act

    def test_a_past_deadline_of_a_rule_is_not_given_on(self):
        ruleset = rules(policy(rule=finds(Verdict.WAIT, T0 - hours(1), T0 - hours(2))))
        decision = decided(kernel(ruleset), ruleset)
        assert (decision.due_at, decision.wake_at) == (None, None)

    def test_a_reap_without_any_instant_is_warned_of_too(self):
        ruleset = rules(policy(rule=finds(Verdict.REAP), warn_before=minutes(1)))
        builder = kernel(ruleset)
        assert decided(builder, ruleset).notify
        builder.warn("k", T0).look(T0 + minutes(1))
        assert decided(builder, ruleset, T0 + minutes(1)).to_act


class TestFamily:
    def family(self, ruleset: Ruleset, child, **more) -> WorldBuilder:
        scene = Scene()
        app = scene.key("app", "studio.app")
        scene.add("k", {"execution_state": child}, parent=app, **more)
        scene.add("app", {"state": idle(T0 - hours(5))}, kind="studio.app")
        return WorldBuilder(scene).look(T0).apply(ruleset)

    def of(self, builder: WorldBuilder, ruleset: Ruleset) -> Decision:
        decision = decide_one(builder.world, ruleset, T0, builder.ref("app", "studio.app"))
        assert decision is not None
        assert [d for d in decide(builder.world, ruleset, T0) if d.ref == decision.ref] == [decision]
        return decision

    def test_parent_waits_for_a_child_at_work(self):
        ruleset = rules(policy(), policy("apps", kind="studio.app", action="delete"))
        decision = self.of(self.family(ruleset, active()), ruleset)
        assert (decision.verdict, decision.reason) == (Verdict.WAIT, Reason.ACTIVE)
        assert "jupyter.kernel k" in decision.findings[0].detail

    def test_parent_is_vetoed_by_a_child_that_is_idle_and_kept(self):
        ruleset = rules(policy("apps", kind="studio.app", action="delete"))
        decision = self.of(self.family(ruleset, idle(T0 - hours(5))), ruleset)
        assert [veto.reason for veto in decision.vetoes] == [Reason.ACTIVE_CHILD]
        assert "jupyter.kernel k" in decision.vetoes[0].detail

    def test_parent_goes_with_children_that_go(self):
        ruleset = rules(policy(), policy("apps", kind="studio.app", action="delete"))
        assert self.of(self.family(ruleset, idle(T0 - hours(5))), ruleset).to_act

    def test_child_that_is_only_shown_outlives_an_enforced_parent(self):
        ruleset = rules(policy(mode=Mode.DRY_RUN), policy("apps", kind="studio.app", action="delete"))
        decision = self.of(self.family(ruleset, idle(T0 - hours(5))), ruleset)
        assert [veto.reason for veto in decision.vetoes] == [Reason.ACTIVE_CHILD]

    def test_in_dry_run_both_are_shown(self):
        ruleset = rules(policy(), policy("apps", kind="studio.app", action="delete"), mode=Mode.DRY_RUN)
        assert self.of(self.family(ruleset, idle(T0 - hours(5))), ruleset).to_act

    def test_things_that_live_in_each_other_end_nothing(self):
        scene = Scene()
        scene.add("a", {"execution_state": active()}, parent=scene.key("k"))
        scene.add("k", {"execution_state": active()}, parent=scene.key("a"))
        builder = WorldBuilder(scene).look(T0).apply(rules())
        assert decided(builder, rules()).verdict is Verdict.WAIT
        assert len(list(decide(builder.world, rules(), T0))) == 2


class TestPurity:
    def test_another_life_is_another_decision(self):
        builder = kernel(rules())
        old = builder.ref("k")
        assert decided(builder, rules()).to_act
        builder.scene.add("k", {"execution_state": idle(T0 - hours(9))}, incarnation="life-2")
        builder.look(T0 + seconds(1))
        assert decide_one(builder.world, rules(), T0 + seconds(1), old) is None

    def test_the_world_stays_as_it_is(self):
        builder = kernel(rules(policy(warn_before=minutes(9))))
        before = deepcopy(builder.world)
        first = list(decide(builder.world, rules(), T0))
        assert builder.world == before
        assert list(decide(builder.world, rules(), T0)) == first

    def test_instants_in_another_zone_are_the_same_instants(self):
        builder = kernel(rules())
        tokyo = T0.astimezone(datetime.fromisoformat("2026-03-02T18:00:00+09:00").tzinfo)
        assert decided(builder, rules(), tokyo) == decided(builder, rules(), T0.astimezone(UTC))
