"""A crash at any journal write, as often as it likes: at most one effective act a life, and never none for ever.

The daemon's own tests crash one story at each of its writes; here Hypothesis makes up the story. In virtual time.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta

import looptime
import structlog
from hypothesis import event, given, strategies as st

from reaper.core.batch import Batch
from reaper.core.facts import ActionState, LedgerEntry
from reaper.errors import ActionUnavailable, OutcomeUnknown, ReaperError
from reaper.journal import MemoryJournal
from reaper.plugins import ActOutcome
from reaper.testing import FakeNotifier, FakeSource, hours, idle, policy, rules, seconds
from tests.support.properties import HOUSE
from tests.unit.daemon.rig import Rig

NONE = timedelta(0)
IDS = ("a", "b", "c")
SCRIPTED: tuple[ActOutcome | ReaperError | tuple[ReaperError, bool], ...] = (
    ActOutcome(gone=True, detail="204"),
    (OutcomeUnknown("no answer"), True),
    OutcomeUnknown("no answer"),
    ActionUnavailable("busy"),
)
"""What the first acts do: succeed; nobody knows, with and without an effect; fail."""
ENDS = {ActionState.SUCCEEDED, ActionState.UNKNOWN}
"""UNKNOWN stays when the look that found it gone was written down, and what follows from it was not."""
LONG = 1500.0
"""Seconds in which all must be gone: two failures, each with its cooldown, and a look a minute."""


class Crash(BaseException):
    """The process is gone."""


class CrashingJournal(MemoryJournal):
    """Is gone before or after a write, and with it the process: no later write succeeds."""

    def __init__(self) -> None:
        super().__init__()
        self.crashed, self.written = asyncio.Event(), asyncio.Event()
        self.arm(0, before=False)

    def arm(self, left: int, *, before: bool) -> None:
        """Crash at that many writes from now; 0: never."""
        self.left, self.before = left, before
        self.crashed.clear()

    async def write(self, batch: Batch) -> None:
        if self.crashed.is_set():
            raise Crash
        self.left -= 1
        if self.left == 0 and self.before:
            self._crash()
        await super().write(batch)
        if self.left == 0:
            self._crash()
        self.written.set()

    def _crash(self) -> None:
        self.crashed.set()
        self.written.set()
        raise Crash


@dataclass(frozen=True, kw_only=True)
class Story:
    """What happens.

    Attributes:
        due: When each kernel is due, in seconds after the beginning.
        warned: Whether people are warned a minute before.
        acting: Seconds that an act takes.
        outcomes: What the first acts do, as indexes.
        crashes: At which write of each life, whether before it, and how many seconds until the next life.
        reborn: Whether a kernel that went is followed by another of the same id.
    """

    due: list[int]
    warned: bool
    acting: float
    outcomes: list[int]
    crashes: list[tuple[int, bool, int]]
    reborn: bool


STORIES = st.builds(
    Story,
    due=st.lists(st.integers(-60, 120), min_size=1, max_size=len(IDS)),
    warned=st.booleans(),
    acting=st.sampled_from([0.0, 1.0, 5.0]),
    outcomes=st.lists(st.integers(0, len(SCRIPTED) - 1), max_size=2),
    crashes=st.lists(
        st.tuples(st.integers(1, 16), st.booleans(), st.sampled_from([0, 1, 90])), min_size=1, max_size=3
    ),
    reborn=st.booleans(),
)


class Reborn(FakeSource):
    """Starts another life of what was ended, as somebody does who comes back to it."""

    async def act(self, resource, action):
        try:
            return await super().act(resource, action)
        finally:
            if not self.scene.has(resource.ref) and resource.ref.id not in self.scene.ids():
                self.scene.add(resource.ref.id, {"execution_state": idle()}, incarnation="life-2")


async def life(rig: Rig, journal: CrashingJournal, lasting: float) -> None:
    """Run a daemon until it crashes, until nothing of the first lives is left, or for a while."""
    daemon = await rig.open()
    run = asyncio.get_running_loop().create_task(daemon.run())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(lasting):
            while not (journal.crashed.is_set() or over(rig)):
                journal.written.clear()
                await journal.written.wait()
    if not journal.crashed.is_set():
        await asyncio.sleep(1)  # what follows from it is written down
    run.cancel()
    await asyncio.wait([run])
    await journal.close()
    if not run.cancelled() and (error := run.exception()) is not None:
        left = error.split(Crash)[1] if isinstance(error, BaseExceptionGroup) else error
        assert left is None or isinstance(left, Crash), left


def over(rig: Rig) -> bool:
    """Tell whether all that was there at first is gone, and known to be."""
    first = {key for key, one in rig.daemon.world.live.items() if one.ref.incarnation == "life-1"}
    there = {which for which in rig.scene.ids() if rig.scene.ref(which).incarnation == "life-1"}
    return not first and not there and not rig.daemon.acting.under_way


async def play(story: Story) -> tuple[Rig, list[LedgerEntry]]:
    journal = CrashingJournal()
    kind = Reborn if story.reborn else FakeSource
    source = kind(acting_takes_s=story.acting)
    source.outcomes.extend(SCRIPTED[which] for which in story.outcomes)
    spec = policy(warn_before=seconds(60) if story.warned else NONE)
    rig = Rig(journal=journal, sources=[source], ruleset=rules(spec), notifiers=[FakeNotifier()])
    for which, due in zip(IDS, story.due, strict=False):
        rig.scene.add(which, {"execution_state": idle(rig.now - hours(2) + seconds(due))})
    for left, before, pause in story.crashes:
        journal.arm(left, before=before)
        await life(rig, journal, 300)
        await asyncio.sleep(pause)
    journal.arm(0, before=False)
    await life(rig, journal, LONG)
    await journal.open(write=False)
    entries = await rig.ledger()
    await journal.close()
    return rig, entries


@HOUSE
@given(STORIES)
def test_one_effective_act_a_life_and_never_none_for_ever(story):
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("critical")
    )  # until the test ends
    # Nothing is waited for but time here: it need not turn around 42 times before it goes on.
    with contextlib.closing(looptime.new_event_loop(noop_cycles=0)) as loop:
        rig, entries = loop.run_until_complete(play(story))
    event(f"acts that had no effect: {len(rig.source.acts) - len(story.due)}")
    for which in IDS[: len(story.due)]:
        acts = [act for act in rig.source.acts if act.resource.ref.id == which]
        assert {act.resource.ref.incarnation for act in acts} == {"life-1"}, "another life was left alone"
        assert acts[-1].had_effect, "never none for ever"
        assert not any(act.had_effect for act in acts[:-1]), "nothing after the effective one"
        of_it = [entry for entry in entries if entry.ref.id == which]
        started = [entry.action_id for entry in of_it if entry.state is ActionState.STARTED]
        assert len(started) == len(set(started)) >= len(acts), "each was written down before it, once"
        assert of_it[-1].state in ENDS
