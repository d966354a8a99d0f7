"""Policies: from tables of the file to what the core decides with, and back to TOML."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from reaper.config.catalog import suggest
from reaper.config.kinds import FORCE, NOTIFY, actions_of
from reaper.config.model import MatchTable, PolicyTable, Settings
from reaper.config.parameters import PolicyError, rule_parameters, with_defaults, written
from reaper.config.values import duration_text
from reaper.core.ruleset import Match, Mode, PolicySpec, Rule, Step
from reaper.errors import ConfigError

__all__ = [
    "PolicyError",
    "build_policy",
    "follows_idle_timeout",
    "preset_policies",
    "rule_keys",
    "rule_parameters",
    "to_toml",
]

_RESERVED_TAGS = ("reaper:protect", "reaper:hold-until")
_KEYS = tuple(PolicyTable.model_fields)
_ALL, _WHERE = "all", "where"


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
    defaults = {"timeout": idle_timeout}
    if table.kind == "jupyter.kernel" and settings.jupyter.busy_timeout is not None:
        defaults["busy_timeout"] = settings.jupyter.busy_timeout
    rule_name, raw = table.rule, with_defaults(table.rule, table.parameters, defaults)
    if table.where is None:
        params, rule = rule_parameters(rule_name, raw)
    else:
        params, rule = _where(table.where, rule_name, raw)
        rule_name = _ALL
    return PolicySpec(
        name=table.name,
        kind=table.kind,
        rule_name=rule_name,
        rule=rule,
        params=params,
        match=_match(table.match),
        steps=_steps(table, possible),
        mode=table.mode,
        warn_before=settings.warn_before if table.warn_before is None else table.warn_before,
        minimum_age=table.minimum_age,
    )


def follows_idle_timeout(table: PolicyTable) -> bool:
    """Tell whether a policy's rule, or one within it, is `idle` without a timeout of its own. Pure."""
    plain = with_defaults(table.rule, table.parameters, {})
    return bool(with_defaults(table.rule, table.parameters, {"timeout": timedelta()}) != plain)


def _where(expression: str, rule_name: str, raw: Mapping[str, Any]) -> tuple[dict[str, Any], Rule]:
    """Put a policy's condition before its rule: both must be so."""
    both = [{"rule": _WHERE, "expression": expression}, {"rule": rule_name, **raw}]
    try:
        return rule_parameters(_ALL, {"rules": both})
    except PolicyError as error:
        path = error.path
        if path[:2] == ("rules", 0):
            path = ("where",)
        elif path[:2] == ("rules", 1):
            path = path[2:]
        raise PolicyError(str(error), *path) from None


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
        if action in {earlier.action for earlier in _up_to_here(steps, action)}:
            raise PolicyError(f"{action!r} is there already, in an earlier step", "steps", index, "action")
        steps.append(Step(action=action, after=step.after))
        problem = _out_of_order(steps)
        if problem is not None:
            key, message = problem
            raise PolicyError(message, "steps", index, key)
    return tuple(steps)


def _up_to_here(steps: list[Step], action: str) -> list[Step]:
    """Give the steps among which an action may be once: any act in the whole ladder, a notice before each act."""
    if action != NOTIFY:
        return steps
    last = max((index for index, step in enumerate(steps) if step.action != NOTIFY), default=-1)
    return steps[last + 1 :]


def _out_of_order(steps: list[Step]) -> tuple[str, str] | None:
    """Say which key of the last step can't be so, and why; None: it can."""
    acts = [step for step in steps if step.action != NOTIFY]
    if len(acts) < 2 or steps[-1].action == NOTIFY:  # noqa: PLR2004 - two acts have an order
        return None
    before, act = acts[-2], acts[-1]
    if {act.action, before.action} <= FORCE.keys() and FORCE[act.action] <= FORCE[before.action]:
        return "action", f"{act.action!r} can't follow {before.action!r}: what comes later must go further"
    waits = steps[steps.index(before) + 1 :]
    if not sum((step.after for step in waits), timedelta(0)):
        return "after", f'says not how long after {before.action!r}: write a duration such as after = "14d"'
    return None


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
    plain |= rule_keys(policy)
    if len(policy.steps) == 1:
        plain["action"] = policy.action
    if policy.mode is Mode.DRY_RUN:
        plain["mode"] = policy.mode.value
    plain["warn_before"] = duration_text(policy.warn_before)
    plain["minimum_age"] = duration_text(policy.minimum_age)
    return plain


def rule_keys(policy: PolicySpec) -> dict[str, Any]:
    """Give a policy's rule and parameters as keys of its table, as people write them. Pure.

    Durations have units, and an `all` of a condition and a rule is that rule with the key `where`.
    """
    params = written(policy.rule, policy.params)
    rules = params.get("rules")
    if policy.rule_name == _ALL and isinstance(rules, list) and len(rules) == len(("where", "rule")):
        condition, inner = rules[0], dict(rules[1])
        rule_name = inner.pop("rule")
        if condition["rule"] == _WHERE and inner.keys().isdisjoint(_KEYS):
            return {"where": condition["expression"], "rule": rule_name, **inner}
    return {"rule": policy.rule_name, **params}


def _match_table(match: Match) -> dict[str, Any]:
    table: dict[str, Any] = {
        name: list(globs) for name in ("scope", "name", "owner") if (globs := getattr(match, name))
    }
    if match.tags:
        table["tags"] = {
            key: value if isinstance(value, bool) else list(value) for key, value in match.tags.items()
        }
    return table | {name: list(globs) for name, globs in match.attributes.items()}


def _toml(value: Any, indent: str = "") -> str:
    """Write a value; tables in a list have a line each."""
    if isinstance(value, Mapping):
        inside = [f"{_toml_key(key)} = {_toml(item, indent)}" for key, item in value.items()]
        return "{ " + ", ".join(inside) + " }" if inside else "{}"
    if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        inside = [f"\n{indent}  {_toml(item, indent + '  ')}," for item in value]
        return "[" + "".join(inside) + f"\n{indent}]"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)
