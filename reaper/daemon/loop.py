"""The daemon itself: one loop that looks, decides and acts, and sleeps until the next deadline."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from reaper.clock import Clock
from reaper.core.decide import Decision, decide, newly_applied
from reaper.core.facts import ClockJumped, ClockSeen, Fact
from reaper.core.family import Families
from reaper.core.mass import MassWatch
from reaper.core.model import ResourceKey
from reaper.core.plan import Plan, plan
from reaper.core.world import World
from reaper.daemon.acting import Acting
from reaper.daemon.looking import Looking, Watch
from reaper.daemon.memory import undisturbed
from reaper.daemon.metrics import Metrics
from reaper.daemon.notices import Notices
from reaper.daemon.recorder import Recorder
from reaper.daemon.rules import Rules, Setup
from reaper.daemon.switches import Switches
from reaper.errors import JournalError
from reaper.plugins import Journal, Notifier, Provider

__all__ = ["Daemon"]

SHORTEST = timedelta(milliseconds=250)
"""The least time between two decide passes that nothing asked for: a vetoed or past deadline must not spin."""
_SLICE = 0.03
"""Seconds of deciding before the event loop is given back; a pass may take a second, the API must answer."""
_JUMP = 5.0
"""Seconds the wall clock may move against the monotonic one before it counts as a jump; NTP slews both."""
_PRUNE = timedelta(hours=1)

T = TypeVar("T")

log = structlog.get_logger("reaper.daemon")


class Daemon:
    """Looks, decides, warns, looks again, acts, and writes everything down."""

    def __init__(
        self,
        *,
        setup: Setup,
        journal: Journal,
        providers: tuple[Provider, ...],
        notifiers: tuple[Notifier, ...],
        clock: Clock,
        world: World,
        memos: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """Start with what the journal describes; `journal` is open for writing."""
        self.clock = clock
        self.journal = journal
        self.metrics = Metrics()
        self.rules = Rules(setup)
        self.recorder = Recorder(world, journal)
        self.looking = Looking(providers, self.recorder, self.rules, self.metrics, clock)
        self.looking.remember({name: dict(memo) for name, memo in (memos or {}).items()})
        self.notices = Notices(notifiers, self.recorder, clock)
        self.switches = Switches(setup.switches, self.recorder, clock)
        self.acting = Acting(
            looking=self.looking,
            recorder=self.recorder,
            rules=self.rules,
            notices=self.notices,
            metrics=self.metrics,
            clock=clock,
            check_clock=self.check_clock,
            check_switches=self.switches.look,
            spawn=self.spawn,
        )
        self.decisions: dict[ResourceKey, Decision] = {}
        self.ticks = 0
        self.ticked = asyncio.Event()
        self.beat = clock.monotonic()
        self._kept: dict[ResourceKey, tuple[object, ...]] = {}
        looks = [state.last.started_at for state in world.sources.values()]
        self._mass = MassWatch(looked_at=max(looks, default=None))
        self._offset: float | None = None
        self._poke = asyncio.Event()
        self._dirty = True
        self._decide_at: datetime | None = None
        self._decided_at = 0.0
        self._prune_at: datetime | None = None
        self._switch_at: datetime | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._spawned: set[asyncio.Task[None]] = set()
        self._cut: set[asyncio.Task[None]] = set()

    @property
    def world(self) -> World:
        """Everything known."""
        return self.recorder.world

    def ready(self) -> tuple[bool, str]:
        """Tell whether every required source had a first complete look, and otherwise which had none."""
        if not self.looking.discovered or self.ticks == 0:
            return False, "the first round of looks is not complete"
        missing = [
            name
            for name in sorted(self.looking.required)
            if not ((w := self.looking.watches.get(name)) and w.complete_once)
        ]
        return (False, f"no complete look yet at {', '.join(missing)}") if missing else (True, "")

    def poke(self) -> None:
        """Decide again now: something changed."""
        self._dirty = True
        self._poke.set()

    async def reload(
        self, setup: Setup, providers: tuple[Provider, ...], notifiers: tuple[Notifier, ...]
    ) -> None:
        """Take a new configuration, checked already."""
        self.rules.setup = setup
        await self.looking.replace(providers)
        await self.notices.replace(notifiers)
        await self.switches.replace(setup.switches)
        self._switch_at = None
        self.looking.look_at_all(self.clock.now())
        self.poke()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task in the supervisor's group."""
        if self._tasks is None:
            msg = "the daemon is not running"
            raise RuntimeError(msg)
        task = self._tasks.create_task(work)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        task.add_done_callback(self._cut.discard)
        return task

    async def run(self) -> None:
        """Go round until cancelled or drained. Ends with an exception on anything that is not a ReaperError."""
        async with asyncio.TaskGroup() as self._tasks:
            await self.start()
            while not self.acting.draining:
                await self._round()
                self.beat = self.clock.monotonic()
                await self._rest()

    async def run_once(self) -> bool:
        """Look at everything once, decide, act on what is due, and end. True: every look was complete."""
        async with asyncio.TaskGroup() as self._tasks:
            whole = await self._first_look()
            the_plan = await self.decide_now()
            for topic, decision in self.notices.wanted(the_plan.decisions):
                await self.notices.give(topic, decision, self.poke)
            await self.acting.reap(self._to_reap(await self.decide_now()))
        await self.recorder.flush()
        return whole and self.recorder.healthy

    async def after_one_look(self, work: Callable[[], Awaitable[T]]) -> T:
        """Look at everything once and decide, so that `work` can be done without a running daemon."""
        async with asyncio.TaskGroup() as self._tasks:
            await self._first_look()
            await self.decide_now()
            result = await work()
        await self.recorder.flush()
        return result

    async def _first_look(self) -> bool:
        """Find everything and look at it once. True: every look was complete."""
        await self.start()
        await self.looking.discover(self.clock.now())
        watches = list(self.looking.watches.values())
        polls = await asyncio.gather(*(self.looking.look(watch) for watch in watches))
        whole = all(poll is not None and poll.complete for poll in polls)
        return whole and not any(self.looking.problems.values())

    async def start(self) -> None:
        """Make the first facts: how the clocks and the kill switches stand, and acts without an outcome."""
        self.check_clock()
        await self.switches.look()
        self.acting.adopt_orphans()
        await self.recorder.flush()

    async def drain(self, grace: float) -> None:
        """Start no new actions, and wait for those under way, `grace` seconds at most. Looks are cut short."""
        self.acting.draining = True
        for task in list(self._cut):
            task.cancel()
        self._poke.set()
        try:
            async with asyncio.timeout(grace):
                while self.acting.under_way or self._spawned:
                    await asyncio.wait(
                        list(self._spawned), timeout=0.1
                    ) if self._spawned else await asyncio.sleep(0.05)
        except TimeoutError:
            log.warning("actions cut short", under_way=self.acting.under_way)

    async def close(self) -> None:
        """Write what is left and close everything."""
        await self.recorder.flush()
        await self.looking.close()
        await self.notices.close()
        await self.switches.close()
        await self.journal.close()

    def check_clock(self) -> None:
        """Notice that the machine slept or its clock was set, also since an earlier start on this boot."""
        now, boot_id = self.clock.now(), self.clock.boot_id()
        offset = now.timestamp() - self.clock.monotonic()
        known, self._offset = self._offset, offset
        seen = self.world.clock_seen
        if known is None and seen is not None and boot_id and seen.boot_id == boot_id:
            known = seen.offset_s
        if known is not None and abs(offset - known) <= _JUMP:
            self._offset = known if seen is not None and seen.boot_id == boot_id else offset
            return
        facts: list[Fact] = [ClockSeen(at=now, boot_id=boot_id, offset_s=offset)]
        if known is not None:
            log.warning("clock jumped", seconds=round(offset - known, 1))
            facts.insert(0, ClockJumped(at=now, seconds=offset - known))
            self.looking.look_at_all(now)
        self.recorder.facts(*facts)

    async def decide_now(self) -> Plan:
        """Decide everything, journal what is new, and remember when the next decision is due."""
        with undisturbed():
            the_plan = await self._tick()
        await self.recorder.flush()
        self.metrics.pending(self.recorder.pending)
        return the_plan

    async def _tick(self) -> Plan:
        now = self.clock.now()
        world = self.world
        self._refresh_rules(now)
        ruleset, live = self.rules.ruleset, await self._decide_all(now)
        if trips := self._mass.trips(self.decisions, live, world, ruleset, now):
            self.recorder.facts(*trips)
            for trip in trips:
                self.spawn(self.notices.tell_trip(trip))
            live = await self._decide_all(now)
        the_plan = plan(live, world, ruleset, now)
        self._keep(the_plan)
        before, self.decisions = (
            self.decisions,
            {decision.ref.key: decision for decision in the_plan.decisions},
        )
        self.looking.schedule(the_plan.decisions, before)
        wakes = [decision.wake_at for decision in the_plan.decisions if decision.wake_at is not None]
        ends = [
            override.until
            for override in self.rules.overrides(world, now).values()
            if override.until is not None
        ]
        self._decide_at = min([*wakes, *ends], default=None)
        self.metrics.tick(the_plan, world)
        self.ticks += 1
        self.ticked.set()
        return the_plan

    async def _decide_all(self, now: datetime) -> list[Decision]:
        """Decide everything, giving the loop back now and then; what has ended meanwhile is left out."""
        world, decisions = self.world, []
        slice_start = self.clock.monotonic()
        for decision in decide(world, self.rules.ruleset, now):
            decisions.append(decision)
            if self.clock.monotonic() - slice_start > _SLICE:
                await asyncio.sleep(0)
                slice_start = self.clock.monotonic()
        return [d for d in decisions if (h := world.live.get(d.ref.key)) is not None and h.ref == d.ref]

    def _refresh_rules(self, now: datetime) -> None:
        if outdated := self.rules.outdated(self.world, now):
            self.recorder.facts(*outdated)
        loaded = self.rules.refresh(self.world, now)
        if loaded is not None:
            self.recorder.facts(loaded)
        applied = newly_applied(self.world, self.rules.ruleset, now)
        if applied:
            self.recorder.facts(*applied)

    async def _round(self) -> None:
        self.check_clock()
        now = self.clock.now()
        if self.looking.discover_at is None:
            await self.looking.discover(now)
        elif now >= self.looking.discover_at and not self.looking.discovering:
            self.looking.discover_at = (
                now + self.rules.setup.poll_interval
            )  # until discovery itself says when
            self._cut.add(self.spawn(self._discover()))
        for watch in self.looking.due(now):
            watch.next_at = now + self.rules.setup.poll_interval  # until the look itself says when
            self._cut.add(self.spawn(self._look(watch)))
        if self._dirty or (self._decide_at is not None and now >= self._decide_at):
            self._dirty = False
            self._decided_at = self.clock.monotonic()
            self._carry_out(await self.decide_now())
        if self._switch_at is None or now >= self._switch_at:
            self._switch_at = now + self.rules.setup.poll_interval
            self._cut.add(self.spawn(self._read_switches()))
        if self._prune_at is None or now >= self._prune_at:
            self._prune_at = now + _PRUNE
            self.spawn(self._prune(now - self.rules.setup.retention))

    def _carry_out(self, the_plan: Plan) -> None:
        for topic, decision in self.notices.wanted(the_plan.decisions):
            self.spawn(self.notices.give(topic, decision, self.poke))
        wanted = self._to_reap(the_plan)
        by_source: dict[str, list[Decision]] = {}
        for decision in wanted:
            by_source.setdefault(self.world.live[decision.ref.key].source, []).append(decision)
        for group in by_source.values():
            self.spawn(self._reap(group))

    def _to_reap(self, the_plan: Plan) -> list[Decision]:
        """Give what is to be acted on now: earnest, not in hand, and all that goes before it is gone."""
        if not self.recorder.healthy:
            return []
        families = Families(world=self.world, children=self.world.children(), now=the_plan.at)
        return [
            item.decision
            for item in the_plan.items
            if not item.dry_run
            and not families.before(self.world.live[item.decision.ref.key])
            and not self.acting.claimed(item.decision.ref)
        ]

    async def _reap(self, group: list[Decision]) -> None:
        await self.acting.reap(group)
        self.poke()

    async def _look(self, watch: Watch) -> None:
        await self.looking.look(watch)
        self.poke()

    async def _discover(self) -> None:
        """Beside the loop: a provider that hangs, or a source that is closed late, holds nothing else up."""
        before = self.world.seq
        await self.looking.discover(self.clock.now())
        self._dirty = self._dirty or self.world.seq != before
        self._poke.set()

    async def _read_switches(self) -> None:
        if await self.switches.look():
            self.poke()

    async def _prune(self, before: datetime) -> None:
        try:
            gone = await self.journal.prune(before)
        except JournalError as error:
            log.warning("journal not pruned", error=str(error))
            return
        if gone:
            log.info("journal pruned", rows=gone)

    async def _rest(self) -> None:
        """Sleep until something is due or asks for attention, and never spin."""
        now = self.clock.now()
        instants = [at for at in (self._decide_at, self.looking.next_at()) if at is not None]
        until = min(instants, default=now + self.rules.setup.poll_interval)
        since = self.clock.monotonic() - self._decided_at
        least = max(0.0, SHORTEST.total_seconds() - since)
        longest = self.rules.setup.poll_interval.total_seconds()
        seconds = min(max((until - now).total_seconds(), least), max(longest, least))
        try:
            async with asyncio.timeout(seconds):
                await self._poke.wait()
        except TimeoutError:
            return
        self._poke.clear()

    def _keep(self, the_plan: Plan) -> None:
        """Journal decisions that differ in essence from the ones before."""
        fresh, kept = [], {}
        for decision in the_plan.decisions:
            essence = decision.essence()
            kept[decision.ref.key] = essence
            if self._kept.get(decision.ref.key) != essence:
                fresh.append(decision)
                self.metrics.decided(decision.reason.value)
        self._kept = kept
        if fresh:
            self.recorder.facts(decisions=tuple(fresh))
