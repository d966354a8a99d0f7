"""The rule `where`, by reason code: what a condition sees, and that one that fails keeps."""

import subprocess
import sys
from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from reaper.core.decide import decide_one
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.policies.where import WhereRule
from reaper.testing import T0, Scene, WorldBuilder, hours, policy, rules


def found(expression: str, *, started=None, now=T0, **fields) -> Finding:
    scene = Scene(kind="ec2.instance", scope="123456789012/eu-central-1")
    scene.add("i-1", {}, started_at=started or T0 - hours(2), **fields)
    builder = WorldBuilder(scene).look(now)
    rule = WhereRule.from_params({"expression": expression})
    return rule.evaluate(builder.world.live[builder.ref("i-1").key], now, "conditional")


HOLDS = [
    "resource.kind == 'ec2.instance'",
    "resource.scope.startsWith('123456789012/')",
    "resource.id == 'i-1'",
    "resource.name == 'exp-7'",
    "resource.name.matches('^exp-[0-9]+$')",
    "resource.owner == null",
    "'Team' in resource.tags && resource.tags.Team == 'ml'",
    "has(resource.tags.Team)",
    "!has(resource.tags.Owner)",
    "resource.tags['reaper:deadline'] > '2026'",
    "resource.tags.exists(key, key.startsWith('reaper:'))",
    "resource.attributes.vcpus >= 4",
    "resource.attributes.gpus > 0.5",
    "resource.attributes.spot",
    "resource.hourly_cost > 1",
    "resource.hourly_cost * resource.age / 3600.0 > 2.0",
    "resource.age == 7200.0",
    "now > timestamp('2026-01-01T00:00:00Z')",
    "resource.age > 1.0 // a comment with all(all(",
    "resource.tags.all(key, size(key) > 1) && resource.tags.exists_one(key, key == 'Team')",
    "resource.name in ['exp-7', 'exp-8']",
    "resource['name'] == 'exp-7'",
    "'owner' in resource && size(resource) > 8",
    "resource.exists(field, field == 'age')",
]


@pytest.mark.parametrize("expression", HOLDS)
def test_condition_true(expression):
    finding = found(
        expression,
        name="exp-7",
        tags={"Team": "ml", "reaper:deadline": "2026-12-01T00:00:00Z"},
        attributes={"vcpus": 4, "gpus": 1, "spot": True},
        hourly_cost=1.25,
    )
    assert (finding.verdict, finding.reason, finding.detail) == (
        Verdict.REAP,
        Reason.CONDITION_TRUE,
        expression,
    )
    assert (finding.since, finding.due_at) == (T0 - hours(2), None)


def test_condition_false():
    finding = found("resource.name == 'other'", name="exp-7")
    assert (finding.verdict, finding.reason) == (Verdict.WAIT, Reason.CONDITION_FALSE)
    assert (finding.since, finding.due_at) == (None, None)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("resource.tags.Owner == 'ada'", "there is no 'Owner'"),
        ("resource.attributes.vcpus > 4", "there is no 'vcpus'"),
        ("resource.hourly_cost > 1", "No such overload"),
        ("resource.owner.startsWith('a')", "Undefined variable or function: 'startsWith'"),
        ("int(resource.name) > 3", "Function 'int' error"),
        ("resource.attributes.zero == 1 / 0", "there is no 'zero'"),
        ("resource.attributes.text", "it gives str, neither true nor false"),
        ("resource.attributes.odd == 1", "Conversion Error"),
    ],
)
def test_condition_failed_keeps(expression, said):
    attributes: dict[str, object] = {"text": "x"}
    if "odd" in expression:
        attributes["odd"] = {1, 2}
    finding = found(expression, name="exp-7", attributes=attributes)
    assert (finding.verdict, finding.reason) == (Verdict.KEEP, Reason.CONDITION_FAILED)
    assert finding.detail.startswith(f"{expression}: {said}")
    assert "\n" not in finding.detail


