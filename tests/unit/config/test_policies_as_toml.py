"""Policies written as TOML load back equal."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given as for_all, settings as hypothesis_settings, strategies as st

from reaper.config.documents import show_policies_toml
from reaper.config.kinds import KINDS
from reaper.config.model import Settings
from reaper.config.policies import build_policy, to_toml
from reaper.config.rules import build_ruleset
from reaper.core.ruleset import Match, Mode, PolicySpec, Ruleset, Step
from reaper.plugins import build_rule
from tests.support.configuration import Given
from tests.unit.config.test_policies import CONTRACT, POLICY


def _read_back(toml: str, folder: Path) -> tuple[PolicySpec, ...]:
    again = Given(folder)
    return build_ruleset(again.load(toml)).policies


def _names() -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=20)


def _durations() -> st.SearchStrategy[timedelta]:
    return st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=900))


def _globs() -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.text(st.characters(codec="utf-8"), max_size=10), max_size=3).map(tuple)


@st.composite
def _policies(draw: st.DrawFn) -> PolicySpec:
    kind = draw(st.sampled_from(sorted(KINDS)))
    params: dict[str, object] = {"timeout": draw(_durations()).total_seconds()}
    rule_name = draw(st.sampled_from(["idle", "age"]))
    if rule_name == "age":
        params["only_if_idle"] = draw(st.booleans())
    elif draw(st.booleans()):
        params["busy_timeout"] = draw(_durations()).total_seconds()
    attributes = st.dictionaries(
        _names().filter(lambda name: name not in {"scope", "name", "owner", "tags"}),
        _globs().filter(bool),
        max_size=2,
    )
    tags = st.dictionaries(_names(), st.one_of(st.booleans(), _globs().filter(bool)), max_size=2)
    steps = [Step(action=draw(st.sampled_from(KINDS[kind])))]
    if draw(st.booleans()):
        steps = [Step(action="notify"), replace(steps[0], after=draw(_durations()))]
    return PolicySpec(
        name=draw(_names()),
        kind=kind,
        rule_name=rule_name,
        rule=build_rule(rule_name, params),
        params=params,
        match=Match(
            scope=draw(_globs()),
            name=draw(_globs()),
            owner=draw(_globs()),
            tags=draw(tags),
            attributes=draw(attributes),
        ),
        steps=tuple(steps),
        mode=draw(st.sampled_from(Mode)),
        warn_before=draw(_durations()),
        minimum_age=draw(_durations()),
    )


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_all(policies=st.lists(_policies(), max_size=3, unique_by=lambda policy: policy.name))
def test_policies_written_as_toml_load_back_equal(
    tmp_path: Path, given: Given, policies: list[PolicySpec]
) -> None:
    back = _read_back(to_toml(policies, heading="two\nlines"), tmp_path)
    if policies:
        assert back == tuple(policies)


@pytest.mark.parametrize(
    "toml", ["", CONTRACT, POLICY, POLICY + 'match = { tags = { "a b" = false } }\nmode = "dry-run"']
)
def test_what_config_show_prints_loads_back_equal(given: Given, toml: str) -> None:
    settings = given.load(toml, JUPYTER__BUSY_TIMEOUT="12h", IDLE_TIMEOUT="90m")
    printed = show_policies_toml(settings, {"idle-timeout": "100m500ms"})
    assert (
        build_ruleset(given.load(printed)).policies
        == build_ruleset(settings, {"idle-timeout": "100m500ms"}).policies
    )


def test_they_survive_the_journal(given: Given) -> None:
    ruleset = build_ruleset(given.load(CONTRACT + POLICY))
    assert Ruleset.from_body(ruleset.body(), build_rule).policies == ruleset.policies


def test_a_table_can_be_built_without_a_file() -> None:
    from reaper.config.model import PolicyTable

    table = PolicyTable.model_validate({"name": "a", "kind": "jupyter.kernel", "rule": "idle"})
    assert build_policy(table, Settings(), timedelta(hours=1)).params == {"timeout": 3600.0}
