"""Rules within rules, and the key `where` of a policy: read, journaled, shown, and refused with the place."""

import tomllib
from datetime import timedelta
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from reaper.config.documents import schema, show, show_policies_toml
from reaper.config.parameters import rule_parameters
from reaper.config.policies import follows_idle_timeout
from reaper.config.rules import build_ruleset, check_override
from reaper.core.ruleset import PolicySpec, Ruleset
from reaper.errors import ConfigError
from reaper.plugins import build_rule
from reaper.policies.combined import AllRule, Part
from reaper.policies.idle import IdleRule
from reaper.policies.where import WhereRule
from tests.support.configuration import Given

HEAD = '[[policies]]\nname = "p"\nkind = "jupyter.kernel"\n'
UNOWNED = HEAD + 'where = "resource.owner == null"\nrule = "idle"\ntimeout = "1h"\n'
NESTED = (
    HEAD
    + """\
rule = "any"
rules = [
  { rule = "age", timeout = "3d", only_if_idle = true },
  { rule = "all", rules = [
    { rule = "idle", timeout = "90m" },
    { rule = "not", of = { rule = "deadline" } },
    { rule = "schedule", off = ["0 19 * * *"], on = "0 8 * * *", idle_for = "10m" },
  ] },
]
"""
)
EVERY = [
    UNOWNED,
    NESTED,
    HEAD + 'rule = "spend"\nlimit = 12.5\n',
    HEAD + 'rule = "spend"\nlimit = 100\n',
    HEAD + 'rule = "untagged"\ntimeout = "4h"\ntags = ["Team", "reaper:owner"]\n',
    HEAD + 'rule = "deadline"\n',
    HEAD + 'rule = "where"\nexpression = \'resource.name == "a b"\'\n',
    HEAD + 'rule = "schedule"\noff = "0 19 * * *"\non = ["0 8 * * *", "0 9 * * SAT"]\nholidays = "12-25"\n',
    HEAD + 'where = "resource.age > 1.0"\nrule = "where"\nexpression = "resource.age < 9.0"\n',
    HEAD + 'where = "resource.age > 1.0"\nrule = "all"\nrules = [{ rule = "idle", timeout = "1h" }]\n',
    HEAD + 'rule = "all"\nrules = [{ rule = "where", expression = "true" }, { rule = "deadline" }]\n',
]


def _only(given: Given, toml: str, **variables: str) -> PolicySpec:
    [policy] = build_ruleset(given.load(toml, **variables)).policies
    return policy


def test_where_is_all_of_the_condition_and_the_rule(given: Given) -> None:
    policy = _only(given, UNOWNED)
    assert policy.rule_name == "all"
    assert policy.rule == AllRule(
        rules=(
            Part(name="where", rule=WhereRule(expression="resource.owner == null")),
            Part(name="idle", rule=IdleRule(timeout=timedelta(hours=1))),
        )
    )
    assert policy.params == {
        "rules": [
            {"rule": "where", "expression": "resource.owner == null"},
            {"rule": "idle", "timeout": 3600.0},
        ]
    }
    assert policy.rule.timeout == timedelta(hours=1)


def test_parameters_within_are_journaled_as_float_seconds(given: Given) -> None:
    policy = _only(given, NESTED)
    rules: Any = policy.params["rules"]
    age, inner = rules
    assert age == {"rule": "age", "timeout": 259200.0, "only_if_idle": True}
    assert inner["rules"][0] == {"rule": "idle", "timeout": 5400.0}
    assert inner["rules"][2] == {
        "rule": "schedule",
        "off": ["0 19 * * *"],
        "on": "0 8 * * *",
        "idle_for": 600.0,
    }


@pytest.mark.parametrize("toml", EVERY)
def test_what_config_show_prints_loads_back_equal(given: Given, toml: str) -> None:
    settings = given.load(toml)
    printed = show_policies_toml(settings)
    assert build_ruleset(given.load(printed)).policies == build_ruleset(settings).policies


