"""Read and write the journal where no daemon does: the same world, the same decisions, the same documents.

Reading imports core alone. Writing puts the daemon's own control over the journal, without a loop: what it
does to a request is written down once, and the next start sees it.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reaper import __version__
from reaper.cli.client import UnknownResource, ambiguous
from reaper.cli.output import brief, note
from reaper.clock import SystemClock
from reaper.core.codec import to_json
from reaper.core.decide import Decision, decide, decide_one
from reaper.core.durations import parse_duration
from reaper.core.facts import ConfigLoaded, LedgerEntry
from reaper.core.model import ResourceKey
from reaper.core.naming import qualified, resolve
from reaper.core.plan import plan
from reaper.core.report import (
    explain_document,
    holds_document,
    pause_document,
    plan_document,
    status_document,
)
from reaper.core.ruleset import Rule, Ruleset
from reaper.core.world import World
from reaper.errors import ConfigError, ControlError, JournalLocked, UsageError
from reaper.journal import SqliteJournal, journal_at
from reaper.plugins import Caller, Journal, LedgerQuery, load

if TYPE_CHECKING:
    from reaper.daemon.control import DaemonControl

__all__ = ["JournalReach", "Past", "journal_file", "missing", "recall"]

Document = dict[str, Any]

_PATIENCE, _PAUSE = 20, 0.25
"""How often, and after how many seconds, a journal's lock is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a journal says, as of now.

    Attributes:
        journal: Open.
        world: Everything known.
        ruleset: The rules loaded last; no policies where none were ever loaded.
        now: The instant decisions are made for.
    """

    journal: Journal
    world: World
    ruleset: Ruleset
    now: datetime

    def decisions(self) -> dict[ResourceKey, Decision]:
        """Decide everything as of now."""
        made = plan(decide(self.world, self.ruleset, self.now), self.world, self.ruleset, self.now)
        return {decision.ref.key: decision for decision in made.decisions}

    def last_look_at(self) -> datetime | None:
        """Give when anything was looked at last."""
        return max((state.last.started_at for state in self.world.sources.values()), default=None)


def missing(place: str) -> str | None:
    """Tell why a journal can't be there; None: it can be opened, or only opening it will tell."""
    path = journal_file(place)
    if path is None:
        return None
    try:
        path.stat()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def journal_file(place: str) -> Path | None:
    """Give the file of a journal that is one: `/path`, `sqlite:///path`; None for another kind's address."""
    if place.startswith("sqlite:"):
        return Path(place.removeprefix("sqlite:").removeprefix("//"))
    return None if "://" in place or place.startswith("memory:") else Path(place)


async def recall(journal: Journal, now: datetime) -> Past:
    """Build the world and the rules that an open journal describes."""
    image = await journal.load()
    configured = [fact for fact in image.facts if isinstance(fact, ConfigLoaded)]
    ruleset = Ruleset.from_body(configured[-1].body, _build_rule) if configured else Ruleset()
    world = World.restore(image, ruleset.guards.max_gap, ruleset.guards.slow_gaps)
    return Past(journal=journal, world=world, ruleset=ruleset, now=now)


def _build_rule(name: str, params: Mapping[str, object]) -> Rule:
    rule: Rule = _rule_class(name).from_params(params)
    return rule


@cache
def _rule_class(name: str) -> Any:
    return load(
        "reaper.policies", name
    )  # reads the metadata of every package: once a rule, not once a policy


def _at_once(work: Coroutine[Any, Any, Document]) -> Document:
    """Run what never waits, without an event loop: to import asyncio takes a sixth of `reaper status`."""
    try:
        work.send(None)
    except StopIteration as done:
        document: Document = done.value
        return document
    work.close()
    raise RuntimeError("a journal that is only read must not wait")


