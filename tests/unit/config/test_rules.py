"""Settings, and what `reaper set` put over them, as the core decides with them."""

from datetime import time, timedelta

import pytest

from reaper.config.rules import build_ruleset, check_override, underlying
from reaper.core.ruleset import Budget, Guards, Mode, QuietHours, Ruleset
from reaper.errors import ConfigError
from reaper.plugins import build_rule
from tests.support.configuration import Given

OWN = '[[policies]]\nname = "p"\nkind = "jupyter.kernel"\nrule = "idle"\n'


def test_guards_and_budgets(given: Given) -> None:
    toml = """
        mode = "enforce"
        actions = ["jupyter.shutdown"]
        start_grace = "1m"
        apply_grace = "2m"
        poll_interval = "20s"
        quiet_hours = "22:00-07:00 Europe/Berlin"
        [[budgets]]
        name = "gently"
        scope = "http://*"
        dollars_per_hour = 24
    """
    ruleset = build_ruleset(given.load(toml))
    assert ruleset.mode is Mode.ENFORCE
    assert ruleset.guards == Guards(
        actions=("jupyter.shutdown",),
        start_grace=timedelta(minutes=1),
        apply_grace=timedelta(minutes=2),
        max_gap=timedelta(seconds=60),
        slow_gaps=dict.fromkeys(("ec2:", "prices:", "sagemaker:", "studio:"), timedelta(minutes=15)),
        quiet_hours=(QuietHours(start=time(22), end=time(7), zone="Europe/Berlin"),),
    )
    assert ruleset.budgets == (
        Budget(name="gently", scope="http://*", dollars_per_hour=24.0, window=timedelta(hours=1)),
    )
    assert Ruleset.from_body(ruleset.body(), build_rule) == ruleset


def test_an_override_replaces_the_idle_timeout(given: Given) -> None:
    settings = given.load(IDLE_TIMEOUT="2h")
    ruleset = build_ruleset(settings, {"idle-timeout": "90m"})
    assert {policy.rule.timeout for policy in ruleset.policies} == {timedelta(minutes=90)}
    assert ruleset == build_ruleset(given.load(IDLE_TIMEOUT="90m"))
    assert ruleset.digest() != build_ruleset(settings).digest()


def test_what_is_underneath_is_the_configured_value(given: Given) -> None:
    assert underlying(given.load(IDLE_TIMEOUT="120m")) == {"idle-timeout": "2h"}


@pytest.mark.parametrize("name", ["idle-timeout", "idle_timeout"])
def test_an_override_may_be_set(given: Given, name: str) -> None:
    check_override(given.load(IDLE_TIMEOUT_MIN="10m", IDLE_TIMEOUT_MAX="1d"), name, "90m")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("idle-timeout", "5m", "idle-timeout: 5m is less than REAPER_IDLE_TIMEOUT_MIN, 10m"),
        ("idle-timeout", "2d", "idle-timeout: 2d is more than REAPER_IDLE_TIMEOUT_MAX, 1d"),
        ("idle-timeout", "90", "idle-timeout: '90' has no unit"),
        ("idle-timeout", "0s", "idle-timeout: must be more than 0s"),
        ("mode", "enforce", "'mode' can't be set at run time; idle-timeout can"),
    ],
)
def test_an_override_is_refused(given: Given, name: str, value: str, message: str) -> None:
    settings = given.load(IDLE_TIMEOUT_MIN="10m", IDLE_TIMEOUT_MAX="1d")
    with pytest.raises(ConfigError, match=message):
        check_override(settings, name, value)
    if name == "idle-timeout":
        with pytest.raises(ConfigError, match=message):
            build_ruleset(settings, {name: value})


def test_an_override_that_would_change_nothing_is_refused(given: Given) -> None:
    with pytest.raises(ConfigError, match=r"each policy in .* has a timeout of its own"):
        check_override(given.load(OWN + 'timeout = "1h"'), "idle-timeout", "90m")
    settings = given.load(OWN)
    check_override(settings, "idle-timeout", "90m")
    assert build_ruleset(settings, {"idle-timeout": "90m"}).policies[0].params == {"timeout": 5400.0}
