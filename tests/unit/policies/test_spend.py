"""The rule `spend`, by reason code. Unknown is never nothing, and nothing is never too much."""

import pytest
from hypothesis import given, strategies as st

from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.policies.spend import SpendRule
from reaper.testing import T0, Scene, WorldBuilder, hours, minutes

RULE = SpendRule(limit=100.0)
BEGAN = T0 - hours(72)


def found(hourly, *, rule=RULE, started=BEGAN, now=T0) -> Finding:
    scene = Scene(kind="ec2.instance").add("i", {}, started_at=started, hourly_cost=hourly)
    builder = WorldBuilder(scene).look(now - minutes(1)).look(now)
    finding: Finding = rule.evaluate(builder.world.live[builder.ref("i").key], now, "dear")
    assert finding.verdict is Verdict.REAP or finding.due_at is None or finding.due_at > now
    return finding


def test_spent():
    finding = found(2.0)
    assert (finding.verdict, finding.reason) == (Verdict.REAP, Reason.SPENT)
    assert finding.due_at == T0 - hours(22)
    assert finding.detail == "$144.00 of $100.00, at $2 an hour"


def test_spent_to_the_cent():
    finding = found(100 / 72)
    assert finding.reason is Reason.SPENT


def test_not_spent():
    finding = found(1.25)
    assert (finding.verdict, finding.reason) == (Verdict.WAIT, Reason.NOT_SPENT)
    assert finding.due_at == T0 + hours(8)
    assert finding.since == T0 - hours(72)


def test_cost_unknown():
    finding = found(None)
    assert (finding.verdict, finding.reason, finding.due_at) == (Verdict.UNKNOWN, Reason.COST_UNKNOWN, None)


@pytest.mark.parametrize("hourly", [0.0, 1e-300, -1.0])
def test_what_costs_nothing_is_never_due(hourly):
    finding = found(hourly)
    assert (finding.verdict, finding.reason, finding.due_at) == (Verdict.WAIT, Reason.NOT_SPENT, None)


def test_runs_from_the_first_sighting_where_no_source_knows_better():
    assert found(100.0, started=None).due_at == T0 + minutes(59)


@given(
    hourly=st.floats(0.001, 1000),
    limit=st.floats(0.01, 100_000),
    age=st.timedeltas(hours(0), hours(10_000)),
)
def test_due_when_the_dollars_are_spent(hourly, limit, age):
    finding = found(hourly, rule=SpendRule(limit=limit), started=T0 - age)
    spent = hourly * age.total_seconds() / 3600
    if abs(spent - limit) > 0.001:
        assert (finding.verdict is Verdict.REAP) == (spent > limit)


class TestParameters:
    def test_reads(self):
        assert SpendRule.from_params({"limit": 100}) == SpendRule.from_params({"limit": 100.0}) == RULE

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({}, "rule 'spend' needs 'limit', such as limit = 25: US dollars"),
            ({"limit": "100"}, "limit: '100' is no number"),
            ({"limit": True}, "limit: True is no number"),
            ({"limit": float("nan")}, "limit: nan is no number"),
            ({"limit": 0}, "limit: 0 is not more than 0"),
            ({"limit": -5.0}, "limit: -5.0 is not more than 0"),
            ({"limit": 5, "timeout": "1h"}, "no parameter 'timeout'; it has limit"),
        ],
    )
    def test_refuses(self, params, message):
        with pytest.raises(ConfigError, match=message):
            SpendRule.from_params(params)
