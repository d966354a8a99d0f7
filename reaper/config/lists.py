"""Lists as people write them, and what they are of: texts, actions, arguments, paths, globs, tables.

A validator says what is wrong with a value in a `ValueError` that does not name the setting: its caller knows that.
"""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from reaper.config.places import parse_listen, split_list, split_listen

__all__ = [
    "LIST_SCHEMA",
    "ActionList",
    "Argv",
    "Globs",
    "ListenList",
    "LowerText",
    "PathList",
    "TagGlobs",
    "Texts",
    "TomlTables",
    "UserPath",
    "items_of",
]


def items_of(value: object) -> list[Any]:
    """Give the items of a list: commas or JSON in a text, else the list itself.

    Raises:
        ValueError: It is neither, or begins like a JSON list and is none.
    """
    if isinstance(value, str):
        return list(split_list(value))
    if isinstance(value, (list, tuple)):
        return list(value)
    raise ValueError("must be a list of texts: with commas, or as JSON")


def _texts(value: object) -> tuple[str, ...]:
    items = items_of(value)
    if not all(isinstance(item, str) for item in items):
        raise ValueError("must be a list of texts")
    return tuple(dict.fromkeys(items))


def _listen_items(value: object) -> tuple[str, ...]:
    items = split_listen(value) if isinstance(value, str) else list(_texts(value))
    if "none" in items and len(items) > 1:
        raise ValueError("'none' stands alone: it turns the API off")
    return tuple(dict.fromkeys(str(parse_listen(item)) for item in items if item != "none"))


LIST_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}
"""How a list of texts is written in the file."""

Texts = Annotated[tuple[str, ...], BeforeValidator(_texts), WithJsonSchema(LIST_SCHEMA)]
"""A list of texts: commas, or JSON."""

ListenList = Annotated[tuple[str, ...], BeforeValidator(_listen_items), WithJsonSchema(LIST_SCHEMA)]
"""Addresses of the API, as `parse_listen` writes them; `none` is an empty list."""


def _read_actions(value: object) -> tuple[str, ...] | None:
    items = None if value is None else _texts(value)
    if items is None or items == ("all",):
        return None
    if "none" in items and len(items) > 1:
        raise ValueError("'none' stands alone: it allows nothing")
    return () if items == ("none",) else items


ActionList = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(_read_actions),
    PlainSerializer(lambda v: ["all"] if v is None else list(v), return_type=list[str]),
    WithJsonSchema(LIST_SCHEMA),
]
"""What may be done; None (`all`) is no ceiling, an empty list (`none`) allows nothing."""


def _argv(value: object) -> tuple[str, ...]:
    items = items_of(value)
    if not items or not all(isinstance(item, str) for item in items):
        raise ValueError('must be a command and its arguments, such as ["shutdown", "-h", "now"]')
    if isinstance(value, str) and len(items) == 1 and " " in items[0] and not value.lstrip().startswith("["):
        raise ValueError(
            f"{items[0]!r} is one word with spaces: write {','.join(items[0].split())}, or a JSON list"
        )
    return tuple(items)


Argv = Annotated[tuple[str, ...], BeforeValidator(_argv), WithJsonSchema(LIST_SCHEMA)]
"""A command and its arguments."""


def _absolute(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) else value


def _must_be_absolute(value: Path | None) -> Path | None:
    if value is not None and not value.is_absolute():
        raise ValueError(f"{str(value)!r} is not an absolute path")
    return value


UserPath = Annotated[Path, BeforeValidator(_absolute), AfterValidator(_must_be_absolute)]
"""An absolute path; `~` is the home directory."""


def _paths(value: object) -> tuple[Path, ...]:
    return tuple(Path(item).expanduser() for item in _texts(value))


def _all_absolute(value: tuple[Path, ...]) -> tuple[Path, ...]:
    for path in value:
        _must_be_absolute(path)
    return value


PathList = Annotated[
    tuple[Path, ...],
    BeforeValidator(_paths),
    AfterValidator(_all_absolute),
    WithJsonSchema(LIST_SCHEMA),
]
"""A list of absolute paths."""


def _globs(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, (list, tuple)) else [value]
    if not items:
        raise ValueError("is empty: it would match nothing; leave it out to match everything")
    if not all(isinstance(item, (str, int, float)) for item in items):
        raise ValueError("must be a text or a list of texts (globs)")
    return tuple(str(item) for item in items)


Globs = Annotated[tuple[str, ...], BeforeValidator(_globs), WithJsonSchema(LIST_SCHEMA)]
"""One glob or a list of globs; a comma is part of a glob."""


def _tag(value: object) -> bool | tuple[str, ...]:
    return value if isinstance(value, bool) else _globs(value)


TagGlobs = Annotated[
    bool | tuple[str, ...],
    BeforeValidator(_tag),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, *LIST_SCHEMA["anyOf"]]}),
]
"""What a tag's value must be: globs, or true for present and false for absent."""


def _tables(value: object) -> object:
    """Read a list of tables; in a variable it is JSON."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError as error:
        raise ValueError(f"must be a JSON list of objects here: {error}") from None
    if not isinstance(found, list):
        raise ValueError("must be a JSON list of objects here")
    return found


TomlTables = BeforeValidator(_tables)
"""Lets a list of tables be written as JSON in a variable."""


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


LowerText = BeforeValidator(_lower)
"""Lets an enumerated text be written in any case."""
