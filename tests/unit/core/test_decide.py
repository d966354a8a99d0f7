"""One decision out of several policies; what is dead, blind, in dry run; what makes a row of its own."""

from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from reaper.core.decide import Decision, decide, decide_one, newly_applied
from reaper.core.facts import ClockJumped
from reaper.core.history import History
from reaper.core.plan import plan
from reaper.core.ruleset import Budget, Match, Mode, Ruleset
from reaper.core.verdict import Finding, Reason, Verdict
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


@dataclass(frozen=True, kw_only=True)
class Says:
    """A rule that gives what it was given."""

    answer: object
    timeout: timedelta = timedelta(hours=2)

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        if isinstance(self.answer, Exception):
            raise self.answer
        answer = self.answer
        return replace(answer, policy=policy) if isinstance(answer, Finding) and not answer.policy else answer  # type: ignore[return-value]


def finds(
    verdict: Verdict, due_at: datetime | None = None, since: datetime | None = None, policy: str = ""
) -> Says:
    reason = Reason.IDLE if verdict is Verdict.REAP else Reason.IDLE_NOT_LONG_ENOUGH
    return Says(answer=Finding(policy=policy, verdict=verdict, reason=reason, since=since, due_at=due_at))


def kernel(ruleset: Ruleset, signals=None, **fields) -> WorldBuilder:
    scene = Scene().add(
        "k", signals or {"execution_state": idle(T0 - hours(3))}, started_at=T0 - days(3), **fields
    )
    return WorldBuilder(scene).look(T0 - days(1)).apply(ruleset, T0 - days(1)).look(T0)


def decided(builder: WorldBuilder, ruleset: Ruleset, now: datetime = T0) -> Decision:
    decision = decide_one(builder.world, ruleset, now, builder.ref("k"))
    assert decision is not None
    return decision


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
