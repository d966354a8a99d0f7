"""Policies of the file: read, and checked with file, key and line; what they give the rules."""

import importlib
import inspect
import re
import textwrap
from datetime import timedelta
from typing import Any

import pytest

from reaper.config.model import Settings
from reaper.config.policies import rule_parameters
from reaper.config.rules import build_ruleset
from reaper.core.ruleset import Match, Mode, PolicySpec, Step
from reaper.errors import ConfigError
from reaper.plugins import build_rule, load, names
from reaper.policies.age import AgeRule
from reaper.policies.idle import IdleRule
from tests.support.configuration import Given

POLICY = '[[policies]]\nname = "p"\nkind = "jupyter.kernel"\nrule = "idle"\n'

CONTRACT = """\
[[policies]]
name = "forgotten-gpus"
kind = "ec2.instance"
match = { scope = ["1234*/eu-*"], instance_type = ["g*", "p*"], tags = { TAGS } }
rule = "idle"
timeout = "1h"
[[policies.steps]]
action = "notify"
[[policies.steps]]
after = "10m"
action = "stop"
[[policies.steps]]
after = "14d"
action = "terminate"
""".replace("TAGS", 'Purpose = ["training", "exp-*"], Keep = false')


def _only(settings: Settings) -> PolicySpec:
    [policy] = build_ruleset(settings).policies
    return policy


def test_the_policy_of_the_contract(given: Given) -> None:
    policy = _only(given.load(CONTRACT))
    assert policy.kind == "ec2.instance"
    assert policy.match == Match(
        scope=("1234*/eu-*",),
        tags={"Purpose": ("training", "exp-*"), "Keep": False},
        attributes={"instance_type": ("g*", "p*")},
    )
    assert policy.rule == IdleRule(timeout=timedelta(hours=1))
    assert policy.params == {"timeout": 3600.0}
    assert policy.steps == (
        Step(action="notify"),
        Step(action="stop", after=timedelta(minutes=10)),
        Step(action="terminate", after=timedelta(days=14)),
    )


EC2 = POLICY.replace("jupyter.kernel", "ec2.instance")


def _ladder(*steps: tuple[str, str]) -> str:
    return EC2 + "".join(
        f'[[policies.steps]]\naction = "{action}"\n' + (f'after = "{after}"\n' if after else "")
        for action, after in steps
    )


def test_a_notice_may_come_before_each_act(given: Given) -> None:
    policy = _only(
        given.load(_ladder(("notify", ""), ("stop", "1h"), ("notify", "13d"), ("terminate", "1d")))
    )
    assert [policy.rung(number).action for number in (0, 1)] == ["stop", "terminate"]
    assert [policy.rung(number).notice_gap for number in (0, 1)] == [timedelta(hours=1), timedelta(days=1)]


@pytest.mark.parametrize(
    ("steps", "where", "message"),
    [
        ((("terminate", ""), ("stop", "1d")), "steps[2].action", "'stop' can't follow 'terminate'"),
        ((("stop", ""), ("hibernate", "1d")), "steps[2].action", "what comes later must go further"),
        ((("stop", ""), ("terminate", "")), "steps[2].after", "says not how long after 'stop'"),
        ((("notify", ""), ("notify", "1h"), ("stop", "1h")), "steps[2].action", "'notify' is there already"),
    ],
)
def test_a_ladder_goes_up(given: Given, steps: tuple[tuple[str, str], ...], where: str, message: str) -> None:
    [(place, found)] = given.errors(_ladder(*steps))
    assert place.endswith(f"policy 'p', {where}")
    assert message in found


def test_a_kind_that_nobody_looks_at_is_said(given: Given) -> None:
    toml = POLICY.replace("jupyter.kernel", "host") + 'action = "stop"\n'
    assert given.warnings(toml) == [
        "FILE:3: policy 'p', kind: this version does not look at host: the policy does nothing"
    ]


