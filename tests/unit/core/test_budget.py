"""Disruption budgets: how many, how dear, in which window, in which scope."""

import pytest

from reaper.core.budget import Spending
from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.model import ResourceRef
from reaper.core.ruleset import Budget
from reaper.core.verdict import Reason
from reaper.testing import T0, days, hours, minutes, seconds

HERE, THERE = "http://127.0.0.1:8888/", "http://127.0.0.1:9999/"


def started(ago, scope: str = HERE, kind: str = "jupyter.kernel", cost: float | None = None) -> LedgerEntry:
    return LedgerEntry(
        at=T0 - ago,
        action_id="a",
        state=ActionState.STARTED,
        ref=ResourceRef(kind=kind, scope=scope, id="k", incarnation="1"),
        action="shutdown",
        policy="quiet",
        decision_id="d",
        hourly_cost=cost,
    )


def spending(budget: Budget, *recent: LedgerEntry) -> Spending:
    return Spending(budgets=(budget,), recent=recent, now=T0)


def test_takes_until_it_is_used_up():
    left = spending(Budget(name="b", actions=3), started(minutes(10)))
    assert left.take("jupyter.kernel", HERE, None) is None
    assert left.take("jupyter.kernel", HERE, None) is None
    veto = left.take("jupyter.kernel", HERE, None)
    assert veto is not None
    assert (veto.reason, veto.until) == (Reason.DISRUPTION_BUDGET, T0 + minutes(50))
    assert veto.detail == f"b: 3 actions in 1h in {HERE}"


@pytest.mark.parametrize(
    ("ago", "free"), [(hours(1), True), (hours(1) - seconds(1), False), (seconds(-5), False)]
)
def test_window_slides(ago, free):
    assert (
        spending(Budget(name="b", actions=1), started(ago)).take("jupyter.kernel", HERE, None) is None
    ) is free


@pytest.mark.parametrize(
    ("kind", "scope", "free"),
    [
        ("jupyter.kernel", HERE, False),
        ("jupyter.terminal", HERE, False),
        ("ec2.instance", HERE, True),
        ("jupyter.kernel", THERE, True),
    ],
)
def test_each_scope_that_matches_has_its_own(kind, scope, free):
    left = spending(Budget(name="b", kind="jupyter.*", scope="http://*", actions=1), started(minutes(1)))
    assert (left.take(kind, scope, None) is None) is free


def test_what_it_does_not_cover_takes_nothing():
    left = spending(Budget(name="b", kind="ec2.*", actions=1), started(minutes(1)))
    assert all(left.take("jupyter.kernel", HERE, None) is None for _ in range(9))


def test_dollars():
    left = spending(
        Budget(name="b", dollars_per_hour=10.0),
        started(minutes(30), cost=4.0),
        started(minutes(10), cost=3.0),
    )
    assert left.take("ec2.instance", HERE, 3.0) is None
    assert left.take("ec2.instance", HERE, None) is None
    veto = left.take("ec2.instance", HERE, 5.0)
    assert veto is not None
    assert veto.until == T0 + minutes(50)  # 4 leave at :30, which is not enough; 3 more at :50
    assert veto.detail.startswith("b: $10/h in 1h")


def test_what_never_fits_says_so():
    veto = spending(Budget(name="b", dollars_per_hour=10.0)).take("ec2.instance", HERE, 11.0)
    assert veto is not None
    assert veto.until is None
    veto = spending(Budget(name="b", actions=0), started(minutes(1))).take("ec2.instance", HERE, None)
    assert veto is not None
    assert veto.until is None


def test_room_that_this_tick_took_comes_back_a_window_later():
    left = spending(Budget(name="b", actions=1, window=minutes(5)))
    assert left.take("jupyter.kernel", HERE, None) is None
    veto = left.take("jupyter.kernel", HERE, None)
    assert veto is not None
    assert veto.until == T0 + minutes(5)


def test_the_most_restrictive_of_several_wins_and_a_denied_one_takes_from_none():
    wide, narrow = Budget(name="wide", actions=2), Budget(name="narrow", kind="*.kernel", actions=1)
    left = Spending(budgets=(wide, narrow), recent=(), now=T0)
    assert left.take("jupyter.kernel", HERE, None) is None
    veto = left.take("jupyter.kernel", HERE, None)
    assert veto is not None
    assert veto.detail.startswith("narrow")
    assert left.take("jupyter.terminal", HERE, None) is None
    assert left.take("jupyter.terminal", HERE, None) is not None


@pytest.mark.parametrize("window", [seconds(0), seconds(-1), days(1) + seconds(1)])
def test_window_that_can_not_be_kept_is_refused(window):
    """What was started is remembered for a day: a longer window would be exceeded unseen."""
    with pytest.raises(ValueError, match="'b': its window"):
        Budget(name="b", actions=1, window=window)
