"""Acting: a fresh look, STARTED, the act, its outcome; failures, budgets, draining. In virtual time."""

import itertools
from datetime import timedelta

import pytest

from reaper.core.facts import ActionState, ClockJumped, LedgerEntry
from reaper.core.ruleset import Budget
from reaper.errors import ActionDenied, ActionUnavailable, JournalFull, OutcomeUnknown
from reaper.plugins import ActOutcome
from reaper.testing import (
    FakeNotifier,
    FakeSource,
    Scene,
    active,
    hours,
    idle,
    minutes,
    policy,
    rules,
    seconds,
)
from tests.unit.daemon.rig import Rig, passing
from tests.unit.daemon.test_recorder import FailingJournal

pytestmark = pytest.mark.looptime


def overdue(rig: Rig, *names: str) -> Rig:
    for name in names:
        rig.scene.add(name, {"execution_state": idle(rig.now - hours(3))})
    return rig


async def test_the_fresh_look_has_the_last_word():
    rig = Rig()
    due = rig.now + seconds(30)
    rig.scene.add(
        "k1", {"execution_state": lambda at: idle(due - hours(2)) if at < due else active("busy again")}
    )
    async with rig.running():
        await passing(60)
        (entry,) = await rig.ledger()
    assert entry.state is ActionState.ABANDONED
    assert "the fresh look says wait" in entry.outcome
    assert not rig.source.acts


async def test_a_fresh_look_that_fails_abandons_the_act():
    rig = Rig()
    due = rig.now + seconds(30)
    rig.scene.add("k1", {"execution_state": idle(due - hours(2))})
    async with rig.running():
        await passing(29)
        rig.source.hanging = True
        await passing(60)
        assert "STARTED" not in await rig.states()
        (entry, *_) = await rig.ledger()
    assert "the fresh look did not see it: no answer within 10 s" in entry.outcome
    assert not rig.source.acts


@pytest.mark.parametrize("error", [ActionDenied("403"), ActionUnavailable("503")])
async def test_what_fails_is_tried_again_ever_later(error):
    rig = overdue(Rig(), "k1")
    rig.source.outcomes.extend([error] * 6)
    async with rig.running():
        await passing(10)
        assert rig.reasons() == {"k1": "cooldown"}
        await passing(3600)
        started = [entry.at for entry in await rig.ledger() if entry.state is ActionState.STARTED]
    gaps = [later - earlier for earlier, later in itertools.pairwise(started)]
    assert [round(gap.total_seconds()) for gap in gaps] == [30, 60, 120, 240, 480, 960]
    assert len(rig.source.effective()) == 1


async def test_an_act_without_known_outcome_is_not_repeated_at_once_for_ever():
    rig = overdue(Rig(), "k1")
    rig.source.outcomes.extend([OutcomeUnknown("500: it may have begun")] * 100)
    async with rig.running():
        await passing(3600)
        states = await rig.states()
        started = [entry.at for entry in await rig.ledger() if entry.state is ActionState.STARTED]
    gaps = [later - earlier for earlier, later in itertools.pairwise(started)]
    assert 4 <= len(started) <= 8
    assert all(gap >= seconds(30) for gap in gaps)
    assert all(later > earlier for earlier, later in itertools.pairwise(gaps)), "each time later"
    assert states[:5] == ["STARTED", "UNKNOWN", "FAILED", "STARTED", "UNKNOWN"]


async def test_an_act_that_had_effect_but_no_answer_is_found_out_by_the_next_look():
    rig = overdue(Rig(), "k1")
    rig.source.outcomes.append((OutcomeUnknown("the connection broke"), True))
    async with rig.running():
        await passing(10)
        entries = await rig.ledger()
    assert [entry.state.value for entry in entries] == ["STARTED", "UNKNOWN", "SUCCEEDED"]
    assert len({entry.action_id for entry in entries}) == 1
    assert len(rig.source.acts) == 1


async def test_an_act_that_hangs_ends_at_its_deadline():
    rig = overdue(Rig(), "k1")
    rig.source.acting_takes_s = 1000
    async with rig.running():
        await passing(31)
        entries = await rig.ledger()
    assert [entry.state.value for entry in entries] == ["STARTED", "UNKNOWN"]
    assert entries[1].outcome == "no answer within 30 s"


