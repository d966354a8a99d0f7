"""The rules in force: policies, guards and budgets as values. Pure.

Configuration is turned into a `Ruleset` once, and forgotten; its JSON body is journaled, so that
past decisions can be made again under the rules of their time.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Protocol

from reaper.core.codec import from_json, to_json
from reaper.core.history import History, gap_of
from reaper.core.model import Resource
from reaper.core.verdict import Finding

__all__ = [
    "NOTIFY",
    "Budget",
    "Guards",
    "Match",
    "Mode",
    "PolicySpec",
    "QuietHours",
    "Rule",
    "RuleFactory",
    "Ruleset",
    "Step",
]


NOTIFY = "notify"
"""The step that only tells people."""

LONGEST_WINDOW = timedelta(days=1)
"""The longest window of a budget."""


class Mode(StrEnum):
    """Whether verdicts are acted on."""

    DRY_RUN = "dry-run"
    ENFORCE = "enforce"


class Rule(Protocol):
    """Says when something is to be reaped: one entry point of `reaper.policies`. Pure."""

    @property
    def timeout(self) -> timedelta:
        """How long the thing it waits for must last; `REAPER_APPLY_GRACE` is bounded by it."""

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say what this rule finds, in the name of `policy`. No clock, no side effects."""


RuleFactory = Callable[[str, Mapping[str, object]], Rule]
"""Builds a rule from its name and parameters; raises ConfigError naming the parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which resources a policy is about. Every field that is set must match; globs, any of a list.

    Attributes:
        scope: Globs on the scope (`1234*/eu-*`, `http://127.0.0.1:*`).
        name: Globs on the name, an alias or the id.
        owner: Globs on the owner.
        tags: By key (ignoring case): globs on the value, or True present, False absent.
        attributes: By attribute: globs on its text.
    """

    scope: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    tags: Mapping[str, bool | tuple[str, ...]] = field(default_factory=dict)
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def matches(self, resource: Resource) -> bool:
        """Tell whether the policy is about this resource. Pure."""
        if self.scope and not _any(self.scope, resource.ref.scope):
            return False
        if self.name:
            names = (resource.name, resource.ref.id, *resource.aliases)
            if not any(_any(self.name, name) for name in names):
                return False
        if self.owner and not _any(self.owner, resource.owner or ""):
            return False
        if self.tags:
            tags = {key.lower(): value for key, value in resource.tags.items()}
            for key, wanted in self.tags.items():
                value = tags.get(key.lower())
                if isinstance(wanted, bool):
                    if (value is not None) is not wanted:
                        return False
                elif value is None or not _any(tuple(wanted), value):
                    return False
        return not self.attributes or all(
            name in resource.attributes and _any(tuple(globs), _text(resource.attributes[name]))
            for name, globs in self.attributes.items()
        )