def test_what_is_left_out_comes_from_the_settings(given: Given) -> None:
    policy = _only(given.load(POLICY, IDLE_TIMEOUT="90m", JUPYTER__BUSY_TIMEOUT="12h", WARN_BEFORE="5m"))
    assert policy.rule == IdleRule(timeout=timedelta(minutes=90), busy_timeout=timedelta(hours=12))
    assert policy.params == {"timeout": 5400.0, "busy_timeout": 43200.0}
    assert policy.steps == (Step(action="shutdown"),)
    assert policy.warn_before == timedelta(minutes=5)
    assert policy.minimum_age == timedelta(0)
    assert policy.mode is Mode.ENFORCE


def test_what_is_said_holds(given: Given) -> None:
    more = 'timeout = "1h"\nbusy_timeout = "0s"\nwarn_before = "1m"\nminimum_age = "1d"\n'
    more += 'mode = "dry-run"\naction = "shutdown"'
    policy = _only(
        given.load(POLICY + more, IDLE_TIMEOUT="90m", JUPYTER__BUSY_TIMEOUT="12h", WARN_BEFORE="5m")
    )
    assert policy.rule == IdleRule(timeout=timedelta(hours=1))
    assert policy.warn_before == timedelta(minutes=1)
    assert policy.minimum_age == timedelta(days=1)
    assert policy.mode is Mode.DRY_RUN


def test_terminals_have_no_busy_timeout(given: Given) -> None:
    policy = _only(given.load(POLICY.replace("kernel", "terminal"), JUPYTER__BUSY_TIMEOUT="12h"))
    assert policy.rule == IdleRule(timeout=timedelta(hours=2))


def test_they_replace_the_presets(given: Given) -> None:
    assert [policy.name for policy in build_ruleset(given.load(POLICY)).policies] == ["p"]
    assert [policy.name for policy in build_ruleset(given.load("")).policies] == [
        "idle-kernels",
        "idle-terminals",
    ]


def test_a_match_may_be_a_single_glob(given: Given) -> None:
    policy = _only(
        given.load(POLICY + 'match = { name = "a,b*.ipynb", cores = 4, tags = { A = "x", B = "true" } }')
    )
    assert policy.match == Match(
        name=("a,b*.ipynb",), attributes={"cores": ("4",)}, tags={"A": ("x",), "B": ("true",)}
    )


@pytest.mark.parametrize(
    ("more", "where", "message"),
    [
        ("timeout = 3600", "timeout", "'3600' has no unit"),
        ("timeout = 3600.0", "timeout", "3600.0 has no unit"),
        ('timeout = "1"', "timeout", "'1' has no unit"),
        ('timeout = "-1h"', "timeout", "negative"),
        ("timeout = inf", "timeout", "inf is no number that can be used"),
        ("timeout = 01:00:00", "timeout", "is a TOML date or time: write it as text in quotes"),
        ("timeout = [2026-01-01]", "timeout", "is a TOML date or time"),
        ("timeout = 1e300", "timeout", ""),
        ('time_out = "1h"', "time_out", "has no parameter 'time_out'"),
        ('acton = "shutdown"', "acton", "(did you mean the policy's 'action'?)"),
        (
            'action = "shutdwn"',
            "action",
            "'shutdwn' can't be done to a jupyter.kernel; did you mean 'shutdown'?",
        ),
        ('action = "terminate"', "action", "there are: notify, shutdown"),
        (
            'action = "shutdown"\nsteps = [{ action = "shutdown" }]',
            "action",
            "the short form of steps: keep one of them",
        ),
        ("steps = []", "steps", "a ladder has at least the step that acts"),
        ('[[policies.steps]]\naction = "notify"', "steps[1].action", "the last step must act: shutdown"),
        (
            '[[policies.steps]]\nafter = "1m"\naction = "shutdown"',
            "steps[1].after",
            "the first step comes when the rule says so",
        ),
        (
            '[[policies.steps]]\naction = "shutdown"\n[[policies.steps]]\naction = "shutdown"',
            "steps[2].action",
            "'shutdown' is there already",
        ),
        ('match = { tags = { "Reaper:Protect" = false } }', "match.tags.Reaper:Protect", "is reserved"),
        ('match = { tags = { "reaper:hold-until" = ["*"] } }', "match.tags.reaper:hold-until", "is reserved"),
    ],
)
def test_what_can_not_be_used(given: Given, more: str, where: str, message: str) -> None:
    toml = f"# a comment\n{POLICY}{more}"
    [(place, found)] = given.errors(toml)
    leaf = (
        re.split(r"[.\[]", where)[-1]
        if where.startswith("steps") and "." in where
        else where.partition(".")[0]
    )
    line = max(number for number, text in enumerate(toml.splitlines(), 1) if text.startswith(leaf))
    assert place == f"FILE:{line}: policy 'p', {where}"
    assert message in found


