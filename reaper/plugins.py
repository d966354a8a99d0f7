"""What plugs in: the Protocols. How a named plugin is loaded stands in `entrypoints`."""

from collections.abc import Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from reaper.core.batch import Batch
from reaper.core.decide import Decision
from reaper.core.facts import Fact, LedgerEntry
from reaper.core.image import Image
from reaper.core.model import Collected, Resource, ResourceKey, ResourceRef
from reaper.core.ruleset import Rule
from reaper.core.savings import Sighting
from reaper.entrypoints import load, names

__all__ = [
    "UNDER_WAY",
    "ActOutcome",
    "Control",
    "Journal",
    "Look",
    "Notice",
    "Notifier",
    "Permitting",
    "Provider",
    "Source",
    "Sources",
    "Switch",
    "build_rule",
    "load",
    "names",
]

UNDER_WAY: ContextVar[LedgerEntry | None] = ContextVar("under_way", default=None)
"""While a source acts: the ledger's entry of that act, for what it leaves on the thing (`reaper:last-action`)."""


def build_rule(name: str, params: Mapping[str, object]) -> Rule:
    """Build a rule of `reaper.policies` from its parameters.

    Raises:
        ConfigError: No such rule, or a parameter that can't be used.
    """
    rule: Rule = load("reaper.policies", name).from_params(params)
    return rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Asks a source for a look.

    Attributes:
        poll_id: Id for the `Poll`.
        at: Our clock at the start; the `Poll`'s `started_at`.
        deadline: How long the whole look may take, in seconds; then it is incomplete.
        refs: When only some resources matter (the fresh look right before an act): a source that is
            cheap to read may look at everything all the same (then `Poll.targets` is None).
    """

    poll_id: int
    at: datetime
    deadline: float
    refs: tuple[ResourceRef, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActOutcome:
    """How an act ended well.

    Attributes:
        gone: It is known to be gone already (False: the request was taken, the next look will tell).
        detail: For the ledger: `204`, `was gone already (404)`.
        ours: It ended by this request. False: it had ended before, and nothing was saved by us.
    """

    gone: bool
    detail: str
    ours: bool = True


class Source(Protocol):
    """One thing that is looked at as a whole: a Jupyter server, one region of one account."""

    @property
    def name(self) -> str:
        """Unique and stable over restarts; starts with the provider's name: `jupyter:http://...`."""

    @property
    def interval(self) -> timedelta | None:
        """The longest between looks, where it differs from `REAPER_POLL_INTERVAL`."""

    async def collect(self, look: Look) -> Collected:
        """Look once. Never raises for what a source may do: a failure is an incomplete `Poll` with its error.

        Bounded by `look.deadline`. The `Poll` carries `look.poll_id` and `look.at`.
        """

    async def act(self, resource: Resource, action: str) -> ActOutcome:
        """Carry out an action on a resource. Gone already is success.

        Raises:
            ActionDenied, ActionUnavailable: It had no effect.
            OutcomeUnknown: It may have had effect.
        """

    async def close(self) -> None:
        """Close connections."""


@runtime_checkable
class Permitting(Protocol):
    """What a `Source` may offer besides: whether it would be let do something, asked without doing it."""

    async def may(self, resource: Resource, action: str) -> str | None:
        """Say why an act would be denied; None: it would not, or that can't be told.

        Raises:
            CollectError: It can't be asked.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a provider's discovery found.

    Attributes:
        sources: The sources that exist now; the same objects as before for those that still do.
        complete: Everything that could be looked through was: a source not among them has ended.
        required: Names that `/readyz` waits for.
        problems: What could not be looked through, for the log and `doctor`.
    """

    sources: tuple[Source, ...]
    complete: bool = True
    required: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Provider(Protocol):
    """A family of resources: one entry point of `reaper.providers`, built with `from_settings`."""

    @property
    def name(self) -> str:
        """The entry point's name: `jupyter`."""

    @property
    def kinds(self) -> Mapping[str, tuple[str, ...]]:
        """The kinds it provides, each with the actions it can do: `{"jupyter.kernel": ("shutdown",)}`."""

    async def discover(self, now: datetime, memos: Mapping[str, Mapping[str, object]]) -> Sources:
        """Find the sources that exist now; cheap, called before every round of looks.

        Args:
            now: Our clock.
            memos: What each source's looks left last, by source name (after a restart: from the journal).
        """

    async def close(self) -> None:
        """Close all sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something people are told.

    Attributes:
        topic: `warning` (a reap is coming), `reaped`, `failed`, `unclear`, `blind`, `blocked` ...
        at: When it was made.
        subject: One line.
        text: The whole message, plain.
        mode: `dry-run` or `enforce`.
        resource: The resource as JSON, as in `status`; None for what is about the daemon.
        due_at: When the reap will come.
        actions: What a person can do about it, as (label, command): `("keep it 2 h", "reaper hold 6f1c --for 2h")`.
    """

    topic: str
    at: datetime
    subject: str
    text: str
    mode: str
    resource: Mapping[str, object] | None = None
    due_at: datetime | None = None
    actions: tuple[tuple[str, str], ...] = ()

    def body(self) -> dict[str, object]:
        """Give the JSON document that commands and webhooks receive: schema 1."""
        from reaper.core.codec import to_json

        return {
            "schema": 1,
            "topic": self.topic,
            "at": to_json(self.at),
            "subject": self.subject,
            "text": self.text,
            "mode": self.mode,
            "resource": None if self.resource is None else to_json(self.resource),
            "due_at": to_json(self.due_at),
            "actions": [{"label": label, "command": command} for label, command in self.actions],
        }


