"""What lives in a resource, or beside it, as a signal of its own: an app is as idle as its kernels. Pure.

The signal is made for each decision from what is known of the children then; the journal keeps the evidence
of the children and the facts of those that left, which is enough to make it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reaper.core.assess import assess
from reaper.core.history import History, Run, later
from reaper.core.image import SourceState
from reaper.core.model import Activity, ResourceKey
from reaper.core.world import World

__all__ = ["CHILDREN", "SIBLINGS", "Families", "seen_since"]

CHILDREN, SIBLINGS = "children", "siblings"
_WORSE = {Activity.ACTIVE: 2, Activity.UNKNOWN: 1, Activity.IDLE: 0}


@dataclass(slots=True, kw_only=True)
class Families:
    """Who lives in whom, in one tick.

    Attributes:
        world: Everything known.
        children: What lives in something, by parent.
        now: The tick's instant.
    """

    world: World
    children: Mapping[ResourceKey, Sequence[History]]
    now: datetime

    def joined(self, history: History) -> History:
        """Give a resource with what its children and siblings show among its signals. Pure.

        The same object where there is nothing to add, or where the look brought nothing of the resource itself:
        what others do says nothing of that.
        """
        if not self._touches(history):
            return history
        added = [run for run in (self._children(history), self._siblings(history)) if run is not None]
        if not added or not history.current():
            return history
        return replace(history, runs={**history.runs, **{run.signal: run for run in added}})

    def _touches(self, history: History) -> bool:
        """Tell whether there are children or siblings that could show anything. Most things have none."""
        resource = history.resource
        return bool(
            resource.children_from
            or resource.follows
            or history.children_active_at is not None
            or resource.ref.key in self.children
        )

    def of(self, history: History) -> Sequence[History]:
        """Give what lives in a resource, and what may: nobody knows where those without a parent live. Pure."""
        own, prefix = self.children.get(history.ref.key, ()), history.resource.children_from
        if not prefix:
            return own
        stray = [
            other
            for other in self.world.live.values()
            if other.resource.parent_key is None and other.source.startswith(prefix)
        ]
        return [*own, *stray]

    def before(self, history: History) -> list[History]:
        """Give what must be gone before a resource goes: what lives in it, and its siblings that it follows. Pure."""
        if not self._touches(history):
            return []
        return [*self.of(history), *self._kin(history)]

    def below(self, history: History) -> list[History]:
        """Give all that must be gone before a resource goes, and before that in turn, deepest first. Pure."""
        return self._below(history, {history.ref.key})

    def children_first(self) -> list[History]:
        """Give everything, each after what lives or may live in it. Pure."""
        live = self.world.live
        if not self.children and not any(history.resource.children_from for history in live.values()):
            return list(live.values())
        parents = {key: history.resource.parent_key for key, history in live.items()}

        def order(history: History) -> tuple[int, bool, bool]:
            steps, parent = 0, history.resource.parent_key
            while parent is not None and steps < len(parents):
                steps, parent = steps + 1, parents.get(parent)
            return -steps, bool(history.resource.follows), bool(history.resource.children_from)

        return sorted(live.values(), key=order)

    def _below(self, history: History, seen: set[ResourceKey]) -> list[History]:
        """`seen` stops things that claim to live in each other."""
        found: list[History] = []
        for child in self.before(history):
            if child.ref.key not in seen:
                seen.add(child.ref.key)
                found.extend(self._below(child, seen))
                found.append(child)
        return found

    def _children(self, history: History) -> Run | None:
        unseen = _unseen(history, self.world, self.now)
        if unseen is not None:
            return unseen
        children, left_at = self.of(history), history.children_active_at
        if not children and left_at is None:
            return None
        return _said(history, CHILDREN, children, left_at)

    def _siblings(self, history: History) -> Run | None:
        resource = history.resource
        if not resource.follows or resource.parent_key is None:
            return None
        parent = self.world.live.get(resource.parent_key)
        left_at = parent.children_active_at if parent is not None else None
        kin = self._kin(history)
        return _said(history, SIBLINGS, kin, left_at) if kin or left_at is not None else None

    def _kin(self, history: History) -> list[History]:
        resource = history.resource
        if not resource.follows or resource.parent_key is None:
            return []
        return [
            other
            for other in self.children.get(resource.parent_key, ())
            if other.ref.kind in resource.follows and other.ref != history.ref
        ]


def _unseen(history: History, world: World, now: datetime) -> Run | None:
    """Say why nothing is known of what lives in a resource; None: all of it is known."""
    prefix = history.resource.children_from
    if not prefix:
        return None
    states = _telling(world, prefix, now)
    if not states:
        said = f"what lives in it can't be seen: there is no source {prefix}"
        return _run(history, CHILDREN, Activity.UNKNOWN, said, held_since=history.first_seen_at)
    for name, state in states.items():
        poll = state.last
        if not poll.complete:
            said = f"what lives in it can't be seen: {poll.error or 'the last look was incomplete'}"
            since = state.since_complete[0].started_at
            return _run(history, CHILDREN, Activity.UNKNOWN, said, held_since=since)
        if now - poll.started_at > world.gap(name):
            said = f"what lives in it was last seen at {poll.started_at:%F %T}Z"
            return _run(history, CHILDREN, Activity.UNKNOWN, said, held_since=poll.started_at)
    return None


def seen_since(world: World, prefix: str, at: datetime) -> bool:
    """Tell whether every source of children was read completely since an instant. Pure."""
    polls = [state.last for state in _telling(world, prefix, at).values()]
    return bool(polls) and all(poll.complete and poll.started_at >= at for poll in polls)


def _telling(world: World, prefix: str, now: datetime) -> dict[str, SourceState]:
    """Give the sources that can tell of children: not those that have ended, of which nothing is left.

    One has ended whose last look, a complete one, found nothing and is long ago: while it is there it is looked at.
    """
    return {
        name: state
        for name, state in world.sources.items()
        if name.startswith(prefix)
        and not (
            state.last.complete
            and not world.inhabited(name)
            and now - state.last.started_at > world.gap(name)
        )
    }


def _said(history: History, signal: str, kin: Sequence[History], left_at: datetime | None) -> Run:
    """Say what several resources show together: one at work decides, else one that is not known."""
    activity, value, active_at, unknown_since = Activity.IDLE, "", left_at, None
    for one in sorted(kin, key=_by_key):  # whoever tells first is told of
        found = assess(one)
        active_at = later(active_at, one.idle_since())
        if found.activity is Activity.UNKNOWN:
            unknown_since = min(filter(None, (unknown_since, found.since)), default=None)
        if _WORSE[found.activity] > _WORSE[activity]:
            activity = found.activity
            value = f"{one.ref.kind} {one.resource.name}: {found.detail or found.reason.prose}"
    if not value:
        value = f"{len(kin)} of them, none at work" if kin else "none is left"
    if activity is Activity.ACTIVE:
        active_at = None  # at the look
    return _run(history, signal, activity, value, evidence_at=active_at, held_since=unknown_since)


def _by_key(history: History) -> ResourceKey:
    return history.ref.key


def _run(
    history: History,
    signal: str,
    activity: Activity,
    value: str,
    *,
    evidence_at: datetime | None = None,
    held_since: datetime | None = None,
) -> Run:
    return Run(
        signal=signal,
        activity=activity,
        evidence_at=evidence_at,
        value=value,
        covers_from=held_since,
        first_at=history.last_seen_at,
        last_at=history.last_seen_at,
    )
