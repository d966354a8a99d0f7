"""The rule `untagged`, by reason code."""

import pytest

from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.policies.untagged import UntaggedRule
from reaper.testing import T0, Scene, WorldBuilder, active, hours, minutes, seconds

RULE = UntaggedRule(timeout=hours(4))
BEGAN = T0 - hours(4)


def found(*, rule=RULE, started=BEGAN, now=T0, **fields) -> Finding:
    scene = Scene(kind="ec2.instance").add("i", {"cpu": active()}, started_at=started, **fields)
    builder = WorldBuilder(scene).look(now - minutes(1)).look(now)
    finding: Finding = rule.evaluate(builder.world.live[builder.ref("i").key], now, "nobodys")
    return finding


def test_no_owner():
    finding = found(tags={"Name": "x"})
    assert (finding.verdict, finding.reason, finding.due_at) == (Verdict.REAP, Reason.NO_OWNER, T0)
    assert finding.detail == "none of the tags reaper:owner, Owner, owner"


def test_young_enough():
    finding = found(started=T0 - hours(4) + seconds(1))
    assert (finding.verdict, finding.reason) == (Verdict.WAIT, Reason.YOUNG_ENOUGH)
    assert finding.due_at == T0 + seconds(1)


def test_runs_from_the_first_sighting_where_no_source_knows_better():
    assert found(started=None).due_at == T0 - minutes(1) + hours(4)


@pytest.mark.parametrize(
    "fields",
    [
        {"owner": "ada"},
        {"tags": {"reaper:owner": "ada"}},
        {"tags": {"OWNER": "ada"}},
        {"tags": {"Reaper:Owner": "ada"}},
    ],
)
def test_has_owner(fields):
    finding = found(**fields)
    assert (finding.verdict, finding.reason, finding.due_at) == (Verdict.WAIT, Reason.HAS_OWNER, None)
    assert "ada" in finding.detail


@pytest.mark.parametrize("tags", [{"Owner": ""}, {"owner": "  "}, {"Owners": "ada"}, {"Team": "ml"}])
def test_what_names_nobody(tags):
    assert found(tags=tags).reason is Reason.NO_OWNER


def test_other_tags():
    rule = UntaggedRule.from_params({"timeout": "4h", "tags": "Team"})
    assert found(rule=rule, tags={"team": "ml"}).reason is Reason.HAS_OWNER
    assert found(rule=rule, tags={"owner": "ada"}).reason is Reason.NO_OWNER


class TestParameters:
    def test_reads(self):
        assert UntaggedRule.from_params({"timeout": "4h"}) == RULE
        assert UntaggedRule.from_params({"timeout": 14400.0, "tags": ["A", "B"]}).tags == ("A", "B")

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({}, "rule 'untagged' needs 'timeout'"),
            ({"timeout": 4}, "'4' has no unit"),
            ({"timeout": "4h", "tags": [1]}, "tags: 1 is no text in quotes"),
            ({"timeout": "4h", "tag": "x"}, "no parameter 'tag'; it has timeout, tags"),
        ],
    )
    def test_refuses(self, params, message):
        with pytest.raises(ConfigError, match=message):
            UntaggedRule.from_params(params)
