"""An app is as idle as what lives in it: idleness.md, "SageMaker Studio apps", case by case."""

from datetime import timedelta

from reaper.core.batch import fold_look
from reaper.core.decide import Decision, decide, decide_one
from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.family import seen_since
from reaper.core.model import Collected, Poll, ResourceKey
from reaper.core.plan import plan
from reaper.core.verdict import Reason, Verdict
from reaper.core.world import World
from reaper.journal.memory import MemoryJournal
from reaper.testing import T0, Scene, WorldBuilder, active, hours, idle, minutes, policy, rules, unknown

LIMIT = hours(2)
RULES = rules(
    policy("kernels", timeout=LIMIT),
    policy("terminals", kind="jupyter.terminal", timeout=LIMIT),
    policy("apps", kind="studio.app", action="delete", timeout=LIMIT),
)
KEEP_TERMINALS = rules(
    policy("kernels", timeout=LIMIT), policy("apps", kind="studio.app", action="delete", timeout=LIMIT)
)


class Studio:
    """One app that was created five hours ago, looked at every minute together with all that lives in it."""

    def __init__(self, *, app: str = "app", children_from: str = "fake:") -> None:
        self.scene = Scene()
        self.app: ResourceKey = self.scene.key(app, "studio.app")
        status = {"status": idle(T0 - hours(5), "InService")}
        self.scene.add(app, status, kind="studio.app", children_from=children_from)
        self.builder = WorldBuilder(self.scene)
        self.now = T0

    def kernel(self, name: str, signal: object, **fields: object) -> "Studio":
        fields.setdefault("parent", self.app)
        self.scene.add(name, {"execution_state": signal}, **fields)  # type: ignore[arg-type, dict-item]
        return self

    def terminal(self, name: str, since: timedelta) -> "Studio":
        last = {"last_activity": idle(T0 - since)}
        kernels = ("jupyter.kernel",)
        self.scene.add(name, last, kind="jupyter.terminal", parent=self.app, follows=kernels)
        return self

    def look(self, after: timedelta = timedelta(0)) -> "Studio":
        self.now += after
        self.builder.look(self.now).apply(RULES, self.now)
        return self

    def reaped(self, name: str) -> "Studio":
        """End a kernel by our own hand."""
        entry = LedgerEntry(
            at=self.now,
            action_id=f"a-{name}",
            state=ActionState.STARTED,
            ref=self.scene.ref(name),
            action="shutdown",
            policy="kernels",
            decision_id="d",
        )
        self.builder.fact(entry)
        self.scene.remove(name)
        return self

    def decisions(self, ruleset: object = RULES) -> dict[str, Decision]:
        found = decide(self.builder.world, ruleset, self.now)  # type: ignore[arg-type]
        return {one.ref.id: one for one in found}


def says(decision: Decision) -> tuple[Verdict, Reason]:
    return decision.verdict, decision.reason


def test_a_kernel_at_work_is_the_apps_work():
    studio = Studio().kernel("k", active()).look()
    app = studio.decisions()["app"]
    assert says(app) == (Verdict.WAIT, Reason.ACTIVE)
    assert not app.blind
    assert "children: jupyter.kernel k: execution_state: busy" in app.findings[0].detail


def test_an_app_is_idle_since_the_latest_activity_of_what_lives_in_it():
    studio = Studio().kernel("k", idle(T0 - hours(3))).terminal("t", hours(1)).look()
    app = studio.decisions()["app"]
    assert says(app) == (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH)
    assert app.since == T0 - hours(1)
    assert app.due_at == T0 + hours(1)


def test_an_app_that_never_had_anything_is_idle_since_it_was_made():
    app = Studio().look().decisions()["app"]
    assert says(app) == (Verdict.REAP, Reason.IDLE)
    assert app.since == T0 - hours(5)
    assert app.to_act


def test_what_a_person_closed_was_activity_when_it_was_closed():
    studio = Studio().kernel("k", idle(T0 - hours(3))).look()
    studio.scene.remove("k")
    app = studio.look(minutes(1)).decisions()["app"]
    assert says(app) == (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH)
    assert app.since == T0 + minutes(1), "the old extension reset no timer, and deleted the app at once"


def test_what_we_reaped_restarts_nothing_so_the_app_goes_right_after():
    studio = Studio().kernel("k", idle(T0 - hours(2))).look()
    before = studio.decisions()["app"]
    assert before.to_act
    app = studio.reaped("k").look(minutes(1)).decisions()["app"]
    assert app.to_act
    assert app.since == T0 - hours(2)


def test_the_last_activity_of_a_child_that_we_reaped_still_counts():
    studio = Studio().kernel("k", idle(T0 - hours(1))).look()
    app = studio.reaped("k").look(minutes(1)).decisions()["app"]
    assert says(app) == (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH)
    assert app.due_at == T0 + hours(1)


def test_one_kernel_of_ten_at_work_keeps_the_app():
    studio = Studio()
    for number in range(9):
        studio.kernel(f"k{number}", idle(T0 - hours(4)))
    decisions = studio.kernel("k9", active()).look().decisions()
    assert all(decisions[f"k{number}"].to_act for number in range(9))
    assert says(decisions["app"]) == (Verdict.WAIT, Reason.ACTIVE)


