"""The fold: what begins a life, ends it, or says nothing about it; actions, notices, holds, settings."""

from dataclasses import replace

import pytest

from reaper.core.decide import decide_one
from reaper.core.facts import (
    ActionState,
    HoldPlaced,
    HoldReleased,
    LedgerEntry,
    NoticeGiven,
    Paused,
    Resumed,
    SettingChanged,
)
from reaper.core.image import Image, Life
from reaper.core.model import Collected, Hold, HoldMatcher, Observation, Poll
from reaper.core.verdict import Reason
from reaper.core.world import World
from reaper.testing import T0, Scene, WorldBuilder, days, hours, idle, minutes, rules, seconds

GONE = "jupyter.kernel"


def world_of(*ids: str) -> WorldBuilder:
    scene = Scene()
    for one in ids:
        scene.add(one, {"execution_state": idle(T0 - hours(3))}, started_at=T0 - days(2))
    return WorldBuilder(scene).look(T0)


def alive(builder: WorldBuilder) -> set[str]:
    return {key.id for key in builder.world.live}


class TestPresence:
    def test_absent_from_a_complete_look_is_gone(self):
        builder = world_of("a", "b")
        builder.scene.remove("a")
        assert alive(builder.look(T0 + minutes(1))) == {"b"}
        assert [h.ref.id for h in builder.batches[-1].delta.gone] == ["a"]

    def test_absent_from_an_incomplete_look_is_not(self):
        builder = world_of("a", "b").fail(T0 + minutes(1), "HTTP 502").fail(T0 + minutes(2), "HTTP 503")
        assert alive(builder) == {"a", "b"}
        history = builder.world.live[builder.ref("a").key]
        assert (history.failing_since, history.failure) == (T0 + minutes(1), "HTTP 503")

    def test_a_look_that_sees_it_again_ends_the_failure(self):
        builder = world_of("a").fail(T0 + minutes(1)).look(T0 + minutes(2))
        history = builder.world.live[builder.ref("a").key]
        assert (history.failing_since, history.failure) == (None, "")

    def test_only_the_kinds_that_failed_are_unknown(self):
        builder = world_of("a")
        builder.scene.add("t", {}, kind="jupyter.terminal")
        builder.look(T0 + minutes(1))
        builder.fail(T0 + minutes(2), kinds=("jupyter.terminal",))
        histories = {key.id: history for key, history in builder.world.live.items()}
        assert histories["t"].failing_since == T0 + minutes(2)
        assert histories["a"].failing_since is None

    def test_a_targeted_look_says_nothing_of_the_rest(self):
        builder = world_of("a", "b", "c")
        builder.scene.remove("a").remove("b")
        builder.look(T0 + minutes(1), targets=("a",))
        assert alive(builder) == {"b", "c"}
        builder.fail(T0 + minutes(2), targets=("b",))
        failing = {key.id: history.failing_since for key, history in builder.world.live.items()}
        assert failing == {"b": T0 + minutes(2), "c": None}

    def test_another_incarnation_is_another_life(self):
        builder = world_of("a")
        old = builder.ref("a")
        builder.fact(entry(builder, ActionState.FAILED))
        builder.scene.add("a", {"execution_state": idle(T0)}, incarnation="life-2")
        builder.look(T0 + minutes(1))
        history = builder.world.live[old.key]
        assert (history.ref.incarnation, history.first_seen_at, history.action) == (
            "life-2",
            T0 + minutes(1),
            None,
        )
        delta = builder.batches[-1].delta
        assert ([h.ref for h in delta.gone], [h.ref for h in delta.appeared]) == ([old], [history.ref])

    def test_facts_of_an_old_life_say_nothing_of_a_new_one(self):
        builder = world_of("a")
        old = entry(builder, ActionState.STARTED)
        builder.scene.add("a", {"execution_state": idle(T0)}, incarnation="life-2")
        builder.look(T0 + minutes(1)).fact(old, notice(old))
        history = builder.world.live[builder.ref("a").key]
        assert (history.action, history.notices) == (None, {})

    def test_an_observation_of_nothing_is_refused(self):
        builder = world_of("a")
        poll = Poll(id=9, source="fake:one", started_at=T0, finished_at=T0, complete=True)
        ref = replace(builder.ref("a"), id="z")
        stray = Observation(ref=ref, signal="s", activity=idle().activity)
        with pytest.raises(ValueError, match="not among the look's resources"):
            builder.world.observe(Collected(poll=poll, observations=(stray,)))


def entry(builder: WorldBuilder, state: ActionState, at=T0, action_id: str = "a1") -> LedgerEntry:
    return LedgerEntry(
        at=at,
        action_id=action_id,
        state=state,
        ref=builder.ref("a"),
        action="shutdown",
        policy="quiet",
        decision_id="d1",
    )


def notice(of: LedgerEntry) -> NoticeGiven:
    return NoticeGiven(at=of.at, ref=of.ref, policy="quiet", topic="warning", delivered=True)


