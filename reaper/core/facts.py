"""What happened besides evidence: one dataclass a kind of event, kept in the journal in order.

Facts are appended and never changed; the state of the world is a fold over them (`World.apply`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reaper.core.codec import from_json, to_json
from reaper.core.model import Hold, ResourceRef

__all__ = [
    "ActionState",
    "ChildLeft",
    "ClockJumped",
    "ClockSeen",
    "ConfigLoaded",
    "Fact",
    "HoldPlaced",
    "HoldReleased",
    "HoldTagSeen",
    "LedgerEntry",
    "MassCleared",
    "MassTripped",
    "NoticeGiven",
    "Paused",
    "PolicyApplied",
    "Resumed",
    "SettingChanged",
    "fact_from_json",
    "fact_to_json",
]


class ActionState(StrEnum):
    """How far an action came. A ledger is the rows of one action in order."""

    PLANNED = "PLANNED"
    NOTICED = "NOTICED"
    CONFIRMED = "CONFIRMED"
    STARTED = "STARTED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABANDONED = "ABANDONED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A step of an action: STARTED is written before the request, the outcome after it.

    Attributes:
        at: When.
        action_id: Names the action through all its steps.
        state: How far it came.
        ref: On which life of which resource.
        action: What was done: `shutdown`, `delete`, `stop` ...
        policy: Which policy asked for it.
        decision_id: The decision that was confirmed right before it.
        outcome: What came of it, for a person.
        due_at: When the resource became due; with STARTED's `at` this is the reap lag.
        hourly_cost: US dollars an hour it freed; None is unknown.
        name: What people call the resource.
        owner: Who it belonged to, if known.
        price_source: Where `hourly_cost` is known from, and of when it is: `pricing-api 2025-11-01`; empty: not said.
    """

    at: datetime
    action_id: str
    state: ActionState
    ref: ResourceRef
    action: str
    policy: str
    decision_id: str
    outcome: str = ""
    due_at: datetime | None = None
    hourly_cost: float | None = None
    name: str = ""
    owner: str | None = None
    price_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeGiven:
    """An attempt to tell people about a resource before (or instead of) an act.

    Attributes:
        at: When.
        ref: The resource.
        policy: The policy whose deadline it is about.
        topic: `warning` (a reap is coming), `blind`, `blocked`, `reaped` ...
        delivered: At least one notifier besides the log took it (in dry run the log is enough).
        channels: Schemes of the notifiers that took it.
        error: What the others said.
    """

    at: datetime
    ref: ResourceRef
    policy: str
    topic: str
    delivered: bool
    channels: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyApplied:
    """A policy, limit or mode applies to a resource from now on (`REAPER_APPLY_GRACE` runs from here)."""

    at: datetime
    ref: ResourceRef
    policy: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLeft:
    """Something that lived in a resource is gone: what it last did still counts for its parent.

    Attributes:
        at: When a look no longer saw it.
        ref: The parent.
        child: What is gone.
        active_at: The latest activity that it ever showed.
        reaped: We ended it. Otherwise a person did, who was there at that time.
    """

    at: datetime
    ref: ResourceRef
    child: ResourceRef
    active_at: datetime | None
    reaped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlaced:
    """A hold was made, or made again with another end."""

    at: datetime
    hold: Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldTagSeen:
    """A tag that holds a resource was seen for the first time: the longest hold runs from here."""

    at: datetime
    ref: ResourceRef
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldReleased:
    """A hold was ended before its time."""

    at: datetime
    hold_id: str
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The kill switch: no actions from now on; looking goes on.

    Attributes:
        at: When.
        who: Who did it.
        why: In their words.
        until: When it ends by itself; None: it does not.
        switch: Which switch outside of reaper it is (`file /etc/reaper/paused`); empty: a person told reaper.
            Each must be released by itself.
    """

    at: datetime
    who: str
    why: str
    until: datetime | None
    switch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The pause was ended: that of the same switch."""

    at: datetime
    who: str
    switch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MassTripped:
    """Most of a scope became due at once: nothing of this kind is reaped there until a person resumes.

    Attributes:
        at: When.
        kind: Of which kind.
        scope: Where.
        newly: How many became due.
        total: Of how many that run there.
        policies: The policies that found them due.
    """

    at: datetime
    kind: str
    scope: str
    newly: int
    total: int
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MassCleared:
    """A person has looked: acts go on."""

    at: datetime
    kind: str
    scope: str
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChanged:
    """`reaper set`: an override of a setting, or its end (`value` None).

    Attributes:
        at: When.
        name: The setting: `idle-timeout`.
        value: The new value as text; None ends the override.
        previous: The value in force before, as text.
        underlying: The configured value the override hides: when that changes, the override ends.
        until: When it ends by itself.
        who: Who did it.
    """

    at: datetime
    name: str
    value: str | None
    previous: str
    underlying: str
    until: datetime | None
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigLoaded:
    """The rules in force from now on, complete enough to decide the past again."""

    at: datetime
    digest: str
    body: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJumped:
    """The wall clock moved against the monotonic one: the machine slept or was set.

    Attributes:
        at: When it was noticed, by the wall clock after the jump.
        seconds: How far, positive is forward.
    """

    at: datetime
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSeen:
    """How the wall clock stood against the monotonic one, at a start and after each jump.

    A later start on the same boot compares: that is how a sleep between two `run --once` is noticed.

    Attributes:
        at: When.
        boot_id: Names the boot; the offset means nothing across boots.
        offset_s: Wall clock minus monotonic clock, in seconds.
    """

    at: datetime
    boot_id: str
    offset_s: float


Fact = (
    LedgerEntry
    | NoticeGiven
    | PolicyApplied
    | ChildLeft
    | HoldPlaced
    | HoldReleased
    | HoldTagSeen
    | Paused
    | Resumed
    | MassTripped
    | MassCleared
    | SettingChanged
    | ConfigLoaded
    | ClockJumped
    | ClockSeen
)

_TYPES: dict[str, type] = {kind.__name__: kind for kind in Fact.__args__}


def fact_to_json(fact: Fact) -> tuple[str, dict[str, object]]:
    """Give a fact's type name and its JSON body. Pure."""
    return type(fact).__name__, to_json(fact)


def fact_from_json(name: str, body: Mapping[str, object]) -> Fact:
    """Read a fact back.

    Raises:
        KeyError: No fact has that name (the journal is newer, or damaged).
    """
    fact: Fact = from_json(_TYPES[name], body)
    return fact