@pytest.mark.parametrize(
    ("toml", "where", "message"),
    [
        ('[[policies]]\nkind = "jupyter.kernel"\nrule = "idle"', "FILE:1: policies[1].name", "is missing"),
        (
            POLICY.replace("kernel", "kernl"),
            "FILE:3: policy 'p', kind",
            "'jupyter.kernl' is no kind of resource; did you mean jupyter.kernel?",
        ),
        (
            POLICY.replace("jupyter.kernel", "cat"),
            "FILE:3: policy 'p', kind",
            "'cat' is no kind of resource; there are: jupyter.kernel,",
        ),
        (
            POLICY.replace('"idle"', '"idl"'),
            "FILE:4: policy 'p', rule",
            "there is no rule 'idl'; did you mean 'idle'?",
        ),
        (
            POLICY.replace('"idle"', '"zzz"'),
            "FILE:4: policy 'p', rule",
            "there is no rule 'zzz'; there are: age, all, any, deadline, idle, not, schedule, spend, untagged, where",
        ),
        (POLICY.replace('"p"', '" p"'), "FILE:2: policy ' p', name", "has spaces around it"),
        (POLICY.replace('"p"', '""'), "FILE:2: policies[1].name", "is empty"),
        (POLICY.replace('"idle"', '"age"'), "FILE:1: policy 'p'", "rule 'age' needs 'timeout'"),
        (
            POLICY + 'mode = "enforced"',
            "FILE:5: policies[1].mode",
            "'enforced' is not one of dry-run or enforce",
        ),
        (POLICY + "warn_before = 5", "FILE:5: policies[1].warn_before", "'5' has no unit"),
        (POLICY + "match = { name = [] }", "FILE:5: policies[1].match.name", "it would match nothing"),
        (
            POLICY + "match = { name = [[]] }",
            "FILE:5: policies[1].match.name",
            "must be a text or a list of texts",
        ),
        (POLICY + "match = 5", "FILE:5: policies[1].match", "must be a table"),
        (
            POLICY + '[[policies.steps]]\naction = "shutdown"\naftr = "1m"',
            "FILE:7: policies[1].steps[1].aftr",
            "did you mean after?",
        ),
        (POLICY + POLICY, "FILE:6: policy 'p', name", "another policy before it has this name"),
        (
            POLICY.replace("jupyter.kernel", "ec2.instance"),
            "FILE:1: policy 'p', action",
            "says not what to do; ec2.instance can: stop",
        ),
        (
            "keep_terminals = true\n" + POLICY.replace("kernel", "terminal"),
            "FILE:4: policy 'p', kind",
            "it shuts terminals down, but keep_terminals is true (FILE:1: keep_terminals)",
        ),
        (
            'mode = "enforce"\n' + POLICY + 'warn_before = "5m"',
            "FILE:6: policy 'p', warn_before",
            "it gives notice in enforce mode, but nobody is told: set REAPER_NOTIFY",
        ),
        (
            'mode = "enforce"\nnotify = "log:"\n'
            + POLICY
            + '[[policies.steps]]\naction="notify"\n[[policies.steps]]\naction="shutdown"',
            "FILE:7: policy 'p', steps",
            "it gives notice in enforce mode, but only the log is told",
        ),
    ],
)
def test_what_can_not_be_used_as_a_whole(given: Given, toml: str, where: str, message: str) -> None:
    file = str(given.file(toml))
    [(place, found)] = given.errors()
    assert place == where
    assert message in found.replace(file, "FILE")