async def test_one_slow_act_holds_up_no_other():
    rig = Rig(sources=[FakeSource(acting_takes_s=20), FakeSource(scene=Scene("fake:two", scope="http://b/"))])
    overdue(rig, "k1")
    rig.sources[1].scene.add("k2", {"execution_state": idle(rig.now - hours(2) + seconds(10))})
    due = rig.now + seconds(10)
    async with rig.running():
        await passing(15)
        started = {e.ref.id: e.at for e in await rig.ledger() if e.state is ActionState.STARTED}
    assert started["k2"] - due <= seconds(0.3)


async def test_budgets_hold_under_acts_at_once():
    one = Budget(name="gently", actions=2, window=timedelta(hours=1))
    rig = Rig(
        sources=[
            FakeSource(acting_takes_s=3),
            FakeSource(acting_takes_s=3, scene=Scene("fake:two", scope="http://b/")),
        ],
        ruleset=rules(budgets=(one,)),
    )
    for source in rig.sources:
        for number in range(7):
            source.scene.add(f"k{number}", {"execution_state": idle(rig.now - hours(3))})
    async with rig.running() as daemon:
        for _ in range(6):
            await passing(1)
            daemon.poke()
        assert [len(source.acts) for source in rig.sources] == [2, 2]
        assert set(rig.reasons().values()) == {"disruption_budget"}
        await passing(3600)
        assert [len(source.acts) for source in rig.sources] == [4, 4]


async def test_everything_due_goes_though_only_some_at_once():
    rig = overdue(Rig(sources=[FakeSource(acting_takes_s=5)]), *(f"k{number}" for number in range(20)))
    async with rig.running():
        await passing(60)
        assert len(rig.source.effective()) == 20
        assert len({act.resource.ref for act in rig.source.acts}) == 20


async def test_nothing_is_acted_on_without_a_journaled_start():
    journal = FailingJournal()
    rig = overdue(Rig(journal=journal), "k1")
    rig.scene.say("k1", execution_state=idle(rig.now - hours(2) + seconds(30)))
    async with rig.running() as daemon:
        await passing(20)
        journal.failure = JournalFull("disk full")
        await passing(600)
        assert not rig.source.acts
        assert not daemon.recorder.healthy
        assert daemon.recorder.pending > 10
        journal.failure = None
        await passing(65)
        assert len(rig.source.effective()) == 1
        assert daemon.recorder.pending == 0
        image = await rig.journal.load()
        assert image.polls == len(rig.source.looks), "every look was written in the end"


async def test_a_disk_that_fills_up_right_before_the_start_stops_the_act():
    class FullAtTheStart(FailingJournal):
        async def write(self, batch):
            if any(isinstance(f, LedgerEntry) and f.state is ActionState.STARTED for f in batch.facts):
                self.failure = self.failure or JournalFull("disk full")
            await super().write(batch)

    journal = FullAtTheStart()
    rig = overdue(Rig(journal=journal), "k1")
    async with rig.running():
        await passing(120)
        assert not rig.source.acts
        journal.failure = None
        type(journal).write = FailingJournal.write  # type: ignore[method-assign]
        await passing(120)
        states = await rig.states()
    assert states[:2] == ["STARTED", "ABANDONED"]
    assert states[-2:] == ["STARTED", "SUCCEEDED"]
    assert len(rig.source.effective()) == 1


async def test_draining_lets_an_act_end_and_starts_no_other():
    rig = overdue(Rig(sources=[FakeSource(acting_takes_s=20)]), "k1")
    rig.scene.add("k2", {"execution_state": idle(rig.now - hours(2) + seconds(10))})
    rig.source.outcomes.append(ActOutcome(gone=True, detail="204"))
    notifier = FakeNotifier()
    rig.notifiers.append(notifier)
    async with rig.running() as daemon:
        await passing(5)
        begun = rig.now
        await daemon.drain(40)
        assert rig.now - begun <= seconds(16)
        assert await rig.states() == ["STARTED", "SUCCEEDED"]
        assert [act.resource.ref.id for act in rig.source.acts] == ["k1"]
        assert [notice.topic for notice in notifier.delivered] == ["reaped"], "people are told, too"


