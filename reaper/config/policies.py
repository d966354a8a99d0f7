"""Policies: from tables of the file to what the core decides with, and back to TOML."""

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from reaper.config.catalog import suggest
from reaper.config.kinds import NOTIFY, actions_of
from reaper.config.model import MatchTable, PolicyTable, Settings
from reaper.config.values import duration_text
from reaper.core.durations import parse_duration
from reaper.core.ruleset import Match, Mode, PolicySpec, Rule, Step
from reaper.errors import ConfigError

__all__ = [
    "PolicyError",
    "build_policy",
    "preset_policies",
    "rule_parameters",
    "to_toml",
    "written_parameters",
]

_RESERVED_TAGS = ("reaper:protect", "reaper:hold-until")
_KEYS = tuple(PolicyTable.model_fields)


class PolicyError(ConfigError):
    """A policy can't be used."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path
        """Which key of the policy: `("steps", 0, "action")`; empty: the policy as a whole."""


# Rules


@cache
def _factory(rule_name: str) -> Any:
    """Load a rule's class, once: looking through every installed package takes 20 ms."""
    from reaper.plugins import load

    return load("reaper.policies", rule_name)


def rule_parameters(rule_name: str, raw: Mapping[str, Any]) -> tuple[dict[str, Any], Rule]:
    """Build a rule, and give its parameters as they are journaled: JSON values, durations in float seconds.

    Which of the parameters are durations only the rule knows. So a text that reads as a duration is turned
    into seconds where the rule built from the seconds is equal to the one built from the text; rules
    are dataclasses, which compare by value.

    Args:
        rule_name: Entry point of `reaper.policies`.
        raw: The parameters as a person wrote them, or with timedeltas that come from settings.

    Raises:
        PolicyError: There is no such rule, or a parameter can't be used; its path names the parameter if it is known.
    """
    for key, value in raw.items():
        _refuse_unjournaled(value, key)
    rule = _build(rule_name, raw)
    for key, value in raw.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and _reads_as_duration(rule, key, value):
            raise PolicyError(
                f"{value!r} has no unit: write it with a unit, such as 45s, 120m, 1h30m or 3d", key
            )
    params = {
        key: value.total_seconds() if isinstance(value, timedelta) else value for key, value in raw.items()
    }
    for key, value in raw.items():
        if isinstance(value, str) and (seconds := _seconds(value)) is not None:
            params = _if_equal(rule_name, rule, params, {**params, key: seconds})
    return params, rule


def _build(rule_name: str, params: Mapping[str, Any]) -> Rule:
    try:
        factory = _factory(rule_name)
    except ConfigError as error:
        from reaper.plugins import names

        known = names("reaper.policies")
        if rule_name in known:
            raise PolicyError(str(error), "rule") from None
        near = suggest(rule_name, known)
        hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(known)}"
        raise PolicyError(f"there is no rule {rule_name!r}; {hint}", "rule") from None
    try:
        rule: Rule = factory.from_params(params)
    except ConfigError as error:
        message = str(error)
        key = next((key for key in params if f"{key!r}" in message or f", {key}:" in message), None)
        near = suggest(key, list(_KEYS)) if key is not None and "no parameter" in message else None
        hint = f" (did you mean the policy's {near!r}?)" if near else ""
        raise PolicyError(message + hint, *([] if key is None else [key])) from None
    except (TypeError, ValueError, OverflowError) as error:
        raise PolicyError(f"rule {rule_name!r} can't be built: {error}") from None
    return rule


def _refuse_unjournaled(value: object, key: str) -> None:
    """Refuse what has no JSON form of its own: TOML's dates, and numbers that are none."""
    if isinstance(value, (dt.date, dt.time)):
        raise PolicyError(f"{value} is a TOML date or time: write it as text in quotes", key)
    if isinstance(value, float) and not math.isfinite(value):
        raise PolicyError(f"{value} is no number that can be used", key)
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_unjournaled(item, key)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _refuse_unjournaled(item, key)


def _reads_as_duration(rule: Rule, key: str, seconds: float) -> bool:
    """Tell whether a rule took a bare number for seconds: those of the journal are, those of a person have units."""
    if hasattr(rule, key):
        return isinstance(getattr(rule, key), timedelta)
    return any(
        isinstance(value := getattr(rule, name, None), timedelta) and value == timedelta(seconds=seconds)
        for name in getattr(rule, "__dataclass_fields__", ())
    )


def _seconds(text: str) -> float | None:
    try:
        return parse_duration(text).total_seconds()
    except ValueError:
        return None


