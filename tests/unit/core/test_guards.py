"""Each guard at its edges: when it vetoes, until when, and what it never holds up."""

from datetime import datetime, time

import pytest

from reaper.core.decide import Decision, decide_one
from reaper.core.facts import ActionState, ClockJumped, LedgerEntry
from reaper.core.guards import GUARDS, allowed
from reaper.core.ruleset import QuietHours, Ruleset
from reaper.core.verdict import Reason, Verdict
from reaper.testing import T0, Scene, WorldBuilder, days, hours, idle, minutes, policy, rules, seconds


def watched(ruleset: Ruleset, **fields) -> WorldBuilder:
    fields = {"started_at": T0 - days(2), **fields}
    scene = Scene().add("k", {"execution_state": idle(T0 - hours(3))}, **fields)
    return WorldBuilder(scene).look(T0).apply(ruleset, T0)


def decided(builder: WorldBuilder, ruleset: Ruleset, now: datetime = T0) -> Decision:
    decision = decide_one(builder.world, ruleset, now, builder.ref("k"))
    assert decision is not None
    return decision


def against(decision: Decision) -> list[tuple[Reason, datetime | None]]:
    assert decision.verdict is Verdict.REAP
    return [(veto.reason, veto.until) for veto in decision.vetoes]


def test_names_are_told_apart():
    assert len({guard.__name__ for guard in GUARDS}) == len(GUARDS) == 17


@pytest.mark.parametrize("key", ["reaper:protect", "Reaper:Protect", "REAPER:PROTECT"])
@pytest.mark.parametrize("value", ["", "false", "no", "true"])
def test_protected_by_any_value(key, value):
    decision = decided(watched(rules(), tags={key: value}), rules())
    assert against(decision) == [(Reason.PROTECTED, None)]
    assert decision.due_at is None


@pytest.mark.parametrize("key", ["reaper:protected", "protect", "reaper-protect"])
def test_not_protected_by_other_tags(key):
    assert decided(watched(rules(), tags={key: "true"}), rules()).to_act


@pytest.mark.parametrize(
    ("value", "until"),
    [
        ("2026-03-02T09:00:00Z", "past"),
        ("2026-03-02T10:00:00+01:00", "past"),
        ("2026-03-02T09:00:01Z", T0 + seconds(1)),
        ("2026-03-02T10:00:00.5+00:00", T0 + hours(1) + seconds(0.5)),
        ("2026-03-03", None),
        ("2026-03-03T10:00:00", None),
        ("tomorrow", None),
        ("", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
    ],
)
def test_held_by_tag_until_it_ends_and_by_one_that_can_not_be_read(value, until):
    decision = decided(watched(rules(), tags={"Reaper:Hold-Until": value}), rules())
    assert against(decision) == ([] if until == "past" else [(Reason.HELD, until)])
    assert decision.due_at == (None if until == "past" else until)


def test_held_by_the_tag_that_still_holds_whatever_the_order():
    tags = {"reaper:hold-until": "2026-03-02T08:00:00Z", "Reaper:hold-until": "2026-03-02T10:00:00Z"}
    for order in (tags, dict(reversed(tags.items()))):
        assert against(decided(watched(rules(), tags=order), rules())) == [(Reason.HELD, T0 + hours(1))]


def test_held_until_the_longest_hold_ends():
    builder = watched(rules()).hold(T0, T0 + hours(1), "k", "short").hold(T0, T0 + hours(2), None, "long")
    decision = decided(builder, rules())
    assert against(decision) == [(Reason.HELD, T0 + hours(2))]
    assert decision.vetoes[0].detail == "long by ada: a demo"
    assert decision.due_at == decision.wake_at == T0 + hours(2)
    builder.hold(T0, None, "k", "for good")
    assert against(decided(builder, rules())) == [(Reason.HELD, None)]


def test_a_hold_to_come_does_not_hold_yet():
    assert decided(watched(rules()).hold(T0 + hours(1), None, "k"), rules()).to_act


def test_paused_until():
    builder = watched(rules()).pause(T0, T0 + hours(1))
    assert against(decided(builder, rules())) == [(Reason.PAUSED, T0 + hours(1))]
    assert decided(builder.look(T0 + hours(1)), rules(), T0 + hours(1)).to_act


GRACES = [
    (Reason.NEWLY_APPLIED, rules(apply_grace=minutes(10)), T0 + minutes(10)),
    (Reason.NEWLY_APPLIED, rules(policy(timeout=minutes(4)), apply_grace=minutes(10)), T0 + minutes(4)),
    (Reason.START_GRACE, rules(start_grace=days(2) + minutes(5)), T0 + minutes(5)),
    (Reason.MINIMUM_AGE, rules(policy(minimum_age=days(2) + hours(1))), T0 + hours(1)),
]


@pytest.mark.parametrize(("reason", "ruleset", "until"), GRACES)
def test_graces_end_when_they_say(reason, ruleset, until):
    builder = watched(ruleset)
    decision = decided(builder, ruleset)
    assert against(decision) == [(reason, until)]
    assert decision.due_at == decision.wake_at == until
    builder.look(until - seconds(1))
    assert against(decided(builder, ruleset, until - seconds(1))) == [(reason, until)]
    builder.look(until)
    assert decided(builder, ruleset, until).to_act


def test_age_runs_from_the_first_sighting_where_no_source_knows_better():
    ruleset = rules(start_grace=minutes(5))
    assert against(decided(watched(ruleset, started_at=None), ruleset)) == [
        (Reason.START_GRACE, T0 + minutes(5))
    ]


def test_stale_after_max_gap():
    builder = watched(rules())
    assert decided(builder, rules(), T0 + minutes(3)).to_act
    assert against(decided(builder, rules(), T0 + minutes(3) + seconds(1))) == [(Reason.STALE_EVIDENCE, None)]


def test_incomplete_look_at_others_does_not_hold_it_up():
    builder = watched(rules()).fail(T0 + seconds(1), kinds=("jupyter.terminal",))
    assert decided(builder, rules(), T0 + seconds(1)).to_act


def test_failed_look_at_another_does_not_hold_it_up():
    builder = watched(rules()).fail(T0 + seconds(1), targets=("another",))
    assert decided(builder, rules(), T0 + seconds(1)).to_act


def test_incomplete_look_that_saw_it():
    old = policy(rule="age", timeout=hours(1), params={"only_if_idle": False})
    builder = watched(rules(old)).fail(T0 + seconds(1), "HTTP 502")
    decision = decided(builder, rules(old), T0 + seconds(1))
    assert against(decision) == [(Reason.INCOMPLETE_POLL, None)]
    assert decision.vetoes[0].detail == "HTTP 502"


def test_source_without_any_look_is_no_accident():
    """A journal that was pruned may give back a life whose source's looks are gone."""
    builder = watched(rules())
    builder.world.sources.clear()
    assert decided(builder, rules()).to_act


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (ActionState.STARTED, Reason.IN_FLIGHT),
        (ActionState.UNKNOWN, Reason.OUTCOME_UNKNOWN),
        (ActionState.SUCCEEDED, Reason.IN_FLIGHT),
        (ActionState.FAILED, Reason.COOLDOWN),
        (ActionState.ABANDONED, None),
        (ActionState.PLANNED, None),
        (ActionState.CONFIRMED, None),
        (ActionState.NOTICED, None),
    ],
)
def test_action(state, reason):
    builder = watched(rules())
    entry = LedgerEntry(
        at=T0,
        action_id="a",
        state=state,
        ref=builder.ref("k"),
        action="shutdown",
        policy="quiet",
        decision_id="d",
    )
    decision = decided(builder.fact(entry), rules())
    assert [one for one, _ in against(decision)] == ([reason] if reason else [])