def test_one_that_fails_keeps_whatever_other_policies_say():
    scene = Scene().add("k", {}, started_at=T0 - hours(99))
    ruleset = rules(
        policy("old", rule="age", params={"only_if_idle": False}),
        policy("conditional", rule=WhereRule(expression="resource.tags.Owner == 'ada'")),
    )
    builder = WorldBuilder(scene).look(T0).apply(ruleset)
    decision = decide_one(builder.world, ruleset, T0, builder.ref("k"))
    assert decision is not None
    assert (decision.verdict, decision.reason) == (Verdict.KEEP, Reason.CONDITION_FAILED)


TAGS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)


@given(tags=TAGS, owner=st.none() | st.text(max_size=5), cost=st.none() | st.floats(0, 100))
def test_whatever_a_resource_is_like_nothing_is_raised(tags, owner, cost):
    for expression in HOLDS:
        finding = found(expression, tags=tags, owner=owner, hourly_cost=cost)
        assert finding.verdict in (Verdict.REAP, Verdict.WAIT, Verdict.KEEP)


def test_a_condition_is_equal_by_its_text():
    assert WhereRule(expression="true") == WhereRule(expression="true") != WhereRule(expression="false")
    assert WhereRule(expression="true").timeout == timedelta(hours=1)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "rule 'where' needs 'expression'"),
        (None, "rule 'where' needs 'expression'"),
        (5, "rule 'where' needs 'expression'"),
        ("resource.", "rule 'where', expression: is no CEL: at character 10: Syntax error: no viable"),
        ("(" * 500, "is no CEL: at character"),
        ("resource.age > 1.0 &&", "is no CEL"),
        ("a" * 2001, "has 2001 characters: 2000 at most"),
        ("age > 3600", "there is no 'age'; there are: resource, now"),
        ("resource.cost > 1", "resource has no 'cost'; it has kind, scope, id, name"),
        ("resource.age + 1.0", "gives float, neither true nor false"),
        ("resource.age / 3600 > 1", "float / int .CEL mixes no whole numbers with others: write 3600.0"),
        ("resource.name.contain('x')", "Undefined variable or function: 'contain'"),
        ("now.getHours('Europe/Berlin') > 3", "Undefined variable or function: 'getHours'"),
        (
            "resource.tags.all(a, resource.tags.exists(b, a == b))",
            r"exists\(\) stands within another comprehension: they must not be nested",
        ),
        ("[1].map(x, [2].filter (y, y > x)) == []", r"filter\(\) stands within another"),
        ("resource.tags . all ( a, [a] . all(b, true) )", r"all\(\) stands within another"),
        ("resource.tags.all(a, size([[1].map(x, x)]) > 0)", r"map\(\) stands within another"),
        ("[1].map(x, x).map(x, x + x) == [2]", r"map\(\) comes more than once"),
    ],
)
def test_refuses(expression, message):
    with pytest.raises(ConfigError, match=message):
        WhereRule.from_params({"expression": expression})


@pytest.mark.parametrize(
    "expression",
    [
        "resource.tags.all(a, a != 'x.all(y.exists(')",
        "resource.tags.all(a, a != \"it's .all(\") && resource.tags.exists(b, b == r'\\')",
        "resource.tags.exists(a, true) || resource.tags.all(a, false)",
        "resource.tags.filter(a, a != 'x').exists(b, b == 'y')",
        "resource.name == '''\n.map(.map('''",
    ],
)
def test_what_only_looks_nested_is_not(expression):
    WhereRule.from_params({"expression": expression})


def test_the_longest_is_2000_characters():
    WhereRule.from_params({"expression": "resource.name != '" + "x" * 1981 + "'"})


PROGRAM = """
import sys
from reaper.plugins import build_rule, load
for name in ("idle", "age", "schedule", "all"):
    load("reaper.policies", name)
print([name for name in ("cel", "cel.cel") if name in sys.modules])
load("reaper.policies", "where")
print([name for name in ("cel", "cel.cel") if name in sys.modules])
assert build_rule("where", {"expression": "resource.age > 1.0"})
print([name for name in ("cel", "cel.cel", "prompt_toolkit") if name in sys.modules])
import cel
print(cel.evaluate("1 < 2"))
"""


def test_the_library_is_loaded_only_when_a_policy_uses_it_and_without_its_command_line():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["[]", "[]", "['cel.cel']", "True"]
