"""What becomes of one resource by one policy: vetoes, warning, and when each of it can change. Pure.

`decide` considers every policy of a resource, and lets one of them speak for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from reaper.core.candidate import Candidate
from reaper.core.guards import vetoes
from reaper.core.ruleset import QuietHours
from reaper.core.verdict import Finding, Reason, Verdict, Veto, merge
from reaper.core.warning import notice_retry_at

__all__ = ["Outlook", "blind_since", "consider", "earnest", "instants", "speaker"]

_SILENCING = (Reason.HELD, Reason.PAUSED, Reason.PROTECTED, Reason.MASS_TRIP)
"""Vetoes that people made: nobody is warned of what they prevent."""
_STAYS = (
    Reason.PROTECTED,
    Reason.PAUSED,
    Reason.MASS_TRIP,
    Reason.ACTION_NOT_ALLOWED,
    Reason.BLOCKED,
    Reason.AUTO_SCALING,
    Reason.SERVICE_MANAGED,
    Reason.RESERVED_CAPACITY,
    Reason.INSTANCE_STORE,
    Reason.ONE_TIME_SPOT,
    Reason.STOP_PROTECTION,
    Reason.TERMINATION_PROTECTION,
    Reason.HIBERNATION_UNSUPPORTED,
    Reason.OBSTACLE,
    Reason.WOULD_BE_DENIED,
)
"""Vetoes without an end that will still stand when something that waits is due, if nothing happens."""


_UNTOLD = (Reason.NOTICE_UNDELIVERED, Reason.BLOCKED)
"""Vetoes that a delivered warning ends."""


@dataclass(slots=True, kw_only=True)  # made and dropped for each resource of a tick: frozen costs twice
class Outlook:
    """One policy's finding on one resource, weighed.

    Attributes:
        candidate: The resource and the policy.
        standing: What stands against the reap: now, or when a resource that waits will be due.
        act_at: The earliest instant at which it could be reaped if nothing happens; may be past.
        notify: A warning is to be sent now.
        wakes: Instants at which something about it changes by time alone; may be past.
    """

    candidate: Candidate
    standing: tuple[Veto, ...] = ()
    act_at: datetime | None = None
    notify: bool = False
    wakes: tuple[datetime, ...] = ()

    @property
    def finding(self) -> Finding:
        """What the policy's rule found."""
        return self.candidate.finding


def consider(candidate: Candidate) -> Outlook:
    """Ask the guards, foresee the act, and see whether a warning is due. Pure."""
    finding, now = candidate.finding, candidate.now
    wakes: tuple[datetime, ...] = () if finding.due_at is None else (finding.due_at,)
    if finding.verdict is Verdict.KEEP or finding.verdict is Verdict.UNKNOWN:
        return Outlook(candidate=candidate, wakes=wakes)
    against = vetoes(candidate)
    if finding.verdict is Verdict.REAP or not against:
        standing = against
    else:
        standing = tuple([veto for veto in against if _outlasts(veto, finding)])
    foreseen = _foresee(candidate, standing)
    if standing:
        wakes = (*wakes, *[veto.until for veto in standing if veto.until is not None])
    if not [veto for veto in against if veto.reason in _UNTOLD]:
        return Outlook(candidate=candidate, standing=standing, act_at=foreseen, wakes=wakes)
    behind = any(veto.reason is Reason.EVIDENCE_BEHIND for veto in standing)
    told_of = (
        _foresee(candidate, [veto for veto in standing if veto.reason is not Reason.EVIDENCE_BEHIND])
        if behind
        else foreseen
    )
    tell_at = _tell_at(candidate, against, told_of)
    if tell_at is not None and _settled(finding):
        wakes = (*wakes, tell_at)
    return Outlook(
        candidate=candidate,
        standing=standing,
        act_at=_after_telling(candidate, standing, foreseen, tell_at),
        notify=tell_at is not None and now >= tell_at and _settled(finding),
        wakes=wakes,
    )


def speaker(outlooks: Sequence[Outlook]) -> Outlook | None:
    """Choose the policy that speaks for all. Pure. None: there is none.

    The findings are merged; but a policy that can't reap now never stops another that can, and one
    whose warning is due speaks until it is sent.
    """
    if len(outlooks) == 1:
        return outlooks[0]
    merged = merge([outlook.finding for outlook in outlooks])
    chosen = next((outlook for outlook in outlooks if outlook.finding is merged), None)
    if chosen is None or chosen.finding.verdict is Verdict.KEEP:
        return chosen
    reaping = [outlook for outlook in outlooks if outlook.finding.verdict is Verdict.REAP]
    free = [outlook for outlook in sorted(reaping, key=_due_first) if not outlook.standing]
    telling = [outlook for outlook in outlooks if outlook.notify]
    return (free or telling or [chosen])[0]