class TestActions:
    def vetoes(self, builder: WorldBuilder, now) -> set[Reason]:
        decision = decide_one(builder.world, rules(), now, builder.ref("a"))
        assert decision is not None
        return {veto.reason for veto in decision.vetoes}

    def test_an_unknown_outcome_stands_until_a_look_sees_it_alive(self):
        builder = world_of("a")
        builder.fact(entry(builder, ActionState.UNKNOWN)).fail(T0 + seconds(2))
        assert builder.world.live[builder.scene.key("a")].action is not None
        builder.look(T0 + seconds(4))
        assert self.vetoes(builder, T0 + seconds(4)) == set()

    def test_an_unknown_outcome_settles_although_another_kind_fails_for_days(self):
        builder = world_of("a")
        builder.fact(entry(builder, ActionState.UNKNOWN)).fail(T0 + seconds(2), kinds=("jupyter.terminal",))
        assert self.vetoes(builder, T0 + seconds(2)) == set()

    def test_what_succeeded_and_stays_is_not_acted_on_at_every_look(self):
        builder = world_of("a").fact(entry(world_of("a"), ActionState.SUCCEEDED))
        builder.look(T0 + seconds(1)).look(T0 + seconds(30))
        assert self.vetoes(builder, T0 + seconds(30)) == {Reason.IN_FLIGHT}
        builder.look(T0 + seconds(31))
        assert self.vetoes(builder, T0 + seconds(31)) == set()

    @pytest.mark.parametrize(
        "state", [ActionState.PLANNED, ActionState.NOTICED, ActionState.CONFIRMED, ActionState.ABANDONED]
    )
    @pytest.mark.parametrize("before", [ActionState.STARTED, ActionState.UNKNOWN, ActionState.FAILED])
    def test_a_step_that_touched_nothing_hides_no_earlier_action(self, before, state):
        builder = world_of("a")
        builder.fact(entry(builder, before), entry(builder, state, T0 + seconds(1), "a2"))
        action = builder.world.live[builder.ref("a").key].action
        assert action is not None
        assert action.state is before

    def test_an_abandoned_start_is_not_in_flight(self):
        builder = world_of("a")
        builder.fact(
            entry(builder, ActionState.STARTED), entry(builder, ActionState.ABANDONED, T0 + seconds(1))
        )
        assert self.vetoes(builder, T0 + seconds(1)) == set()

    def test_failures_in_a_row_lengthen_the_cooldown(self):
        builder = world_of("a")
        ends = []
        for failures in range(1, 10):
            builder.fact(entry(builder, ActionState.FAILED, action_id=f"a{failures}"))
            decision = decide_one(builder.world, rules(), T0 + seconds(1), builder.ref("a"))
            assert decision is not None
            ends.append(decision.vetoes[0].until)
        assert ends[:3] == [T0 + seconds(30), T0 + minutes(1), T0 + minutes(2)]
        assert ends[-1] == T0 + hours(1)
        builder.fact(entry(builder, ActionState.SUCCEEDED, action_id="a10"))
        assert builder.world.live[builder.ref("a").key].failures == 0

    def test_started_actions_are_remembered_for_a_day(self):
        builder = world_of("a")
        for hour in (0, 1, 25):
            builder.fact(entry(builder, ActionState.STARTED, T0 + hours(hour), f"a{hour}"))
        assert [one.action_id for one in builder.world.recent_actions] == ["a25"]


class TestSourceHolds:
    def hold(self, left_s: float, name: str = "fake:one#keepalive") -> Hold:
        return Hold(
            id=name,
            matcher=HoldMatcher(kind="jupyter.kernel"),
            who="jupyter-keepalive",
            why="asked for in JupyterLab",
            starts_at=T0,
            expires_at=T0 + seconds(left_s),
            source="keepalive",
        )

    def facts(self, builder: WorldBuilder, hold: Hold | None, at) -> list[str]:
        builder.scene.holds = [] if hold is None else [hold]
        builder.look(at)
        return [type(fact).__name__ for fact in builder.batches[-1].facts]

    def test_told_once_and_drift_is_no_change(self):
        builder = world_of("a")
        assert self.facts(builder, self.hold(3600), T0 + seconds(1)) == ["HoldPlaced"]
        assert self.facts(builder, self.hold(3600.02), T0 + seconds(2)) == []
        assert self.facts(builder, self.hold(7200), T0 + seconds(3)) == ["HoldPlaced"]
        assert builder.world.holds["fake:one#keepalive"].expires_at == T0 + hours(2)

    def test_ends_when_it_is_told_no_more(self):
        builder = world_of("a")
        self.facts(builder, self.hold(3600), T0 + seconds(1))
        assert self.facts(builder, None, T0 + seconds(2)) == ["HoldReleased"]
        assert builder.world.holds == {}

    def test_stays_while_the_source_can_not_be_read(self):
        builder = world_of("a")
        self.facts(builder, self.hold(3600), T0 + seconds(1))
        builder.scene.holds = []
        builder.fail(T0 + seconds(2)).look(T0 + seconds(3), targets=("a",))
        assert "fake:one#keepalive" in builder.world.holds

    def test_counts_although_another_kind_could_not_be_read(self):
        builder = world_of("a")
        builder.scene.holds = [self.hold(3600)]
        builder.fail(T0 + seconds(1), kinds=("jupyter.terminal",))
        assert "fake:one#keepalive" in builder.world.holds

    def test_one_that_does_not_carry_its_sources_name_ends_all_the_same(self):
        builder = world_of("a")
        assert self.facts(builder, self.hold(3600, "remaining"), T0 + seconds(1)) == ["HoldPlaced"]
        assert self.facts(builder, self.hold(3600, "remaining"), T0 + seconds(2)) == []
        assert self.facts(builder, None, T0 + seconds(3)) == ["HoldReleased"]
        assert builder.world.holds == {}

    def test_people_s_holds_are_left_alone(self):
        builder = world_of("a").hold(T0, None, "a")
        self.facts(builder, None, T0 + seconds(1))
        assert set(builder.world.holds) == {"h1"}


