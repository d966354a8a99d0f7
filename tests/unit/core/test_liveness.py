"""Healthy sources and no activity end in a reap: within the timeout plus one look, and on the dot if woken."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import event, given, strategies as st

from reaper.core.decide import decide_one, newly_applied
from reaper.core.facts import NoticeGiven
from reaper.core.model import Activity
from reaper.core.ruleset import Ruleset, Step
from reaper.core.verdict import Verdict
from reaper.core.warning import WARNING
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
from tests.support.properties import HOUSE

NONE = timedelta(0)
EIGHT_DAYS = days(8)
LEAST = seconds(0.25)  # the daemon never sleeps less


@dataclass(frozen=True, kw_only=True)
class Case:
    """One forgotten thing, and how it is watched.

    Attributes:
        ruleset: The rules.
        scene: The thing, called `k`.
        expected: When it is to be reaped at the latest if every deadline is woken for.
        poll: The longest between looks.
        delivery: How long a warning takes to be delivered.
    """

    ruleset: Ruleset
    scene: Scene
    expected: datetime
    poll: timedelta
    delivery: timedelta = NONE


def paced(poll: timedelta, span: timedelta) -> timedelta:
    """Give the poll interval, or a twelfth of the time to live through: a day in looks of 5 s takes seconds."""
    return max(poll, span / 12)


def reaped_at(case: Case, *, woken: bool, limit: timedelta = EIGHT_DAYS) -> datetime | None:
    """Live through a case as the daemon does: look, apply, decide, warn, look again, agree."""
    builder, now, delivered = WorldBuilder(case.scene), T0, list[tuple[datetime, NoticeGiven]]()
    while now < T0 + limit:
        for at, fact in [one for one in delivered if one[0] <= now]:
            builder.fact(fact)
            delivered.remove((at, fact))
        builder.look(now)
        if applied := newly_applied(builder.world, case.ruleset, now):
            builder.fact(*applied)
        decision = decide_one(builder.world, case.ruleset, now, builder.ref("k"))
        assert decision is not None
        assert decision.verdict is not Verdict.UNKNOWN
        if decision.to_act:
            return now
        if decision.notify and decision.policy and not delivered:
            at = now + case.delivery
            told = NoticeGiven(at=at, ref=decision.ref, policy=decision.policy, topic=WARNING, delivered=True)
            delivered.append((at, told))
        wakes = [at for at, _ in delivered]
        if decision.wake_at is not None:
            assert decision.wake_at > now
            wakes.append(decision.wake_at)
        if woken and decision.due_at is not None:
            assert decision.due_at <= case.expected
        now = max(min([now + case.poll, *(wakes if woken else [])]), now + LEAST)
    return None


def seconds_of(*options: float) -> st.SearchStrategy[timedelta]:
    return st.sampled_from([seconds(one) for one in options])


def about(*options: float) -> st.SearchStrategy[timedelta]:
    """Give one of some durations, in seconds, or up to a tenth more: no round numbers, and so many that none end."""
    return st.builds(
        lambda base, part: base * (1 + part / 10_000), seconds_of(*options), st.integers(0, 1000)
    )


GUARDS = st.fixed_dictionaries(
    {
        "start_grace": seconds_of(0, 300),
        "apply_grace": seconds_of(0, 600),
    }
)
POLLS = seconds_of(5, 60, 170, 600)


@st.composite
def idle_kernels(draw: st.DrawFn) -> Case:
    """A kernel, idle since before or after its first look, with or without process evidence."""
    timeout = draw(seconds_of(60, 300, 1800, 7200, 86400))
    warn, ladder = (
        draw(seconds_of(0, 0, 60, 600, 10000)),
        draw(st.sampled_from([None, None, seconds(0), seconds(300)])),
    )
    steps = () if ladder is None else (Step(action="notify"), Step(action="shutdown", after=ladder))
    guards: dict[str, Any] = draw(GUARDS)
    minimum_age = draw(seconds_of(0, 0, 4000))
    ruleset = rules(policy(timeout=timeout, warn_before=warn, steps=steps, minimum_age=minimum_age), **guards)
    last = T0 - draw(seconds_of(0, 10, 1000, 7000, 400000))
    started = min(last, T0 - draw(seconds_of(0, 200, 100000)))
    required = draw(st.booleans())
    signals = {"execution_state": idle(last)} | ({"process": sampled()} if required else {})
    scene = Scene().add(
        "k",
        signals,
        started_at=started,
        required_signals=("process",) if required else (),
        sample_interval_s=5.0,
    )
    poll, delivery = draw(POLLS), draw(seconds_of(0, 1.5, 9))
    graces = [
        T0 + min(timeout, guards["apply_grace"]),
        started + guards["start_grace"],
        started + minimum_age,
    ]
    seen = T0 + (seconds(5) if required else NONE)
    due = max(last + timeout, seen, *graces)
    lead = NONE if ladder is not None else warn
    gap = ladder if ladder is not None else (warn or None)
    told = None if gap is None else max(due - lead, seen) + delivery
    expected = due if told is None or gap is None else max(due, told + gap)
    poll = paced(poll, expected - T0)
    return Case(ruleset=ruleset, scene=scene, expected=expected, poll=poll, delivery=delivery)


@HOUSE
@given(idle_kernels())
def test_on_the_dot_when_woken_for_deadlines(case):
    """D9: within a second; sleeping less than 250 ms is not worth it."""
    at = reaped_at(case, woken=True)
    event(f"warned: {case.ruleset.policies[0].notice_gap is not None}")
    assert at is not None
    assert case.expected <= at <= case.expected + 3 * LEAST


@HOUSE
@given(idle_kernels())
def test_within_one_look_when_only_polling(case):
    """With one look to notice the deadline, one to hear of the delivery, and one after the grace."""
    at = reaped_at(case, woken=False)
    looks = 1 if case.ruleset.policies[0].notice_gap is None else 4
    assert at is not None
    assert case.expected <= at <= case.expected + looks * case.poll


@HOUSE
@given(
    timeout=about(60, 3600, 86400),
    poll=POLLS,
    kind=st.sampled_from(["jupyter.kernel", "ec2.instance"]),
    since=about(-400, 0, 600),
)
def test_age_goes_on_the_dot(timeout, poll, kind, since):
    last = T0 + since
    scene = Scene(kind=kind).add(
        "k", {"execution_state": lambda at: idle(min(at, last))}, started_at=T0 - seconds(30)
    )
    ruleset = rules(policy(kind=kind, rule="age", timeout=timeout))
    quiet = last + min(minutes(5), timeout / 10) if kind == "jupyter.kernel" else T0
    expected = max(T0 - seconds(30) + timeout, quiet, T0)
    poll = paced(poll, expected - T0)
    case = Case(ruleset=ruleset, scene=scene, expected=max(expected, T0 + days(2)), poll=poll)
    at = reaped_at(case, woken=True)
    assert at is not None
    assert expected <= at <= expected + poll + LEAST


@HOUSE
@given(timeout=about(60, 3600, 86400), poll=POLLS, worked=about(0, 1, 500, 5000))
def test_what_only_samples_can_tell_of_goes_once_it_was_watched_for_the_timeout(timeout, poll, worked):
    """A host, an instance: nobody dates its last activity."""

    def process(at):
        return sampled(Activity.ACTIVE if T0 < at <= T0 + worked else Activity.IDLE)

    scene = Scene(kind="host").add(
        "k", {"process": process}, started_at=T0 - days(1), required_signals=("process",)
    )
    scene.change("k", sample_interval_s=5.0)
    ruleset = rules(policy(kind="host", timeout=timeout))
    ended, poll = T0 + worked, paced(poll, worked + timeout)
    case = Case(ruleset=ruleset, scene=scene, expected=ended + timeout + days(2), poll=poll)
    at = reaped_at(case, woken=True)
    assert at is not None
    assert T0 + timeout <= at <= ended + timeout + poll + seconds(10)


@HOUSE
@given(timeout=about(600, 3600), poll=seconds_of(5, 60, 170), warn=about(0, 60))
def test_a_stuck_kernel_goes_after_its_busy_timeout(timeout, poll, warn):
    scene = Scene().add("k", {"execution_state": active(), "process": sampled()}, started_at=T0 - days(1))
    scene.change("k", required_signals=("process",), sample_interval_s=5.0)
    made = policy(timeout=minutes(1), params={"busy_timeout": timeout.total_seconds()}, warn_before=warn)
    poll = min(paced(poll, timeout), seconds(170))  # the samples must join
    at = reaped_at(Case(ruleset=rules(made), scene=scene, expected=T0 + days(2), poll=poll), woken=True)
    assert at is not None
    assert T0 + timeout <= at <= T0 + timeout + poll + seconds(10)


@HOUSE
@given(
    poll=seconds_of(60, 170, 600),
    hold=about(60, 20000),
    pause=about(0, 30000),
    warn=about(0, 600),
)
def test_what_people_prevented_goes_when_that_ends(poll, hold, pause, warn):
    scene = Scene().add("k", {"execution_state": idle(T0 - hours(9))}, started_at=T0 - days(1))
    ruleset = rules(policy(warn_before=warn))
    builder = WorldBuilder(scene).look(T0).apply(ruleset).hold(T0, T0 + hold, "k")
    builder.pause(T0, T0 + pause)
    ends, now = T0 + max(hold, pause), T0
    poll = paced(poll, ends + warn - T0)
    while now < ends + days(1):
        builder.look(now)
        decision = decide_one(builder.world, ruleset, now, builder.ref("k"))
        assert decision is not None
        if decision.to_act:
            break
        if decision.notify:
            decision = decide_one(builder.warn("k", now).world, ruleset, now, builder.ref("k"))
            assert decision is not None
        assert decision.wake_at is None or decision.wake_at > now
        now = max(min(now + poll, decision.wake_at or now + poll), now + LEAST)
    assert ends + warn <= now <= ends + warn + LEAST * 2


@pytest.mark.parametrize("kind", ["jupyter.kernel", "jupyter.terminal"])
def test_the_dead_go_at_the_first_look(kind):
    scene = Scene(kind=kind).add("k", {"execution_state": idle(T0 - hours(1), "dead")}, started_at=T0)
    ruleset = rules(policy(kind=kind, warn_before=hours(1)), start_grace=minutes(5), apply_grace=minutes(10))
    assert reaped_at(Case(ruleset=ruleset, scene=scene, expected=T0, poll=minutes(1)), woken=True) == T0
