"""The rule `where`: a condition in CEL, the Common Expression Language."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

from reaper.core.history import History
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.policies import params as read

__all__ = ["WhereRule"]

_LONGEST = 2000
_LONGEST_SHOWN = 160
_VARIABLES = ("resource", "now")
_MACROS = ("all", "exists", "exists_one", "map", "filter")
_WORD = re.compile(
    r"""[bB]?[rR][bB]?(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')"""
    r"""|\"\"\"(?:\\.|.)*?\"\"\"|'''(?:\\.|.)*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
    r"""|//[^\n]*|[A-Za-z_][A-Za-z0-9_]*|\.|[^\sA-Za-z_.]""",
    re.DOTALL,
)
"""Enough of CEL's grammar to see which calls are macros, and what stands within which brackets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhereRule:
    """Reap where a condition in CEL holds.

    The key `where` of a policy does the same beside its rule: both must be so. The condition is asked at each look.
    One that can't be evaluated on a resource (a tag that is not there, a text compared with a number) keeps it, and
    `explain` has the error: ask first, with `has(resource.tags.Team)` or `"reaper:owner" in resource.tags`.

    Variables are `now`, a timestamp, and `resource` with `kind`, `scope`, `id`, `name`, `owner` (null where unknown),
    `tags`, `attributes`, `hourly_cost` in US dollars (null where unknown) and `age` in seconds since its start. CEL
    does not mix whole numbers and others when it calculates: `resource.age / 3600.0`. Comprehensions must not be
    nested, `map` comes once at most, and 2,000 characters are enough.

    Attributes:
        expression: The condition: CEL that gives true or false.

    Example:
        ```toml
        [[policies]]
        name = "forgotten-experiments"
        kind = "ec2.instance"
        rule = "where"
        expression = "resource.name.startsWith('exp-') && resource.age > 12.0 * 3600.0"
        action = "stop"
        ```
    """

    expression: str
    _program: Any = field(init=False, repr=False, compare=False)
    _fields: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_program", _compiled(self.expression))
        object.__setattr__(self, "_fields", _used(self.expression))

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> "WhereRule":
        """Build the rule from its parameter `expression`, and compile it.

        Raises:
            ConfigError: It is missing, no CEL, too long, nested, gives no true or false, or names what does not exist.
        """
        read.only("where", params, ("expression",))
        expression = params.get("expression")
        if not isinstance(expression, str) or not expression.strip():
            msg = "rule 'where' needs 'expression', such as expression = \"resource.owner == null\": CEL"
            raise ConfigError(msg)
        return cls(expression=expression)

    @property
    def timeout(self) -> timedelta:
        """It waits for no length of time."""
        return read.UNTIMED

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say whether the condition holds. Pure."""
        shown = _short(self.expression)
        try:
            seen = {name: _FIELDS[name](history, now) for name in self._fields}
            holds = self._program.execute({"now": now, "resource": seen})
            if not isinstance(holds, bool):
                msg = f"it gives {type(holds).__name__}, neither true nor false"
                raise TypeError(msg)  # noqa: TRY301 - what it gives is as wrong as what it raises
        except Exception as error:  # noqa: BLE001 - whatever the library raises on a resource: it is kept
            return Finding(
                policy=policy,
                verdict=Verdict.KEEP,
                reason=Reason.CONDITION_FAILED,
                detail=f"{shown}: {_said(error)}",
            )
        return Finding(
            policy=policy,
            verdict=Verdict.REAP if holds else Verdict.WAIT,
            reason=Reason.CONDITION_TRUE if holds else Reason.CONDITION_FALSE,
            since=history.started_at() if holds else None,
            detail=shown,
        )


_FIELDS: dict[str, Callable[[History, datetime], object]] = {
    "kind": lambda history, _: history.ref.kind,
    "scope": lambda history, _: history.ref.scope,
    "id": lambda history, _: history.ref.id,
    "name": lambda history, _: history.resource.name,
    "owner": lambda history, _: history.resource.owner,
    "tags": lambda history, _: dict(history.resource.tags),
    "attributes": lambda history, _: dict(history.resource.attributes),
    "hourly_cost": lambda history, _: history.resource.hourly_cost,
    "age": lambda history, now: (now - history.started_at()).total_seconds(),
}
"""What a condition sees of a resource. Only what it names is handed over: that is most of what it costs."""

_SAMPLE: dict[str, object] = {
    "now": datetime(2026, 1, 1, tzinfo=UTC),
    "resource": {
        "kind": "ec2.instance",
        "scope": "123456789012/eu-central-1",
        "id": "i-0123456789abcdef0",
        "name": "sample",
        "owner": "somebody",
        "tags": {},
        "attributes": {},
        "hourly_cost": 1.25,
        "age": 7200.0,
    },
}
"""A resource to try a condition on when it is loaded."""


