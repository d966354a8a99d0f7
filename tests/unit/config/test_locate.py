"""On which line of a file a key stands."""

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, strategies as st

from reaper.config.locate import key_lines, line_of

TOML = '''\
# a comment with mode = "x" and [a.table]
mode = "enforce"   # 2
note = """
mode = "dry-run"
[jupyter]
"""
raw = \'\'\'
key = 1\'\'\'
list = [
  "a", # ]
  { b = 1 },
]
"quoted key" = 1
a.b."c.d" = 1

[jupyter]
url = "http://a/#[x]"
  [jupyter.process]
  core = 1

[[policies]]
name = "a"
[[policies.steps]]
action = "notify"
[[policies.steps]]
after = "1m"
[[policies]]
name = "b"
match = { scope = "x" }
[[policies.steps]]
action = "stop"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("mode",), 2),
        (("note",), 3),
        (("raw",), 7),
        (("list",), 9),
        (("list", 1, "b"), 9),
        (("quoted key",), 13),
        (("a",), 14),
        (("a", "b", "c.d"), 14),
        (("jupyter",), 16),
        (("jupyter", "url"), 17),
        (("jupyter", "process"), 18),
        (("jupyter", "process", "core"), 19),
        (("policies", 0), 21),
        (("policies", 0, "name"), 22),
        (("policies", 0, "steps", 0, "action"), 24),
        (("policies", 0, "steps", 1), 25),
        (("policies", 0, "steps", 1, "after"), 26),
        (("policies", 1), 27),
        (("policies", 1, "name"), 28),
        (("policies", 1, "match", "scope"), 29),
        (("policies", 1, "steps", 0, "action"), 31),
        (("policies", 1, "rule"), 27),
        (("nothing",), None),
    ],
)
def test_toml(path: tuple[str | int, ...], line: int | None) -> None:
    assert tomllib.loads(TOML)
    assert line_of(key_lines(TOML, is_json=False), path) == line


JSON = """{
 "mode": "a: b, {\\"c\\": [",
 "jupyter": {"url": ["x"],
   "process": {
     "core": 1}},
 "policies": [
   {"name": "a"},
   {"name": "b",
    "steps": [{"action": "notify"},
              {"action": "stop"}]}
 ]
}"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("mode",), 2),
        (("jupyter",), 3),
        (("jupyter", "url"), 3),
        (("jupyter", "url", 0), 3),
        (("jupyter", "process", "core"), 5),
        (("policies", 0, "name"), 7),
        (("policies", 1, "name"), 8),
        (("policies", 1, "steps", 1, "action"), 10),
        (("policies", 1, "rule"), 6),
        (("nothing",), None),
    ],
)
def test_json(path: tuple[str | int, ...], line: int | None) -> None:
    assert json.loads(JSON)
    assert line_of(key_lines(JSON, is_json=True), path) == line


@given(st.text(st.sampled_from("ab=.[]{}\"'\n# ,:\\1"), max_size=60), st.booleans())
def test_anything_can_be_looked_through(text: str, is_json: bool) -> None:
    lines = key_lines(text, is_json=is_json)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


def _paths(table: dict[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in table.items():
        found.append((*before, key))
        if isinstance(value, dict):
            found += _paths(value, (*before, key))
    return found


@given(
    st.recursive(
        st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
        lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_every_key_of_a_json_file_is_found(table: dict[str, Any]) -> None:
    lines = key_lines(json.dumps(table, indent=1), is_json=True)
    assert set(_paths(table)) <= set(lines)