def test_where_is_printed_as_it_was_written(given: Given) -> None:
    printed = show_policies_toml(given.load(UNOWNED))
    for line in UNOWNED.splitlines():
        assert line in printed.splitlines()


def test_durations_within_are_printed_with_units(given: Given) -> None:
    settings = given.load(NESTED)
    assert 'timeout = "1h30m"' in show_policies_toml(settings)
    assert 'idle_for = "10m"' in show_policies_toml(settings)
    [shown] = show(settings)["policies"]
    assert shown["parameters"]["rules"][1]["rules"][0] == {"rule": "idle", "timeout": "1h30m"}


def test_where_is_shown_beside_the_rule(given: Given) -> None:
    [shown] = show(given.load(UNOWNED))["policies"]
    assert (shown["where"], shown["rule"]) == ("resource.owner == null", "idle")
    assert shown["parameters"] == {"timeout": "1h"}
    [shown] = show(given.load(NESTED))["policies"]
    assert (shown["where"], shown["rule"]) == (None, "any")


@pytest.mark.parametrize("toml", EVERY)
def test_they_survive_the_journal(given: Given, toml: str) -> None:
    ruleset = build_ruleset(given.load(toml))
    assert Ruleset.from_body(ruleset.body(), build_rule).policies == ruleset.policies


@pytest.mark.parametrize("toml", EVERY)
def test_the_schema_allows_them(given: Given, toml: str) -> None:
    jsonschema.validate(tomllib.loads(toml), schema())


@pytest.mark.parametrize("where", [5, ["true"], {"a": 1}])
def test_the_schema_wants_a_text(where: Any) -> None:
    table = {"name": "p", "kind": "jupyter.kernel", "rule": "idle", "where": where}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"policies": [table]}, schema())


# What a rule within leaves to the settings

INSIDE = HEAD + 'rule = "all"\nrules = [{ rule = "idle" }, { rule = "not", of = { rule = "deadline" } }]\n'


def test_idle_within_follows_the_settings(given: Given) -> None:
    policy = _only(given, INSIDE, IDLE_TIMEOUT="90m", JUPYTER__BUSY_TIMEOUT="12h")
    assert policy.params["rules"][0] == {  # type: ignore[index]
        "rule": "idle",
        "timeout": 5400.0,
        "busy_timeout": 43200.0,
    }
    settings = given.load(INSIDE)
    [policy] = build_ruleset(settings, {"idle-timeout": "70m"}).policies
    assert policy.rule.timeout == timedelta(minutes=70)


@pytest.mark.parametrize(
    ("toml", "follows"),
    [
        (INSIDE, True),
        (HEAD + 'rule = "idle"\n', True),
        (HEAD + 'rule = "idle"\nwhere = "true"\n', True),
        (UNOWNED, False),
        (NESTED, False),
        (HEAD + 'rule = "deadline"\n', False),
    ],
)
def test_what_reaper_set_would_change(given: Given, toml: str, follows: bool) -> None:
    settings = given.load(toml)
    assert follows_idle_timeout(settings.policies[0]) is follows
    if follows:
        check_override(settings, "idle-timeout", "90m")
        return
    with pytest.raises(ConfigError, match="this would change nothing"):
        check_override(settings, "idle-timeout", "90m")


# What can't be used


