"""Warnings before a reap: whether one was delivered for this deadline, and when the next try is due. Pure.

A warning counts for one deadline only. Activity since then, a deadline that moved, a hold or pause that
ran out in between, or rules that apply only since then make it void, and another one is due.
"""

from datetime import datetime, timedelta

from reaper.core.candidate import Candidate
from reaper.core.holds import tag_holds
from reaper.core.verdict import Finding

__all__ = ["WARNING", "notice_blocked_since", "notice_delivered_at", "notice_retry_at"]

WARNING = "warning"
_RETRY_FIRST, _RETRY_LONGEST = timedelta(seconds=30), timedelta(minutes=15)
_SAME_DEADLINE = timedelta(minutes=1)
"""How far a deadline may move (a clock is corrected, a time is rounded) and still be the one that was told."""


def notice_delivered_at(candidate: Candidate) -> datetime | None:
    """Give when the warning of this deadline was delivered; None: it was not, or is void. Pure."""
    c = candidate
    notice = c.history.notices.get((c.policy.name, WARNING))
    if notice is None or _outdated(notice.at, c.finding):
        return None
    applied, due = c.applied_at, c.finding.due_at
    if applied is None or notice.at < applied:
        return None
    if due is not None and notice.at < due - c.policy.notice_lead - _SAME_DEADLINE:
        return None
    return None if _suspended_after(notice.at, c) else notice.at


def notice_retry_at(candidate: Candidate) -> datetime | None:
    """Give when an undelivered warning is to be tried again; None: it was not tried since activity. Pure."""
    attempt = candidate.history.attempts.get((candidate.policy.name, WARNING))
    if attempt is None or _outdated(attempt[1], candidate.finding):
        return None
    _, last, count = attempt
    wait: timedelta = min(_RETRY_LONGEST, _RETRY_FIRST * 2 ** min(count - 1, 10))
    return last + wait


def notice_blocked_since(candidate: Candidate) -> datetime | None:
    """Give since when the warning of this deadline can't be delivered; None: no try of it failed. Pure."""
    attempt = candidate.history.attempts.get((candidate.policy.name, WARNING))
    if attempt is None or _outdated(attempt[1], candidate.finding):
        return None
    since = candidate.finding.since
    return attempt[0] if since is None else max(attempt[0], since)


def _outdated(at: datetime, finding: Finding) -> bool:
    return finding.since is not None and finding.since > at


def _suspended_after(at: datetime, c: Candidate) -> bool:
    """Tell whether it was held, or everything paused, after an instant: people count on another warning."""
    pause = c.world.paused
    if pause is not None and pause.at <= c.now and (pause.until is None or pause.until > at):
        return True
    for hold in c.world.holds.values():
        ends = hold.expires_at
        if hold.starts_at <= c.now and (ends is None or ends > at) and hold.matcher.matches(c.history.ref):
            return True
    return any(ends is None or ends > at for _, ends in tag_holds(c.history))
