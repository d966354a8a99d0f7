"""Who is covered: whose running apps have a reaper that would end them. Pure.

Which reaper judges which app follows from the Studio provider: a KernelGateway app is judged from its owner's
JupyterServer app, a JupyterLab or Code Editor app from inside itself alone, a Canvas app from any of its owner's apps,
by a reaper that goes through SageMaker's API.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from reaper.clients.studio.apps import SYSTEM
from reaper.clients.studio.heartbeat import EVERY, Heartbeat, read_heartbeat
from reaper.clients.studio.survey import CARRIERS, Owner, SeenApp, SeenDomain
from reaper.core.durations import format_duration

__all__ = ["Coverage", "Covered", "OwnerCoverage", "judge"]

FRESH = 3 * EVERY
"""A heartbeat that is older is none: a reaper that missed two in a row may be gone."""

SETTLE = timedelta(minutes=15)
"""How long an app may be without a heartbeat after its start: a lifecycle script installs in the background, within 5
minutes, and the first heartbeat comes with the first look."""

_AHEAD = EVERY
"""How far ahead of our clock a heartbeat may lie. Clocks differ, but not by more."""


class Coverage(StrEnum):
    """Whether somebody is covered; the first of them that holds for an app holds for its owner."""

    UNCOVERED = "uncovered"
    UNKNOWN = "unknown"
    STARTING = "starting"
    COVERED = "covered"
    BEYOND = "beyond"
    """What runs is of a type that reaper never ends."""
    IDLE = "idle"
    """Nothing runs that costs anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """One app.

    Attributes:
        seen: The app.
        coverage: Whether a reaper would end it; None where it needs none, as it costs nothing.
        reason: Why, for people.
    """

    seen: SeenApp
    coverage: Coverage | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerCoverage:
    """A user profile or a space.

    Attributes:
        domain: Where it is.
        owner: Whose.
        coverage: That of the app that is worst off.
        reason: Why, for people.
        heartbeat: The latest that could be read; None: there is none.
        apps: Every app that is not gone.
    """

    domain: SeenDomain
    owner: Owner
    coverage: Coverage
    reason: str
    heartbeat: Heartbeat | None
    apps: tuple[Covered, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carrier:
    """An app that a reaper may run in, and what that reaper said."""

    seen: SeenApp
    beat: Heartbeat | None
    coverage: Coverage
    reason: str


def judge(domain: SeenDomain, now: datetime) -> tuple[OwnerCoverage, ...]:
    """Judge every owner of a domain."""
    return tuple(_owner(domain, owner, now) for owner in domain.owners)


def _owner(domain: SeenDomain, owner: Owner, now: datetime) -> OwnerCoverage:
    seen = [one for one in domain.apps if one.owner == (owner.kind, owner.name)]
    carriers = [_carrier(one, now) for one in seen if one.app.app_type in CARRIERS]
    apps = tuple(_app(one, carriers) for one in seen)
    told = [one for one in apps if one.coverage is not None]
    order = list(Coverage)
    worst = min(told, key=lambda one: order.index(one.coverage or Coverage.IDLE), default=None)
    beats = [carrier.beat for carrier in carriers if carrier.beat is not None]
    coverage, reason = Coverage.IDLE, "nothing runs that costs anything"
    if worst is not None and worst.coverage is not None:
        coverage, reason = worst.coverage, worst.reason
    elif not domain.listed:
        coverage, reason = Coverage.UNKNOWN, "its apps could not be listed"
    return OwnerCoverage(
        domain=domain,
        owner=owner,
        coverage=coverage,
        reason=reason,
        heartbeat=max(beats, key=lambda beat: beat.at, default=None),
        apps=apps,
    )


def _app(seen: SeenApp, carriers: Sequence[_Carrier]) -> Covered:
    app = seen.app
    if app.app_type == "JupyterServer" or (app.instance_type == SYSTEM and app.app_type != "Canvas"):
        return Covered(seen=seen, coverage=None)
    match app.app_type:
        case "JupyterLab" | "CodeEditor":
            fit = [carrier for carrier in carriers if carrier.seen is seen]
        case "KernelGateway":
            fit = [carrier for carrier in carriers if carrier.seen.app.app_type == "JupyterServer"]
            if not fit:
                return Covered(
                    seen=seen,
                    coverage=Coverage.UNCOVERED,
                    reason="its owner has no JupyterServer app, where its reaper would be",
                )
        case "Canvas":
            return _canvas(seen, carriers)
        case kind:
            return Covered(seen=seen, coverage=Coverage.BEYOND, reason=f"reaper never ends {kind} apps")
    best = _best(fit)
    return Covered(seen=seen, coverage=best.coverage, reason=best.reason)


def _canvas(seen: SeenApp, carriers: Sequence[_Carrier]) -> Covered:
    """Judge a Canvas app: by a reaper of its owner that goes through SageMaker's API."""
    if seen.app.instance_type == SYSTEM:
        said = "reaper never ends what runs on a system instance"
        return Covered(seen=seen, coverage=Coverage.BEYOND, reason=said)
    if not carriers:
        said = "its owner has no other app, where its reaper would be"
        return Covered(seen=seen, coverage=Coverage.UNCOVERED, reason=said)
    best = _best(carriers)
    if best.coverage is Coverage.COVERED and not any(
        carrier.coverage is Coverage.COVERED and carrier.beat is not None and carrier.beat.door == "api"
        for carrier in carriers
    ):
        said = "its owner's reaper sees no Canvas apps: REAPER_STUDIO__APPS=api there lets it"
        return Covered(seen=seen, coverage=Coverage.UNCOVERED, reason=said)
    return Covered(seen=seen, coverage=best.coverage, reason=best.reason)


def _best(carriers: Iterable[_Carrier]) -> _Carrier:
    """Give the one that speaks for an app: a reaper at work, else one that may be, else the latest that was."""
    order = (Coverage.COVERED, Coverage.UNKNOWN, Coverage.STARTING, Coverage.UNCOVERED)

    def rank(carrier: _Carrier) -> tuple[int, float]:
        return order.index(carrier.coverage), 0.0 if carrier.beat is None else -carrier.beat.at.timestamp()

    return min(carriers, key=rank)


def _carrier(seen: SeenApp, now: datetime) -> _Carrier:
    beat, problem = None, ""
    try:
        beat = None if seen.heartbeat is None else read_heartbeat(seen.heartbeat)
    except ValueError as error:
        problem = f"its reaper's heartbeat can't be read: {error}"
    coverage, reason = _said(seen, beat, problem, now)
    return _Carrier(seen=seen, beat=beat, coverage=coverage, reason=reason)


def _said(seen: SeenApp, beat: Heartbeat | None, problem: str, now: datetime) -> tuple[Coverage, str]:
    if seen.problem is not None:
        return Coverage.UNKNOWN, "the tags of its app can't be read"
    if beat is not None and beat.at > now + _AHEAD:
        ahead = format_duration(_whole(beat.at - now))
        return Coverage.UNCOVERED, f"its reaper's heartbeat lies {ahead} ahead: check the clocks"
    fresh = beat if beat is not None and now - beat.at <= FRESH else None
    if fresh is not None:
        if fresh.mode != "enforce":
            mode = fresh.mode or "an unknown mode"
            return Coverage.UNCOVERED, f"its reaper runs in {mode}: it reaps nothing"
        if fresh.door:
            return Coverage.COVERED, "its reaper has reported in"
    began_at = seen.app.created_at
    if began_at is not None and timedelta(0) <= now - began_at < SETTLE:
        return Coverage.STARTING, f"it started {format_duration(_whole(now - began_at))} ago"
    if problem:
        return Coverage.UNCOVERED, problem
    if fresh is not None:
        return Coverage.UNCOVERED, "its reaper can't list its apps"
    if beat is not None:
        return Coverage.UNCOVERED, f"its reaper last reported in {format_duration(_whole(now - beat.at))} ago"
    return Coverage.UNCOVERED, "no reaper has reported in"


def _whole(duration: timedelta) -> timedelta:
    """Round to minutes, and below one to seconds. Pure."""
    seconds = round(duration.total_seconds())
    return timedelta(seconds=seconds - seconds % 60 if seconds >= 60 else seconds)  # noqa: PLR2004 - a minute
