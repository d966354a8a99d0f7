"""Tell people: before a reap, after it, and when reaper itself is blind or blocked."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from reaper.clock import Clock
from reaper.core.decide import Decision
from reaper.core.durations import format_duration
from reaper.core.facts import ActionState, LedgerEntry, MassTripped, NoticeGiven
from reaper.core.guards import WARNING
from reaper.core.history import History
from reaper.core.naming import qualified
from reaper.core.report import reason_text, resource_document
from reaper.core.ruleset import Mode
from reaper.core.verdict import Reason, Verdict
from reaper.daemon.recorder import Recorder
from reaper.errors import NotifyError
from reaper.plugins import Notice, Notifier

__all__ = ["Notices"]

BLIND, BLOCKED = "blind", "blocked"
_OUTCOMES = {
    ActionState.SUCCEEDED: ("reaped", "done"),
    ActionState.UNKNOWN: ("unclear", "had no clear outcome; the next look will tell"),
}
"""Topic and words of what became of an act; everything else has failed."""

log = structlog.get_logger("reaper.notify")


class Notices:
    """Makes notices, gives them to the notifiers, and records what became of them."""

    def __init__(self, notifiers: Sequence[Notifier], recorder: Recorder, clock: Clock) -> None:
        """Start with the configured notifiers."""
        self.notifiers = tuple(notifiers)
        self._recorder = recorder
        self._clock = clock
        self._under_way: set[tuple[object, ...]] = set()

    def wanted(self, decisions: Sequence[Decision]) -> list[tuple[str, Decision]]:
        """Give the notices that these decisions ask for and that are not under way, as (topic, decision)."""
        found = []
        for decision in decisions:
            if decision.notify:
                found.append((WARNING, decision))
            if decision.blind and not self._given(decision, BLIND):
                found.append((BLIND, decision))
            if decision.reason is Reason.BLOCKED and not self._given(decision, BLOCKED):
                found.append((BLOCKED, decision))
        return [
            (topic, decision) for topic, decision in found if _key(topic, decision) not in self._under_way
        ]

    async def give(self, topic: str, decision: Decision, then: Callable[[], None]) -> None:
        """Send one notice about a resource, record what became of it, and call `then`."""
        key = _key(topic, decision)
        history = self._recorder.world.live.get(decision.ref.key)
        if history is None or history.ref != decision.ref or key in self._under_way:
            return
        self._under_way.add(key)
        try:
            notice = self._notice(topic, history, decision)
            delivered, channels, error = await self.send(notice, earnest=decision.enforced)
            fact = NoticeGiven(
                at=self._clock.now(),
                ref=decision.ref,
                policy=decision.policy or "",
                topic=topic,
                delivered=delivered,
                channels=channels,
                error=error,
            )
            self._recorder.facts(fact)
            await self._recorder.flush()
        finally:
            self._under_way.discard(key)
        then()

    async def tell_outcome(self, entry: LedgerEntry, history: History, decision: Decision) -> None:
        """Tell people what was done, could not be done, or may have been done."""
        topic, ended = _OUTCOMES.get(entry.state, ("failed", "failed"))
        what = f"{entry.action} of {entry.ref.kind} {history.resource.name}"
        notice = Notice(
            topic=topic,
            at=entry.at,
            subject=f"reaper: {what} {ended}",
            text=f"{what} at {entry.ref.scope}: {entry.outcome}. Why: {reason_text(decision)}.",
            mode=(Mode.ENFORCE if decision.enforced else Mode.DRY_RUN).value,
            resource=resource_document(self._recorder.world, history, decision, entry.at),
        )
        await self.send(notice, earnest=decision.enforced)

    async def tell_trip(self, trip: MassTripped) -> None:
        """Tell people that most of a scope became due at once, so that nothing is done there until somebody looked."""
        number = f"{trip.newly} of {trip.total} {trip.kind} in {trip.scope}"
        log.warning("mass trip", kind=trip.kind, scope=trip.scope, newly=trip.newly, total=trip.total)
        notice = Notice(
            topic="mass_trip",
            at=trip.at,
            subject=f"reaper: {number} became due at once; none is reaped",
            text=(
                f"{number} became due at once by {', '.join(trip.policies)}. That is more likely an error than "
                "idleness, so nothing of it is reaped there until a person has looked: 'reaper status', then "
                "'reaper resume'."
            ),
            mode=Mode.ENFORCE.value,
            actions=(("let them go", "reaper resume"), ("what they are", "reaper status")),
        )
        await self.send(notice, earnest=True)

    async def send(self, notice: Notice, *, earnest: bool) -> tuple[bool, tuple[str, ...], str]:
        """Give a notice to every notifier at once; in dry run to the log alone.

        Returns:
            Whether it counts as delivered, the addresses that took it, and what the others said.
        """
        chosen = [one for one in self.notifiers if earnest or not one.counts_as_delivery]
        results = await asyncio.gather(*(one.notify(notice) for one in chosen), return_exceptions=True)
        took, errors = [], []
        for notifier, result in zip(chosen, results, strict=True):
            if isinstance(result, NotifyError):
                errors.append(f"{notifier.address}: {result}")
                log.warning(
                    "notice not delivered", address=notifier.address, topic=notice.topic, error=str(result)
                )
            elif isinstance(result, BaseException):
                raise result
            else:
                took.append(notifier)
        delivered = any(one.counts_as_delivery for one in took) or not earnest
        return delivered, tuple(one.address for one in took), "; ".join(errors)

    async def replace(self, notifiers: Sequence[Notifier]) -> None:
        """Go on with other notifiers, after a reload."""
        old, self.notifiers = self.notifiers, tuple(notifiers)
        for notifier in old:
            await notifier.close()

    async def close(self) -> None:
        """Close all notifiers."""
        for notifier in self.notifiers:
            await notifier.close()

    def _given(self, decision: Decision, topic: str) -> bool:
        history = self._recorder.world.live.get(decision.ref.key)
        return history is None or any(kind == topic for _, kind in (*history.notices, *history.attempts))

    def _notice(self, topic: str, history: History, decision: Decision) -> Notice:
        now = self._clock.now()
        name, ref = history.resource.name, history.ref
        due = _act_at(decision)
        what = f"{ref.kind} {name} at {ref.scope}"
        named = qualified(ref.key, list(self._recorder.world.live.values()))
        verb = decision.action or "act"
        if topic == WARNING:
            when = f"in {_span(due, now)}" if due is not None and due > now else "now"
            subject = f"reaper: {name} will be reaped ({verb}) {when}"
            text = f"{what}: {_since(decision)}. It will be reaped ({verb}) {when} unless it is used or held."
        elif topic == BLIND:
            state = "unknown" if decision.verdict is Verdict.UNKNOWN else "vetoed"
            subject = f"reaper: {name} has been {state} for over a day"
            why = f"{what}: {reason_text(decision)}, since {_instant(decision.blind_since)}"
            text = f"{why}. It may cost money unseen: see 'reaper explain {named}'."
        else:
            subject = f"reaper: the warning about {name} could not be delivered for a day"
            why = f"{what} is due, but is not reaped because nobody could be warned"
            text = f"{why}: {reason_text(decision)}. See 'reaper doctor'."
        return Notice(
            topic=topic,
            at=now,
            subject=subject,
            text=text,
            mode=(Mode.ENFORCE if decision.enforced else Mode.DRY_RUN).value,
            resource=resource_document(self._recorder.world, history, decision, now),
            due_at=due,
            actions=(
                ("keep it for 2 hours", f"reaper hold {named} --for 2h"),
                ("why", f"reaper explain {named}"),
            ),
        )


def _key(topic: str, decision: Decision) -> tuple[object, ...]:
    return topic, decision.ref, decision.policy


def _act_at(decision: Decision) -> datetime | None:
    due = [
        finding.due_at
        for finding in decision.findings
        if finding.policy == decision.policy and finding.due_at is not None
    ]
    return decision.due_at or min(due, default=None)


def _since(decision: Decision) -> str:
    """Say what the reap to come rests on."""
    if decision.reason in (Reason.LADDER, Reason.LADDER_WAITS):
        return f"policy {decision.policy} acted on it at {_instant(decision.since)}"
    spoken = next((f for f in decision.findings if f.policy == decision.policy), None)
    if spoken is not None and spoken.evidence:
        return f"it has been idle since {_instant(decision.since)}"
    return f"{reason_text(decision)}, since {_instant(decision.since)}"


def _span(due: datetime, now: datetime) -> str:
    return format_duration(timedelta(seconds=round((due - now).total_seconds())))


def _instant(at: datetime | None) -> str:
    return "an unknown time" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