@pytest.mark.parametrize("by_s", [9 * 3600.0, -3600.0])
def test_clock_jump_holds_everything_for_a_while(by_s):
    builder = watched(rules()).fact(ClockJumped(at=T0, seconds=by_s))
    assert against(decided(builder, rules())) == [(Reason.CLOCK_JUMP, T0 + minutes(10))]
    assert decided(builder.look(T0 + minutes(10)), rules(), T0 + minutes(10)).to_act
    short = rules(policy(timeout=minutes(2)))
    builder.apply(short, T0)
    assert (Reason.CLOCK_JUMP, T0 + minutes(2)) in against(decided(builder, short))


def test_quiet_hours_end_when_the_last_of_them_does():
    hours_ = (QuietHours(start=time(8), end=time(10)), QuietHours(start=time(9), end=time(11)))
    ruleset = rules(quiet_hours=hours_)
    decision = decided(watched(ruleset), ruleset)
    assert [one for one, _ in against(decision)] == [Reason.QUIET_HOURS]
    assert decision.due_at == T0.replace(hour=11)


@pytest.mark.parametrize(
    ("actions", "wanted"),
    [
        (None, True),
        ((), False),
        (("*",), True),
        (("jupyter.*",), True),
        (("jupyter.shutdown",), True),
        (("jupyter.delete",), False),
        (("ec2.*", "ec2.shutdown"), False),
        (("shutdown",), False),
    ],
)
def test_actions_are_a_ceiling(actions, wanted):
    assert allowed("jupyter.kernel", "shutdown", actions) is wanted
    ruleset = rules(actions=actions)
    decision = decided(watched(ruleset), ruleset)
    assert against(decision) == ([] if wanted else [(Reason.ACTION_NOT_ALLOWED, None)])


def test_several_vetoes_are_all_told_and_the_last_to_end_dates_it():
    ruleset = rules(apply_grace=minutes(10), start_grace=days(2) + minutes(30))
    decision = decided(watched(ruleset).hold(T0, T0 + minutes(20), "k"), ruleset)
    assert [one for one, _ in against(decision)] == [Reason.HELD, Reason.NEWLY_APPLIED, Reason.START_GRACE]
    assert (decision.due_at, decision.wake_at) == (T0 + minutes(30), T0 + minutes(10))


def test_what_waits_shows_only_what_outlasts_its_deadline():
    ruleset = rules(policy(timeout=hours(4)), apply_grace=minutes(10), start_grace=days(3))
    decision = decided(watched(ruleset), ruleset)
    assert decision.verdict is Verdict.WAIT
    assert [veto.reason for veto in decision.vetoes] == [Reason.START_GRACE]
    assert decision.due_at == T0 + days(1)
    assert decision.wake_at == T0 + hours(1)
