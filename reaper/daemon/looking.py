"""Look at sources: find them, know when each is due, and record what each look brings."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from reaper.clock import Clock
from reaper.core.decide import Decision
from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.history import History
from reaper.core.model import Collected, Poll, ResourceKey, ResourceRef
from reaper.core.verdict import Reason, Verdict
from reaper.daemon.metrics import Metrics
from reaper.daemon.recorder import Recorder
from reaper.daemon.rules import Rules
from reaper.errors import ReaperError
from reaper.plugins import Look, Provider, Source

__all__ = ["Looking", "Watch"]

BASELINE = timedelta(seconds=6)
"""How long before a deadline an extra look comes, so that sampled signals have a short interval that ends in
the fresh look: work that began after it can't hide in the average of a long one."""
AFTER_WORK = timedelta(seconds=5)
"""How soon to look again after work was found to have ended, so that the end is dated well, and after something
could not be told for the first time: often the next look can."""
_DISCOVERY = timedelta(seconds=10)

log = structlog.get_logger("reaper.look")


class Watch:
    """One source and when it is to be looked at."""

    def __init__(self, source: Source, provider: Provider, now: datetime) -> None:
        """Start to watch a source; it is due at once."""
        self.source = source
        self.provider = provider
        self.next_at = now
        self.last_at: datetime | None = None
        self.looking = asyncio.Lock()
        self.complete_once = False
        self.notes: set[str] = set()
        self._acts = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    def sooner(self, at: datetime) -> None:
        """Look at the latest then."""
        self.next_at = min(self.next_at, at)

    @contextmanager
    def acting(self) -> Iterator[Source]:
        """Give the source to act on it; it is not closed meanwhile."""
        self._acts += 1
        self._quiet.clear()
        try:
            yield self.source
        finally:
            self._acts -= 1
            if not self._acts:
                self._quiet.set()

    async def close(self, successor: Source | None = None) -> None:
        """Close the source once no look and no act uses it, and go on with another, if there is one."""
        async with self.looking:
            old, self.source = self.source, successor or self.source
            await self._quiet.wait()
            await old.close()


