"""A ladder and the guard against mass idleness, carried out by a whole daemon. In virtual time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from reaper.core.model import Stopped
from reaper.core.ruleset import Step
from reaper.daemon.control import DaemonControl
from reaper.errors import OutcomeUnknown
from reaper.plugins import Caller
from reaper.testing import FakeNotifier, FakeSource, Scene, days, hours, idle, minutes, policy, rules
from tests.unit.daemon.rig import Rig, passing

pytestmark = pytest.mark.looptime

STEPS = (Step(action="stop"), Step(action="terminate", after=hours(6)))


def rig(count: int = 1, *, steps: tuple[Step, ...] = STEPS, **fields) -> Rig:
    """Instances that have been idle for an hour but a minute."""
    ruleset = rules(
        policy("gpus", kind="ec2.instance", timeout=hours(1), steps=steps), max_gap=minutes(60), **fields
    )
    made = Rig(
        sources=[FakeSource(scene=Scene("fake:1/eu", kind="ec2.instance", scope="1/eu"))],
        ruleset=ruleset,
        notifiers=[FakeNotifier()],
        setup={"poll_interval": minutes(20)},
    )
    made.provider.kinds = {"ec2.instance": ("stop", "hibernate", "terminate")}
    made.source.clock = made.clock
    for number in range(count):
        made.scene.add(f"i-{number}", {"cpu": idle(made.now - minutes(59))}, started_at=made.now - days(3))
    return made


def acts(one: Rig) -> list[tuple[str, str]]:
    return [(act.resource.ref.id, act.action) for act in one.source.effective()]


async def test_it_stops_and_later_terminates_what_it_stopped_itself():
    one = rig()
    async with one.running():
        await passing(5 * 3600)
        assert acts(one) == [("i-0", "stop")]
        assert one.reasons() == {"i-0": "ladder_waits"}
        await passing(3 * 3600)
    assert acts(one) == [("i-0", "stop"), ("i-0", "terminate")]


async def test_it_goes_on_after_a_restart():
    one = rig()
    async with one.running():
        await passing(3600)
    assert acts(one) == [("i-0", "stop")]
    async with one.running():
        await passing(4 * 3600)
        assert acts(one) == [("i-0", "stop")]
        await passing(3 * 3600)
    assert acts(one) == [("i-0", "stop"), ("i-0", "terminate")]


async def test_what_its_owner_stopped_is_left_alone():
    one = rig()
    async with one.running():
        await passing(30)
        one.scene.change("i-0", stopped=Stopped(at=one.now, why="User initiated"))
        await passing(20 * 3600)
        assert one.reasons() == {"i-0": "stopped"}
    assert acts(one) == []


async def test_what_was_started_and_stopped_by_its_owner_after_our_stop_is_left_alone():
    one = rig()
    async with one.running():
        await passing(2 * 3600)
        assert acts(one) == [("i-0", "stop")]
        one.scene.add("i-0", {"cpu": idle(one.now)}, started_at=one.now, incarnation="life-2")
        await passing(600)
        one.scene.change("i-0", stopped=Stopped(at=one.now, why="User initiated"))
        await passing(20 * 3600)
    assert acts(one) == [("i-0", "stop")]


@dataclass
class _Lost:
    """A stop whose answer is lost."""

    one: Rig

    def happen(self) -> None:
        self.one.source.outcomes.append((OutcomeUnknown("connection reset"), True))


async def test_a_stop_whose_answer_was_lost_is_looked_up_and_not_repeated():
    one = rig()
    _Lost(one).happen()
    async with one.running():
        await passing(3600)
        assert acts(one) == [("i-0", "stop")]
        assert (await one.states())[-2:] == ["UNKNOWN", "SUCCEEDED"]
        await passing(7 * 3600)
    assert acts(one) == [("i-0", "stop"), ("i-0", "terminate")]


async def test_when_most_of_a_fleet_falls_idle_at_once_nothing_goes_until_a_person_resumes():
    one = rig(20, steps=(Step(action="stop"),))
    async with one.running() as daemon:
        await passing(3600)
        assert acts(one) == []
        assert set(one.reasons().values()) == {"mass_trip"}
        (notice,) = [told for told in one.notifiers[0].delivered if told.topic == "mass_trip"]
        assert "20 of 20 ec2.instance in 1/eu" in notice.subject
        status = await DaemonControl(daemon).status()
        assert [trip["newly"] for trip in status["trips"]] == [20]  # type: ignore[attr-defined]
    async with one.running() as daemon:
        await passing(3600)
        assert acts(one) == [], "a restart clears nothing"
        await DaemonControl(daemon).resume(Caller(who="ana"))
        await passing(60)
        assert len(acts(one)) == 20
        assert not (await DaemonControl(daemon).status())["trips"]


async def test_a_lagging_source_is_looked_at_when_its_lag_is_over():
    one = rig(steps=(Step(action="stop"),))
    one.source.interval = minutes(30)
    one.scene.change("i-0", evidence_lag_s=600.0)
    due: datetime = one.now + minutes(1)
    async with one.running():
        await passing(9 * 60)
        assert acts(one) == []
        await passing(3 * 60)
        assert acts(one) == [("i-0", "stop")]
        (started,) = [entry for entry in await one.ledger() if entry.state.value == "STARTED"]
    assert timedelta(minutes=10) <= started.at - due <= timedelta(minutes=10, seconds=1)
