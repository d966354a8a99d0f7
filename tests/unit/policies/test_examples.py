"""Every rule's docstring holds an example of a policy that works."""

import inspect
import re
import tomllib
from textwrap import dedent

import pytest

from reaper.plugins import build_rule, load, names


@pytest.mark.parametrize("name", names("reaper.policies"))
def test_docstring_example_builds(name):
    text = inspect.getdoc(load("reaper.policies", name)) or ""
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        for table in tomllib.loads(dedent(block))["policies"]:
            params = {
                key: value
                for key, value in table.items()
                if key not in {"name", "kind", "rule", "match", "action"}
            }
            assert table["rule"] == name
            rule = build_rule(name, params)
            assert rule.timeout.total_seconds() > 0