class JournalReach:
    """Reads a journal, and writes facts to it, in place of the daemon."""

    def __init__(self, place: str, tried: Sequence[str] = (), *, quiet: bool = False) -> None:
        """Take the journal's place, and where no daemon answered; `quiet` leaves that to the caller to say."""
        self.place = place
        self._quiet = quiet
        self._tried = tuple(tried)

    def status(self) -> Document:
        """Give the status document."""

        async def read(past: Past) -> Document:
            return status_document(past.world, past.decisions(), past.ruleset, past.now, self._extra(past))

        return self._read(read)

    def explain(self, resource: str) -> Document:
        """Give the explain document of a RESOURCE, also of one that is gone."""

        async def read(past: Past) -> Document:
            lives = list(past.world.live.values())
            found = resolve(resource, lives)
            if len(found) > 1:
                candidates = [qualified(one.ref.key, lives) for one in found]
                raise ambiguous(f"{resource!r} could be any of", candidates)
            if not found:
                return await _explain_gone(past.journal, resource)
            [history] = found
            decision = decide_one(past.world, past.ruleset, past.now, history.ref)
            if decision is None:  # pragma: no cover - it was found among the living
                raise UnknownResource(f"{resource!r} is gone")
            query = LedgerQuery(types=("LedgerEntry",), ref=history.ref, limit=50)
            ledger = [fact for fact in await past.journal.facts(query) if isinstance(fact, LedgerEntry)]
            return explain_document(past.world, history, decision, past.now, ledger)

        return self._read(read)

    def plan(self) -> Document:
        """Give the plan document."""

        async def read(past: Past) -> Document:
            made = plan(decide(past.world, past.ruleset, past.now), past.world, past.ruleset, past.now)
            return plan_document(made, past.world, past.ruleset, past.now)

        return self._read(read)

    def report(self, since_s: float, by: str | None) -> Document:
        """Give what was saved in the last `since_s` seconds, put together by something."""
        from reaper.daemon.reporting import report

        async def read(past: Past) -> Document:
            return await report(past.journal, past.now, {"since_s": since_s, "by": by})

        return self._read(read)

    def holds(self) -> Document:
        """Give the holds in force."""

        async def read(past: Past) -> Document:
            return holds_document(past.world.holds.values(), past.now)

        return self._read(read)

    def paused(self) -> Document:
        """Give the kill switch's state."""

        async def read(past: Past) -> Document:
            return pause_document(past.world, past.now)

        return self._read(read)

    def apply(self, document: Mapping[str, Any]) -> Document:
        """Do what a plan says, with a daemon of our own for as long as it takes."""
        from reaper.cli.run import apply_without_daemon

        return _by_journal(apply_without_daemon(document))

    def place_hold(self, request: Mapping[str, Any]) -> Document:
        """Place a hold, or renew the one with the `id` given."""
        return self._write_named(lambda control, caller: control.place_hold(request, caller))

    def release_hold(self, hold_or_resource: str) -> Document:
        """Release a hold by its id, or all on one RESOURCE."""
        return self._write_named(lambda control, caller: control.release_hold(hold_or_resource, caller))

    def pause(self, request: Mapping[str, Any]) -> Document:
        """Pause."""
        return self._write(lambda control, caller: control.pause(request, caller))

    def resume(self) -> Document:
        """Resume."""
        return self._write(lambda control, caller: control.resume(caller))

    def change_setting(self, request: Mapping[str, Any]) -> Document:
        """Set or unset a setting."""

        async def change(control: "DaemonControl", caller: Caller) -> Document:
            try:
                return await control.change_setting(request, caller)
            except ConfigError as error:  # the value, not the configuration
                raise UsageError(str(error)) from error

        return self._write(change, configured=True)

    def _read(self, read: Callable[[Past], Awaitable[Document]]) -> Document:
        async def work() -> Document:
            await journal.open(write=False)
            try:
                past = await recall(journal, SystemClock().now())
                self._tell(past)
                return await read(past)
            finally:
                await journal.close()

        journal = journal_at(self.place)
        if isinstance(journal, SqliteJournal):
            return _by_journal(_at_once(work()))
        import asyncio

        return _by_journal(asyncio.run(work()))

    def _write(
        self,
        change: "Callable[[DaemonControl, Caller], Awaitable[Document]]",
        *,
        configured: bool = False,
    ) -> Document:
        import asyncio

        from reaper import log
        from reaper.cli.reach import own_name

        log.configure("console", "critical")  # what goes wrong is raised, and said once

        async def work() -> Document:
            journal = journal_at(self.place)
            await self._lock(journal)
            try:
                past = await recall(journal, SystemClock().now())
                control = await _control_over(past, configured=configured)
                return await change(control, Caller(who=own_name()))
            finally:
                await journal.close()

        document = _by_journal(asyncio.run(work()))
        if _first_time("written", self.place):
            note(f"{self._why()}written to the journal {self.place}, for the next start to see")
        return document

    def _write_named(self, change: "Callable[[DaemonControl, Caller], Awaitable[Document]]") -> Document:
        """Write what names a RESOURCE: there a UsageError without candidates means that nothing has that name."""
        try:
            return self._write(change)
        except UsageError as error:
            if error.candidates:
                raise ambiguous(str(error), list(error.candidates)) from error
            raise UnknownResource(str(error)) from error

    async def _lock(self, journal: Journal) -> None:
        """Open it for writing; a `run --once` at work is waited for, a few seconds long."""
        import asyncio

        for left in reversed(range(_PATIENCE)):
            try:
                return await journal.open(write=True)
            except JournalLocked as error:
                if left == 0:
                    raise ControlError(
                        f"another reaper writes the journal {self.place}, but no daemon answers here "
                        f"({'; '.join(self._tried) or 'none was asked'}): if it is a long 'run --once', try again; "
                        f"if it is a daemon, set REAPER_LISTEN as it has it\n  {error}"
                    ) from error
                await asyncio.sleep(_PAUSE)
        return None

    def _tell(self, past: Past) -> None:
        """Say once on stderr that this is not the daemon, and how old what follows is."""
        if self._quiet or ("written", self.place) in _told or not _first_time("read", self.place):
            return
        looked = past.last_look_at()
        age = "nothing was ever looked at" if looked is None else f"last look {brief(past.now - looked)} ago"
        note(f"{self._why()}this is what the journal {self.place} says; {age}")

    def _why(self) -> str:
        from reaper.cli.reach import plainly

        return f"{plainly(self._tried)}; " if self._tried else ""

    def _extra(self, past: Past) -> Document:
        overrides = [one for one in past.world.settings.values() if one.until is None or past.now < one.until]
        chosen = next((one.value for one in overrides if one.name == "idle-timeout"), None)
        looked = past.last_look_at()
        return {
            "daemon": False,
            "version": __version__,
            "idle_timeout_s": parse_duration(chosen).total_seconds()
            if chosen
            else _idle_timeout(past.ruleset),
            "keep_terminals": None,
            "overrides": [to_json(one) for one in overrides],
            "ready": False,
            "journal": self.place,
            "journal_error": None,
            "last_look_at": to_json(looked),
            "problems": [],
            "notes": [],
        }


