"""What is wrong with a configuration, in words: where, what, and what to do instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reaper.config.catalog import suggest
from reaper.config.values import MASK

__all__ = ["Problem", "explain", "joined"]

_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: The variable, `PATH:LINE: key` of the file, or the credential.
        message: What is wrong and what to do. Holds no secret.
    """

    where: str
    message: str

    def __str__(self) -> str:
        """Write it on a line."""
        return f"{self.where}: {self.message}"


def joined(problems: list[Problem]) -> str:
    """Write problems as one error message: one alone on its line, several as a list."""
    if len(problems) == 1:
        return str(problems[0])
    return "\n".join(
        [f"{len(problems)} errors in the configuration:", *(f"  {problem}" for problem in problems)]
    )


def explain(error: Mapping[str, Any], *, secret: bool, known: list[str]) -> str:
    """Say in our words what pydantic found wrong with a value. Pure.

    Args:
        error: One of `ValidationError.errors()`.
        secret: The value may be secret: it is never repeated.
        known: Names that are known where an unknown one was found.
    """
    kind = error["type"]
    shown = MASK if secret else _shown(error.get("input"))
    context = error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in {"enum", "literal_error"}:
        expected = str(context["expected"]).replace("'", "")
        near = suggest(str(error.get("input")), expected.replace(" or ", ", ").split(", "))
        return f"{shown} is not one of {expected}" + (
            f"; did you mean {near}?" if near and not secret else ""
        )
    if kind == "extra_forbidden":
        near = suggest(str(error["loc"][-1]), known)
        return "there is no such key" + (
            f"; did you mean {near}?" if near else f"; there are: {', '.join(sorted(known))}"
        )
    simple = {
        "missing": "is missing",
        "bool_parsing": f"{shown} is neither true nor false",
        "bool_type": f"{shown} is neither true nor false",
        "string_type": "must be text in quotes",
        "tuple_type": "must be a list",
        "list_type": "must be a list",
        "dict_type": "must be a table",
        "model_type": "must be a table",
        "model_attributes_type": "must be a table",
        "float_parsing": f"{shown} is no number",
        "float_type": f"{shown} is no number",
        "finite_number": f"{shown} is no number that can be used",
        "int_parsing": f"{shown} is no whole number",
        "int_type": f"{shown} is no whole number",
        "int_from_float": f"{shown} is no whole number",
        "greater_than": f"{shown} must be more than {context.get('gt')}",
        "greater_than_equal": f"{shown} must be at least {context.get('ge')}",
        "string_too_short": "is empty",
        "string_too_long": f"is longer than {context.get('max_length')} characters",
    }
    return simple.get(kind) or f"{str(error['msg'])[:1].lower()}{str(error['msg'])[1:]}, not {shown}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
