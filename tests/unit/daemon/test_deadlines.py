"""When the daemon looks and decides: at deadlines, and never in a spin. In virtual time."""

from datetime import datetime, timedelta

import pytest

from reaper.core.facts import HoldPlaced
from reaper.core.history import History
from reaper.core.model import Hold, HoldMatcher
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.testing import active, hours, idle, minutes, policy, rules, sampled, seconds
from tests.unit.daemon.rig import Rig, passing

pytestmark = pytest.mark.looptime


async def test_it_acts_at_the_deadline_though_looks_are_a_minute_apart():
    rig = Rig()
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(2) + seconds(200.4))})
    due = rig.now + seconds(200.4)
    async with rig.running():
        await passing(199)
        assert not rig.source.acts
        await passing(3)
        (entry,) = [entry for entry in await rig.ledger() if entry.state.value == "STARTED"]
    assert entry.due_at == due
    assert timedelta(0) <= entry.at - due <= seconds(0.3)
    assert len(rig.source.looks) <= 7, "a minute apart, the fresh look, and one after the act"


async def test_an_idle_host_is_looked_at_once_an_interval():
    rig = Rig()
    rig.scene.add("k1", {"execution_state": active()})
    async with rig.running() as daemon:
        await passing(3600 + 30)
        assert 60 <= len(rig.source.looks) <= 63
        assert daemon.ticks <= 64


async def test_a_vetoed_overdue_resource_costs_nothing():
    rig = Rig()
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(9))}, tags={"reaper:protect": "yes"})
    async with rig.running() as daemon:
        await passing(3600 + 30)
        assert rig.reasons() == {"k1": "protected"}
        assert 60 <= len(rig.source.looks) <= 63
        assert daemon.ticks <= 64
    assert not rig.source.acts


class Restless:
    """A rule whose deadline is always a moment away."""

    timeout = minutes(1)

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        soon = now + timedelta(microseconds=10)
        return Finding(policy=policy, verdict=Verdict.WAIT, reason=Reason.IDLE_NOT_LONG_ENOUGH, due_at=soon)


async def test_a_deadline_that_is_always_a_moment_away_does_not_spin():
    rig = Rig(ruleset=rules(policy(rule=Restless())))
    rig.scene.add("k1", {"execution_state": idle(rig.now)})
    async with rig.running() as daemon:
        await passing(60)
        assert 100 <= daemon.ticks <= 60 / 0.25 + 5


async def test_a_sampled_signal_gets_a_short_interval_before_the_deadline():
    rig = Rig()
    since = rig.now - hours(2) + seconds(200)
    rig.scene.add(
        "k1",
        {"execution_state": idle(since), "process": sampled()},
        required_signals=("process",),
        sample_interval_s=6,
    )
    due = rig.now + seconds(200)
    async with rig.running():
        await passing(202)
        looked = [look.at for look in rig.source.looks]
        (entry,) = [entry for entry in await rig.ledger() if entry.state.value == "STARTED"]
    assert any(seconds(5) <= due - at <= seconds(7) for at in looked)
    assert entry.at - due <= seconds(0.3)


async def test_the_end_of_work_is_dated_within_five_seconds():
    rig = Rig(ruleset=rules(policy(timeout=minutes(10))))
    ended = rig.now + seconds(121)  # right after a look
    rig.scene.add("k1", {"process": lambda at: active() if at < ended else idle()})
    async with rig.running():
        await passing(200)
        looked = [look.at for look in rig.source.looks]
    first_after = min(at for at in looked if at >= ended)
    assert any(seconds(0) < at - first_after <= seconds(5.5) for at in looked)


async def test_a_hold_that_ends_wakes_the_daemon():
    rig = Rig()
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(3))})
    until = rig.now + seconds(95.5)
    async with rig.running() as daemon:
        hold = Hold(
            id="h1", matcher=HoldMatcher(id="k1"), who="ada", why="demo", starts_at=rig.now, expires_at=until
        )
        daemon.recorder.facts(HoldPlaced(at=rig.now, hold=hold))
        daemon.poke()
        await passing(95)
        assert rig.reasons() == {"k1": "held"}
        await passing(1.5)
        (entry, *_) = await rig.ledger()
    assert timedelta(0) <= entry.at - until <= seconds(0.3)
