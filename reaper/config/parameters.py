"""A rule's parameters: from what a person wrote to what is journaled, and back; those of rules within it too."""

import datetime as dt
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from reaper.config.catalog import suggest
from reaper.config.tables import PolicyTable
from reaper.config.values import duration_text
from reaper.core.durations import parse_duration
from reaper.core.ruleset import Rule
from reaper.errors import ConfigError

__all__ = ["PolicyError", "rule_parameters", "with_defaults", "written"]

_KEYS = tuple(PolicyTable.model_fields)
_DEEPEST = 8
"""So many rules may stand within one another."""


class PolicyError(ConfigError):
    """A policy can't be used."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path
        """Which key of the policy: `("steps", 0, "action")`; empty: the policy as a whole."""


@cache
def _factory(rule_name: str) -> Any:
    """Load a rule's class, once: looking through every installed package takes 20 ms."""
    from reaper.plugins import load

    return load("reaper.policies", rule_name)


def rule_parameters(rule_name: str, raw: Mapping[str, Any], *, depth: int = 0) -> tuple[dict[str, Any], Rule]:
    """Build a rule, and give its parameters as they are journaled: JSON values, durations in float seconds.

    Which of the parameters are durations only the rule knows. So a text that reads as a duration is turned
    into seconds where the rule built from the seconds is equal to the one built from the text; rules
    are dataclasses, which compare by value.

    Args:
        rule_name: Entry point of `reaper.policies`.
        raw: The parameters as a person wrote them, or with timedeltas that come from settings.
        depth: Within how many other rules this one stands.

    Raises:
        PolicyError: There is no such rule, or a parameter can't be used; its path names the parameter if it is known.
    """
    for key, value in raw.items():
        _refuse_unjournaled(value, key)
    raw = _with_parts(rule_name, raw, depth)
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
        named = (
            key for key in params if any(text in message for text in (f"{key!r}", f", {key}:", f", {key}["))
        )
        key = next(named, None)
        near = suggest(key, list(_KEYS)) if key is not None and "no parameter" in message else None
        hint = f" (did you mean the policy's {near!r}?)" if near else ""
        raise PolicyError(message + hint, *([] if key is None else [key])) from None
    except (TypeError, ValueError, OverflowError) as error:
        raise PolicyError(f"rule {rule_name!r} can't be built: {error}") from None
    return rule


def _nested(rule_name: str) -> tuple[str, ...]:
    """Give the parameters of a rule that are tables of other rules, or lists of them: its class names them."""
    try:
        return tuple(getattr(_factory(rule_name), "nested", ()))
    except ConfigError:
        return ()  # `_build` says what is wrong


def _with_parts(rule_name: str, raw: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
    """Give the parameters with those of the rules within it as they are journaled.

    What is no table with a rule stays as it is: the rule itself says what it wants.
    """
    parts = {
        key: _each_part(raw[key], lambda table, *path: _part(table, depth + 1, *path), key)
        for key in _nested(rule_name)
        if key in raw
    }
    if parts and depth == _DEEPEST:
        raise PolicyError(f"stands within {depth} other rules: that is too deep", *list(parts)[:1])
    return {**raw, **parts}


def _each_part(value: Any, change: Callable[..., Any], *path: str | int) -> Any:
    """Change a table of a rule, or each of a list of them; `change` is told where it stands."""
    if isinstance(value, (list, tuple)):
        return [_each_part(item, change, *path, number) for number, item in enumerate(value)]
    if isinstance(value, Mapping) and isinstance(value.get("rule"), str):
        return change(value, *path)
    return value


def _part(table: Mapping[str, Any], depth: int, *path: str | int) -> dict[str, Any]:
    inner = {key: value for key, value in table.items() if key != "rule"}
    try:
        params, _ = rule_parameters(table["rule"], inner, depth=depth)
    except PolicyError as error:
        raise PolicyError(str(error), *path, *error.path) from None
    return {"rule": table["rule"], **params}


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


def with_defaults(
    rule_name: str, raw: Mapping[str, Any], defaults: Mapping[str, timedelta]
) -> dict[str, Any]:
    """Give a rule's parameters with what `idle` leaves to the settings filled in, within other rules too.

    Args:
        rule_name: Entry point of `reaper.policies`.
        raw: The parameters as a person wrote them.
        defaults: Parameters of `idle`.
    """
    if rule_name == "idle":
        return {**defaults, **raw}

    def filled(table: Mapping[str, Any], *_path: str | int) -> dict[str, Any]:
        inner = {key: value for key, value in table.items() if key != "rule"}
        return {"rule": table["rule"], **with_defaults(table["rule"], inner, defaults)}

    nested = _nested(rule_name)
    return {key: _each_part(value, filled) if key in nested else value for key, value in raw.items()}


# As people write them


def written(rule: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Give a rule's journaled parameters as people write them: durations with units. Pure."""
    found: dict[str, Any] = {}
    for key, value in params.items():
        if key in getattr(rule, "nested", ()):
            parts = getattr(rule, key)
            several = isinstance(value, (list, tuple))
            pairs = zip(parts if several else [parts], value if several else [value], strict=True)
            inside = [_written_part(part.rule, table) for part, table in pairs]
            found[key] = inside if several else inside[0]
        elif isinstance(value, float) and _reads_as_duration(rule, key, value):
            found[key] = duration_text(timedelta(seconds=value))
        else:
            found[key] = value
    return found


def _written_part(rule: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in table.items() if key != "rule"}
    return {"rule": table["rule"], **written(rule, inner)}