class Switch(Protocol):
    """A kill switch outside of reaper: a file, a parameter that a whole fleet reads."""

    @property
    def name(self) -> str:
        """What it is, for people and the journal: `file /etc/reaper/paused`."""

    async def read(self) -> str | None:
        """Say why nothing may be done now; None: acts may go on. Bounded in time by itself.

        Raises:
            CollectError: It can't be read: then nothing is done.
        """

    async def close(self) -> None:
        """Close connections."""


class Notifier(Protocol):
    """A way to tell people: one entry point of `reaper.notifiers` a scheme, built with `from_address`."""

    @property
    def address(self) -> str:
        """The address without anything secret, for logs."""

    @property
    def counts_as_delivery(self) -> bool:
        """Whether a person can be expected to see it: false for the log."""

    async def notify(self, notice: Notice) -> None:
        """Deliver it, bounded in time (10 s) by itself.

        Raises:
            NotifyError: It was not delivered; the message says why and names no secret.
        """

    async def close(self) -> None:
        """Close connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerQuery:
    """What to read back of facts.

    Attributes:
        types: Type names of facts: `LedgerEntry`, `SettingChanged` ...; empty: all.
        since: Not before.
        until: Not after.
        ref: Only of this life.
        limit: The newest so many; the answer is oldest first.
    """

    types: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    ref: ResourceRef | None = None
    limit: int = 1000


class Journal(Protocol):
    """Where facts are kept: one entry point of `reaper.journals` a URL scheme.

    One writer at a time (`open(write=True)` takes a lock for the process's life); any number of readers.
    """

    async def open(self, *, write: bool) -> None:
        """Open, migrating when writing.

        Raises:
            JournalLocked: Another process writes to it; the message names its pid.
            JournalSchema: A newer reaper wrote it, or it is no journal of ours.
            JournalCorrupt: It is damaged.
            JournalFull: It can't be created or written.
        """

    async def write(self, batch: Batch) -> None:
        """Write one batch in one transaction, durably, before returning. The same `seq` twice is a no-op.

        Raises:
            JournalFull, JournalCorrupt, JournalError: Nothing of it was written.
        """

    async def load(self, *, seq: int | None = None, at: datetime | None = None) -> Image:
        """Give the state as of now, of a batch number, or of an instant (the last batch not after it)."""

    async def facts(self, query: LedgerQuery) -> list[Fact]:
        """Read facts back, oldest first."""

    async def decisions(
        self, *, ref: ResourceRef | None = None, decision_id: str | None = None, limit: int = 100
    ) -> list[Decision]:
        """Read decisions back, oldest first, the newest `limit`. `decision_id` may be a unique prefix."""

    async def lives(self, keys: Collection[ResourceKey], *, since: datetime) -> list[Sighting]:
        """Give the lives of some resources that had not ended at an instant, in the order they were seen first."""

    async def config(self, digest: str) -> Mapping[str, object] | None:
        """Give the rules' body with this digest."""

    async def prune(self, before: datetime) -> int:
        """Drop evidence, polls, decisions and facts that ended before an instant and are not needed for what lives.

        Returns:
            How many rows went.
        """

    async def close(self) -> None:
        """Close, and give up the lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks something of the daemon: a name for the journal."""

    who: str
    details: Mapping[str, object] = field(default_factory=dict)


class Control(Protocol):
    """What the HTTP API may ask of the daemon. Every answer is a JSON document.

    Raises:
        UsageError: The request names nothing, or several things; `candidates` are in the message.
        ControlError: The daemon refuses it; the message says why.
    """

    def alive(self) -> bool:
        """Whether the loops go round (watchdog)."""

    def ready(self) -> tuple[bool, str]:
        """Whether every required source had a first complete poll; otherwise what is missing."""

    async def status(self) -> dict[str, object]:
        """Give the status document of the contract."""

    async def explain(self, resource: str) -> dict[str, object]:
        """Give a decision with all that led to it, of a RESOURCE as people name it; also of one that is gone."""

    async def decision(self, decision_id: str) -> dict[str, object] | None:
        """Give one decision by id; None: there is none."""

    async def plan(self) -> dict[str, object]:
        """Give the plan document: what would be done now."""

    async def apply(self, document: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Do exactly what an approved plan says, each after a fresh look; gives an outcome for each item."""

    async def report(self, request: Mapping[str, object]) -> dict[str, object]:
        """Give the report document: `{"since_s": seconds | null, "by": what it is put together by | null}`."""

    def holds(self) -> dict[str, object]:
        """Give the holds document."""

    async def place_hold(self, request: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Place a hold: `{"resource": RESOURCE | null, "for_s": seconds, "why": text, "id": to renew}`."""

    async def release_hold(self, hold_or_resource: str, caller: Caller) -> dict[str, object]:
        """Release a hold by its id, or all holds that name just this RESOURCE."""

    def paused(self) -> dict[str, object]:
        """Give the pause document."""

    async def pause(self, request: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Pause: `{"for_s": seconds | null, "why": text}`."""

    async def resume(self, caller: Caller) -> dict[str, object]:
        """Resume."""

    def settings(self) -> dict[str, object]:
        """Give every effective setting with where it came from, secrets masked."""

    async def change_setting(self, request: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Set or unset: `{"name": "idle-timeout", "value": "90m" | null, "for_s": seconds | null}`."""

    def metrics(self) -> bytes:
        """Give the metrics in Prometheus's text format."""
