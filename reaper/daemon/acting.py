"""Act: a fresh look, the same decision again, STARTED in the journal, the act, its outcome in the journal.

A crash at any point leaves at most one act on a life without a recorded outcome, and that one is looked
at before anything else is done to it.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from reaper.clock import Clock
from reaper.core.budget import Spending
from reaper.core.decide import Decision, decide_one
from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.family import Families, seen_since
from reaper.core.ladder import rung
from reaper.core.model import ResourceRef
from reaper.core.plan import PlanItem, limited
from reaper.core.verdict import Verdict
from reaper.daemon.looking import BASELINE, Looking, Watch
from reaper.daemon.metrics import Metrics
from reaper.daemon.notices import Notices
from reaper.daemon.recorder import Recorder
from reaper.daemon.rules import Rules
from reaper.errors import ActionDenied, ActionUnavailable, CollectError, JournalError, OutcomeUnknown
from reaper.plugins import UNDER_WAY, Permitting

__all__ = ["Acting", "Outcome"]

_RECENT = 2 * BASELINE
"""How old the look before the fresh one may be, so that what is sampled between the two is the present."""
_AT_ONCE = 8
"""Acts at the same time: a kernel that ignores signals takes 5 s to end, and must not hold up the others."""

log = structlog.get_logger("reaper.act")

Outcome = tuple[ResourceRef, str, str]
"""What became of one item: the resource, `succeeded|failed|unknown|abandoned`, and a line for a person."""


class Acting:
    """Carries out plans."""

    def __init__(
        self,
        *,
        looking: Looking,
        recorder: Recorder,
        rules: Rules,
        notices: Notices,
        metrics: Metrics,
        clock: Clock,
        check_clock: Callable[[], None],
        check_switches: Callable[[], Awaitable[object]],
        spawn: Callable[[Coroutine[None, None, None]], object],
    ) -> None:
        """Take the parts of the daemon it works with; `spawn` starts a task of the supervisor's."""
        self.draining = False
        self._looking = looking
        self._recorder = recorder
        self._rules = rules
        self._notices = notices
        self._metrics = metrics
        self._clock = clock
        self._check_clock = check_clock
        self._check_switches = check_switches
        self._spawn = spawn
        self._claimed: set[ResourceRef] = set()
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    @property
    def under_way(self) -> int:
        """How many resources are being looked at again or acted on."""
        return len(self._claimed)

    def adopt_orphans(self) -> None:
        """After a restart: an act that was started and has no outcome may or may not have happened."""
        for history in self._recorder.world.live.values():
            action = history.action
            if action is not None and action.state is ActionState.STARTED:
                outcome = "reaper ended before the outcome was recorded; looking again"
                log.warning(
                    "action without outcome found",
                    kind=action.ref.kind,
                    id=action.ref.id,
                    action_id=action.action_id,
                )
                self._recorder.facts(
                    replace(action, at=self._clock.now(), state=ActionState.UNKNOWN, outcome=outcome)
                )

    async def reap(self, decisions: Sequence[Decision], *, approved: bool = False) -> list[Outcome]:
        """Act on what was decided, each after a fresh look that must agree.

        Args:
            decisions: REAP decisions without vetoes.
            approved: A person approved them (`apply`), so the mode does not matter.
        """
        mine = [decision for decision in decisions if decision.ref not in self._claimed]
        self._claimed.update(decision.ref for decision in mine)
        try:
            by_watch: dict[str, list[Decision]] = {}
            for decision in mine:
                history = self._recorder.world.live.get(decision.ref.key)
                by_watch.setdefault(history.source if history else "", []).append(decision)
            batches = [self._reap_in(name, group, approved=approved) for name, group in by_watch.items()]
            return [outcome for batch in await asyncio.gather(*batches) for outcome in batch]
        finally:
            self._claimed.difference_update(decision.ref for decision in mine)

    async def denied(self, items: Sequence[PlanItem]) -> dict[ResourceRef, str]:
        """Ask the sources that can tell which acts they would not be let do, and why."""

        async def ask(item: PlanItem) -> tuple[ResourceRef, str | None]:
            history = self._recorder.world.live.get(item.decision.ref.key)
            watch = self._looking.watches.get(history.source) if history is not None else None
            if watch is None or not isinstance(watch.source, Permitting):
                return item.decision.ref, None
            try:
                async with self._at_once, asyncio.timeout(self._rules.setup.look_deadline):
                    return item.decision.ref, await watch.source.may(item.resource, item.action)
            except (CollectError, TimeoutError) as error:
                log.info("permission not checked", id=item.decision.ref.id, error=str(error) or "no answer")
                return item.decision.ref, None

        return {ref: why for ref, why in await asyncio.gather(*map(ask, items)) if why is not None}

    def claimed(self, ref: ResourceRef) -> bool:
        """Tell whether it is being looked at again or acted on."""
        return ref in self._claimed

    async def _reap_in(self, name: str, group: list[Decision], *, approved: bool) -> list[Outcome]:
        watch = self._looking.watches.get(name)
        if watch is None:
            return [(decision.ref, "abandoned", "its source has ended") for decision in group]
        refs = tuple(decision.ref for decision in group)
        await self._check_switches()
        before, asked_at = watch.last_at, self._clock.now()
        await self._look_again(watch, refs)
        if self._averaged(group, before):
            await asyncio.sleep(BASELINE.total_seconds())
            asked_at = self._clock.now()
            await self._look_again(watch, refs)
        looked_at = self._clock.now()
        return list(
            await asyncio.gather(
                *(self._reap_one(watch, one, asked_at, looked_at, approved=approved) for one in group)
            )
        )

    async def _look_again(self, watch: Watch, refs: tuple[ResourceRef, ...]) -> None:
        """Look at resources, and at all that may live in them."""
        live = self._recorder.world.live
        prefixes = {live[ref.key].resource.children_from for ref in refs if ref.key in live} - {""}
        inside = [w for w in self._looking.watches.values() if w.name.startswith(tuple(prefixes))]
        await asyncio.gather(
            self._looking.look(watch, refs), *(self._looking.look(one) for one in inside if one is not watch)
        )

    def _averaged(self, group: list[Decision], before: datetime | None) -> bool:
        """Tell whether the fresh look's sampled signals speak of a long time, in which the last seconds don't show.

        Work that began a minute ago is a tenth of ten minutes' mean. Deadlines have a look shortly before them;
        what was due already (after a restart, a pause, from cron, approved by a person) has not.
        """
        if before is not None and self._clock.now() - before <= _RECENT:
            return False
        live = self._recorder.world.live
        return any((h := live.get(one.ref.key)) is not None and h.resource.required_signals for one in group)

    async def _reap_one(
        self, watch: Watch, planned: Decision, asked_at: datetime, looked_at: datetime, *, approved: bool
    ) -> Outcome:
        async with self._at_once:
            if self.draining:
                return planned.ref, "abandoned", "reaper is stopping"
            waited = self._clock.now() - looked_at
            if waited.total_seconds() > 1:  # it stood in line: its look is not fresh any more
                asked_at = self._clock.now()
                await self._look_again(watch, (planned.ref,))
            decision = self._confirm(planned, asked_at, approved=approved)
            if isinstance(decision, str):
                self._abandon(planned, decision)
                await self._recorder.flush()
                return planned.ref, "abandoned", decision
            return await self._act(watch, decision)

    def _confirm(self, planned: Decision, asked_at: datetime, *, approved: bool) -> Decision | str:
        """Decide again on the fresh look. Gives the decision to act on, or why not. Takes from the budgets."""
        self._check_clock()
        world, now = self._recorder.world, self._clock.now()
        decision = decide_one(world, self._rules.ruleset, now, planned.ref)
        if decision is None:
            return "it is gone, or lives another life"
        history = world.live[planned.ref.key]
        if history.last_seen_at < asked_at:
            return f"the fresh look did not see it: {history.failure or 'no look'}"
        prefix = history.resource.children_from
        if prefix and not seen_since(world, prefix, asked_at):
            return "the fresh look did not see what lives in it"
        if decision.to_act:
            spending = Spending(budgets=self._rules.ruleset.budgets, recent=world.recent_actions, now=now)
            veto = spending.take(decision.ref.kind, decision.ref.scope, history.resource.hourly_cost)
            decision = decision if veto is None else limited(decision, veto)
        if not decision.to_act or decision.action != planned.action:
            return f"the fresh look says {decision.verdict.value}: {decision.reason.prose}"
        if Families(world=world, children=world.children(), now=now).before(history):
            return "something that goes before it is still there"
        if not decision.enforced and not approved:
            return "it is a dry run now"
        policy = self._rules.ruleset.policy(decision.policy or "")
        if not decision.enforced and policy is not None and rung(history, policy).notice_gap is not None:
            return "a warning must be delivered first, and in dry run nobody is warned but the log"
        if not self._recorder.healthy:
            return f"the journal can't be written: {self._recorder.failure}"
        return decision

    def _abandon(self, planned: Decision, why: str) -> None:
        log.info("reap abandoned", kind=planned.ref.kind, id=planned.ref.id, why=why)
        self._recorder.facts(
            LedgerEntry(
                at=self._clock.now(),
                action_id=_action_id(planned),
                state=ActionState.ABANDONED,
                ref=planned.ref,
                action=planned.action or "",
                policy=planned.policy or "",
                decision_id=planned.id,
                outcome=why,
            )
        )
        self._metrics.acted(planned.ref.kind, planned.action or "", "abandoned")

    async def _act(self, watch: Watch, decision: Decision) -> Outcome:
        world = self._recorder.world
        history = world.live[decision.ref.key]
        resource = history.resource  # as it was decided on: a look may come while the journal is written
        started = LedgerEntry(
            at=self._clock.now(),
            action_id=_action_id(decision),
            state=ActionState.STARTED,
            ref=decision.ref,
            action=decision.action or "",
            policy=decision.policy or "",
            decision_id=decision.id,
            outcome=decision.reason.prose,
            due_at=_due_at(decision),
            hourly_cost=history.resource.hourly_cost,
            name=history.resource.name,
            owner=history.resource.owner,
            price_source=str(history.resource.attributes.get("price_source") or ""),
        )
        self._recorder.facts(started, decisions=(decision,))
        try:
            await self._recorder.durable()
        except JournalError as error:
            self._finish(
                started, ActionState.ABANDONED, f"not started, since the journal can't be written: {error}"
            )
            return decision.ref, "abandoned", str(error)
        if started.due_at is not None:
            self._metrics.lag((self._clock.now() - started.due_at).total_seconds())
        log.info(
            "reaping",
            kind=decision.ref.kind,
            id=decision.ref.id,
            scope=decision.ref.scope,
            action=started.action,
            why=decision.reason.value,
        )
        try:
            async with asyncio.timeout(self._rules.setup.action_deadline):
                UNDER_WAY.set(started)  # of this task alone
                with watch.acting() as source:
                    done = await source.act(resource, started.action)
            freed = started if done.ours else replace(started, hourly_cost=0.0)
            entry = self._finish(freed, ActionState.SUCCEEDED, done.detail)
        except (ActionDenied, ActionUnavailable) as error:
            entry = self._finish(started, ActionState.FAILED, str(error))
        except (OutcomeUnknown, TimeoutError) as error:
            entry = self._finish(
                started,
                ActionState.UNKNOWN,
                str(error) or f"no answer within {self._rules.setup.action_deadline:g} s",
            )
            self._looking.doubt(entry)
        except asyncio.CancelledError:
            self._finish(started, ActionState.UNKNOWN, "reaper stopped before the answer came")
            await asyncio.shield(self._recorder.flush())
            raise
        watch.sooner(self._clock.now())
        await asyncio.shield(self._recorder.flush())
        self._spawn(self._notices.tell_outcome(entry, history, decision))
        return decision.ref, entry.state.value.lower(), entry.outcome

    def _finish(self, started: LedgerEntry, state: ActionState, outcome: str) -> LedgerEntry:
        entry = replace(started, at=self._clock.now(), state=state, outcome=outcome)
        self._recorder.facts(entry)
        self._metrics.acted(entry.ref.kind, entry.action, state.value.lower())
        report = log.info if state is ActionState.SUCCEEDED else log.warning
        report(
            "action ended",
            kind=entry.ref.kind,
            id=entry.ref.id,
            action=entry.action,
            state=state.value,
            outcome=outcome,
        )
        return entry


def _action_id(decision: Decision) -> str:
    return hashlib.sha256(f"action|{decision.id}".encode()).hexdigest()[:16]


def _due_at(decision: Decision) -> datetime | None:
    due = [
        f.due_at
        for f in decision.findings
        if f.policy == decision.policy and f.verdict is Verdict.REAP and f.due_at
    ]
    return min(due, default=None)