def test_the_right_one_is_blamed_when_another_can_not_be_read_at_all(given: Given) -> None:
    broken = '[[policies]]\nname = 5\nkind = "jupyter.kernel"\nrule = "idle"\n'
    found = given.errors(POLICY.replace('"p"', '"first"') + broken + POLICY + "time_out = 1")
    assert [where for where, _ in found] == ["FILE:6: policies[2].name", "FILE:13: policy 'p', time_out"]


def test_a_dry_run_needs_nobody_to_tell(given: Given) -> None:
    assert given.warnings('mode = "enforce"\n' + POLICY + 'warn_before = "5m"\nmode = "dry-run"') == []
    assert given.warnings(POLICY + 'warn_before = "5m"\n') == []


def test_a_mode_that_is_looser_than_the_daemons_is_no_error_but_does_not_hold(given: Given) -> None:
    ruleset = build_ruleset(given.load(POLICY + 'mode = "enforce"', MODE="dry-run"))
    assert not ruleset.enforced(ruleset.policies[0])


def test_a_policy_that_can_never_act_is_warned_of(given: Given) -> None:
    assert given.warnings(POLICY, ACTIONS="studio.delete") == [
        "FILE:1: policy 'p': it can never act: REAPER_ACTIONS does not allow jupyter.shutdown"
    ]


# Rules and their parameters


def test_parameters_are_journaled_as_float_seconds() -> None:
    params, rule = rule_parameters("age", {"max_age": "1d", "idle_for": "5m", "only_if_idle": True})
    assert params == {"max_age": 86400.0, "idle_for": 300.0, "only_if_idle": True}
    assert rule == AgeRule(timeout=timedelta(days=1), idle_for=timedelta(minutes=5), only_if_idle=True)
    assert build_rule("age", params) == rule


def test_a_bare_number_under_another_name_of_the_timeout_is_refused_too() -> None:
    with pytest.raises(ConfigError, match="has no unit"):
        rule_parameters("age", {"max_age": 86400.0})


class TextRule:
    """A plugin's rule with a text that looks like a duration, and a number that is none."""

    timeout = timedelta(hours=1)

    def __init__(self, tier: object, limit: object) -> None:
        self.tier, self.limit = tier, limit

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> "TextRule":
        return cls(params["tier"], params["limit"])


def test_a_text_of_a_plugin_stays_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = importlib.import_module("reaper.config.parameters")
    monkeypatch.setattr(parameters, "_factory", lambda _name: TextRule)
    params, _ = rule_parameters("spend", {"tier": "3d", "limit": 24.0})
    assert params == {"tier": "3d", "limit": 24.0}


@pytest.mark.parametrize("error", [TypeError("boom"), ValueError("boom"), OverflowError("boom")])
def test_a_plugin_that_raises_is_reported(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    class Broken:
        @classmethod
        def from_params(cls, params: object) -> None:
            raise error

    monkeypatch.setattr(importlib.import_module("reaper.config.parameters"), "_factory", lambda _name: Broken)
    with pytest.raises(ConfigError, match="rule 'spend' can't be built: boom"):
        rule_parameters("spend", {})


def _documented() -> list[tuple[str, str]]:
    found = []
    for name in names("reaper.policies"):
        text = inspect.getdoc(load("reaper.policies", name)) or ""
        found += [
            (name, textwrap.dedent(block)) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
        ]
    return found


@pytest.mark.parametrize(("rule", "toml"), _documented())
def test_the_examples_of_rules_can_be_loaded(given: Given, rule: str, toml: str) -> None:
    assert {policy.rule_name for policy in build_ruleset(given.load(toml)).policies} == {rule}


def test_every_rule_of_ours_has_an_example() -> None:
    assert {rule for rule, _ in _documented()} == set(names("reaper.policies"))