def test_a_child_that_is_unknown_makes_its_app_unknown_and_blind_after_a_day():
    studio = Studio().kernel("k", unknown()).look()
    assert says(studio.decisions()["app"]) == (Verdict.UNKNOWN, Reason.EVIDENCE_UNKNOWN)
    for _ in range(25 * 60 // 2):
        studio.look(minutes(2))
    assert studio.decisions()["app"].blind


def test_nothing_is_known_of_an_app_while_its_kernels_can_not_be_listed():
    studio = Studio().look()
    studio.builder.fail(T0 + minutes(1), "connection refused", kinds=("jupyter.kernel",))
    studio.now += minutes(1)
    app = studio.decisions()["app"]
    assert app.verdict is Verdict.UNKNOWN
    assert "connection refused" in app.findings[0].detail


def test_an_app_whose_kernels_nobody_lists_is_unknown():
    app = Studio(children_from="jupyter:").look().decisions()["app"]
    assert says(app) == (Verdict.UNKNOWN, Reason.EVIDENCE_UNKNOWN)
    assert "no source jupyter:" in app.findings[0].detail


def test_a_kernel_that_may_live_in_any_app_keeps_all_of_them():
    studio = Studio().kernel("stray", active(), parent=None).look()
    assert says(studio.decisions()["app"]) == (Verdict.WAIT, Reason.ACTIVE)
    quiet = Studio().kernel("stray", idle(T0 - hours(3)), parent=None).look()
    ref = quiet.scene.ref("app", "studio.app")
    one = decide_one(quiet.builder.world, RULES, quiet.now, ref)
    assert one is not None
    assert one.since == T0 - hours(3)


def test_an_image_terminal_stays_while_a_kernel_of_its_app_is_at_work():
    studio = Studio().kernel("k", active()).terminal("t", hours(4)).look()
    assert says(studio.decisions()["t"]) == (Verdict.WAIT, Reason.ACTIVE)
    studio.kernel("k", idle(T0 - hours(1))).look(minutes(1))
    terminal = studio.decisions()["t"]
    assert says(terminal) == (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH)
    assert terminal.due_at == T0 + LIMIT, "the kernel was seen at work then"


def test_an_image_terminal_that_is_kept_keeps_its_app():
    studio = Studio().terminal("t", hours(4)).look()
    studio.builder.apply(KEEP_TERMINALS, studio.now)
    app = studio.decisions(KEEP_TERMINALS)["app"]
    assert app.verdict is Verdict.REAP
    assert app.reason is Reason.ACTIVE_CHILD
    assert not app.to_act


def test_kernels_come_before_terminals_before_the_app():
    studio = Studio().terminal("t", hours(3)).kernel("k", idle(T0 - hours(3))).look()
    the_plan = plan(studio.decisions().values(), studio.builder.world, RULES, studio.now)
    assert [item.decision.ref.id for item in the_plan.items] == ["k", "t", "app"]


async def test_who_left_is_remembered_over_a_restart():
    studio = Studio().kernel("k", idle(T0 - hours(3))).look()
    studio.scene.remove("k")
    studio.look(minutes(1))
    journal = MemoryJournal()
    await journal.open(write=True)
    for batch in studio.builder.batches:
        await journal.write(batch)
    world = World.restore(await journal.load(), max_gap=minutes(3))
    assert world.live[studio.app].children_active_at == T0 + minutes(1)


def test_idle_children_say_nothing_of_an_app_of_which_a_look_brought_nothing():
    studio = Studio().kernel("k", idle(T0 - hours(3))).look()
    studio.scene.say("app", "studio.app", status=None)
    app = studio.look(minutes(1)).decisions()["app"]
    assert says(app) == (Verdict.UNKNOWN, Reason.EVIDENCE_LOST)


def test_a_server_that_has_ended_keeps_nothing_unknown():
    """Somebody had a second Jupyter server for an hour: it is not looked at again, and tells of nothing any more."""
    studio = Studio().look()
    other = Poll(id=99, source="fake:other", started_at=T0, finished_at=T0, complete=True)
    fold_look(studio.builder.world, Collected(poll=other))
    assert not seen_since(studio.builder.world, "fake:", T0 + minutes(1)), "it may only be late"
    for _ in range(10):
        studio.look(minutes(1))
    app = studio.decisions()["app"]
    assert says(app) == (Verdict.REAP, Reason.IDLE)
    assert seen_since(studio.builder.world, "fake:", studio.now)


def test_what_may_have_lived_in_any_app_was_activity_in_all_of_them_when_it_left():
    studio = Studio().kernel("stray", active(), parent=None).look()
    studio.scene.remove("stray")
    app = studio.look(minutes(1)).decisions()["app"]
    assert says(app) == (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH)
    assert app.since == T0 + minutes(1)


def test_an_image_terminal_stays_while_a_kernel_session_is_left():
    studio = Studio().kernel("k", idle(T0 - hours(3))).terminal("t", hours(3)).look()
    only = rules(policy("terminals", kind="jupyter.terminal", timeout=LIMIT))
    studio.builder.apply(only, studio.now)
    terminal = studio.decisions(only)["t"]
    assert says(terminal) == (Verdict.REAP, Reason.ACTIVE_CHILD)
    assert not terminal.to_act
    one = decide_one(studio.builder.world, only, studio.now, terminal.ref)
    assert one is not None
    assert one.reason is Reason.ACTIVE_CHILD, "asked alone, it says the same"


def test_a_source_that_is_looked_at_seldom_is_not_stale_between_two_looks():
    studio = Studio(children_from="")
    studio.builder.world.slow_gaps = {"fake:": minutes(15)}
    slow = rules(
        policy("apps", kind="studio.app", action="delete", timeout=LIMIT), slow_gaps={"fake:": minutes(15)}
    )
    studio.look().builder.apply(slow, studio.now)
    studio.look(minutes(5))
    (run,) = studio.builder.world.live[studio.app].runs.values()
    assert run.looks == 2, "one row of the journal"
    studio.now += minutes(4)
    assert studio.decisions(slow)["app"].to_act
    studio.now += minutes(12)
    assert studio.decisions(slow)["app"].reason is Reason.STALE_EVIDENCE
