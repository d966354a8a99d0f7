"""What is watched, and what was seen of it. Pure values: frozen, aware UTC instants, timedeltas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

__all__ = [
    "Activity",
    "Collected",
    "Hold",
    "HoldMatcher",
    "Observation",
    "Obstacle",
    "Poll",
    "Resource",
    "ResourceKey",
    "ResourceRef",
    "Stopped",
]


class Activity(StrEnum):
    """What one signal says. UNKNOWN is never idle."""

    ACTIVE = "active"
    IDLE = "idle"
    UNKNOWN = "unknown"


class ResourceKey(NamedTuple):
    """Names a resource whatever its life: what a person points at."""

    kind: str
    scope: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRef:
    """Names one life of a resource.

    Attributes:
        kind: `jupyter.kernel`, `ec2.instance` ... (product.md lists them).
        scope: Where it lives: a Jupyter server's URL, or `account/region`.
        id: The source's own id: kernel id, terminal name, instance id.
        incarnation: Which life of that id: ids and names are used again, and a decision about an
            old life must never hit the new one.
        key: The same resource, whatever its life. Kept, for a tick asks for it ten times.
    """

    kind: str
    scope: str
    id: str
    incarnation: str
    key: ResourceKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", ResourceKey(self.kind, self.scope, self.id))

    def __str__(self) -> str:
        """Write it for a person: `jupyter.kernel 6f1c... at http://127.0.0.1:8888/`."""
        return f"{self.kind} {self.id} at {self.scope}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Something that stands against acts on a resource, of which its source knows.

    Attributes:
        reason: Code of a `Reason`: `auto_scaling`, `instance_store` ...
        detail: More for a person: which group, how many GB.
        actions: Which acts it stands against; empty: all.
    """

    reason: str
    detail: str = ""
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """How it came that a thing does not run, though it is there: a stopped instance.

    Attributes:
        at: When it was asked to stop, as its source tells; None: that can't be read.
        why: In the source's words.
    """

    at: datetime | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A thing that can be forgotten, as a look saw it.

    Attributes:
        ref: Which life of which thing.
        name: What a person calls it: a notebook's path, a Name tag; the id where there is nothing better.
        aliases: Further names it answers to on the command line (session paths ...).
        parent_key: The resource it lives in (an app's kernels), if any.
        children_from: Beginning of the names of the sources that see what lives in it (`jupyter:`). Unless there
            are any, and all were read completely, nothing is known of it. Empty: nothing lives in it.
        follows: Kinds of its siblings in the same parent whose activity counts as its own: an image terminal
            stays while a kernel of its app is at work.
        owner: Who it belongs to, if known.
        tags: Tags as the source gives them; keys are matched ignoring case.
        hourly_cost: US dollars an hour; None is unknown, never 0.
        started_at: When this life began, by the source or its process; None is unknown.
        required_signals: Signals without which nothing can be called idle. One of them missing
            from a look is UNKNOWN, except that a sampled one has `sample_interval` to come first.
        sample_interval_s: How long the first interval of a sampled signal takes, in seconds.
        evidence_lag_s: How far its signals are behind a look at most, in seconds: what was done in that time before
            the look does not show yet. Rounded so that it changes rarely.
        obstacles: What its source knows to stand against acts on it.
        stopped: It does not run: no rule is asked about it, only the ladder that stopped it goes on.
        attributes: What policies may match on and people may want to see. Changes rarely: each
            change is a new row of the journal.
    """

    ref: ResourceRef
    name: str
    aliases: tuple[str, ...] = ()
    parent_key: ResourceKey | None = None
    children_from: str = ""
    follows: tuple[str, ...] = ()
    owner: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    hourly_cost: float | None = None
    started_at: datetime | None = None
    required_signals: tuple[str, ...] = ()
    sample_interval_s: float = 0.0
    evidence_lag_s: float = 0.0
    obstacles: tuple[Obstacle, ...] = ()
    stopped: Stopped | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """One look at one source.

    Absence of a resource means something only inside a complete poll that was not targeted.

    Attributes:
        id: Counts up over the journal's life.
        source: Name of what was looked at.
        started_at: Our clock, before the first request; also `observed_at` of all it saw.
        finished_at: Our clock, when the last answer was there.
        complete: Everything was read and understood.
        error: What went wrong, for a person; None when complete.
        targets: The ids that were looked at, when the look was not at the whole source.
        failed_kinds: When incomplete: the kinds of which nothing is known now. Empty: all of them.
    """

    id: int
    source: str
    started_at: datetime
    finished_at: datetime
    complete: bool
    error: str | None = None
    targets: tuple[str, ...] | None = None
    failed_kinds: tuple[str, ...] = ()

    def failed(self, kind: str) -> bool:
        """Tell whether nothing is known of this kind from this look. Pure."""
        return not self.complete and (not self.failed_kinds or kind in self.failed_kinds)

    def failed_to_see(self, ref: ResourceRef) -> bool:
        """Tell whether this look was to see a resource and nothing is known of its kind from it. Pure."""
        return self.failed(ref.kind) and (self.targets is None or ref.id in self.targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one signal said of one resource in one look.

    Attributes:
        ref: The resource.
        signal: The signal's name: `execution_state`, `process` ...
        activity: What it says.
        evidence_at: The source's own time of the last activity; None where it only speaks of now
            (ACTIVE: active at the look) or of an interval (sampled signals).
        value: What was seen, for a person, coarse enough to stay equal while nothing changes:
            equal observations in a row are one row of the journal.
        covers_from: Sampled signals: since when the interval runs that this speaks of, up to the look.
    """

    ref: ResourceRef
    signal: str
    activity: Activity
    evidence_at: datetime | None = None
    value: str = ""
    covers_from: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldMatcher:
    """Which resources a hold protects: every field that is set must match. All None: everything."""

    kind: str | None = None
    scope: str | None = None
    id: str | None = None
    incarnation: str | None = None

    def matches(self, ref: ResourceRef) -> bool:
        """Tell whether it protects this resource. Pure."""
        return (
            self.kind in (None, ref.kind)
            and self.scope in (None, ref.scope)
            and self.id in (None, ref.id)
            and self.incarnation in (None, ref.incarnation)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Protects resources until it ends; a snooze is a hold.

    Attributes:
        id: Names it for `release`.
        matcher: What it protects.
        who: Who asked for it.
        why: In their words.
        starts_at: From when.
        expires_at: Until when; None holds until released (also: a hold that could not be parsed).
        source: `cli`, `api`, `command`, `keepalive`, `tag`.
    """

    id: str
    matcher: HoldMatcher
    who: str
    why: str
    starts_at: datetime
    expires_at: datetime | None
    source: str = "api"

    def in_force(self, now: datetime) -> bool:
        """Tell whether it protects at this instant. Pure."""
        return self.starts_at <= now and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Everything one look brought.

    Attributes:
        poll: The look itself.
        resources: What exists, each once.
        observations: What each signal said; `observed_at` is the poll's `started_at`.
        holds: Holds the source itself tells of; they replace the ones it told of before.
        memo: What the provider wants back after a restart, by key (cumulative counters, first
            sightings). None leaves the stored memo as it is.
        notes: Things to tell once in the log and in `doctor` (`another reaper polls this server`).
    """

    poll: Poll
    resources: tuple[Resource, ...] = ()
    observations: tuple[Observation, ...] = ()
    holds: tuple[Hold, ...] = ()
    memo: Mapping[str, object] | None = None
    notes: tuple[str, ...] = ()
