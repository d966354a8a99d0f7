"""A crash at any journal write, and a restart: one effective act a life, and never none for ever. In virtual time."""

import asyncio
from itertools import count

import pytest

from reaper.core.batch import Batch
from reaper.core.facts import PolicyApplied
from reaper.journal.memory import MemoryJournal
from reaper.testing import FakeNotifier, FakeSource, hours, idle, minutes, policy, rules, seconds
from tests.unit.daemon.rig import Rig, passing

pytestmark = pytest.mark.looptime


class Crash(BaseException):
    """The process is gone."""


class CrashingJournal(MemoryJournal):
    """Is gone before or after its n-th write, and with it everything: no later write succeeds."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.crash_at: int | None = None
        self.before = False
        self.crashed = asyncio.Event()

    async def write(self, batch: Batch) -> None:
        if self.crashed.is_set():
            raise Crash
        self.writes += 1
        here = self.writes == self.crash_at
        if here and self.before:
            self._crash()
        await super().write(batch)
        if here:
            self._crash()

    def _crash(self) -> None:
        self.crashed.set()
        raise Crash


async def life(rig: Rig, journal: CrashingJournal, lasting: float) -> None:
    """Run a daemon until it crashes, or for a while."""
    journal.crashed.clear()
    daemon = await rig.open()

    async def run() -> None:
        try:
            await daemon.run()
        except BaseExceptionGroup as group:
            if group.split(Crash)[1] is not None:
                raise
        except Crash:
            pass

    task = asyncio.get_running_loop().create_task(run())
    crash = asyncio.get_running_loop().create_task(journal.crashed.wait())
    await asyncio.wait([task, crash], timeout=lasting, return_when=asyncio.FIRST_COMPLETED)
    for one in (task, crash):
        one.cancel()
    await asyncio.wait([task, crash])
    await journal.close()


async def story(crash_at: int, *, before: bool) -> tuple[int, list[str], int]:
    """One kernel that is due in two minutes, warned of at one; a crash; a restart. Gives the writes until then."""
    journal = CrashingJournal()
    rig = Rig(
        journal=journal,
        sources=[FakeSource(acting_takes_s=1)],
        ruleset=rules(policy(warn_before=minutes(1)), apply_grace=minutes(2)),
        notifiers=[FakeNotifier()],
    )
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(2) + minutes(2))})
    due = rig.now + minutes(2)
    journal.crash_at, journal.before = crash_at, before
    await life(rig, journal, 300)
    crashed = journal.crashed.is_set()
    writes = journal.writes
    journal.crash_at = None
    await life(rig, journal, 300)
    await journal.open(write=False)
    try:
        entries, applied = await rig.ledger(), await rig.facts("PolicyApplied")
    finally:
        await journal.close()
    states = [entry.state.value for entry in entries]
    assert len(rig.source.effective()) == 1, (crash_at, before, states)
    assert not rig.scene.has(rig.source.acts[0].resource.ref)
    assert states[-1] == "SUCCEEDED", (crash_at, before, states)
    starts = [entry.action_id for entry in entries if entry.state.value == "STARTED"]
    assert len(starts) == len(set(starts))
    assert {entry.due_at for entry in entries if entry.due_at} == {due}, "the timer survived"
    assert len([fact for fact in applied if isinstance(fact, PolicyApplied) and fact.digest]) == 1
    warnings = [notice for notice in rig.notifiers[0].delivered if notice.topic == "warning"]
    assert 1 <= len(warnings) <= 2
    act_at = entries[-1].at
    assert act_at - due <= seconds(70), "the crash costs no second idle period, and no second grace"
    return (writes if crashed else 0), states, len(rig.source.acts)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_a_crash_at_any_write(before):
    told = set()
    for crash_at in count(1):
        writes, states, _ = await story(crash_at, before=before)
        if not writes:
            break
        told.add(tuple(states))
    else:
        pytest.fail("it never ended")
    assert crash_at > 10, "there were that many writes"
    assert ("STARTED", "SUCCEEDED") in told
    if before:
        assert ("STARTED", "UNKNOWN", "SUCCEEDED") in told, "a crash between the act and its outcome"
    else:
        assert ("STARTED", "UNKNOWN", "STARTED", "SUCCEEDED") in told, "a crash between STARTED and the act"


class DeafJournal(MemoryJournal):
    """The process is gone: nothing that it still says is heard."""

    async def write(self, batch: Batch) -> None:
        return


@pytest.mark.parametrize("effect", [True, False])
async def test_a_crash_during_the_act_itself(effect):
    rig = Rig(sources=[FakeSource(acting_takes_s=5)])
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(3))})
    async with rig.running() as daemon:
        await passing(2)
        assert await rig.states() == ["STARTED"]
        daemon.recorder._journal = DeafJournal()
    if effect:
        rig.scene.remove("k1")
    async with rig.running():
        await passing(70)
        told = ["STARTED", "UNKNOWN", "SUCCEEDED"]
        assert await rig.states() == (told if effect else [*told[:2], "STARTED", "SUCCEEDED"])
    assert len(rig.source.effective()) == (0 if effect else 1)