_told: set[tuple[str, str]] = set()


def _first_time(said: str, place: str) -> bool:
    """Tell whether this is to be said: once a process, also where a hold is renewed every minute."""
    new = (said, place) not in _told
    _told.add((said, place))
    return new


def _by_journal(document: Document) -> Document:
    document["daemon"] = False
    return document


def _idle_timeout(ruleset: Ruleset) -> float | None:
    """Give the idle timeout that the journaled rules hold: that of the first `idle` policy."""
    for policy in ruleset.policies:
        if policy.rule_name == "idle":
            return policy.rule.timeout.total_seconds()
    return None


async def _explain_gone(journal: Journal, resource: str) -> Document:
    from reaper.daemon.past import explain_gone

    document = await explain_gone(journal, resource)
    if document is None:
        raise UnknownResource(f"nothing is called {resource!r}, now or in the journal")
    return document


async def _control_over(past: Past, *, configured: bool) -> "DaemonControl":
    """Put the daemon's control over an open journal; nothing runs, nothing is watched."""
    from reaper.daemon.control import DaemonControl
    from reaper.daemon.loop import Daemon
    from reaper.daemon.rules import Setup

    clock = SystemClock()
    if configured:
        from reaper.cli.wiring import loaded
        from reaper.config import load_settings

        setup, providers, notifiers = loaded(load_settings(), clock)
        for provider in providers:
            await provider.close()
        for notifier in notifiers:
            await notifier.close()
    else:
        setup = Setup(
            build_ruleset=lambda _: past.ruleset,
            check_override=lambda _name, _value: None,
            underlying={},
            poll_interval=past.ruleset.guards.max_gap / 3,
        )
    daemon = Daemon(
        setup=setup, journal=past.journal, providers=(), notifiers=(), clock=clock, world=past.world
    )
    return DaemonControl(daemon)