async def test_after_the_grace_an_act_is_cut_short_and_its_outcome_unknown():
    rig = overdue(Rig(sources=[FakeSource(acting_takes_s=20)]), "k1")
    async with rig.running() as daemon:
        await passing(5)
        await daemon.drain(3)
    await rig.journal.open(write=False)
    entries = await rig.ledger()
    await rig.journal.close()
    assert [entry.state.value for entry in entries] == ["STARTED", "UNKNOWN"]
    assert entries[1].outcome == "reaper stopped before the answer came"


async def test_draining_waits_for_no_look():
    rig = overdue(Rig(), "k1")
    rig.scene.say("k1", execution_state=active())
    async with rig.running() as daemon:
        await passing(5)
        rig.source.stuck = True
        await passing(56)  # a look that does not end
        begun = rig.now
        await daemon.drain(40)
        assert rig.now - begun <= seconds(1)


async def test_a_jump_of_the_clock_stops_everything_for_a_while():
    rig = Rig(ruleset=rules(clock_jump_grace=minutes(10)))
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(1))})
    async with rig.running():
        await passing(30)
        rig.clock.sleep(hours(8))
        at = rig.now
        await passing(599)
        assert not rig.source.acts
        assert rig.reasons() == {"k1": "clock_jump"}
        await passing(70)
        (started, _) = await rig.ledger()
        jumps = [fact for fact in await rig.facts("ClockJumped") if isinstance(fact, ClockJumped)]
    assert [round(jump.seconds / 3600) for jump in jumps] == [8]
    assert started.at - jumps[0].at >= minutes(10)
    assert jumps[0].at - at <= seconds(61)


async def test_a_sleep_between_two_runs_is_noticed_too():
    rig = Rig(ruleset=rules(clock_jump_grace=minutes(10)))
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(1))})
    async with rig.running():
        await passing(30)
    rig.clock.sleep(hours(8))
    async with rig.running():
        await passing(30)
        assert rig.reasons() == {"k1": "clock_jump"}
    assert not rig.source.acts
    rig.clock.reboot("another")
    async with rig.running():
        await passing(30)
        assert len(await rig.facts("ClockJumped")) == 1, "another boot counts anew: that is no jump"


def studio_rig() -> tuple[Rig, FakeSource, FakeSource]:
    """An app seen by one source, due in half a minute, and its kernels, seen by another."""
    apps = FakeSource(scene=Scene("studio:one", kind="studio.app", scope="1/eu"))
    jupyter = FakeSource(scene=Scene("jupyter:one"))
    ruleset = rules(policy("kernels"), policy("apps", kind="studio.app", action="delete"))
    rig = Rig(sources=[apps, jupyter], ruleset=ruleset)
    made = rig.now - hours(2) + seconds(30)
    apps.scene.add("app", {"status": idle(made, "InService")}, children_from="jupyter:")
    return rig, apps, jupyter


async def test_a_kernel_that_began_just_before_its_app_was_to_go_keeps_it():
    """The looks at the app and at its kernels are 60 s apart; the fresh look is at both."""
    rig, apps, jupyter = studio_rig()
    key = apps.scene.key("app")
    async with rig.running():
        await passing(29)
        jupyter.scene.add("k", {"execution_state": active()}, parent=key)
        await passing(30)
        (entry,) = await rig.ledger()
    assert entry.state is ActionState.ABANDONED
    assert "a signal shows work right now" in entry.outcome
    assert not apps.acts


async def test_an_app_whose_kernels_can_not_be_looked_at_again_stays():
    rig, apps, jupyter = studio_rig()
    async with rig.running():
        await passing(29)
        jupyter.hanging = True
        await passing(15)
        (entry, *_) = await rig.ledger()
    assert entry.state is ActionState.ABANDONED
    assert not apps.acts


async def test_an_app_goes_right_after_its_kernels():
    rig, apps, jupyter = studio_rig()
    due = rig.now + seconds(60)
    jupyter.scene.add("k", {"execution_state": idle(due - hours(2))}, parent=apps.scene.key("app"))
    async with rig.running():
        await passing(70)
        started = {e.ref.id: e.at for e in await rig.ledger() if e.state is ActionState.STARTED}
    assert seconds(0) <= started["k"] - due <= seconds(0.5)
    assert seconds(0) <= started["app"] - due <= seconds(2)
    assert apps.effective()