class Looking:
    """All sources of all providers."""

    def __init__(
        self,
        providers: tuple[Provider, ...],
        recorder: Recorder,
        rules: Rules,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """Start without sources; `discover` finds them."""
        self.providers = providers
        self.watches: dict[str, Watch] = {}
        self.required: set[str] = set()
        self.problems: dict[str, tuple[str, ...]] = {}
        self.discovered = False
        self.discover_at: datetime | None = None
        self._said_alone = False
        self._recorder = recorder
        self._rules = rules
        self._metrics = metrics
        self._clock = clock
        self._poll_id = recorder.world.last_poll_id
        self._memos: dict[str, dict[str, object]] = {}
        self._discovering = asyncio.Lock()
        self._doubtful: dict[ResourceRef, LedgerEntry] = {}

    @property
    def discovering(self) -> bool:
        """Whether sources are being looked for."""
        return self._discovering.locked()

    async def replace(self, providers: tuple[Provider, ...]) -> None:
        """Go on with other providers, after a reload: a source of the same name keeps its history."""
        async with self._discovering:  # one that is under way ends with the providers it began with
            old, self.providers = self.providers, providers
            await self._discover(self._clock.now())
        used = {id(watch.provider) for watch in self.watches.values()}
        for provider in old:
            if id(provider) not in used:
                await provider.close()

    def remember(self, memos: dict[str, dict[str, object]]) -> None:
        """Take what looks before a restart left for their providers."""
        self._memos.update(memos)

    async def discover(self, now: datetime) -> None:
        """Find sources that came and went; may take as long as a look."""
        async with self._discovering:
            await self._discover(now)

    async def _discover(self, now: datetime) -> None:
        unsure = set()
        for provider in self.providers:
            try:
                async with asyncio.timeout(self._rules.setup.look_deadline):
                    found = await provider.discover(now, self._memos)
            except (ReaperError, TimeoutError) as error:
                problem = str(error) or f"no answer within {self._rules.setup.look_deadline:g} s"
                self._report_problems(provider.name, (problem,))
                unsure.add(provider.name)
                continue
            self._report_problems(provider.name, found.problems)
            known = {name for name, watch in self.watches.items() if watch.provider is provider}
            names = {source.name for source in found.sources}
            for source in found.sources:
                await self._welcome(source, provider, now)
            if found.complete:
                journaled = {
                    h.source
                    for h in self._recorder.world.live.values()
                    if h.source.startswith(f"{provider.name}:")
                }
                for name in (known | journaled) - names:
                    await self._end(name, now)
            else:
                unsure.add(provider.name)
            self.required = {name for name in self.required if name not in known} | set(found.required)
        for name, watch in list(self.watches.items()):
            if watch.provider not in self.providers and watch.provider.name not in unsure:
                await self._end(name, now)
        self.discovered = True
        self._say_nothing_found()
        self.discover_at = self._clock.now() + min(_DISCOVERY, self._rules.setup.poll_interval)

    def _say_nothing_found(self) -> None:
        """Say once, in the log, that there is nothing to watch: who starts us should not have to ask."""
        alone = not self.watches and not any(self.problems.values())
        if alone and not self._said_alone:
            log.info(
                "nothing to watch yet",
                looks_again_in=f"{_DISCOVERY.total_seconds():g} s",
                ask="reaper doctor",
            )
        self._said_alone = alone

    def due(self, now: datetime) -> list[Watch]:
        """Give the sources that are to be looked at now and are not being looked at."""
        return [
            watch for watch in self.watches.values() if watch.next_at <= now and not watch.looking.locked()
        ]

    def next_at(self) -> datetime | None:
        """Give when the next look or discovery is due."""
        instants = [watch.next_at for watch in self.watches.values() if not watch.looking.locked()]
        if self.discover_at is not None and not self.discovering:
            instants.append(self.discover_at)
        return min(instants, default=None)

    def look_at_all(self, now: datetime) -> None:
        """Bring every look forward to now."""
        for watch in self.watches.values():
            watch.sooner(now)

    async def look(self, watch: Watch, refs: tuple[ResourceRef, ...] | None = None) -> Poll | None:
        """Look at one source and record it. None: the source has ended meanwhile."""
        async with watch.looking:
            if not self._watched(watch):
                return None
            at = self._clock.now()
            self._poll_id += 1
            look = Look(poll_id=self._poll_id, at=at, deadline=self._rules.setup.look_deadline, refs=refs)
            collected = await self._collect(watch.source, look)
            if not self._watched(watch):
                return None
            watch.last_at = at
            watch.next_at = at + (watch.source.interval or self._rules.setup.poll_interval)
            self._record(watch, collected)
        await self._recorder.flush()
        return collected.poll

    def schedule(self, decisions: Iterable[Decision], before: Mapping[ResourceKey, Decision]) -> None:
        """Bring looks forward for deadlines and for work that ended."""
        world, now = self._recorder.world, self._clock.now()
        for decision in decisions:
            history = world.live.get(decision.ref.key)
            watch = self.watches.get(history.source) if history else None
            if history is None or watch is None or watch.last_at is None:
                continue
            if decision.reason is Reason.SAMPLING and decision.wake_at is not None:
                watch.sooner(decision.wake_at)
            elif (baseline := _baseline_at(decision, history)) is not None and watch.last_at < baseline:
                watch.sooner(baseline)
            elif watch.source.interval is not None and decision.due_at is not None:
                watch.sooner(
                    max(decision.due_at, now)
                )  # a source that is seldom looked at: fresh when it is due
            if _work_ended_or_unseen(before.get(decision.ref.key), decision):
                watch.sooner(max(watch.last_at + AFTER_WORK, now))

    def doubt(self, entry: LedgerEntry) -> None:
        """Remember an act whose answer left it open whether it had an effect: a look will tell."""
        self._doubtful[entry.ref] = entry

    async def close(self) -> None:
        """Close all providers."""
        for provider in self.providers:
            await provider.close()

    def _watched(self, watch: Watch) -> bool:
        """Tell whether its source has not ended while we waited."""
        return self.watches.get(watch.name) is watch

    async def _welcome(self, source: Source, provider: Provider, now: datetime) -> None:
        watch = self.watches.get(source.name)
        if watch is None:
            self.watches[source.name] = Watch(source, provider, now)
            log.info("source found", source=source.name)
        elif watch.source is not source:  # the same place, another server or another way to it
            await watch.close(source)
            watch.provider = provider
            watch.sooner(now)
            log.info("source changed", source=source.name)

    async def _collect(self, source: Source, look: Look) -> Collected:
        try:
            async with asyncio.timeout(look.deadline * 1.5):
                return await source.collect(look)
        except TimeoutError:
            error = f"no complete look within {look.deadline * 1.5:g} s"
        except ReaperError as failure:
            error = str(failure)
        return Collected(
            poll=Poll(
                id=look.poll_id,
                source=source.name,
                started_at=look.at,
                finished_at=self._clock.now(),
                complete=False,
                error=error,
            )
        )

    def _record(self, watch: Watch, collected: Collected) -> None:
        poll, before = collected.poll, self._recorder.world.sources.get(watch.name)
        failing = before is not None and not before.last.complete
        if not poll.complete and (before is None or not failing):
            log.warning("source failed", source=watch.name, error=poll.error)
        elif poll.complete and failing:
            log.info("source recovered", source=watch.name)
        if poll.complete and poll.targets is None:  # another look need not have come so far
            watch.notes &= set(collected.notes)
        for note in collected.notes:
            if note not in watch.notes:
                watch.notes.add(note)
                log.warning("source noted", source=watch.name, note=note)
        if collected.memo is not None:
            self._memos[watch.name] = dict(collected.memo)
        delta = self._recorder.look(collected)
        for history in delta.appeared:
            log.info(
                "resource appeared",
                kind=history.ref.kind,
                id=history.ref.id,
                scope=history.ref.scope,
                name=history.resource.name,
            )
        for history in delta.gone:
            self._note_gone(history, poll.started_at)
        self._note_alive()
        watch.complete_once = watch.complete_once or poll.complete
        self._metrics.poll(watch.name, "complete" if poll.complete else "failed", poll.started_at)

    def _note_gone(self, history: History, at: datetime) -> None:
        ref, action = history.ref, history.action
        log.info("resource gone", kind=ref.kind, id=ref.id, scope=ref.scope, name=history.resource.name)
        if action is not None and action.state is ActionState.UNKNOWN:
            outcome = "gone at the next complete look"
            self._recorder.facts(replace(action, at=at, state=ActionState.SUCCEEDED, outcome=outcome))

    def _note_alive(self) -> None:
        """An act in doubt on what a complete look shows to be alive has failed, and is not repeated at once."""
        world = self._recorder.world
        for ref, entry in list(self._doubtful.items()):
            history = world.live.get(ref.key)
            if history is None or history.ref != ref:
                del self._doubtful[ref]
            elif history.action is not None and history.action.state is ActionState.SUCCEEDED:
                del self._doubtful[ref]  # a look found it stopped
            elif history.action is None:  # settled by this look
                del self._doubtful[ref]
                outcome = f"{entry.outcome}; a complete look shows that it had no effect"
                self._recorder.facts(
                    replace(entry, at=self._clock.now(), state=ActionState.FAILED, outcome=outcome)
                )

    async def _end(self, name: str, now: datetime) -> None:
        """A source is no more: so is everything in it."""
        watch = self.watches.pop(name, None)
        self._poll_id += 1
        poll = Poll(id=self._poll_id, source=name, started_at=now, finished_at=now, complete=True)
        delta = self._recorder.look(Collected(poll=poll, memo={}))
        for history in delta.gone:
            self._note_gone(history, now)
        self._memos.pop(name, None)
        self._metrics.forget_source(name)
        log.info("source ended", source=name)
        if watch is not None:
            await watch.close()

    def _report_problems(self, provider: str, problems: tuple[str, ...]) -> None:
        for problem in problems:
            if problem not in self.problems.get(provider, ()):
                log.warning("discovery failed", provider=provider, problem=problem)
        self.problems[provider] = problems


def _baseline_at(decision: Decision, history: History) -> datetime | None:
    """Give when a look should give sampled signals a baseline before the deadline; None: nothing is sampled."""
    if decision.due_at is None or not decision.enforced or not history.resource.required_signals:
        return None
    return decision.due_at - BASELINE


def _work_ended_or_unseen(before: Decision | None, decision: Decision) -> bool:
    if before is None:
        return False
    ended = before.reason is Reason.ACTIVE and decision.reason is not Reason.ACTIVE
    unseen = before.verdict is not Verdict.UNKNOWN and decision.verdict is Verdict.UNKNOWN
    return ended or unseen
