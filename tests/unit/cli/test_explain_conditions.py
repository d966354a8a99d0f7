"""What `explain` says of rules within rules, of conditions that fail, and of what no activity moves."""

from typing import Any

import pytest

from reaper.cli.explain import page
from reaper.cli.output import Page, Screen
from reaper.core.decide import decide_one
from reaper.core.plan import plan
from reaper.core.report import explain_document, plan_document, resource_document
from reaper.plugins import build_rule
from reaper.testing import T0, Scene, WorldBuilder, days, hours, idle, policy, rules

IDLE = {"rule": "idle", "timeout": "2h"}
EVENING: dict[str, Any] = {"rule": "schedule", "off": "0 19 * * *", "on": "0 8 * * *", "only_if_idle": False}
OWNED = {"rule": "where", "expression": "resource.tags.Owner == 'ada'"}


def explained(rule: str, *, quiet: float = 3, **params) -> tuple[dict[str, Any], str]:
    """Explain a kernel by one policy with a rule, at nine in the morning: as JSON, and as people see it."""
    ruleset = rules(policy("p", rule=build_rule(rule, params)))
    scene = Scene().add("k", {"execution_state": idle(T0 - hours(quiet))}, started_at=T0 - days(2))
    builder = WorldBuilder(scene).look(T0).apply(ruleset)
    decision = decide_one(builder.world, ruleset, T0, builder.ref("k"))
    assert decision is not None
    history = builder.world.live[builder.ref("k").key]
    document = explain_document(builder.world, history, decision, T0)
    shown = page(document, Page(Screen(width=None, color=False))).text()
    assert resource_document(builder.world, history, decision, T0)["verdict"] == decision.verdict.value
    items = plan_document(plan([decision], builder.world, ruleset, T0), builder.world, ruleset, T0)["items"]
    assert bool(items) is decision.to_act
    return document, " ".join(shown.split())


def test_every_part_is_named_also_where_the_reason_is_idle():
    document, shown = explained("all", rules=[IDLE, {"rule": "not", "of": EVENING}])
    assert document["decision"]["reason"] == "idle"
    assert "all of [idle reap: no signal has shown activity for the whole timeout; not reap:" in shown
    assert "schedule wait: its schedule lets it run now (off from 2026-03-02 19:00 UTC)" in shown


def test_the_signals_of_an_idle_thing_are_not_said_twice():
    _, shown = explained("idle", timeout="2h")
    assert "execution_state: idle" not in shown


def test_what_no_activity_moves():
    document, _ = explained("schedule", **{k: v for k, v in EVENING.items() if k != "rule"})
    assert document["next"] == ["it becomes due at 2026-03-02T19:00:00Z in 10h"]
    document, _ = explained("all", rules=[IDLE, EVENING], quiet=1)
    assert document["next"] == [
        "without any activity it becomes due at 2026-03-02T19:00:00Z in 10h; any activity moves that"
    ]


@pytest.mark.parametrize(("rule", "params"), [("where", OWNED), ("all", {"rules": [IDLE, OWNED]})])
def test_a_condition_that_fails_says_so(rule, params):
    document, shown = explained(rule, **{k: v for k, v in params.items() if k != "rule"})
    assert document["decision"]["reason"] == "condition_failed"
    [line] = document["next"]
    assert line.startswith("that policy p no longer keeps it: ")
    assert "there is no 'Owner'" in line
    assert "It is kept: the policy's condition can't be evaluated on it" in shown