def _text(value: object) -> str:
    """Write an attribute as configuration writes it: `true`, not `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _any(globs: tuple[str, ...], text: str) -> bool:
    return any(fnmatchcase(text, glob) for glob in globs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A rung of a policy's ladder.

    Attributes:
        action: `notify`, `shutdown`, `delete`, `stop` ...
        after: How long after the step before it succeeded.
    """

    action: str
    after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """One policy: a rule, what it is about, and what to do.

    Attributes:
        name: Unique.
        kind: Which kind of resource.
        rule_name: Entry point of `reaper.policies`.
        params: The rule's parameters as configured (durations in seconds).
        rule: The rule itself, built from the two.
        match: Which resources of that kind.
        steps: The ladder: notices and acts; the last one is an act.
        mode: The stricter of this and the daemon's holds.
        warn_before: Notice this long before the act (where the ladder has no notice of its own).
        minimum_age: Nothing younger is reaped.
    """

    name: str
    kind: str
    rule_name: str
    rule: Rule
    params: Mapping[str, object] = field(default_factory=dict)
    match: Match = Match()
    steps: tuple[Step, ...]
    mode: Mode = Mode.ENFORCE
    warn_before: timedelta = timedelta(0)
    minimum_age: timedelta = timedelta(0)
    _ladder_gap: timedelta | None = field(default=None, init=False, repr=False, compare=False)
    _rungs: tuple["PolicySpec", ...] = field(default=(), init=False, repr=False, compare=False)
    _whole: "PolicySpec | None" = field(default=None, init=False, repr=False, compare=False)
    _digests: dict[Mode, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        acts_after = [i for i, step in enumerate(self.steps[:-1], 1) if step.action == NOTIFY]
        if acts_after:
            gap = sum((step.after for step in self.steps[acts_after[0] :]), timedelta(0))
            object.__setattr__(self, "_ladder_gap", gap)
        if len(self.acts) > 1:
            object.__setattr__(self, "_rungs", tuple(self._split()))

    @property
    def acts(self) -> tuple[str, ...]:
        """What it does, step by step, notices left out."""
        return tuple([step.action for step in self.steps if step.action != NOTIFY])

    @property
    def action(self) -> str:
        """What it does in the end."""
        return self.steps[-1].action

    @property
    def after(self) -> timedelta:
        """How long after the act before it, or after the rule's deadline, its first step comes."""
        return self.steps[0].after

    def rung(self, number: int) -> "PolicySpec":
        """Give the policy as it stands at an act of its ladder: the notices before that act, and the act. Pure.

        Args:
            number: How many acts are done; the last rung stands for all that comes after it.
        """
        return self._rungs[min(number, len(self._rungs) - 1)] if self._rungs else self

    @property
    def notice_lead(self) -> timedelta:
        """How long before the rule's deadline the notice goes out; zero: at the deadline."""
        return self.warn_before if self._ladder_gap is None else timedelta(0)

    @property
    def notice_gap(self) -> timedelta | None:
        """How long after the delivered notice the act may come; None: no notice is asked for."""
        return (self.warn_before or None) if self._ladder_gap is None else self._ladder_gap

    def applies_to(self, resource: Resource) -> bool:
        """Tell whether it is about this resource. Pure."""
        return resource.ref.kind == self.kind and self.match.matches(resource)

    def digest(self, mode: Mode) -> str:
        """Name what would newly apply to a resource if it changed: rule, limit, action, mode. Pure."""
        if self._whole is not None:
            return self._whole.digest(mode)
        if mode not in self._digests:  # asked for on every resource of every tick
            effective = Mode.ENFORCE if mode is self.mode is Mode.ENFORCE else Mode.DRY_RUN
            does = to_json(self.steps) if len(self.acts) > 1 else self.action
            named = [self.name, self.rule_name, to_json(self.params), does, effective]
            self._digests[mode] = _digest(named)
        return self._digests[mode]

    def _split(self) -> Iterator["PolicySpec"]:
        """Cut the ladder after each act."""
        start = 0
        for end, step in enumerate(self.steps, 1):
            if step.action != NOTIFY:
                rung = replace(self, steps=self.steps[start:end])
                object.__setattr__(rung, "_whole", self)
                yield rung
                start = end


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """A daily window, in a zone, in which nothing is reaped. It may cross midnight."""

    start: time
    end: time
    zone: str = "UTC"

    def until(self, now: datetime) -> datetime | None:
        """Give when the window that holds `now` ends; None: outside of it. Pure."""
        from zoneinfo import ZoneInfo  # few have quiet hours; `reaper status` starts without the time zones

        zone, ends = ZoneInfo(self.zone), None
        today = now.astimezone(zone).date()
        for day in (today - timedelta(days=1), today):
            begin = datetime.combine(day, self.start, zone).astimezone(UTC)
            end = _later_reading(day + timedelta(days=self.end <= self.start), self.end, zone)
            if begin <= now < end:
                ends = end if ends is None else max(ends, end)
        return ends

    def ended(self, now: datetime) -> datetime | None:
        """Give when the window ended last, today or yesterday; None: it did not. Pure."""
        from zoneinfo import ZoneInfo

        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        ends = [_later_reading(today - timedelta(days=ago), self.end, zone) for ago in (1, 0)]
        return max((end for end in ends if end <= now), default=None)


def _later_reading(day: date, at: time, zone: tzinfo) -> datetime:
    """Give the later instant that a wall clock's time can mean where clocks change."""
    local = datetime.combine(day, at, zone)
    return max(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Settings of the guards. Durations as timedeltas; see product.md for the variables."""

    actions: tuple[str, ...] | None = None
    start_grace: timedelta = timedelta(minutes=5)
    apply_grace: timedelta = timedelta(minutes=10)
    max_gap: timedelta = timedelta(minutes=3)
    slow_gaps: Mapping[str, timedelta] = field(default_factory=dict)
    clock_jump_grace: timedelta = timedelta(minutes=10)
    quiet_hours: tuple[QuietHours, ...] = ()
    mass_trip: bool = True

    def gap(self, source: str) -> timedelta:
        """Give how old the evidence of a source may be, and how long a gap between two looks it bridges. Pure."""
        return gap_of(source, self.max_gap, self.slow_gaps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may be disrupted: at most so many actions, or dollars an hour freed, in a window.

    Attributes:
        name: For people.
        kind: Glob on the kind.
        scope: Glob; each scope that matches has a budget of its own.
        actions: Most actions in the window; None: no limit.
        dollars_per_hour: Most hourly cost ended in the window; None: no limit. An unknown cost counts as
            nothing.
        window: The window; a day at most, which is how long what was started is remembered.
    """

    name: str
    kind: str = "*"
    scope: str = "*"
    actions: int | None = None
    dollars_per_hour: float | None = None
    window: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        if not timedelta(0) < self.window <= LONGEST_WINDOW:
            msg = f"budget {self.name!r}: its window must be longer than 0 and at most a day"
            raise ValueError(msg)

    def covers(self, kind: str, scope: str) -> bool:
        """Tell whether it limits actions on this kind in this scope. Pure."""
        return fnmatchcase(kind, self.kind) and fnmatchcase(scope, self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """Everything a decision depends on besides the world."""

    mode: Mode = Mode.DRY_RUN
    policies: tuple[PolicySpec, ...] = ()
    guards: Guards = Guards()
    budgets: tuple[Budget, ...] = ()
    _known_digest: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def enforced(self, policy: PolicySpec) -> bool:
        """Tell whether a policy's verdicts are acted on: the stricter mode holds. Pure."""
        return self.mode is Mode.ENFORCE and policy.mode is Mode.ENFORCE

    def policy(self, name: str) -> PolicySpec | None:
        """Find a policy by name. Pure."""
        return next((policy for policy in self.policies if policy.name == name), None)

    def body(self) -> dict[str, object]:
        """Give the JSON form that `from_body` reads back. Pure."""
        return {
            "mode": self.mode.value,
            "policies": [to_json(replace(policy, rule=None)) for policy in self.policies],  # type: ignore[arg-type]
            "guards": to_json(self.guards),
            "budgets": to_json(self.budgets),
        }

    def digest(self) -> str:
        """Name these rules: equal rules, equal digest. Pure."""
        if not self._known_digest:  # asked for on every tick
            self._known_digest.append(_digest(self.body()))
        return self._known_digest[0]

    @classmethod
    def from_body(cls, body: Mapping[str, object], build_rule: RuleFactory) -> "Ruleset":
        """Build rules from their journaled form.

        Args:
            body: What `body()` gave.
            build_rule: Builds a rule by name and parameters.
        """
        raw: dict[str, list[dict[str, object]]] = dict(body)  # type: ignore[arg-type]
        policies = []
        for one in raw["policies"]:
            rule = build_rule(str(one["rule_name"]), one["params"])  # type: ignore[arg-type]
            policies.append(replace(from_json(PolicySpec, {**one, "rule": None}), rule=rule))
        return cls(
            mode=Mode(str(body["mode"])),
            policies=tuple(policies),
            guards=from_json(Guards, raw["guards"]),
            budgets=tuple(from_json(Budget, one) for one in raw["budgets"]),
        )


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
