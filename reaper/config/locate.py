"""On which line of a configuration file a key stands. Pure.

`tomllib` and `json` tell no positions. This reads just enough to find the keys that stand at the
beginning of a line, and says nothing where it is not sure.
"""

import json
import re
from collections.abc import Iterator, Mapping

__all__ = ["key_lines", "line_of"]

Path = tuple[str | int, ...]

_BARE = r"[A-Za-z0-9_-]+|\"(?:[^\"\\]|\\.)*\"|'[^']*'"
_KEY = re.compile(rf"\s*((?:{_BARE})(?:\s*\.\s*(?:{_BARE}))*)\s*=")
_HEADER = re.compile(rf"\s*(\[\[?)\s*((?:{_BARE})(?:\s*\.\s*(?:{_BARE}))*)\s*\]")
_PART = re.compile(_BARE)
_TOKEN = re.compile(r"\"\"\"|'''|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|#[^\n]*|[\[\]{}]|\n")
_JSON_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|[\[\]{}:,]")


def key_lines(text: str, *, is_json: bool) -> dict[Path, int]:
    """Give the line of each key that can be found, by its path: `("policies", 0, "rule")`. Pure."""
    return _json_lines(text) if is_json else _toml_lines(text)


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """Give the line of a key, or of the nearest thing around it. Pure."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return None


def _toml_lines(text: str) -> dict[Path, int]:
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in _statements(text):
        header = _HEADER.match(line)
        if header is not None:
            table = _resolve(_parts(header[2]), counts)
            if header[1] == "[[":
                lines.setdefault(table, number)
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            lines.setdefault(table, number)
        elif (key := _KEY.match(line)) is not None:
            path = (*table, *_parts(key[1]))
            for end in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:end], number)
    return lines


def _resolve(names: list[str], counts: Mapping[Path, int]) -> Path:
    """Give a header's path: a name of an array of tables on the way stands for its latest table."""
    path: Path = ()
    for index, name in enumerate(names):
        path = (*path, name)
        if path in counts and index < len(names) - 1:
            path = (*path, counts[path])
    return path


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Give the lines on which a statement begins: not those inside a string or an array."""
    lines = text.split("\n")
    number, depth, position = 1, 0, 0
    yield number, lines[0]
    while (token := _TOKEN.search(text, position)) is not None:
        what, position = token[0], token.end()
        if what == "\n":
            number += 1
            if depth == 0:
                yield number, lines[number - 1]
        elif what in {'"""', "'''"}:
            closing = text.find(what, position)
            if closing < 0:
                return
            number += text.count("\n", position, closing)
            position = closing + len(what)
        elif what in "[{":
            depth += 1
        elif what in "]}":
            depth -= 1


def _parts(key: str) -> list[str]:
    return [_unquoted(part) for part in _PART.findall(key)]


def _unquoted(part: str) -> str:
    if part.startswith("'"):
        return part[1:-1]
    if part.startswith('"'):
        try:
            return str(json.loads(part))
        except ValueError:
            return part[1:-1]
    return part


def _json_lines(text: str) -> dict[Path, int]:
    lines: dict[Path, int] = {}
    path: list[str | int] = []
    open_: list[str] = []
    key = ""
    for token in _JSON_TOKEN.finditer(text):
        what = token[0]
        if what[0] == '"':
            key = what
        elif what == ":" and open_:
            path[-1] = _unquoted(key)
            lines.setdefault(tuple(path), text.count("\n", 0, token.start()) + 1)
        elif what in "{[":
            open_.append(what)
            path.append("" if what == "{" else 0)
        elif what in "}]" and open_:
            open_.pop()
            path.pop()
        elif what == "," and open_ and isinstance(path[-1], int):
            path[-1] += 1
    return lines
