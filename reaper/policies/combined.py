"""The rules `all`, `any` and `not`: other rules combined, in three-valued logic.

A part that is due is true, one that waits is false, UNKNOWN is neither. KEEP is stronger than all of it. The reason,
and the signals it rests on, are those of the part that decided; the detail names every part.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar

from reaper.core.history import History
from reaper.core.ruleset import Rule
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.plugins import build_rule
from reaper.policies import params as read

__all__ = ["AllRule", "AnyRule", "NotRule", "Part"]

_HINT = 'write tables with a rule and its parameters, such as { rule = "idle", timeout = "2h" }'
_SAID_BY_SIGNALS = (Reason.IDLE, Reason.IDLE_NOT_LONG_ENOUGH)
"""The detail of these is every signal with its value: too much within another's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A rule within another.

    Attributes:
        name: Its entry point.
        rule: The rule itself.
    """

    name: str
    rule: Rule

    def said(self, finding: Finding) -> str:
        """Write what it found, for a person. Pure."""
        shown = finding.detail and finding.reason not in _SAID_BY_SIGNALS
        detail = f" ({finding.detail})" if shown else ""
        return f"{self.name} {finding.verdict.value}: {finding.reason.prose}{detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllRule:
    """Reap what every one of several rules would reap.

    While one waits it waits, until the last of those that wait is due; else one that is unknown makes it unknown.

    Attributes:
        rules: The rules: a list of tables, each with `rule` and its parameters.

    Example:
        ```toml
        [[policies]]
        name = "idle-in-the-evening"
        kind = "ec2.instance"
        rule = "all"
        rules = [
          { rule = "idle", timeout = "1h" },
          { rule = "schedule", off = "0 19 * * *", on = "0 8 * * MON-FRI", zone = "Europe/Berlin" },
        ]
        action = "stop"
        ```
    """

    rules: tuple[Part, ...]
    nested: ClassVar[tuple[str, ...]] = ("rules",)

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> "AllRule":
        """Build the rule from its parameter `rules`.

        Raises:
            ConfigError: It is missing, or one of the rules can't be built: the message names which.
        """
        return cls(rules=_parts("all", params))

    @property
    def timeout(self) -> timedelta:
        """The longest of its rules'."""
        return max(_timeouts(self.rules))

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say whether all are due. Pure."""
        found = [part.rule.evaluate(history, now, policy) for part in self.rules]
        detail = _detail("all of", self.rules, found)
        waiting = _of(Verdict.WAIT, found)
        if kept := _of(Verdict.KEEP, found):
            return replace(kept[0], detail=detail)
        if waiting:
            dues = [one.due_at for one in waiting if one.due_at is not None]
            sinces = [one.since for one in (*waiting, *_of(Verdict.REAP, found)) if one.since is not None]
            settled = all(one.since is not None for one in waiting)
            return replace(
                max(waiting, key=_holds_longest),
                detail=detail,
                since=max(sinces, default=None) if settled else None,
                due_at=max(dues) if len(dues) == len(waiting) else None,
                evidence=_evidence(waiting),
            )
        if unknown := _of(Verdict.UNKNOWN, found):
            return replace(unknown[0], detail=detail, evidence=_evidence(unknown))
        return replace(
            max(found, key=_due_last),
            detail=detail,
            since=max([one.since for one in found if one.since is not None], default=None),
            evidence=_evidence(found),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyRule:
    """Reap what one of several rules would reap.

    The one that was due first speaks. If none is due, one that is unknown makes it unknown; else it waits until
    the first is due.

    Attributes:
        rules: The rules: a list of tables, each with `rule` and its parameters.

    Example:
        ```toml
        [[policies]]
        name = "enough"
        kind = "ec2.instance"
        rule = "any"
        rules = [{ rule = "age", timeout = "72h" }, { rule = "spend", limit = 100 }]
        action = "stop"
        ```
    """

    rules: tuple[Part, ...]
    nested: ClassVar[tuple[str, ...]] = ("rules",)

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> "AnyRule":
        """Build the rule from its parameter `rules`.

        Raises:
            ConfigError: It is missing, or one of the rules can't be built: the message names which.
        """
        return cls(rules=_parts("any", params))

    @property
    def timeout(self) -> timedelta:
        """The shortest of its rules'."""
        return min(_timeouts(self.rules))

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say whether one of them is due. Pure."""
        found = [part.rule.evaluate(history, now, policy) for part in self.rules]
        detail = _detail("any of", self.rules, found)
        waiting = _of(Verdict.WAIT, found)
        first = min([one.due_at for one in waiting if one.due_at is not None], default=None)
        if kept := _of(Verdict.KEEP, found):
            return replace(kept[0], detail=detail)
        if due := _of(Verdict.REAP, found):
            return replace(min(due, key=_due_first), detail=detail)
        if unknown := _of(Verdict.UNKNOWN, found):
            return replace(unknown[0], detail=detail, due_at=first, evidence=_evidence(unknown))
        sampling = [one for one in waiting if one.reason is Reason.SAMPLING]
        speaks = min(sampling or waiting, key=_due_first)
        since = min(waiting, key=_due_first).since
        return replace(speaks, detail=detail, since=since, due_at=first, evidence=_evidence(waiting))


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRule:
    """Reap what another rule would not reap.

    What is unknown stays unknown, and so does what has not been watched long enough to tell. What the other
    keeps is kept.

    Attributes:
        of: The other rule: a table with `rule` and its parameters.

    Example:
        ```toml
        [[policies]]
        name = "not-booked"
        kind = "ec2.instance"
        rule = "not"
        of = { rule = "where", expression = "'booked' in resource.tags" }
        action = "stop"
        ```
    """

    of: Part
    nested: ClassVar[tuple[str, ...]] = ("of",)

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> "NotRule":
        """Build the rule from its parameter `of`.

        Raises:
            ConfigError: It is missing, or the rule can't be built.
        """
        read.only("not", params, ("of",))
        return cls(of=_part("not", "of", params.get("of")))

    @property
    def timeout(self) -> timedelta:
        """The other rule's."""
        return self.of.rule.timeout

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say the opposite. Pure."""
        found = self.of.rule.evaluate(history, now, policy)
        detail = f"not [{self.of.said(found)}]"
        if found.verdict in (Verdict.KEEP, Verdict.UNKNOWN):
            return replace(found, detail=detail)
        if found.reason is Reason.SAMPLING:
            return Finding(
                policy=policy,
                verdict=Verdict.UNKNOWN,
                reason=Reason.SAMPLING,
                since=history.first_seen_at,
                due_at=found.due_at,
                evidence=found.evidence,
                detail=detail,
            )
        due = found.verdict is Verdict.WAIT
        return Finding(
            policy=policy,
            verdict=Verdict.REAP if due else Verdict.WAIT,
            reason=Reason.NEGATED if due else Reason.NEGATED_DUE,
            evidence=found.evidence,
            detail=detail,
        )


# Building


def _parts(rule: str, params: Mapping[str, object]) -> tuple[Part, ...]:
    read.only(rule, params, ("rules",))
    tables = params.get("rules")
    if not isinstance(tables, (list, tuple)) or not tables:
        msg = f"rule {rule!r} needs 'rules', a list: {_HINT}"
        raise ConfigError(msg)
    return tuple(_part(rule, f"rules[{number}]", table) for number, table in enumerate(tables, 1))


def _part(rule: str, path: str, table: object) -> Part:
    name = table.get("rule") if isinstance(table, Mapping) else None
    if not isinstance(table, Mapping) or not isinstance(name, str):
        msg = f"rule {rule!r}, {path}: names no rule: {_HINT}"
        raise ConfigError(msg)
    try:
        return Part(name=name, rule=build_rule(name, {k: v for k, v in table.items() if k != "rule"}))
    except ConfigError as error:
        msg = f"rule {rule!r}, {path}: {error}"
        raise ConfigError(msg) from None


def _timeouts(parts: Iterable[Part]) -> list[timedelta]:
    """Give the timeouts of those that wait for a length of time; where there is none, what stands for it."""
    timed = [part.rule.timeout for part in parts if part.rule.timeout is not read.UNTIMED]
    return timed or [read.UNTIMED]


# Joining findings


def _of(verdict: Verdict, found: Iterable[Finding]) -> list[Finding]:
    return [one for one in found if one.verdict is verdict]


def _evidence(found: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(signal for one in found for signal in one.evidence))


def _detail(word: str, parts: Sequence[Part], found: Sequence[Finding]) -> str:
    said = "; ".join(part.said(finding) for part, finding in zip(parts, found, strict=True))
    return f"{word} [{said}]"


def _due_first(finding: Finding) -> tuple[bool, float]:
    return finding.due_at is None, finding.due_at.timestamp() if finding.due_at else 0.0


def _due_last(finding: Finding) -> float:
    return finding.due_at.timestamp() if finding.due_at else float("-inf")


def _holds_longest(finding: Finding) -> tuple[bool, bool, float]:
    """Rank what waits: what is sure to wait before what is only not watched long enough; open ends last longest."""
    return finding.reason is not Reason.SAMPLING, *_due_first(finding)
