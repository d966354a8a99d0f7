"""What is to be done, in which order, and what budgets leave of it."""

from dataclasses import replace

from reaper.core.decide import decide
from reaper.core.model import ResourceKey
from reaper.core.plan import Plan, limited, plan
from reaper.core.ruleset import Budget, Mode, Ruleset
from reaper.core.verdict import Reason, Verdict, Veto
from reaper.testing import T0, Scene, WorldBuilder, active, days, hours, idle, minutes, policy, rules, seconds

TWO_KINDS = (policy(), policy("apps", kind="studio.app", action="delete"))


def scene(**idle_h: float) -> Scene:
    made = Scene()
    for name, ago in idle_h.items():
        made.add(name, {"execution_state": idle(T0 - hours(ago))}, started_at=T0 - days(2))
    return made


def family(app_idle_h: float = 9, **kernels: float) -> Scene:
    made = Scene()
    app = made.key("app", "studio.app")
    made.add("app", {"state": idle(T0 - hours(app_idle_h))}, kind="studio.app")
    for name, ago in kernels.items():
        made.add(name, {"execution_state": idle(T0 - hours(ago))}, parent=app)
    return made


def planned(what: Scene, ruleset: Ruleset) -> Plan:
    builder = WorldBuilder(what).look(T0).apply(ruleset)
    return plan(decide(builder.world, ruleset, T0), builder.world, ruleset, T0)


def ids(made: Plan) -> list[str]:
    return [item.resource.ref.id for item in made.items]


def reasons(made: Plan) -> dict[str, Reason]:
    return {decision.ref.id: decision.reason for decision in made.decisions}


def test_what_has_been_due_longest_comes_first_and_gets_the_budget():
    ruleset = rules(budgets=(Budget(name="slow", actions=2),))
    made = planned(scene(c=3, a=5, b=4, young=1), ruleset)
    assert ids(made) == ["a", "b"]
    assert reasons(made)["c"] is Reason.DISRUPTION_BUDGET
    assert reasons(made)["young"] is Reason.IDLE_NOT_LONG_ENOUGH


def test_among_equals_the_order_of_resources_does_not_matter():
    ruleset = rules(budgets=(Budget(name="slow", actions=1),))
    assert ids(planned(scene(a=3, b=3, c=3), ruleset)) == ids(planned(scene(c=3, b=3, a=3), ruleset)) == ["a"]


def test_children_come_before_what_they_live_in():
    made = planned(family(k1=3, k2=5), rules(*TWO_KINDS))
    assert ids(made) == ["k2", "k1", "app"]
    assert [key.id for key in made.items[-1].after] == ["k1", "k2"]


def test_parent_of_a_child_that_a_budget_denies_is_denied_and_takes_nothing():
    ruleset = rules(
        *TWO_KINDS,
        budgets=(
            Budget(name="slow", kind="jupyter.*", actions=1),
            Budget(name="apps", kind="studio.*", actions=1),
        ),
    )
    made = planned(family(k1=3, k2=5), ruleset)
    assert ids(made) == ["k2"]
    assert reasons(made) == {"k1": Reason.DISRUPTION_BUDGET, "k2": Reason.IDLE, "app": Reason.ACTIVE_CHILD}
    app = next(decision for decision in made.decisions if decision.ref.id == "app")
    assert not app.to_act


def test_parent_that_is_denied_leaves_the_budget_to_others():
    what = family(k1=3)
    what.add("z", {"state": idle(T0 - hours(2.5))}, kind="studio.app")
    ruleset = rules(
        *TWO_KINDS,
        budgets=(
            Budget(name="k", kind="jupyter.*", actions=0),
            Budget(name="apps", kind="studio.*", actions=1),
        ),
    )
    assert ids(planned(what, ruleset)) == ["z"]


def test_dry_run_is_shown_whole_and_takes_nothing():
    ruleset = rules(mode=Mode.DRY_RUN, budgets=(Budget(name="none", actions=0),))
    made = planned(scene(a=5, b=4), ruleset)
    assert ids(made) == ["a", "b"]
    assert all(item.dry_run for item in made.items)


def test_decisions_keep_their_order_and_their_verdict():
    ruleset = rules(budgets=(Budget(name="none", actions=0),))
    made = planned(scene(c=3, a=5), ruleset)
    assert [(d.ref.id, d.verdict) for d in made.decisions] == [("c", Verdict.REAP), ("a", Verdict.REAP)]


def test_denied_until_room_is_made():
    ruleset = rules(budgets=(Budget(name="slow", actions=1, window=minutes(30)),))
    made = planned(scene(a=5, b=4), ruleset)
    denied = made.decisions[1]
    assert denied.due_at == denied.wake_at == T0 + minutes(30)
    assert denied.blind_since == T0


def test_what_lives_at_work_keeps_its_parent_out_of_the_plan():
    what = family(k1=3)
    what.say("k1", execution_state=active())
    assert ids(planned(what, rules(*TWO_KINDS))) == []


def test_a_veto_put_on_afterwards():
    made = planned(scene(a=5), rules())
    decision = made.decisions[0]
    gone_by = limited(decision, Veto(guard="g", reason=Reason.CHANGED, until=T0 - seconds(1)))
    assert (gone_by.due_at, gone_by.wake_at, gone_by.reason) == (None, None, Reason.CHANGED)
    held = limited(
        replace(decision, wake_at=T0 + hours(1)), Veto(guard="g", reason=Reason.CHANGED, until=T0 + hours(2))
    )
    assert (held.due_at, held.wake_at) == (T0 + hours(2), T0 + hours(1))
    assert not held.to_act


def test_a_decision_on_its_own_is_planned_without_its_family():
    builder = WorldBuilder(family(k1=3)).look(T0)
    ruleset = rules(*TWO_KINDS)
    builder.apply(ruleset)
    app = [d for d in decide(builder.world, ruleset, T0) if d.ref.id == "app"]
    made = plan(app, builder.world, ruleset, T0)
    assert [item.after for item in made.items] == [
        (ResourceKey("jupyter.kernel", builder.scene.scope, "k1"),)
    ]