def _if_equal(rule_name: str, rule: Rule, params: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    try:
        return other if _factory(rule_name).from_params(other) == rule else params
    except (ConfigError, TypeError, ValueError, OverflowError):
        return params


# Policies


def build_policy(table: PolicyTable, settings: Settings, idle_timeout: timedelta) -> PolicySpec:
    """Build a policy from its table.

    What it leaves out comes from the settings: `timeout` and, for kernels, `busy_timeout` of the rule `idle`,
    `warn_before`, and the action where its kind has only one.

    Raises:
        PolicyError: Something in it can't be used; `path` says which key.
    """
    if not table.name.isprintable() or table.name != table.name.strip():
        raise PolicyError(f"{table.name!r} has spaces around it or can't be printed", "name")
    try:
        possible = actions_of(table.kind)
    except ConfigError as error:
        raise PolicyError(str(error), "kind") from None
    raw = dict(table.parameters)
    if table.rule == "idle":
        raw.setdefault("timeout", idle_timeout)
        if table.kind == "jupyter.kernel" and settings.jupyter.busy_timeout is not None:
            raw.setdefault("busy_timeout", settings.jupyter.busy_timeout)
    params, rule = rule_parameters(table.rule, raw)
    return PolicySpec(
        name=table.name,
        kind=table.kind,
        rule_name=table.rule,
        rule=rule,
        params=params,
        match=_match(table.match),
        steps=_steps(table, possible),
        mode=table.mode,
        warn_before=settings.warn_before if table.warn_before is None else table.warn_before,
        minimum_age=table.minimum_age,
    )


def preset_policies(
    tables: Iterable[Mapping[str, Any]], settings: Settings, idle_timeout: timedelta
) -> tuple[PolicySpec, ...]:
    """Build a preset's policies from its data: they are policies like any other."""
    return tuple(build_policy(PolicyTable(**table), settings, idle_timeout) for table in tables)


def _match(table: MatchTable) -> Match:
    for key in table.tags:
        if key.lower() in _RESERVED_TAGS:
            raise PolicyError(f"{key} is reserved: it protects whatever a policy says", "match", "tags", key)
    tags = {key: value if isinstance(value, bool) else tuple(value) for key, value in table.tags.items()}
    attributes = {key: tuple(globs) for key, globs in (table.model_extra or {}).items()}
    return Match(scope=table.scope, name=table.name, owner=table.owner, tags=tags, attributes=attributes)


def _steps(table: PolicyTable, possible: tuple[str, ...]) -> tuple[Step, ...]:
    if table.steps is None:
        return (Step(action=_action(table.action, table.kind, possible, "action")),)
    if table.action is not None:
        raise PolicyError("action is the short form of steps: keep one of them", "action")
    if not table.steps:
        raise PolicyError("is empty: a ladder has at least the step that acts", "steps")
    if table.steps[0].after:
        message = "the first step comes when the rule says so: it has no 'after'"
        raise PolicyError(message, "steps", 0, "after")
    if table.steps[-1].action == NOTIFY:
        message = f"the last step must act: {', '.join(possible)}"
        raise PolicyError(message, "steps", len(table.steps) - 1, "action")
    steps: list[Step] = []
    for index, step in enumerate(table.steps):
        action = step.action
        if action != NOTIFY:
            action = _action(action, table.kind, possible, "steps", index, "action")
        if action in {earlier.action for earlier in steps}:
            raise PolicyError(f"{action!r} is there already, in an earlier step", "steps", index, "action")
        steps.append(Step(action=action, after=step.after))
    return tuple(steps)


def _action(action: str | None, kind: str, possible: tuple[str, ...], *path: str | int) -> str:
    if action is None:
        if len(possible) == 1:
            return possible[0]
        raise PolicyError(f"says not what to do; {kind} can: {', '.join(possible)}", *path)
    if action not in possible:
        near = suggest(action, list(possible))
        hint = f"did you mean {near!r}?" if near else f"there are: {', '.join((NOTIFY, *possible))}"
        raise PolicyError(f"{action!r} can't be done to a {kind}; {hint}", *path)
    return action


# TOML


def to_toml(policies: Iterable[PolicySpec], *, heading: str = "") -> str:
    """Write policies as TOML that `build_policy` reads back equal, with every value spelt out."""
    blocks = ["\n".join(f"# {line}".rstrip() for line in heading.splitlines())] if heading else []
    for policy in policies:
        lines = ["[[policies]]"]
        lines += [f"{key} = {_toml(value)}" for key, value in _plain(policy).items()]
        for step in policy.steps if len(policy.steps) > 1 else ():
            lines += ["[[policies.steps]]", f"action = {_toml(step.action)}"]
            lines += [f"after = {_toml(duration_text(step.after))}"] if step.after else []
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _plain(policy: PolicySpec) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": policy.name, "kind": policy.kind}
    match = _match_table(policy.match)
    if match:
        plain["match"] = match
    plain["rule"] = policy.rule_name
    plain |= written_parameters(policy)
    if len(policy.steps) == 1:
        plain["action"] = policy.action
    if policy.mode is Mode.DRY_RUN:
        plain["mode"] = policy.mode.value
    plain["warn_before"] = duration_text(policy.warn_before)
    plain["minimum_age"] = duration_text(policy.minimum_age)
    return plain


def written_parameters(policy: PolicySpec) -> dict[str, Any]:
    """Give a policy's parameters as people write them: durations with units. Pure."""
    return {
        key: duration_text(timedelta(seconds=value))
        if isinstance(value, float) and _reads_as_duration(policy.rule, key, value)
        else value
        for key, value in policy.params.items()
    }


def _match_table(match: Match) -> dict[str, Any]:
    table: dict[str, Any] = {
        name: list(globs) for name in ("scope", "name", "owner") if (globs := getattr(match, name))
    }
    if match.tags:
        table["tags"] = {
            key: value if isinstance(value, bool) else list(value) for key, value in match.tags.items()
        }
    return table | {name: list(globs) for name, globs in match.attributes.items()}


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)