def earnest(outlooks: Sequence[Outlook]) -> Sequence[Outlook]:
    """Leave out policies in dry run beside others that are not: what is only shown hides no deed. Pure.

    A KEEP always counts.
    """
    if len(outlooks) == 1:
        return outlooks
    left = [o for o in outlooks if o.candidate.enforced or o.finding.verdict is Verdict.KEEP]
    return left or outlooks


def instants(
    outlooks: Sequence[Outlook], chosen: Outlook, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """Give the earliest later instants at which it could be reaped, and at which anything changes. Pure."""
    wake_at = act_at = None
    for outlook in outlooks:
        for at in outlook.wakes:
            if at > now and (wake_at is None or at < wake_at):
                wake_at = at
        acts = outlook.act_at
        if acts is not None and acts > now and (act_at is None or acts < act_at):
            act_at = acts
    verdict = chosen.finding.verdict
    if verdict is Verdict.KEEP or (verdict is Verdict.REAP and not chosen.standing):
        act_at = None
    return act_at, wake_at


def blind_since(outlook: Outlook) -> datetime | None:
    """Give since when a resource is unknown or vetoed while this policy watched it. Pure. None: it is not."""
    c, finding = outlook.candidate, outlook.finding
    if finding.verdict is Verdict.UNKNOWN:
        return finding.since or c.history.first_seen_at
    if finding.verdict is not Verdict.REAP:
        return None
    if not [veto for veto in outlook.standing if veto.reason is not Reason.CLOCK_JUMP]:
        return None
    watched = c.applied_at or c.now
    return max(finding.due_at or finding.since or watched, c.history.first_seen_at, watched)


def _outlasts(veto: Veto, finding: Finding) -> bool:
    """Tell whether a veto of now will still stand when a waiting resource is due."""
    if veto.reason is Reason.HELD:
        return True
    if veto.until is None:
        return veto.reason in _STAYS
    return finding.due_at is None or veto.until > finding.due_at


def _foresee(c: Candidate, standing: Sequence[Veto]) -> datetime | None:
    """Give when nothing but a missing warning will stand against it any more; None: that is open."""
    if c.finding.verdict is Verdict.WAIT and c.finding.due_at is None:
        return None
    at = c.finding.due_at or c.now
    for veto in standing:
        if veto.reason in _UNTOLD:
            continue
        if veto.until is None:
            return None
        at = max(at, veto.until)
    quiet = c.ruleset.guards.quiet_hours
    return _after_quiet_hours(quiet, at) if quiet and at > c.now else at


def _after_quiet_hours(hours: Sequence[QuietHours], at: datetime) -> datetime:
    for _ in range(len(hours) + 1):  # the end of one may lie in another
        ends = [end for one in hours if (end := one.until(at)) is not None]
        if not ends:
            break
        at = max(ends)
    return at


def _tell_at(c: Candidate, against: Sequence[Veto], foreseen: datetime | None) -> datetime | None:
    """Give when the next try to warn is due; None: no act can be foreseen that it could be about."""
    if foreseen is None:
        return None
    at = foreseen - c.policy.notice_lead
    retry = notice_retry_at(c)
    if retry is not None and retry > at:
        at = retry
    for veto in against:
        if veto.until is not None and veto.until > at and veto.reason in _SILENCING:
            at = veto.until
    return at


def _settled(finding: Finding) -> bool:
    """Tell whether a deadline is worth a warning: one that every look moves is not."""
    return finding.verdict is Verdict.REAP or finding.since is not None


def _after_telling(
    c: Candidate, standing: Sequence[Veto], foreseen: datetime | None, tell_at: datetime | None
) -> datetime | None:
    gap = c.policy.notice_gap
    blocked = any(veto.reason is Reason.BLOCKED for veto in standing)
    if blocked or foreseen is None or tell_at is None or gap is None:
        return None
    return max(foreseen, max(tell_at, c.now) + gap)


def _due_first(outlook: Outlook) -> tuple[bool, datetime]:
    due = outlook.finding.due_at
    return due is None, due or outlook.candidate.now
