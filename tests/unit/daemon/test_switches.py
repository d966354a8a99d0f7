"""Kill switches outside of reaper: read at the start, once a minute and right before an act. In virtual time."""

from dataclasses import dataclass, field

import pytest

from reaper.daemon.control import DaemonControl
from reaper.errors import SourceUnavailable
from reaper.plugins import Caller
from reaper.testing import hours, idle, minutes, policy, rules
from tests.unit.daemon.rig import Rig, passing

pytestmark = pytest.mark.looptime


@dataclass
class FakeSwitch:
    """A switch that says what it is told to."""

    name: str = "file /etc/reaper/paused"
    why: str | None = None
    broken: str = ""
    reads: list[str] = field(default_factory=list)
    closed: bool = False

    async def read(self) -> str | None:
        self.reads.append(self.why or "")
        if self.broken:
            raise SourceUnavailable(self.broken)
        return self.why

    async def close(self) -> None:
        self.closed = True


def rig(switch: FakeSwitch, due_in: float = 300) -> Rig:
    made = Rig(ruleset=rules(policy(timeout=hours(1))), setup={"switches": (switch,)})
    made.scene.add("k1", {"execution_state": idle(made.now - hours(1) + minutes(due_in / 60))})
    return made


async def test_a_pulled_switch_stops_everything_until_it_is_released():
    switch = FakeSwitch(why="an audit")
    one = rig(switch, due_in=-60)
    async with one.running() as daemon:
        await passing(600)
        assert not one.source.acts
        assert one.reasons() == {"k1": "paused"}
        pause = DaemonControl(daemon).paused()["pause"]
        assert (pause["who"], pause["why"]) == (switch.name, "an audit")  # type: ignore[index]
        switch.why = None
        await passing(61)
    assert [act.action for act in one.source.acts] == ["shutdown"]


async def test_it_is_read_before_the_first_act():
    switch = FakeSwitch(broken="no route to host")
    one = rig(switch, due_in=-60)
    async with one.running() as daemon:
        await passing(30)
        assert "no route to host" in str(DaemonControl(daemon).paused())
    assert not one.source.acts


async def test_one_that_is_pulled_between_two_reads_is_seen_right_before_the_act():
    switch = FakeSwitch()
    one = rig(switch, due_in=30)
    async with one.running():
        await passing(20)
        reads = len(switch.reads)
        switch.why = "stop"
        await passing(20)
        assert len(switch.reads) > reads
        assert not one.source.acts
        assert (await one.states()) == ["ABANDONED"]


async def test_resume_does_not_release_a_switch_and_a_switch_does_not_end_a_persons_pause():
    switch = FakeSwitch(why="an audit")
    one = rig(switch, due_in=-60)
    async with one.running() as daemon:
        control = DaemonControl(daemon)
        await passing(10)
        await control.resume(Caller(who="ana"))
        await passing(120)
        assert not one.source.acts
        await control.pause({"why": "lunch"}, Caller(who="ana"))
        switch.why = None
        await passing(120)
        assert control.paused()["pause"]["why"] == "lunch"  # type: ignore[index]
        assert not one.source.acts


async def test_a_pause_of_a_switch_survives_a_restart_and_ends_with_its_configuration():
    switch = FakeSwitch(why="an audit")
    one = rig(switch, due_in=-60)
    async with one.running():
        await passing(10)
    switch.broken = "gone"
    async with one.running() as daemon:
        await passing(10)
        assert DaemonControl(daemon).paused()["paused"]
    one.setup["switches"] = ()
    async with one.running() as daemon:
        await passing(70)
        assert not DaemonControl(daemon).paused()["paused"]
    assert one.source.acts


async def test_a_reload_closes_the_old_ones():
    switch, other = FakeSwitch(why="an audit"), FakeSwitch(name="file /other")
    one = rig(switch, due_in=-60)
    async with one.running() as daemon:
        await passing(10)
        one.setup["switches"] = (other,)
        from tests.unit.daemon.rig import make_setup

        await daemon.reload(make_setup(one.ruleset, **one.setup), (one.provider,), ())
        await passing(10)
        assert switch.closed
        assert other.reads
        assert not DaemonControl(daemon).paused()["paused"]
