"""What exists at a source, as tests script it: resources, and what each signal says at each look."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypedDict, Unpack

from reaper.core.model import (
    Activity,
    Collected,
    Hold,
    Observation,
    Obstacle,
    Poll,
    Resource,
    ResourceKey,
    ResourceRef,
    Stopped,
)

__all__ = ["ResourceFields", "Said", "Scene", "Signal", "active", "idle", "sampled", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a signal says at a look.

    Attributes:
        activity: ACTIVE, IDLE or UNKNOWN.
        evidence_at: The source's own time of the last activity.
        value: What was seen.
        covers_from: Since when a sampled interval runs.
        sampled: It needs an interval: the first look brings nothing, each later one covers the time
            since the look before.
    """

    activity: Activity
    evidence_at: datetime | None = None
    value: str = ""
    covers_from: datetime | None = None
    sampled: bool = False


Signal = Said | None | Callable[[datetime], Said | None]
"""What a signal says at every look, or at the look of an instant; None: it is not there."""


class ResourceFields(TypedDict, total=False):
    """Fields of `Resource` that a scene passes on as they are."""

    name: str
    aliases: tuple[str, ...]
    children_from: str
    follows: tuple[str, ...]
    owner: str | None
    tags: dict[str, str]
    hourly_cost: float | None
    started_at: datetime | None
    required_signals: tuple[str, ...]
    sample_interval_s: float
    evidence_lag_s: float
    obstacles: tuple[Obstacle, ...]
    stopped: Stopped | None
    attributes: dict[str, object]


def active(value: str = "busy", at: datetime | None = None) -> Said:
    """Say that it works: now, or (with `at`) as the source dates it."""
    return Said(activity=Activity.ACTIVE, evidence_at=at, value=value)


def idle(since: datetime | None = None, value: str = "idle") -> Said:
    """Say that it rests: since the source's own time of the last activity, where it has one."""
    return Said(activity=Activity.IDLE, evidence_at=since, value=value)


def unknown(why: str = "can't be read") -> Said:
    """Say that it can't be read."""
    return Said(activity=Activity.UNKNOWN, value=why)


def sampled(activity: Activity = Activity.IDLE, value: str = "quiet", since: datetime | None = None) -> Said:
    """Say something of an interval: since `since`, else since the look before; without one, nothing."""
    return Said(activity=activity, value=value, covers_from=since, sampled=since is None)


@dataclass(slots=True)
class _Thing:
    resource: Resource
    signals: dict[str, Signal] = field(default_factory=dict)
    looked_at: datetime | None = None


class Scene:
    """What exists at one source. Tests change it between looks.

    Args:
        source: The source's name.
        kind: Kind of what is added without one.
        scope: Scope of everything in it.
    """

    def __init__(
        self,
        source: str = "fake:one",
        *,
        kind: str = "jupyter.kernel",
        scope: str = "http://127.0.0.1:8888/",
    ) -> None:
        self.source = source
        self.kind = kind
        self.scope = scope
        self.holds: list[Hold] = []
        self.memo: dict[str, object] | None = None
        self._things: dict[ResourceKey, _Thing] = {}

    def key(self, which: str, kind: str | None = None) -> ResourceKey:
        """Give the key of something, whether it exists or not."""
        return ResourceKey(kind or self.kind, self.scope, which)

    def ref(self, which: str, kind: str | None = None) -> ResourceRef:
        """Give the ref of something that exists."""
        return self._things[self.key(which, kind)].resource.ref

    def add(
        self,
        which: str,
        signals: Mapping[str, Signal] | None = None,
        *,
        kind: str | None = None,
        incarnation: str = "life-1",
        parent: ResourceKey | None = None,
        **fields: Unpack[ResourceFields],
    ) -> "Scene":
        """Put something in, or start another life of it."""
        key = self.key(which, kind)
        ref = ResourceRef(kind=key.kind, scope=key.scope, id=which, incarnation=incarnation)
        resource = Resource(**{"ref": ref, "name": which, "parent_key": parent, **fields})  # type: ignore[arg-type]
        self._things[key] = _Thing(resource=resource, signals=dict(signals or {}))
        return self

    def say(self, which: str, kind: str | None = None, **signals: Signal) -> "Scene":
        """Change what signals say from the next look on; the others stay."""
        self._things[self.key(which, kind)].signals.update(signals)
        return self

    def change(self, which: str, kind: str | None = None, **fields: Unpack[ResourceFields]) -> "Scene":
        """Change fields of something that exists: tags, attributes ..."""
        thing = self._things[self.key(which, kind)]
        thing.resource = replace(thing.resource, **fields)
        return self

    def remove(self, which: str, kind: str | None = None) -> "Scene":
        """Take something out."""
        self._things.pop(self.key(which, kind), None)
        return self

    def clear(self) -> "Scene":
        """Take everything out."""
        self._things.clear()
        return self

    def ids(self) -> set[str]:
        """Give the ids of what exists."""
        return {key.id for key in self._things}

    def has(self, ref: ResourceRef) -> bool:
        """Tell whether this life of something is there."""
        thing = self._things.get(ref.key)
        return thing is not None and thing.resource.ref == ref

    def collected(self, poll: Poll) -> Collected:
        """Give what a look brings: all of it, but for its targets' complement and kinds that failed."""
        wanted = None if poll.targets is None else set(poll.targets)
        seen = [
            thing
            for key, thing in self._things.items()
            if not poll.failed(key.kind) and (wanted is None or key.id in wanted)
        ]
        observations = tuple(one for thing in seen for one in _observations(thing, poll.started_at))
        for thing in seen:
            thing.looked_at = poll.started_at
        return Collected(
            poll=poll,
            resources=tuple(thing.resource for thing in seen),
            observations=observations,
            holds=tuple(self.holds),
            memo=self.memo,
        )


def _observations(thing: _Thing, at: datetime) -> list[Observation]:
    found = []
    for name, signal in thing.signals.items():
        said = signal(at) if callable(signal) else signal
        if said is None or (said.sampled and thing.looked_at is None):
            continue
        covers_from = thing.looked_at if said.sampled else said.covers_from
        found.append(
            Observation(
                ref=thing.resource.ref,
                signal=name,
                activity=said.activity,
                evidence_at=said.evidence_at,
                value=said.value,
                covers_from=covers_from,
            )
        )
    return found
