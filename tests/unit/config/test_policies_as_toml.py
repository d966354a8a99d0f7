"""Policies written as TOML load back equal."""

import json
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


def _seconds() -> st.SearchStrategy[float]:
    return _durations().map(timedelta.total_seconds)


def _params(**params: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries(
        {key: value for key, value in params.items() if not key.endswith("_")}
    ).flatmap(
        lambda given: st.fixed_dictionaries(
            {}, optional={key.removesuffix("_"): value for key, value in params.items() if key.endswith("_")}
        ).map(lambda more: {**given, **more})
    )


_CRON = st.builds("{} {} * * {}".format, st.integers(0, 59), st.integers(0, 23), st.integers(0, 6))
_PLAIN: dict[str, st.SearchStrategy[dict[str, object]]] = {
    "idle": _params(timeout=_seconds(), busy_timeout_=_seconds()),
    "age": _params(timeout=_seconds(), only_if_idle_=st.booleans(), idle_for_=_seconds()),
    "deadline": _params(),
    "spend": _params(limit=st.floats(0.01, 1e6) | st.integers(1, 10**6)),
    "untagged": _params(timeout=_seconds(), tags_=st.lists(_names(), min_size=1, max_size=3)),
    "where": _params(
        expression=_names().map(lambda text: f"resource.name != {json.dumps(text, ensure_ascii=False)}")
    ),
    "schedule": _params(
        off=_CRON | st.lists(_CRON, min_size=1, max_size=2),
        on=_CRON,
        zone_=st.sampled_from(["UTC", "Europe/Berlin"]),
        holidays_=st.lists(st.dates().map(str), max_size=2),
        only_if_idle_=st.booleans(),
        idle_for_=_seconds(),
    ),
}


def _table(name: str, params: dict[str, object]) -> dict[str, object]:
    return {"rule": name, **params}


def _combined(tables: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[dict[str, object]]:
    several = st.lists(tables, min_size=1, max_size=2)
    one_of_several = st.builds(lambda rule, rules: {"rule": rule, "rules": rules}, _WORDS, several)
    return one_of_several | tables.map(lambda table: {"rule": "not", "of": table})


_WORDS = st.sampled_from(["all", "any"])
_TABLES = st.recursive(
    st.one_of(*[st.builds(_table, st.just(name), params) for name, params in _PLAIN.items()]),
    _combined,
    max_leaves=4,
)
"""Rules with their journaled parameters, within one another too."""


@st.composite
def _policies(draw: st.DrawFn) -> PolicySpec:
    kind = draw(st.sampled_from(sorted(KINDS)))
    params = dict(draw(_TABLES))
    rule_name = str(params.pop("rule"))
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
def test_policies_written_as_toml_or_journaled_load_back_equal(
    tmp_path: Path, given: Given, policies: list[PolicySpec]
) -> None:
    back = _read_back(to_toml(policies, heading="two\nlines"), tmp_path)
    if policies:
        assert back == tuple(policies)
    ruleset = Ruleset(policies=tuple(policies))
    body = json.loads(json.dumps(ruleset.body()))
    assert Ruleset.from_body(body, build_rule).policies == ruleset.policies


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
