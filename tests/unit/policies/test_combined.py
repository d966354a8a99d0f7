"""The rules `all`, `any` and `not`: three-valued truth, when they are due, and what they say of each part."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

import pytest
from hypothesis import given, strategies as st

from reaper.core.decide import decide_one
from reaper.core.history import History
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.plugins import build_rule
from reaper.policies.combined import AllRule, AnyRule, NotRule, Part
from reaper.policies.params import UNTIMED
from reaper.testing import (
    T0,
    Scene,
    WorldBuilder,
    days,
    hours,
    idle,
    minutes,
    policy,
    rules,
    sampled,
    unknown,
)
from tests.support.properties import HOUSE


@dataclass(frozen=True, kw_only=True)
class Told:
    """A rule that says what it is told to."""

    finding: Finding
    timeout: timedelta = UNTIMED

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        return replace(self.finding, policy=policy)


def says(
    verdict, *, due=None, since=None, reason=Reason.IDLE, signals=(), detail="", timeout=UNTIMED
) -> Told:
    finding = Finding(
        policy="",
        verdict=verdict,
        reason=reason,
        due_at=due,
        since=since,
        evidence=signals,
        detail=detail,
    )
    return Told(finding=finding, timeout=timeout)


def parts(*told: Told) -> tuple[Part, ...]:
    return tuple(Part(name=f"r{number}", rule=rule) for number, rule in enumerate(told, 1))


def every(*told: Told) -> AllRule:
    return AllRule(rules=parts(*told))


def some(*told: Told) -> AnyRule:
    return AnyRule(rules=parts(*told))


def opposite(told: Told) -> NotRule:
    return NotRule(of=parts(told)[0])


@cache
def history() -> History:
    builder = WorldBuilder(Scene().add("k", {}, started_at=T0 - hours(9))).look(T0)
    return builder.world.live[builder.ref("k").key]


def found(rule) -> Finding:
    finding: Finding = rule.evaluate(history(), T0, "both")
    assert finding.policy == "both"
    return finding


# Truth

KEEP, WAIT, REAP, UNKNOWN = Verdict.KEEP, Verdict.WAIT, Verdict.REAP, Verdict.UNKNOWN
TABLE = [
    # one, other: all, any
    (REAP, REAP, REAP, REAP),
    (REAP, WAIT, WAIT, REAP),
    (REAP, UNKNOWN, UNKNOWN, REAP),
    (WAIT, WAIT, WAIT, WAIT),
    (WAIT, UNKNOWN, WAIT, UNKNOWN),
    (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
    (KEEP, REAP, KEEP, KEEP),
    (KEEP, WAIT, KEEP, KEEP),
    (KEEP, UNKNOWN, KEEP, KEEP),
    (KEEP, KEEP, KEEP, KEEP),
]


@pytest.mark.parametrize(("one", "other", "both", "either"), TABLE)
def test_truth(one, other, both, either):
    for pair in ((one, other), (other, one)):
        assert found(every(*map(says, pair))).verdict is both
        assert found(some(*map(says, pair))).verdict is either


@pytest.mark.parametrize(
    ("verdict", "opposed"), [(REAP, WAIT), (WAIT, REAP), (UNKNOWN, UNKNOWN), (KEEP, KEEP)]
)
def test_truth_of_not(verdict, opposed):
    assert found(opposite(says(verdict))).verdict is opposed


def test_reasons_of_not():
    assert found(opposite(says(REAP))).reason is Reason.NEGATED_DUE
    assert found(opposite(says(WAIT))).reason is Reason.NEGATED
    assert found(opposite(says(UNKNOWN, reason=Reason.COST_UNKNOWN))).reason is Reason.COST_UNKNOWN


def test_what_is_not_watched_long_enough_is_unknown_when_negated():
    first = says(WAIT, reason=Reason.SAMPLING, due=T0 + minutes(1))
    finding = found(opposite(first))
    assert (finding.verdict, finding.reason, finding.due_at) == (UNKNOWN, Reason.SAMPLING, T0 + minutes(1))
    young = says(WAIT, reason=Reason.YOUNG_ENOUGH, due=T0 + minutes(2))
    for pair in ((first, young), (young, first)):
        # one of the two may become due at once; that both are is out of the question whatever the first look says
        assert found(NotRule(of=Part(name="any", rule=some(*pair)))).verdict is UNKNOWN
        assert found(NotRule(of=Part(name="all", rule=every(*pair)))).verdict is REAP


VERDICTS = st.lists(st.sampled_from(Verdict), min_size=1, max_size=5)


@HOUSE
@given(verdicts=VERDICTS)
def test_not_all_is_any_not(verdicts):
    told = [says(verdict) for verdict in verdicts]
    one = NotRule(of=Part(name="all", rule=every(*told)))
    other = AnyRule(rules=tuple(Part(name="not", rule=opposite(rule)) for rule in told))
    assert found(one).verdict is found(other).verdict


@HOUSE
@given(verdicts=VERDICTS)
def test_not_any_is_all_not(verdicts):
    told = [says(verdict) for verdict in verdicts]
    one = NotRule(of=Part(name="any", rule=some(*told)))
    other = AllRule(rules=tuple(Part(name="not", rule=opposite(rule)) for rule in told))
    assert found(one).verdict is found(other).verdict


@HOUSE
@given(verdicts=VERDICTS)
def test_what_is_unknown_never_decides(verdicts):
    """Whatever the unknown ones turn out to be, what was decided without them stays decided."""
    for make in (every, some):
        verdict = found(make(*map(says, verdicts))).verdict
        for instead in (REAP, WAIT):
            known = [instead if one is UNKNOWN else one for one in verdicts]
            if verdict is not UNKNOWN:
                assert found(make(*map(says, known))).verdict is verdict
    assert all(found(make(says(UNKNOWN))).verdict is UNKNOWN for make in (every, some, opposite))


# When


def test_all_waits_for_the_last():
    rule = every(
        says(WAIT, due=T0 + hours(1), since=T0 - hours(3), reason=Reason.YOUNG_ENOUGH),
        says(WAIT, due=T0 + hours(2), since=T0 - hours(2), reason=Reason.IDLE_NOT_LONG_ENOUGH),
        says(REAP, due=T0 - hours(1), since=T0 - hours(1)),
    )
    finding = found(rule)
    assert (finding.reason, finding.due_at) == (Reason.IDLE_NOT_LONG_ENOUGH, T0 + hours(2))
    assert finding.since == T0 - hours(1)


def test_all_waits_without_an_end_where_one_does():
    rule = every(
        says(WAIT, due=T0 + hours(1), since=T0), says(WAIT, reason=Reason.CONDITION_FALSE), says(UNKNOWN)
    )
    finding = found(rule)
    assert (finding.reason, finding.due_at, finding.since) == (Reason.CONDITION_FALSE, None, None)


def test_all_is_due_since_the_last_was():
    rule = every(
        says(REAP, due=T0 - hours(1), since=T0 - hours(5), reason=Reason.OFF_HOURS),
        says(REAP, due=T0 - hours(3), since=T0 - hours(4), reason=Reason.TOO_OLD),
        says(REAP, reason=Reason.CONDITION_TRUE),
    )
    finding = found(rule)
    assert (finding.reason, finding.due_at, finding.since) == (
        Reason.OFF_HOURS,
        T0 - hours(1),
        T0 - hours(4),
    )


def test_nobody_is_warned_of_all_while_one_moves_with_every_look():
    rule = every(says(WAIT, due=T0 + hours(1), since=T0), says(WAIT, due=T0 + hours(2), reason=Reason.ACTIVE))
    assert (found(rule).reason, found(rule).since) == (Reason.ACTIVE, None)


def test_any_is_due_with_the_first():
    rule = some(
        says(REAP, due=T0 - hours(1), since=T0 - hours(5), reason=Reason.TOO_OLD, signals=("a",)),
        says(REAP, due=T0 - hours(3), since=T0 - hours(4), reason=Reason.SPENT, signals=("b",)),
        says(UNKNOWN),
    )
    finding = found(rule)
    assert (finding.reason, finding.due_at, finding.since) == (Reason.SPENT, T0 - hours(3), T0 - hours(4))
    assert finding.evidence == ("b",)


def test_any_waits_for_the_first():
    rule = some(
        says(WAIT),
        says(WAIT, due=T0 + hours(2), since=T0, reason=Reason.NOT_SPENT),
        says(WAIT, due=T0 + hours(3)),
    )
    finding = found(rule)
    assert (finding.reason, finding.due_at, finding.since) == (Reason.NOT_SPENT, T0 + hours(2), T0)
    assert found(some(says(WAIT))).due_at is None


def test_any_that_is_unknown_may_be_due_before_that_is_known():
    finding = found(some(says(UNKNOWN, reason=Reason.EVIDENCE_LOST), says(WAIT, due=T0 + hours(1))))
    assert (finding.verdict, finding.reason, finding.due_at) == (
        UNKNOWN,
        Reason.EVIDENCE_LOST,
        T0 + hours(1),
    )


@HOUSE
@given(
    told=st.lists(
        st.builds(
            lambda verdict, due, since: says(
                verdict,
                due=None if due is None else T0 + (due if verdict is WAIT else -due),
                since=None if since is None else T0 - since,
            ),
            st.sampled_from(Verdict),
            st.none() | st.timedeltas(timedelta(seconds=1), days(9)),
            st.none() | st.timedeltas(timedelta(0), days(9)),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_due_at_lies_ahead_while_it_waits(told):
    for rule in (every(*told), some(*told), opposite(told[0])):
        finding = found(rule)
        if finding.verdict is WAIT:
            assert finding.due_at is None or finding.due_at > T0
        if finding.verdict is REAP:
            assert finding.due_at is None or finding.due_at <= T0


# What is shown


def test_every_part_is_named():
    rule = every(
        says(REAP, reason=Reason.IDLE, detail="cpu: quiet", signals=("cpu",)),
        says(WAIT, reason=Reason.ON_HOURS, detail="off from 19:00"),
        says(UNKNOWN, reason=Reason.EVIDENCE_UNKNOWN, signals=("gpu",)),
    )
    finding = found(rule)
    assert finding.detail == (
        "all of [r1 reap: no signal has shown activity for the whole timeout; "
        "r2 wait: its schedule lets it run now (off from 19:00); "
        "r3 unknown: a signal could not be read, and unknown is never idle]"
    )
    assert finding.evidence == ()
    assert found(every(*(part.rule for part in rule.rules[::2]))).evidence == ("gpu",)  # type: ignore[arg-type]


def test_parts_of_parts_are_named():
    rule = AllRule(rules=(Part(name="not", rule=opposite(says(WAIT, reason=Reason.ACTIVE))),))
    assert found(rule).detail == (
        "all of [not reap: the rule under `not` waits, so this policy is due "
        "(not [r1 wait: a signal shows work right now])]"
    )


def test_evidence_is_joined():
    rule = every(says(REAP, signals=("a", "b")), says(REAP, signals=("b", "c")))
    assert found(rule).evidence == ("a", "b", "c")


# The timeout, which bounds REAPER_APPLY_GRACE


@pytest.mark.parametrize(
    ("timeouts", "longest", "shortest"),
    [
        ((hours(2), minutes(5)), hours(2), minutes(5)),
        ((UNTIMED, minutes(5)), minutes(5), minutes(5)),
        ((hours(1), hours(2)), hours(2), hours(1)),
        ((UNTIMED, UNTIMED), hours(1), hours(1)),
    ],
)
def test_timeout(timeouts, longest, shortest):
    told = [says(REAP, timeout=timeout) for timeout in timeouts]
    assert every(*told).timeout == longest
    assert some(*told).timeout == shortest
    assert opposite(told[0]).timeout == timeouts[0]


# With rules of ours


def test_idle_in_the_evening():
    params = {
        "rules": [
            {"rule": "idle", "timeout": 3600.0},
            {"rule": "schedule", "off": "0 19 * * *", "on": "0 8 * * *"},
        ]
    }
    built = build_rule("all", params)
    evening = T0.replace(hour=19, minute=0, second=0, microsecond=0)
    scene = Scene(kind="ec2.instance")
    scene.add("i", {"cpu": idle(evening - hours(3))}, started_at=evening - days(2))
    builder = WorldBuilder(scene).look(evening - hours(2))
    seen = builder.world.live[builder.ref("i").key]
    finding = built.evaluate(seen, evening - hours(2), "p")
    assert (finding.verdict, finding.reason, finding.due_at) == (WAIT, Reason.ON_HOURS, evening)
    builder.look(evening)
    finding = built.evaluate(seen, evening, "p")
    assert (finding.verdict, finding.reason, finding.since) == (REAP, Reason.OFF_HOURS, evening - hours(3))


@pytest.mark.parametrize("signals", [{"cpu": unknown()}, {}, {"cpu": sampled()}])
@pytest.mark.parametrize("word", ["all", "any", "not"])
def test_unknown_never_acts(signals, word):
    inner = {"rule": "idle", "timeout": "1h"}
    built = build_rule(word, {"of": inner} if word == "not" else {"rules": [inner, inner]})
    scene = Scene().add("k", signals, started_at=T0 - days(2), required_signals=("cpu",), sample_interval_s=5)
    builder = WorldBuilder(scene).look(T0)
    ruleset = rules(policy(rule=built))
    decision = decide_one(builder.apply(ruleset).world, ruleset, T0, builder.ref("k"))
    assert decision is not None
    assert not decision.to_act
    assert decision.verdict is not REAP


class TestParameters:
    def test_reads(self):
        idle_rule = {"rule": "idle", "timeout": "1h"}
        one = build_rule("all", {"rules": [idle_rule, {"rule": "not", "of": {"rule": "deadline"}}]})
        other = build_rule(
            "all",
            {"rules": [{"rule": "idle", "timeout": 3600.0}, {"rule": "not", "of": {"rule": "deadline"}}]},
        )
        assert one == other
        assert one.timeout == hours(1)

    @pytest.mark.parametrize(
        ("rule", "params", "message"),
        [
            ("all", {}, "rule 'all' needs 'rules', a list: write tables with a rule"),
            ("any", {"rules": []}, "rule 'any' needs 'rules', a list"),
            ("any", {"rules": {"rule": "idle"}}, "rule 'any' needs 'rules', a list"),
            ("all", {"rules": ["idle"]}, r"rule 'all', rules\[1\]: names no rule"),
            ("all", {"rules": [{"timeout": "1h"}]}, r"rules\[1\]: names no rule"),
            ("all", {"rules": [{"rule": 1}]}, r"rules\[1\]: names no rule"),
            ("all", {"rules": [{"rule": "idle"}]}, r"rules\[1\]: rule 'idle' needs 'timeout'"),
            ("all", {"rules": [{"rule": "zzz"}]}, r"rules\[1\]: no plugin 'zzz'"),
            (
                "all",
                {"rules": [{"rule": "idle", "timeout": "1h"}], "timeout": "1h"},
                "no parameter 'timeout'",
            ),
            ("not", {}, "rule 'not', of: names no rule"),
            ("not", {"of": [{"rule": "deadline"}]}, "rule 'not', of: names no rule"),
            (
                "not",
                {"of": {"rule": "any", "rules": [{"rule": "deadline"}, {"rule": "spend"}]}},
                r"rule 'not', of: rule 'any', rules\[2\]: rule 'spend' needs 'limit'",
            ),
        ],
    )
    def test_refuses(self, rule, params, message):
        with pytest.raises(ConfigError, match=message):
            build_rule(rule, params)
