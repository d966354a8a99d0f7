"""Budgets are never exceeded, however plans, fresh looks, starts, outcomes and restarts interleave."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import event, given, strategies as st

from reaper.core.budget import Spending
from reaper.core.decide import Decision, decide, decide_one, newly_applied
from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.plan import plan
from reaper.core.ruleset import Budget, Ruleset
from reaper.core.world import World
from reaper.testing import T0, Scene, WorldBuilder, hours, idle, minutes, policy, rules, seconds
from tests.support.properties import HOUSE

BUDGETS = st.lists(
    st.builds(
        Budget,
        name=st.sampled_from(["x", "y"]),
        kind=st.sampled_from(["*", "jupyter.*", "ec2.*"]),
        actions=st.sampled_from([1, 2, 3, None, 0]),
        dollars_per_hour=st.sampled_from([None, None, 2.0, 5.5, 0.0]),
        window=st.sampled_from([minutes(1), minutes(10), hours(1)]),
    ),
    min_size=1,
    max_size=2,
).map(tuple)

HAPPENINGS = ("plan", "start", "approve", "wait", "plan", "start", "start", "end", "look", "restart")
LONGEST = 40
# One draw for all of them: a draw each takes ten times as long.
STEPS = st.builds(
    lambda many, drawn: [
        (HAPPENINGS[kind % len(HAPPENINGS)], which)
        for kind, which in zip(drawn[: 2 * many : 2], drawn[1::2], strict=False)
    ],
    st.integers(0, LONGEST),
    st.binary(min_size=2 * LONGEST, max_size=2 * LONGEST),
)
"""What happens, in any order, and a number that says to which it does."""


class Daemon:
    """What the daemon does with core, and no more: plan, confirm, start, end, in any order."""

    def __init__(self, ruleset: Ruleset, costs: list[float | None]) -> None:
        self.now = T0
        self.ruleset = ruleset
        self.planned: list[Decision] = []
        self.started: list[LedgerEntry] = []
        self.running: list[LedgerEntry] = []
        self.scene = Scene()
        for i, cost in enumerate(costs):
            kind = "jupyter.kernel" if i % 3 else "ec2.instance"
            since = {"execution_state": idle(T0 - hours(3 + i % 4))}
            self.scene.add(f"r{i}", since, kind=kind, hourly_cost=cost, started_at=T0 - hours(9))
        self.builder = WorldBuilder(self.scene)
        self.look(0)

    @property
    def world(self) -> World:
        return self.builder.world

    def look(self, _: int) -> None:
        self.builder.look(self.now)
        self.builder.fact(*newly_applied(self.world, self.ruleset, self.now))

    def plan(self, _: int) -> None:
        self._plan(self.ruleset)

    def approve(self, _: int) -> None:
        """Somebody approved a plan that was made under other rules, as `apply` or a reload may find one."""
        self._plan(replace(self.ruleset, budgets=()))

    def _plan(self, ruleset: Ruleset) -> None:
        made = plan(decide(self.world, ruleset, self.now), self.world, ruleset, self.now)
        self.planned += [item.decision for item in made.items]

    def start(self, which: int) -> None:
        """Confirm any decision of any plan, however old, and start it: one step, nothing in between."""
        if not self.planned:
            return
        decision = self.planned.pop(which % len(self.planned))
        self.builder.look(self.now, targets=(decision.ref.id,))
        again = decide_one(self.world, self.ruleset, self.now, decision.ref)
        if again is None or not again.to_act:
            return
        spending = Spending(budgets=self.ruleset.budgets, recent=self.world.recent_actions, now=self.now)
        cost = self.world.live[decision.ref.key].resource.hourly_cost
        if spending.take(decision.ref.kind, decision.ref.scope, cost) is not None:
            event("denied at the last moment")
            return
        entry = LedgerEntry(
            at=self.now,
            action_id=f"a{len(self.started)}",
            state=ActionState.STARTED,
            ref=decision.ref,
            action="shutdown",
            policy="quiet",
            decision_id=again.id,
            hourly_cost=cost,
        )
        self.builder.fact(entry)
        self.started.append(entry)
        self.running.append(entry)

    def end(self, which: int) -> None:
        if not self.running:
            return
        entry = self.running.pop(which % len(self.running))
        state = (ActionState.SUCCEEDED, ActionState.FAILED, ActionState.UNKNOWN)[which % 3]
        fields = {name: getattr(entry, name) for name in entry.__slots__}
        self.builder.fact(LedgerEntry(**{**fields, "at": self.now, "state": state}))
        if state is ActionState.SUCCEEDED:
            self.scene.remove(entry.ref.id, entry.ref.kind)

    def wait(self, which: int) -> None:
        self.now += seconds((30, 1, 61, 600, 3600)[which % 5])

    def restart(self, _: int) -> None:
        """Plans are forgotten; what was started is not."""
        self.planned.clear()


def spent(started: list[LedgerEntry], budget: Budget, scope: str, end: datetime) -> tuple[int, float]:
    inside = [
        entry
        for entry in started
        if entry.ref.scope == scope
        and budget.covers(entry.ref.kind, scope)
        and end - budget.window < entry.at <= end
    ]
    return len(inside), sum(entry.hourly_cost or 0.0 for entry in inside)


@HOUSE
@given(BUDGETS, st.lists(st.sampled_from([None, 0.5, 1.5, 3.0]), min_size=1, max_size=8), STEPS)
def test_no_window_ever_holds_more_than_its_budget(budgets, costs, steps):
    policies = (policy("quiet"), policy("boxes", kind="ec2.instance", action="stop"))
    daemon = Daemon(rules(*policies, budgets=budgets), costs)
    for what, which in steps:
        getattr(daemon, what)(which)
    event(f"started: {min(len(daemon.started), 3)}")
    for budget in budgets:
        for entry in daemon.started:
            count, dollars = spent(daemon.started, budget, entry.ref.scope, entry.at)
            assert budget.actions is None or count <= budget.actions
            assert budget.dollars_per_hour is None or dollars <= budget.dollars_per_hour


@HOUSE
@given(BUDGETS, st.lists(st.sampled_from([None, 0.5, 1.5, 3.0]), min_size=1, max_size=8))
def test_what_is_denied_fits_when_it_was_said_to(budgets, costs):
    """And not before: the instant that a veto names is when time alone makes room."""
    spending = Spending(budgets=budgets, recent=(), now=T0)
    started: list[LedgerEntry] = []
    scene = Scene()
    for i, cost in enumerate(costs):
        now = T0 + seconds(7 * i)
        spending = Spending(budgets=budgets, recent=started, now=now)
        veto = spending.take("jupyter.kernel", scene.scope, cost)
        if veto is None:
            scene.add(f"r{i}")
            started.append(
                LedgerEntry(
                    at=now,
                    action_id=str(i),
                    state=ActionState.STARTED,
                    ref=scene.ref(f"r{i}"),
                    action="shutdown",
                    policy="quiet",
                    decision_id="d",
                    hourly_cost=cost,
                )
            )
            continue
        assert veto.until is None or veto.until > now
        only = [budget for budget in budgets if veto.detail.startswith(f"{budget.name}:")]
        if veto.until is not None and len(budgets) == 1:
            for at, fits in ((veto.until, True), (veto.until - timedelta(microseconds=1), False)):
                later = Spending(budgets=tuple(only), recent=started, now=at)
                assert (later.take("jupyter.kernel", scene.scope, cost) is None) is fits