# Loading


@cache
def _cel() -> ModuleType:
    """Load the library, without its command line.

    `import cel` brings a command line with prompt_toolkit, pygments and rich: 26 MB and most of a second that a daemon
    has no use for. Its extension module alone does the work.
    """
    try:
        package = find_spec("cel")
        places = None if package is None else package.submodule_search_locations
        spec = PathFinder.find_spec("cel.cel", places)
        if "cel.cel" not in sys.modules and spec is not None and spec.loader is not None:
            module = module_from_spec(spec)
            sys.modules["cel.cel"] = module  # it can be loaded once only: a later `import cel` finds this one
            spec.loader.exec_module(module)
        return sys.modules.get("cel.cel") or import_module("cel")
    except ImportError as error:
        msg = f"rule 'where' needs the package common-expression-language: {error}"
        raise ConfigError(msg) from error


def _compiled(expression: str) -> Any:
    """Compile a condition, and refuse what can never do or could take too long.

    The library has no limit on what an evaluation costs, and holds the interpreter's lock meanwhile. Without one
    comprehension in another the cost is bounded by the length of the condition times the size of a resource.

    Raises:
        ConfigError: Says what is wrong with it.
    """
    if len(expression) > _LONGEST:
        raise _bad(f"has {len(expression)} characters: {_LONGEST} at most")
    _check_comprehensions(expression)
    try:
        program = _cel().compile(expression)
    except ValueError as error:
        raise _bad(f"is no CEL: {_said(error)}") from None
    bound = _bound(expression)
    unknown = [name for name in program.variables() if name not in _VARIABLES and name not in bound]
    if unknown:
        raise _bad(f"there is no {unknown[0]!r}; there are: {', '.join(_VARIABLES)}")
    try:
        given = program.execute(_SAMPLE)
    except TypeError as error:
        hint = "CEL mixes no whole numbers with others: write 3600.0"
        raise _bad(f"{_said(error)} ({hint})") from None
    except RuntimeError as error:
        if "Undefined" in str(error):
            raise _bad(_said(error)) from None
    except Exception:  # noqa: BLE001, S110 - a tag or an attribute that the sample does not have
        pass
    else:
        if not isinstance(given, bool):
            raise _bad(f"gives {type(given).__name__}, neither true nor false")
    return program


def _bad(message: str) -> ConfigError:
    return ConfigError(f"rule 'where', expression: {message}")


def _said(error: Exception) -> str:
    """Write the library's error in a line."""
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]!r}"
    text = " ".join(str(error).split())
    text = re.sub(r"^Failed to parse expression .*?: ERROR: <input>:1:", "at character ", text)
    text = re.sub(r" expecting \{.*| ERROR: .*| \| .*", "", text).partition(". ")[0]
    return _short(text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 3]}..."


def _words(expression: str) -> list[str]:
    return [word for word in _WORD.findall(expression) if not word.startswith("//")]


def _used(expression: str) -> tuple[str, ...]:
    """Give the fields of the resource that a condition names; all of them where it does anything else with it.

    Raises:
        ConfigError: It names one that does not exist.
    """
    words = ["", *_words(expression), "", "", ""]
    used: set[str] = set()
    for index, word in enumerate(words):
        if word != "resource" or words[index - 1] == ".":
            continue
        dot, name, call = words[index + 1 : index + 4]
        if dot != "." or call == "(":
            return tuple(_FIELDS)
        if name not in _FIELDS:
            raise _bad(f"resource has no {name!r}; it has {', '.join(_FIELDS)}")
        used.add(name)
    return tuple(sorted(used))


def _macros(expression: str) -> list[tuple[str, str, int]]:
    """Give each call of a macro: its name, the variable it binds, and how many others it stands within."""
    words = _words(expression)
    found: list[tuple[str, str, int]] = []
    open_: list[bool] = []  # for each open bracket, whether it is a macro's
    for index, word in enumerate(words):
        if word in {"(", "[", "{"}:
            name = words[index - 1] if index else ""
            macro = word == "(" and index > 1 and words[index - 2] == "." and name in _MACROS
            if macro:
                binds = words[index + 1] if index + 1 < len(words) else ""
                found.append((name, binds, sum(open_)))
            open_.append(macro)
        elif word in {")", "]", "}"} and open_:
            open_.pop()
    return found


def _check_comprehensions(expression: str) -> None:
    macros = _macros(expression)
    for name, _, depth in macros:
        if depth:
            raise _bad(f"{name}() stands within another comprehension: they must not be nested")
    if sum(name == "map" for name, _, _ in macros) > 1:
        raise _bad("map() comes more than once: what it makes would grow with each")


def _bound(expression: str) -> set[str]:
    return {binds for _, binds, _ in _macros(expression)}
