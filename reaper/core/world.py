"""The state of the world: a fold over looks and facts, the only input of a decision besides the rules.

The daemon folds every batch in as it writes it to the journal; a restart, `reaper status` without a
daemon and a replay of the past build the same state from the journal (`World.restore`). No clock, no
input or output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from reaper.core.facts import (
    ActionState,
    ChildLeft,
    ClockJumped,
    ClockSeen,
    ConfigLoaded,
    Fact,
    HoldPlaced,
    HoldReleased,
    HoldTagSeen,
    LedgerEntry,
    MassCleared,
    MassTripped,
    NoticeGiven,
    Paused,
    PolicyApplied,
    Resumed,
    SettingChanged,
)
from reaper.core.history import Climbed, History, Run, gap_of, later
from reaper.core.holds import new_hold_tags, told_holds
from reaper.core.image import Delta, Image, SourceState
from reaper.core.ladder import changing, found_stopped
from reaper.core.model import Collected, Hold, Poll, Resource, ResourceKey, ResourceRef

__all__ = ["World"]

_BUDGET_MEMORY = timedelta(days=1)  # ruleset.LONGEST_WINDOW
_SETTLES_AFTER = {ActionState.UNKNOWN: timedelta(0), ActionState.SUCCEEDED: timedelta(seconds=30)}
"""How long after its end an act must show in a look; a source that still lists what is gone gets no request a look."""
_PRELIMINARY = (ActionState.PLANNED, ActionState.NOTICED, ActionState.CONFIRMED, ActionState.ABANDONED)
"""Steps that touched nothing: they say nothing about an earlier action on the same life."""

_TOUCHED = (ActionState.STARTED, ActionState.SUCCEEDED, ActionState.UNKNOWN)
"""What is gone after one of these went by our hand."""


@dataclass(slots=True, kw_only=True)
class World:
    """Everything known now.

    Attributes:
        max_gap: Longest gap between two looks that a run of evidence is extended over (3 x poll interval).
        slow_gaps: The same of sources that are looked at more seldom, by the beginning of their names.
        seq: Number of the last batch folded in.
        polls: Looks so far, over the journal's life.
        last_poll_id: The highest poll id so far.
        live: What exists, by key.
        sources: State of each source by name.
        holds: Holds that were placed and not released, by id (some may have expired).
        pauses: The pauses that nobody ended, by switch; some may have ended by themselves.
        tripped: Where most became due at once and nobody has resumed, by kind and scope.
        settings: Overrides by `reaper set` in force, by name.
        config: The rules loaded last.
        clock_jumped: The latest jump of the clock.
        clock_seen: How the clocks stood when that was written down last.
        recent_actions: STARTED entries of the last day, for budgets and cooldowns.
    """

    max_gap: timedelta = timedelta(minutes=3)
    slow_gaps: Mapping[str, timedelta] = field(default_factory=dict)
    seq: int = 0
    polls: int = 0
    last_poll_id: int = 0
    live: dict[ResourceKey, History] = field(default_factory=dict)
    sources: dict[str, SourceState] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    pauses: dict[str, Paused] = field(default_factory=dict)
    tripped: dict[tuple[str, str], MassTripped] = field(default_factory=dict)
    settings: dict[str, SettingChanged] = field(default_factory=dict)
    config: ConfigLoaded | None = None
    clock_jumped: ClockJumped | None = None
    clock_seen: ClockSeen | None = None
    recent_actions: list[LedgerEntry] = field(default_factory=list)
    _by_source: dict[str, set[ResourceKey]] = field(default_factory=dict)

    @classmethod
    def restore(
        cls, image: Image, max_gap: timedelta, slow_gaps: Mapping[str, timedelta] | None = None
    ) -> "World":
        """Build the state that a journal describes."""
        world = cls(
            max_gap=max_gap,
            slow_gaps=slow_gaps or {},
            seq=image.seq,
            polls=image.polls,
            last_poll_id=image.last_poll_id,
        )
        for name, polls in image.polls_by_source.items():
            for poll in polls:
                world._note_poll(poll)
            world._by_source.setdefault(name, set())
        for life in image.lives:
            history = History(
                resource=life.resource,
                source=life.source,
                first_seen_at=life.first_seen_at,
                last_seen_at=life.last_seen_at,
                runs={run.signal: run for run in life.runs},
            )
            world._insert(history)
            for poll in image.polls_by_source.get(life.source, ()):
                if poll.started_at > life.last_seen_at and poll.failed_to_see(life.resource.ref):
                    history.note_failure(poll)
        for fact in image.facts:
            world.apply(fact)
        for history in world.live.values():
            world._settle(history)
        return world

    def gap(self, source: str) -> timedelta:
        """Give the longest gap between two looks at a source that its evidence bridges. Pure."""
        return gap_of(source, self.max_gap, self.slow_gaps)

    def children(self) -> dict[ResourceKey, list[History]]:
        """Group what lives in something else by its parent. Pure."""
        families: dict[ResourceKey, list[History]] = {}
        for history in self.live.values():
            parent = history.resource.parent_key
            if parent is not None:
                families.setdefault(parent, []).append(history)
        return families

    def inhabited(self, source: str) -> bool:
        """Tell whether anything that a source saw last is alive. Pure."""
        return bool(self._by_source.get(source))

    def holds_on(self, ref: ResourceRef, now: datetime) -> list[Hold]:
        """Give the holds that protect a resource at this instant. Pure."""
        return [hold for hold in self.holds.values() if hold.in_force(now) and hold.matcher.matches(ref)]

    def is_paused(self, now: datetime) -> bool:
        """Tell whether a kill switch is on at this instant. Pure."""
        return any(one.until is None or now < one.until for one in self.pauses.values())

    @property
    def paused(self) -> Paused | None:
        """The pause that lasts longest, ended or not."""
        return max(
            self.pauses.values(), key=lambda one: (one.until is None, one.until or one.at), default=None
        )

    def setting(self, name: str, underlying: str, now: datetime) -> SettingChanged | None:
        """Give the override in force of a setting whose configured value is `underlying`. Pure."""
        override = self.settings.get(name)
        if override is None or override.underlying != underlying:
            return None
        return override if override.until is None or now < override.until else None

    def observe(self, collected: Collected) -> Delta:
        """Fold one look in.

        Absence ends a life only when the look was complete for that kind and at the whole source.

        Returns:
            What changed, for the journal. Facts in it are folded in already.
        """
        delta, poll = Delta(), collected.poll
        before = self.sources.get(poll.source)
        previous = before.last.started_at if before else None
        self._note_poll(poll)
        self.polls += 1
        self.last_poll_id = max(self.last_poll_id, poll.id)
        seen = {id(resource.ref): self._see(resource, poll, delta) for resource in collected.resources}
        self._fold(collected, seen, previous, delta)
        self._absent(collected, delta)
        self._leave(poll, delta)
        delta.facts.extend(told_holds(collected, self.holds.values()))
        for fact in delta.facts:
            self.apply(fact)
        return delta

    def apply(self, fact: Fact) -> None:  # noqa: C901, PLR0912 - one arm for each kind of fact
        """Fold one fact in."""
        match fact:
            case LedgerEntry():
                self._note_action(fact)
            case NoticeGiven():
                if history := self._life(fact.ref):
                    history.note_notice(fact)
            case PolicyApplied():
                if history := self._life(fact.ref):
                    history.applied[fact.policy] = fact
            case ChildLeft():
                if history := self._life(fact.ref):
                    left_at = None if fact.reaped else fact.at
                    known = later(history.children_active_at, fact.active_at)
                    history.children_active_at = later(known, left_at)
            case HoldTagSeen():
                if history := self._life(fact.ref):
                    history.hold_tags[fact.tag] = fact.at
            case HoldPlaced():
                self.holds[fact.hold.id] = fact.hold
            case HoldReleased():
                self.holds.pop(fact.hold_id, None)
            case Paused():
                self.pauses[fact.switch] = fact
            case Resumed():
                self.pauses.pop(fact.switch, None)
            case MassTripped():
                self.tripped[fact.kind, fact.scope] = fact
            case MassCleared():
                self.tripped.pop((fact.kind, fact.scope), None)
            case SettingChanged():
                self.settings.pop(fact.name, None)
                if fact.value is not None:
                    self.settings[fact.name] = fact
            case ConfigLoaded():
                self.config = fact
            case ClockJumped():
                self.clock_jumped = fact
            case ClockSeen():
                self.clock_seen = fact

    def _note_poll(self, poll: Poll) -> None:
        state = self.sources.setdefault(poll.source, SourceState(last=poll))
        state.last = poll
        if poll.complete and poll.targets is None:
            state.last_complete_at = poll.started_at
            state.since_complete.clear()
        elif not poll.complete:
            state.since_complete.append(poll)
            del state.since_complete[1:-1]  # the first dates the failure, the last words it

    def _insert(self, history: History) -> None:
        key = history.ref.key
        self.live[key] = history
        self._by_source.setdefault(history.source, set()).add(key)

    def _remove(self, history: History) -> None:
        key = history.ref.key
        del self.live[key]
        self._by_source[history.source].discard(key)

    def _life(self, ref: ResourceRef) -> History | None:
        history = self.live.get(ref.key)
        return history if history is not None and history.ref == ref else None

    def _see(self, resource: Resource, poll: Poll, delta: Delta) -> History:
        history = self.live.get(resource.ref.key)
        if history is not None and history.resource.ref.incarnation != resource.ref.incarnation:
            self._remove(history)
            delta.gone.append(history)
            history = None
        if history is None:
            history = History(
                resource=resource,
                source=poll.source,
                first_seen_at=poll.started_at,
                last_seen_at=poll.started_at,
            )
            self._insert(history)
            delta.appeared.append(replace(history))  # as it is now: the batch may be written later
            delta.facts.extend(new_hold_tags(history, poll.started_at))
            return history
        if history.resource != resource:
            history.resource = resource
            delta.changed.append(replace(history))
            delta.facts.extend(new_hold_tags(history, poll.started_at))
        history.last_seen_at = poll.started_at
        history.failing_since = None
        history.failure = ""
        if history.action is not None:
            if (entry := found_stopped(history)) is not None:
                delta.facts.append(replace(entry, at=poll.started_at))
            self._settle(history)
        return history

    def _settle(self, history: History) -> None:
        """Forget an action that a later look shows to have had no effect: what comes next is a new one.

        A look that sees it alive is enough, also when something else at its source could not be read.
        """
        action = history.action
        if action is None or action.state not in _SETTLES_AFTER:
            return
        if action.state is ActionState.UNKNOWN and (
            changing(history.resource) or found_stopped(history) is not None
        ):
            return
        if action.at + _SETTLES_AFTER[action.state] < history.last_seen_at:
            history.action = None

    def _fold(
        self, collected: Collected, seen: Mapping[int, History], previous: datetime | None, delta: Delta
    ) -> None:
        """Fold in what a look's signals said; `seen` has what it saw by the identity of the ref."""
        at, gap = collected.poll.started_at, self.gap(collected.poll.source)
        joins = previous if previous is not None and at - previous <= gap else None
        extended, opened = delta.extended, delta.opened
        for observation in collected.observations:
            ref, signal = observation.ref, observation.signal
            # A look's observations mostly share the very ref of their resource: no need to compare it.
            history = seen.get(id(ref)) or self._life(ref)
            if history is None:
                msg = f"observation of {ref}, which is not among the look's resources"
                raise ValueError(msg)
            runs = history.runs
            before = runs.get(signal)
            run = None if before is None else before.continued_by(observation, at, joins)
            if run is not None:
                runs[signal] = run
                extended.append((history.resource.ref, signal))
            else:
                runs[signal] = run = Run.opened_by(observation, at, before, gap)
                opened.append((history.resource.ref, run))

    def _absent(self, collected: Collected, delta: Delta) -> None:
        poll = collected.poll
        targets = None if poll.targets is None else set(poll.targets)
        seen = delta.seen = {resource.ref.key for resource in collected.resources}
        for key in sorted(self._by_source.setdefault(poll.source, set()) - seen):
            history = self.live[key]
            if targets is not None and key.id not in targets:
                continue
            if poll.failed(key.kind):
                history.note_failure(poll)
            else:
                self._remove(history)
                delta.gone.append(history)

    def _leave(self, poll: Poll, delta: Delta) -> None:
        """Tell parents what is gone from them; where nobody knows in what it lived, all in which it may have."""
        homes = [one for one in self.live.values() if one.resource.children_from] if delta.gone else []
        for child in delta.gone:
            action = child.action
            for parent in self._parents(child, homes):
                left = ChildLeft(
                    at=poll.started_at,
                    ref=parent.ref,
                    child=child.ref,
                    active_at=child.idle_since(),
                    reaped=action is not None and action.state in _TOUCHED,
                )
                delta.facts.append(left)

    def _parents(self, child: History, homes: Sequence[History]) -> list[History]:
        key = child.resource.parent_key
        if key is not None:
            parent = self.live.get(key)
            return [] if parent is None else [parent]
        return [home for home in homes if child.source.startswith(home.resource.children_from)]

    def _note_action(self, entry: LedgerEntry) -> None:
        if entry.state is ActionState.STARTED:
            self.recent_actions = [old for old in self.recent_actions if entry.at - old.at < _BUDGET_MEMORY]
            self.recent_actions.append(entry)
        history = self._life(entry.ref)
        if history is None or entry.at < history.first_seen_at:  # of an earlier life under the same name
            return
        if _says_more(entry, history.action):
            history.action = entry
        if entry.state is ActionState.STARTED:
            history.tried = entry
        elif entry.state is ActionState.FAILED:
            history.failures += 1
        elif entry.state is ActionState.SUCCEEDED:
            history.failures = 0
            tried = history.tried
            known = tried is not None and tried.action_id == entry.action_id
            history.climbed[entry.policy] = Climbed(
                action=entry.action, started_at=tried.at if tried and known else entry.at, at=entry.at
            )
        self._settle(history)


def _says_more(entry: LedgerEntry, before: LedgerEntry | None) -> bool:
    """Steps that touched nothing count only within their own action: what an earlier one left behind stands."""
    if before is not None and before.action_id == entry.action_id:
        return True
    return entry.state not in _PRELIMINARY