class TestFacts:
    def test_hold_pause_and_setting_last_as_long_as_they_say(self):
        world = World()
        hold = Hold(id="h", matcher=HoldMatcher(), who="ada", why="", starts_at=T0, expires_at=T0 + hours(1))
        setting = SettingChanged(
            at=T0,
            name="idle-timeout",
            value="90m",
            previous="2h",
            underlying="2h",
            until=T0 + hours(1),
            who="ada",
        )
        for fact in (
            HoldPlaced(at=T0, hold=hold),
            Paused(at=T0, who="ada", why="", until=T0 + hours(1)),
            setting,
        ):
            world.apply(fact)
        builder = world_of("a")
        ref = builder.ref("a")
        before_end, end = T0 + hours(1) - seconds(1), T0 + hours(1)
        assert (world.holds_on(ref, before_end), world.holds_on(ref, end)) == ([hold], [])
        assert (world.is_paused(before_end), world.is_paused(end)) == (True, False)
        assert world.setting("idle-timeout", "2h", before_end) == setting
        assert world.setting("idle-timeout", "2h", end) is None
        assert world.setting("idle-timeout", "3h", before_end) is None

    def test_release_resume_and_unset(self):
        world = World()
        hold = Hold(id="h", matcher=HoldMatcher(), who="ada", why="", starts_at=T0, expires_at=None)
        setting = SettingChanged(
            at=T0, name="idle-timeout", value="90m", previous="2h", underlying="2h", until=None, who="ada"
        )
        for fact in (
            HoldPlaced(at=T0, hold=hold),
            Paused(at=T0, who="ada", why="", until=None),
            setting,
            HoldReleased(at=T0, hold_id="h", who="ada"),
            Resumed(at=T0, who="ada"),
            replace(setting, value=None),
        ):
            world.apply(fact)
        assert (world.holds, world.paused, world.settings) == ({}, None, {})

    def test_undelivered_notices_are_counted_until_one_is_delivered(self):
        builder = world_of("a").warn("a", T0, delivered=False).warn("a", T0 + minutes(1), delivered=False)
        history = builder.world.live[builder.ref("a").key]
        assert history.attempts == {("quiet", "warning"): (T0, T0 + minutes(1), 2)}
        builder.warn("a", T0 + minutes(2))
        assert (list(history.notices), history.attempts) == ([("quiet", "warning")], {})


@pytest.mark.parametrize(
    ("field", "value", "matches"),
    [
        ("kind", "jupyter.kernel", True),
        ("kind", "jupyter.terminal", False),
        ("scope", "http://127.0.0.1:8888/", True),
        ("scope", "http://127.0.0.1:8889/", False),
        ("id", "a", True),
        ("id", "b", False),
        ("incarnation", "life-1", True),
        ("incarnation", "life-2", False),
    ],
)
def test_hold_matcher(field, value, matches):
    ref = world_of("a").ref("a")
    assert HoldMatcher().matches(ref)
    assert HoldMatcher(**{field: value}).matches(ref) is matches


def test_a_step_that_touched_nothing_is_no_action_lived_or_restored():
    """After a lost answer was settled by a look, an abandoned try must not stand in a restored world alone."""
    scene = Scene().add("k", {"execution_state": idle(T0 - hours(3))})
    builder = WorldBuilder(scene).look(T0)
    entry = LedgerEntry(
        at=T0 + seconds(1),
        action_id="first",
        state=ActionState.UNKNOWN,
        ref=builder.ref("k"),
        action="shutdown",
        policy="quiet",
        decision_id="d",
    )
    abandoned = replace(entry, action_id="second", state=ActionState.ABANDONED)
    builder.fact(entry).fact(abandoned).look(T0 + minutes(1))
    lived = builder.world.live[builder.ref("k").key]
    assert lived.action is None
    life = Life(
        resource=lived.resource,
        source="fake:one",
        first_seen_at=T0,
        last_seen_at=T0 + minutes(1),
        runs=tuple(lived.runs.values()),
    )
    restored = World.restore(Image(lives=(life,), facts=(entry, abandoned)), minutes(3))
    assert restored.live[lived.ref.key].action is None
