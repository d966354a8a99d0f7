"""How the findings of several policies become one: every combination of four verdicts."""

from itertools import product

import pytest

from reaper.core.verdict import Finding, Reason, Verdict, merge
from reaper.testing import T0, hours

KEEP, WAIT, REAP, UNKNOWN = Verdict.KEEP, Verdict.WAIT, Verdict.REAP, Verdict.UNKNOWN

MERGED = {
    (KEEP, KEEP): KEEP,
    (KEEP, WAIT): KEEP,
    (KEEP, REAP): KEEP,
    (KEEP, UNKNOWN): KEEP,
    (WAIT, WAIT): WAIT,
    (WAIT, REAP): REAP,
    (WAIT, UNKNOWN): UNKNOWN,
    (REAP, REAP): REAP,
    (REAP, UNKNOWN): REAP,
    (UNKNOWN, UNKNOWN): UNKNOWN,
}


def finding(
    verdict: Verdict, policy: str = "p", due_h: float | None = 1, reason: Reason = Reason.IDLE
) -> Finding:
    due = None if due_h is None else T0 + hours(due_h)
    return Finding(policy=policy, verdict=verdict, reason=reason, due_at=due)


@pytest.mark.parametrize(("one", "other"), list(product(Verdict, repeat=2)))
def test_of_two(one, other):
    merged = merge([finding(one), finding(other)])
    wanted = MERGED.get((one, other)) or MERGED[other, one]
    assert merged is not None
    assert merged.verdict is wanted


@pytest.mark.parametrize("verdicts", list(product(Verdict, repeat=4)))
def test_of_four_any_keep_else_any_reap_else_any_unknown_else_wait(verdicts):
    merged = merge([finding(verdict, f"p{i}") for i, verdict in enumerate(verdicts)])
    assert merged is not None
    assert merged.verdict is next(v for v in (KEEP, REAP, UNKNOWN, WAIT) if v in verdicts)


def test_of_none():
    assert merge([]) is None


@pytest.mark.parametrize("verdict", [WAIT, REAP])
def test_the_one_due_first_speaks(verdict):
    late, soon, never = (
        finding(verdict, "late", 3),
        finding(verdict, "soon", 2),
        finding(verdict, "never", None),
    )
    for findings in ([late, soon, never], [never, late, soon]):
        merged = merge(findings)
        assert merged is not None
        assert merged.policy == "soon"


def test_the_first_of_equals_speaks():
    merged = merge([finding(REAP, "first"), finding(REAP, "second")])
    assert merged is not None
    assert merged.policy == "first"


@pytest.mark.parametrize("other", Verdict)
def test_dead_goes_whatever_the_others_say(other):
    merged = merge([finding(other), finding(REAP, "dead", 9, Reason.DEAD)])
    assert merged is not None
    assert merged.reason is Reason.DEAD
