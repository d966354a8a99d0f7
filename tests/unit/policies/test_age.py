"""The rule `age`, by reason code; with `only_if_idle` it never ends what works or can't be seen."""

import pytest

from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.policies.age import AgeRule
from reaper.testing import T0, Scene, WorldBuilder, active, hours, idle, minutes, sampled, seconds, unknown

RULE = AgeRule(timeout=hours(24))
AGED = T0 - hours(24)


def found(
    signals, *, started=AGED, kind="jupyter.kernel", rule=RULE, now=T0, fail=False, **fields
) -> Finding:
    scene = Scene(kind=kind).add("k", signals, started_at=started, **fields)
    builder = WorldBuilder(scene).look(T0 - minutes(1)).look(T0)
    if fail:
        builder.fail(now)
    finding: Finding = rule.evaluate(builder.world.live[builder.ref("k").key], now, "old")
    assert finding.verdict is Verdict.REAP or finding.due_at is None or finding.due_at > now
    return finding


REST = {"execution_state": idle(T0 - hours(3))}

OLD = {
    "idle": (REST, (Verdict.REAP, Reason.TOO_OLD, T0 - hours(3), T0)),
    "idle for too short": (
        {"execution_state": idle(T0 - minutes(1))},
        (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH, T0 - minutes(1), T0 + minutes(4)),
    ),
    "at work": ({"execution_state": active()}, (Verdict.WAIT, Reason.ACTIVE, None, T0 + minutes(5))),
    "unknown": (
        {"execution_state": unknown()},
        (Verdict.UNKNOWN, Reason.EVIDENCE_UNKNOWN, T0 - minutes(1), None),
    ),
    "at work, the rest unknown": (
        {"execution_state": active(), "gpu": unknown()},
        (Verdict.WAIT, Reason.ACTIVE, None, T0 + minutes(5)),
    ),
    "without any evidence": ({}, (Verdict.UNKNOWN, Reason.NO_EVIDENCE, T0 - minutes(1), None)),
    "sampled alone": (
        {"process": sampled()},
        (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH, T0 - minutes(1), T0 + minutes(4)),
    ),
}


@pytest.mark.parametrize("case", OLD)
def test_of_what_is_old_with_only_if_idle(case):
    signals, wanted = OLD[case]
    finding = found(signals)
    assert (finding.verdict, finding.reason, finding.since, finding.due_at) == wanted


@pytest.mark.parametrize("signals", [{}, REST, {"execution_state": active()}, {"execution_state": unknown()}])
@pytest.mark.parametrize("fail", [False, True])
def test_of_what_is_old_without_it_nothing_else_matters(signals, fail):
    """Story f5: a forgotten instance without any metrics still goes by age; a failing source is a veto's matter."""
    finding = found(signals, kind="ec2.instance", fail=fail)
    assert (finding.verdict, finding.reason, finding.since, finding.due_at) == (
        Verdict.REAP,
        Reason.TOO_OLD,
        AGED,
        T0,
    )


@pytest.mark.parametrize("signals", [{}, REST, {"execution_state": unknown()}])
def test_of_what_is_young(signals):
    for kind in ("jupyter.kernel", "ec2.instance"):
        finding = found(signals, started=AGED + seconds(1), kind=kind)
        assert (finding.verdict, finding.reason) == (Verdict.WAIT, Reason.YOUNG_ENOUGH)
        assert finding.due_at == T0 + seconds(1)


def test_of_what_is_young_and_at_work_tells_nobody_a_deadline():
    finding = found({"execution_state": active()}, started=AGED + seconds(1))
    assert (finding.reason, finding.since, finding.due_at) == (Reason.YOUNG_ENOUGH, None, T0 + minutes(5))


@pytest.mark.parametrize(
    ("kind", "only_if_idle", "verdict"),
    [
        ("jupyter.kernel", None, Verdict.WAIT),
        ("jupyter.terminal", None, Verdict.WAIT),
        ("ec2.instance", None, Verdict.REAP),
        ("sagemaker.endpoint", None, Verdict.REAP),
        ("jupyter.kernel", False, Verdict.REAP),
        ("ec2.instance", True, Verdict.WAIT),
    ],
)
def test_only_if_idle_by_kind(kind, only_if_idle, verdict):
    rule = AgeRule(timeout=hours(24), only_if_idle=only_if_idle)
    assert found({"execution_state": active()}, kind=kind, rule=rule).verdict is verdict


def test_age_runs_from_the_first_sighting_where_no_source_knows_better():
    assert found(REST, started=None).due_at == T0 - minutes(1) + hours(24)


def test_idle_for_is_a_tenth_of_a_short_timeout():
    rule = AgeRule(timeout=minutes(10))
    assert found({"execution_state": idle(T0 - seconds(59))}, rule=rule).verdict is Verdict.WAIT
    assert found({"execution_state": idle(T0 - seconds(60))}, rule=rule).verdict is Verdict.REAP


def test_source_failing():
    finding = found(REST, fail=True)
    assert (finding.verdict, finding.reason, finding.since) == (Verdict.UNKNOWN, Reason.SOURCE_FAILING, T0)


def test_sampling_and_what_is_lost():
    scene = Scene().add("k", REST, started_at=AGED, required_signals=("process",), sample_interval_s=5.0)
    builder = WorldBuilder(scene).look(T0)
    history = builder.world.live[builder.ref("k").key]
    finding = RULE.evaluate(history, T0, "old")
    assert (finding.verdict, finding.reason, finding.due_at) == (
        Verdict.WAIT,
        Reason.SAMPLING,
        T0 + seconds(5),
    )
    for minute in (1, 2, 3):
        builder.look(T0 + minutes(minute))
        finding = RULE.evaluate(history, T0 + minutes(minute), "old")
        assert (finding.verdict, finding.reason, finding.since) == (Verdict.UNKNOWN, Reason.EVIDENCE_LOST, T0)


class TestParameters:
    def test_reads(self):
        assert AgeRule.from_params({"timeout": "24h"}) == RULE
        assert AgeRule.from_params({"max_age": "24h"}) == RULE
        assert AgeRule.from_params({"timeout": 86400.0, "only_if_idle": True, "idle_for": "1m"}) == AgeRule(
            timeout=hours(24), only_if_idle=True, idle_for=minutes(1)
        )

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({}, "rule 'age' needs 'timeout'"),
            ({"timeout": "24h", "only_if_idle": "yes"}, "'yes' is neither true nor false"),
            ({"timeout": "24h", "idle_for": 5}, "'5' has no unit"),
            ({"timeout": "24h", "age": "5h"}, "no parameter 'age'; it has timeout, only_if_idle, idle_for"),
            ({"timeout": "24h", "max_age": "5h"}, "timeout and max_age"),
        ],
    )
    def test_refuses(self, params, message):
        with pytest.raises(ConfigError, match=message):
            AgeRule.from_params(params)
