"""IAM's evaluation of a policy, as far as ours go: for tests of who may do what.

Follows the IAM User Guide ("Policy evaluation logic", "Condition operators", "Policy variables"). Patterns are matched
with regard to case, an unknown variable matches nothing, and a Deny wins.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["actions_of", "allows"]

Context = Mapping[str, str | list[str]]

_VARIABLE = re.compile(r"\$\{([^}]+)\}")


class _Unknown(Exception):
    """A variable that the request does not know."""


def allows(policy: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    """Tell whether a policy lets a request through."""
    met = {one["Effect"] for one in policy["Statement"] if _meets(one, action, resource, context)}
    return met == {"Allow"}


def actions_of(policy: Mapping[str, Any], effect: str = "Allow") -> set[str]:
    """Give every action that a policy names with an effect."""
    return {
        action for one in policy["Statement"] if one["Effect"] == effect for action in _list(one["Action"])
    }


def _meets(statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    if action not in _list(statement["Action"]):
        return False
    try:
        if not any(_like(resource, pattern, context) for pattern in _list(statement["Resource"])):
            return False
        return all(_holds(*one, context) for one in _conditions(statement))
    except _Unknown:
        return False


def _conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            yield operator, key, _list(values)


def _holds(operator: str, key: str, values: list[str], context: Context) -> bool:
    known = {name.lower(): value for name, value in context.items()}
    found = known.get(key.lower())
    match operator:
        case "Null":
            return (found is None) == (values == ["true"])
        case "StringEquals":
            return found in values
        case "ArnLike":
            return isinstance(found, str) and any(_like(found, value, context) for value in values)
        case "ForAllValues:StringEquals":
            return all(one in values for one in _list(found or []))
        case "ForAnyValue:StringEqualsIgnoreCase":
            known_as = {value.lower() for value in values}
            return any(one.lower() in known_as for one in _list(found or []))
    raise AssertionError(f"the test knows no {operator}")


def _like(text: str, pattern: str, context: Context) -> bool:
    parts = re.split(r"([*?])", _VARIABLE.sub(lambda found: _value(found[1], context), pattern))
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(part) or re.escape(part) for part in parts), text) is not None


def _value(name: str, context: Context) -> str:
    value = context.get(name)
    if not isinstance(value, str):
        raise _Unknown(name)
    return value


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