@pytest.mark.parametrize(
    ("more", "where", "message"),
    [
        ('rules = [{ rule = "idle", timeout = 5 }]', "rules[1].timeout", "'5' has no unit"),
        ('rules = [{ rule = "idle", timeout = 3600.0 }]', "rules[1].timeout", "3600.0 has no unit"),
        ('rules = [{ rule = "idle", time_out = "1h" }]', "rules[1].time_out", "has no parameter 'time_out'"),
        (
            'rules = [{ rule = "deadline" }, { rule = "not", of = { rule = "age", max_age = 60.0 } }]',
            "rules[2].of.max_age",
            "60.0 has no unit",
        ),
        ('rules = [{ rule = "idl" }]', "rules[1].rule", "there is no rule 'idl'; did you mean 'idle'?"),
        ('rules = [{ rule = "age" }]', "rules[1]", "rule 'age' needs 'timeout'"),
        ('rules = [{ rule = "spend", limit = 0 }]', "rules[1].limit", "0 is not more than 0"),
        ('rules = [{ rule = "spend", limit = inf }]', "rules", "inf is no number that can be used"),
        ("rules = []", "rules", "needs 'rules', a list"),
        ('rules = [{ timeout = "1h" }]', "rules", "rules[1]: names no rule"),
        ('rules = { rule = "deadline" }', "rules", "needs 'rules', a list"),
        (
            'rules = [{ rule = "where", expression = "resource." }]',
            "rules[1].expression",
            "rule 'where', expression: is no CEL",
        ),
        (
            'rules = [{ rule = "schedule", off = "x", on = "0 8 * * *" }]',
            "rules[1].off",
            "'x' has not five fields",
        ),
    ],
)
def test_what_can_not_be_used_within(given: Given, more: str, where: str, message: str) -> None:
    [(place, found)] = given.errors(f'{HEAD}rule = "all"\n{more}\n')
    assert place == f"FILE:5: policy 'p', {where}"
    assert message in found


@pytest.mark.parametrize(
    ("more", "place", "message"),
    [
        ('where = "resource."\nrule = "idle"', "FILE:4: policy 'p', where", "is no CEL: at character 10"),
        (
            'where = "foo > 1"\nrule = "idle"',
            "FILE:4: policy 'p', where",
            "there is no 'foo'; there are: resource, now",
        ),
        (
            'where = "resource.tags.all(a, resource.tags.all(b, a == b))"\nrule = "idle"',
            "FILE:4: policy 'p', where",
            "they must not be nested",
        ),
        (
            f'where = "resource.name == \'{"x" * 2000}\'"\nrule = "idle"',
            "FILE:4: policy 'p', where",
            "2000 at most",
        ),
        ('where = ""\nrule = "idle"', "FILE:4: policy 'p', where", "needs 'expression'"),
        ('where = "true"\nrule = "idl"', "FILE:5: policy 'p', rule", "there is no rule 'idl'"),
        ('where = "true"\nrule = "idle"\ntimeout = 5', "FILE:6: policy 'p', timeout", "'5' has no unit"),
        ('where = "true"\nrule = "age"', "FILE:1: policy 'p'", "rule 'age' needs 'timeout'"),
        (
            'where = "true"\nrule = "all"\nrules = [{ rule = "spend", limit = 0 }]',
            "FILE:6: policy 'p', rules[1].limit",
            "0 is not more than 0",
        ),
        ('where = 5\nrule = "idle"', "FILE:4: policies[1].where", "must be text in quotes"),
        ('were = "true"\nrule = "idle"', "FILE:4: policy 'p', were", "(did you mean the policy's 'where'?)"),
    ],
)
def test_a_condition_that_can_not_be_used(given: Given, more: str, place: str, message: str) -> None:
    [(found_at, found)] = given.errors(f"{HEAD}{more}\n")
    assert found_at == place
    assert message in found


def test_the_line_of_a_rule_within_is_named_where_it_has_one(given: Given) -> None:
    toml = (
        HEAD
        + 'rule = "all"\n[[policies.rules]]\nrule = "deadline"\n[[policies.rules]]\nrule = "idle"\ntimeout = 5'
    )
    assert given.errors(toml) == [
        ("FILE:9: policy 'p', rules[2].timeout", given.errors(toml)[0][1]),
    ]


def test_they_may_not_stand_too_deep() -> None:
    def deep(levels: int) -> dict[str, Any]:
        table: dict[str, Any] = {"rule": "deadline"}
        for _ in range(levels):
            table = {"rule": "not", "of": table}
        return {"of": table}

    rule_parameters("not", deep(7))
    for levels in (8, 80):
        with pytest.raises(ConfigError, match="stands within 8 other rules: that is too deep"):
            rule_parameters("not", deep(levels))
