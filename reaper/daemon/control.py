"""What the HTTP API may ask of the daemon (`plugins.Control`): documents out, facts in."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from reaper import __version__
from reaper.core.codec import from_json, instant_from_text, to_json
from reaper.core.decide import Decision, decide_one
from reaper.core.durations import format_duration, parse_duration
from reaper.core.facts import (
    Fact,
    HoldPlaced,
    HoldReleased,
    LedgerEntry,
    MassCleared,
    Paused,
    Resumed,
    SettingChanged,
)
from reaper.core.family import Families
from reaper.core.history import History
from reaper.core.holds import LONGEST_HOLD
from reaper.core.model import Hold, HoldMatcher, ResourceRef
from reaper.core.naming import qualified, resolve
from reaper.core.report import (
    PLAN_LIFETIME,
    decision_document,
    explain_document,
    holds_document,
    pause_document,
    plan_document,
    status_head,
    status_rows,
)
from reaper.daemon.acting import Outcome
from reaper.daemon.loop import Daemon
from reaper.daemon.past import explain_gone
from reaper.daemon.reporting import report
from reaper.errors import ConfigError, ControlError, UsageError
from reaper.plugins import Caller, LedgerQuery

__all__ = ["DaemonControl", "ambiguous"]

_ROWS_AT_ONCE = 100
_CLOCKS_AGREE = timedelta(minutes=5)
_STUCK = 60.0
"""Seconds without a round of the loop after which we no longer call ourselves alive."""


class DaemonControl:
    """Answers for one running daemon."""

    def __init__(self, daemon: Daemon) -> None:
        """Take the daemon."""
        self._daemon = daemon

    def alive(self) -> bool:
        """Tell whether the loop has gone round lately."""
        interval = self._daemon.rules.setup.poll_interval.total_seconds()
        return self._daemon.clock.monotonic() - self._daemon.beat < interval + _STUCK

    def ready(self) -> tuple[bool, str]:
        """Tell whether every required source had a first complete look."""
        return self._daemon.ready()

    async def status(self) -> dict[str, object]:
        """Give the status document; gives the loop back while it makes thousands of rows."""
        daemon, now = self._daemon, self._daemon.clock.now()
        setup = daemon.rules.setup
        overrides = daemon.rules.overrides(daemon.world, now)
        override = overrides.get("idle-timeout")
        timeout = parse_duration(
            (override.value if override else None) or setup.underlying.get("idle-timeout", "0s")
        )
        extra = {
            "daemon": True,
            "version": __version__,
            "idle_timeout_s": timeout.total_seconds(),
            "keep_terminals": setup.keep_terminals,
            "overrides": [to_json(one) for one in overrides.values()],
            "ready": daemon.ready()[0],
            "journal_error": str(daemon.recorder.failure) if daemon.recorder.failure else None,
            "problems": [problem for found in daemon.looking.problems.values() for problem in found],
            "notes": [
                f"{w.name}: {note}" for w in daemon.looking.watches.values() for note in sorted(w.notes)
            ],
        }
        head, rows = status_head(daemon.world, daemon.rules.ruleset, now, extra), []
        for row in status_rows(daemon.world, dict(daemon.decisions), now):
            rows.append(row)
            if len(rows) % _ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return {**head, "resources": rows}

    async def explain(self, resource: str) -> dict[str, object]:
        """Give a decision with all that led to it, also of something that was reaped."""
        daemon = self._daemon
        found, now = await self._found(resource), daemon.clock.now()
        if not found:
            gone = await explain_gone(daemon.journal, resource)
            if gone is None:
                msg = f"nothing is called {resource!r}, now or in the journal; 'reaper status' lists what is watched"
                raise UsageError(msg)
            return gone
        history = self._one(resource, found)
        decision = decide_one(daemon.world, daemon.rules.ruleset, now, history.ref)
        if (
            decision is None
        ):  # pragma: no cover - it was found live a line above, and nothing was awaited since
            msg = f"{resource!r} is gone"
            raise UsageError(msg)
        query = LedgerQuery(types=("LedgerEntry",), ref=history.ref, limit=50)
        entries = [fact for fact in await daemon.journal.facts(query) if isinstance(fact, LedgerEntry)]
        return explain_document(daemon.world, history, decision, now, entries)

    async def decision(self, decision_id: str) -> dict[str, object] | None:
        """Give one decision by id, live or from the journal."""
        for live in self._daemon.decisions.values():
            if live.id == decision_id:
                return {"schema": 1, "decision": decision_document(live)}
        found = await self._daemon.journal.decisions(decision_id=decision_id, limit=1)
        return {"schema": 1, "decision": decision_document(found[0])} if found else None

    async def plan(self) -> dict[str, object]:
        """Give what would be done now, and what of it would be denied."""
        the_plan = await self._daemon.decide_now()
        denied = await self._daemon.acting.denied(the_plan.items)
        return plan_document(the_plan, self._daemon.world, self._daemon.rules.ruleset, the_plan.at, denied)

    async def apply(self, document: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Do what an approved plan says, each item after a fresh look that must agree, whatever the mode."""
        now = self._daemon.clock.now()
        items = _plan_items(document, now)
        decisions: list[Decision] = []
        outcomes: dict[ResourceRef, tuple[str, str]] = {}
        for ref, action in items:
            decision = decide_one(self._daemon.world, self._daemon.rules.ruleset, now, ref)
            if decision is None:
                outcomes[ref] = ("abandoned", "it is gone, or lives another life")
            elif not decision.to_act or decision.action != action:
                outcomes[ref] = ("abandoned", f"it is {decision.verdict.value} now: {decision.reason.prose}")
            elif self._daemon.acting.claimed(ref):
                outcomes[ref] = ("abandoned", "it is being acted on already")
            else:
                decisions.append(decision)
        for ref, state, detail in await self._reap_in_order(decisions):
            outcomes[ref] = (state, detail)
        self._daemon.poke()
        return {
            "schema": 1,
            "at": to_json(self._daemon.clock.now()),
            "by": caller.who,
            "items": [
                {**to_json(ref), "action": action, "outcome": outcomes[ref][0], "detail": outcomes[ref][1]}
                for ref, action in items
            ],
        }

    async def _reap_in_order(self, approved: Sequence[Decision]) -> list[Outcome]:
        """Carry out what was approved: what lives in something goes first, and that is decided on anew then."""
        outcomes: list[Outcome] = []
        left = list(approved)
        while left:
            world = self._daemon.world
            families = Families(world=world, children=world.children(), now=self._daemon.clock.now())
            keys = {one.ref.key for one in left}
            ready = [
                one
                for one in left
                if (history := world.live.get(one.ref.key)) is None
                or not any(other.ref.key in keys for other in families.below(history))
            ]
            outcomes += await self._daemon.acting.reap(ready or left, approved=True)
            left = [one for one in left if one not in (ready or left)]
        return outcomes

    async def report(self, request: Mapping[str, object]) -> dict[str, object]:
        """Give what was saved, from the journal."""
        return await report(self._daemon.journal, self._daemon.clock.now(), request)

    def holds(self) -> dict[str, object]:
        """Give the holds in force."""
        return holds_document(self._daemon.world.holds.values(), self._daemon.clock.now())

    async def place_hold(self, request: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Place a hold, or renew one by its id."""
        now, world = self._daemon.clock.now(), self._daemon.world
        lasts = _lasting(request, default=None)
        if lasts is None or lasts > LONGEST_HOLD:
            lasts = LONGEST_HOLD
        wanted, hold_id = request.get("resource"), request.get("id")
        renewed = world.holds.get(hold_id) if isinstance(hold_id, str) else None
        matcher = renewed.matcher if renewed is not None else HoldMatcher()
        if isinstance(wanted, str) and wanted not in ("", "host"):
            history = self._one(wanted, await self._found(wanted))
            matcher = HoldMatcher(kind=history.ref.kind, scope=history.ref.scope, id=history.ref.id)
        hold = Hold(
            id=hold_id if isinstance(hold_id, str) and hold_id else _hold_id(now, caller, matcher),
            matcher=matcher,
            who=caller.who,
            why=str(request.get("why") or ""),
            starts_at=now,
            expires_at=now + lasts,
            source=str(request.get("source") or "api"),
        )
        await self._write(HoldPlaced(at=now, hold=hold))
        return {"schema": 1, "hold": to_json(hold)}

    async def release_hold(self, hold_or_resource: str, caller: Caller) -> dict[str, object]:
        """Release a hold by its id, or all holds on just one resource."""
        now, world = self._daemon.clock.now(), self._daemon.world
        if hold_or_resource in world.holds:
            ids = [hold_or_resource]
        elif hold_or_resource == "host":
            ids = [
                hold.id
                for hold in world.holds.values()
                if hold.matcher == HoldMatcher() and hold.in_force(now)
            ]
        else:
            history = self._one(hold_or_resource, resolve(hold_or_resource, list(world.live.values())))
            ids = [hold.id for hold in world.holds_on(history.ref, now) if hold.matcher.id == history.ref.id]
        if not ids:
            msg = f"no hold is called {hold_or_resource!r} or is on just that; 'reaper status' shows holds"
            raise UsageError(msg)
        await self._write(*(HoldReleased(at=now, hold_id=one, who=caller.who) for one in ids))
        return {"schema": 1, "released": ids}

    def paused(self) -> dict[str, object]:
        """Give the kill switch's state."""
        return pause_document(self._daemon.world, self._daemon.clock.now())

    async def pause(self, request: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Stop all actions."""
        now = self._daemon.clock.now()
        lasts = _lasting(request, default=None)
        await self._write(
            Paused(
                at=now,
                who=caller.who,
                why=str(request.get("why") or ""),
                until=now + lasts if lasts else None,
            )
        )
        return self.paused()

    async def resume(self, caller: Caller) -> dict[str, object]:
        """Allow actions again, also where most of a scope became due at once: a person has looked."""
        now = self._daemon.clock.now()
        cleared = [
            MassCleared(at=now, kind=kind, scope=scope, who=caller.who)
            for kind, scope in sorted(self._daemon.world.tripped)
        ]
        await self._write(Resumed(at=now, who=caller.who), *cleared)
        return self.paused()

    def settings(self) -> dict[str, object]:
        """Give every effective setting with where it came from."""
        rules = self._daemon.rules
        return rules.setup.show(rules.overrides(self._daemon.world, self._daemon.clock.now()))

    async def change_setting(self, request: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Override a setting, or end the override."""
        now, rules = self._daemon.clock.now(), self._daemon.rules
        name, value = str(request.get("name", "")).replace("_", "-"), request.get("value")
        if name not in rules.setup.underlying:
            msg = f"{name!r} can't be set at run time; these can: {', '.join(sorted(rules.setup.underlying))}"
            raise UsageError(msg)
        if value is not None:
            if not isinstance(value, str):
                msg = f'the value of {name} must be text such as "90m", not {value!r}'
                raise ConfigError(msg)
            rules.setup.check_override(name, value)
        lasts, underlying = _lasting(request, default=None), rules.setup.underlying[name]
        old = rules.overrides(self._daemon.world, now).get(name)
        previous = (old.value if old else None) or underlying
        fact = SettingChanged(
            at=now,
            name=name,
            value=value,
            previous=previous,
            underlying=underlying,
            until=now + lasts if lasts and value is not None else None,
            who=caller.who,
        )
        await self._write(fact)
        return {
            "schema": 1,
            "name": name,
            "value": value or underlying,
            "previous": previous,
            "until": to_json(fact.until),
        }

    def metrics(self) -> bytes:
        """Give the metrics."""
        return self._daemon.metrics.render()

    async def _write(self, *facts: Fact) -> None:
        self._daemon.recorder.facts(*facts)
        await self._daemon.recorder.durable()
        self._daemon.poke()

    async def _found(self, text: str) -> list[History]:
        """Find what a RESOURCE names; one that is too new to have been seen is looked for first."""
        lives = self._daemon.world.live
        if not resolve(text, list(lives.values())):
            watches = list(self._daemon.looking.watches.values())
            await asyncio.gather(*(self._daemon.looking.look(watch) for watch in watches))
            self._daemon.poke()
        return resolve(text, list(lives.values()))

    def _one(self, text: str, found: list[History]) -> History:
        if len(found) > 1:
            raise ambiguous(text, found, list(self._daemon.world.live.values()))
        if not found:
            msg = f"nothing that is watched is called {text!r}; 'reaper status' lists what is"
            raise UsageError(msg)
        return found[0]


def ambiguous(text: str, found: list[History], lives: list[History]) -> UsageError:
    """Make the error for a RESOURCE that could be several, with a `candidates` attribute: a list of RESOURCEs."""
    candidates = [qualified(history.ref.key, lives) for history in found]
    error = UsageError(f"{text!r} could be any of: {', '.join(candidates)}")
    error.candidates = tuple(candidates)
    return error


def _lasting(request: Mapping[str, object], default: timedelta | None) -> timedelta | None:
    seconds, text = request.get("for_s"), request.get("for")
    if isinstance(text, str) and text:
        try:
            return parse_duration(text)
        except ValueError as error:
            msg = f"for: {error}"
            raise ConfigError(msg) from None
    if seconds is None:
        return default
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 1e10:  # noqa: PLR2004 - three centuries
        msg = f"for_s must be a positive number of seconds, not {seconds!r}"
        raise ConfigError(msg)
    return timedelta(seconds=seconds)


def _plan_items(document: Mapping[str, object], now: datetime) -> list[tuple[ResourceRef, str]]:
    try:
        made_at = instant_from_text(str(document["at"]))
        expires = min(instant_from_text(str(document["expires_at"])), made_at + PLAN_LIFETIME)
        items = document["items"]
        if document["schema"] != 1 or not isinstance(items, list):
            msg = "schema is not 1 or items is no list"
            raise ValueError(msg)  # noqa: TRY301 - one error for every way of being no plan
        found = [(from_json(ResourceRef, item), str(item["action"])) for item in items]
    except (KeyError, TypeError, ValueError) as error:
        msg = f"this is no plan of 'reaper plan --out' ({type(error).__name__}: {error})"
        raise UsageError(msg) from None
    if made_at > now + _CLOCKS_AGREE:
        raise ControlError(
            f"the plan was made at {to_json(made_at)}, which is still to come: whose clock is wrong?"
        )
    if now >= expires:
        ago = format_duration(timedelta(seconds=round((now - expires).total_seconds())))
        raise ControlError(f"the plan expired {ago} ago: make a new one with 'reaper plan --out'")
    return found


def _hold_id(now: datetime, caller: Caller, matcher: HoldMatcher) -> str:
    return "h" + hashlib.sha256(f"{now.timestamp()}|{caller.who}|{matcher}".encode()).hexdigest()[:8]
