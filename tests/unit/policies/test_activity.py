"""However rules are combined: fresh activity never ends in a reap, nor does what can't be seen; rest does."""

from typing import Any

from hypothesis import given, strategies as st

from reaper.core.verdict import Finding, Verdict
from reaper.plugins import build_rule
from reaper.testing import T0, Scene, WorldBuilder, active, days, idle, minutes, sampled, unknown
from tests.support.properties import HOUSE

OFF_FOR_A_YEAR = {"rule": "schedule", "off": "0 0 1 3 *", "on": "0 0 28 2 *", "only_if_idle": True}
ACTIVITY = st.sampled_from(
    [
        {"rule": "idle", "timeout": "1h"},
        {"rule": "idle", "timeout": "0s"},
        {"rule": "age", "timeout": "1h", "only_if_idle": True},
        {"rule": "age", "timeout": "1h", "only_if_idle": True, "idle_for": "0s"},
        OFF_FOR_A_YEAR,
    ]
)


def several(tables: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    rules = st.lists(tables, min_size=1, max_size=3)
    return st.builds(
        lambda rule, rules: {"rule": rule, "rules": rules}, st.sampled_from(["all", "any"]), rules
    )


def negated(tables: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return several(tables) | tables.map(lambda table: {"rule": "not", "of": table})


COMBINED = st.recursive(ACTIVITY, several, max_leaves=5)
OF_IDLE = st.recursive(st.just({"rule": "idle", "timeout": "1h"}), negated, max_leaves=5)
QUIET = st.sampled_from([idle(T0 - days(2)), sampled()])
ANY = st.sampled_from([idle(T0 - days(2)), sampled(), unknown(), active()])


def found(table: dict[str, Any], signals, **fields) -> Finding:
    scene = Scene().add("k", signals, started_at=T0 - days(3), **fields)
    builder = WorldBuilder(scene).look_every(minutes(1), start=T0 - minutes(3), end=T0)
    params = {key: value for key, value in table.items() if key != "rule"}
    history = builder.world.live[builder.ref("k").key]
    finding: Finding = build_rule(table["rule"], params).evaluate(history, T0, "p")
    return finding


@HOUSE
@given(table=COMBINED, others=st.lists(ANY, max_size=3))
def test_fresh_activity_never_ends_in_a_reap(table, others):
    signals = {f"s{number}": said for number, said in enumerate(others)}
    assert found(table, {**signals, "work": active()}).verdict is not Verdict.REAP


@HOUSE
@given(table=COMBINED, others=st.lists(QUIET, max_size=3))
def test_what_can_not_be_seen_never_ends_in_a_reap(table, others):
    signals = {f"s{number}": said for number, said in enumerate(others)}
    assert found(table, {**signals, "lost": unknown()}).verdict is Verdict.UNKNOWN
    assert found(table, signals, required_signals=("lost",)).verdict is Verdict.UNKNOWN


@HOUSE
@given(table=OF_IDLE, others=st.lists(QUIET, max_size=3))
def test_what_can_not_be_seen_is_unknown_however_often_it_is_negated(table, others):
    signals = {f"s{number}": said for number, said in enumerate(others)}
    assert found(table, {**signals, "lost": unknown()}).verdict is Verdict.UNKNOWN


@HOUSE
@given(table=COMBINED)
def test_rest_ends_in_a_reap(table):
    assert found(table, {"execution_state": idle(T0 - days(2)), "process": sampled()}).verdict is Verdict.REAP
