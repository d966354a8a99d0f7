"""What CloudWatch's datapoints say of an instance."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from reaper.core.model import Activity
from reaper.providers.ec2.evidence import (
    HOUR,
    PERIOD,
    Known,
    Point,
    Said,
    at_work,
    busy_bytes,
    fold,
    judge,
    kept,
    lag,
    moments,
    restored,
)
from reaper.testing import T0, minutes

DAY = timedelta(days=1)
LAUNCH = T0 - 3 * DAY
NOW = T0 + minutes(2)
"""CloudWatch has the period that ended at T0 already."""


def points(begin: datetime, end: datetime, *, active: Iterable[datetime] = ()) -> list[Point]:
    busy = set(active)
    return [Point(at, at in busy) for at in moments(begin, end)]


def said(found: Iterable[Point], *, since: datetime = LAUNCH, now: datetime = NOW) -> Said:
    _, held = fold(Known.begin(since), found, now)
    return judge(held, now, whole_for=2 * HOUR, what="0.5 core of CPU", none="no datapoint")


class TestIdle:
    def test_since_the_launch_where_nothing_was_ever_done(self) -> None:
        found = said(points(LAUNCH, T0))
        assert (found.activity, found.evidence_at) == (Activity.IDLE, LAUNCH)
        assert "never" in found.value

    def test_since_the_end_of_the_last_period_with_work(self) -> None:
        found = said(points(LAUNCH, T0, active=[LAUNCH + DAY, T0 - 3 * HOUR]))
        assert (found.activity, found.evidence_at) == (Activity.IDLE, T0 - 3 * HOUR + PERIOD)

    def test_since_the_end_of_the_newest_where_that_shows_work(self) -> None:
        assert said(points(LAUNCH, T0, active=[T0 - PERIOD])).evidence_at == T0

    def test_never_since_the_future(self) -> None:
        """Our clock may be behind."""
        found = said(points(LAUNCH, T0, active=[T0 - PERIOD]), now=T0 - minutes(3))
        assert (found.activity, found.evidence_at) == (Activity.IDLE, T0 - minutes(3))

    def test_the_period_of_the_launch_need_not_be_whole(self) -> None:
        launch = T0 - minutes(33)
        found = said(points(T0 - minutes(30), T0), since=launch)
        assert (found.activity, found.evidence_at) == (Activity.IDLE, launch)

    def test_one_in_ten_may_be_missing(self) -> None:
        found = [point for number, point in enumerate(points(LAUNCH, T0)) if number % 11]
        assert said(found).activity is Activity.IDLE


class TestUnknown:
    def test_without_any_datapoint(self) -> None:
        assert said([]) == (Activity.UNKNOWN, None, "no datapoint")

    @pytest.mark.parametrize(("late", "activity"), [(15, Activity.IDLE), (16, Activity.UNKNOWN)])
    def test_where_the_newest_is_too_old(self, late: int, activity: Activity) -> None:
        assert said(points(LAUNCH, T0), now=T0 + minutes(late)).activity is activity

    def test_where_every_second_is_missing(self) -> None:
        found = said([point for number, point in enumerate(points(LAUNCH, T0)) if number % 2])
        assert (found.activity, "90 %" in found.value) == (Activity.UNKNOWN, True)

    def test_where_those_of_the_first_two_days_are_missing(self) -> None:
        """And only those of the last hour are there."""
        assert said(points(T0 - HOUR, T0)).activity is Activity.UNKNOWN

    def test_until_they_were_whole_for_the_shortest_timeout_after_a_long_gap(self) -> None:
        before = points(LAUNCH, LAUNCH + DAY)
        begun = T0 - 2 * HOUR
        assert said([*before, *points(begun + PERIOD, T0)]).activity is Activity.UNKNOWN
        found = said([*before, *points(begun, T0)])
        assert (found.activity, found.evidence_at) == (Activity.IDLE, begun)

    @pytest.mark.parametrize(
        ("history", "begins", "ends"),
        [(DAY, 145, 10), (10 * DAY, 23 * 60, 10)],
    )
    def test_nothing_is_known_of_a_hole_however_long_it_was_idle_before(
        self, history: timedelta, begins: int, ends: int
    ) -> None:
        """An agent that was dead while there was work says nothing of it; its coverage is above 90 % all the same."""
        since = T0 - history
        found = said([*points(since, T0 - minutes(begins)), *points(T0 - minutes(ends), T0)], since=since)
        assert (found.activity, "gap" in found.value) == (Activity.UNKNOWN, True)

    @pytest.mark.parametrize(("periods", "since"), [(2, LAUNCH), (3, T0 - 3 * HOUR)])
    def test_a_gap_of_a_quarter_of_an_hour_is_never_bridged(self, periods: int, since: datetime) -> None:
        ends = T0 - 3 * HOUR
        found = said([*points(LAUNCH, ends - periods * PERIOD), *points(ends, T0)])
        assert (found.activity, found.evidence_at) == (Activity.IDLE, since)

    def test_a_part_of_a_period_is_no_datapoint(self) -> None:
        found = said([Point(at, active=False, whole=False) for at in moments(LAUNCH, T0)])
        assert found.activity is Activity.UNKNOWN

    def test_but_work_in_a_part_is_work(self) -> None:
        partly = [Point(at, active=False, whole=False) for at in moments(LAUNCH, T0 - PERIOD)]
        found = said([*partly, Point(T0 - PERIOD, active=True, whole=False)])
        assert (found.activity, found.evidence_at) == (Activity.IDLE, T0)


class TestPieces:
    """What look after look tells is what one look at everything tells."""

    @given(
        states=st.lists(st.sampled_from(["idle", "idle", "idle", "work", "part", ""]), max_size=60),
        cuts=st.lists(st.integers(1, 12), max_size=12),
        through_memo=st.booleans(),
    )
    def test_equal(self, states: list[str], cuts: list[int], through_memo: bool) -> None:
        there = [
            Point(LAUNCH + number * PERIOD, state == "work", whole=state != "part")
            for number, state in enumerate(states)
            if state
        ]
        end = LAUNCH + len(states) * PERIOD
        looks = []
        at = LAUNCH
        for cut in cuts:
            at += cut * PERIOD
            looks.append(min(at, end) + minutes(1))
        known, held = Known.begin(LAUNCH), None
        for now in [*looks, end + minutes(1)]:
            seen = [point for point in there if known.settled_at <= point.at <= now - PERIOD]
            known, held = fold(known, seen, now)
            if through_memo:
                again = restored(kept(known))
                assert again == known
                known = again
        _, whole = fold(Known.begin(LAUNCH), there, end + minutes(1))
        assert held == whole

    def test_one_that_came_late_is_counted(self) -> None:
        known, held = fold(Known.begin(LAUNCH), points(LAUNCH, LAUNCH + HOUR - PERIOD), LAUNCH + HOUR)
        late = LAUNCH + HOUR - 2 * PERIOD
        found = points(known.settled_at, LAUNCH + HOUR, active=[late])
        _, held = fold(known, found, LAUNCH + HOUR + PERIOD)
        assert held.active_at == late + PERIOD

    @pytest.mark.parametrize("memo", [None, {}, [], [1, 2], ["a"] * 8, [10**30] * 8, "text"])
    def test_a_memo_that_cant_be_read_is_no_knowledge(self, memo: object) -> None:
        assert restored(memo) is None


class TestWork:
    def test_the_greatest_of_any_gpu(self) -> None:
        at, later = T0, T0 + PERIOD
        found = at_work([{at: 0.0, later: 0.0}, {at: 5.0, later: 4.9}], 5.0)
        assert found == [Point(at, active=True), Point(later, active=False)]

    def test_a_gpu_that_tells_nothing_leaves_the_period_in_doubt(self) -> None:
        assert at_work([{T0: 0.0}, {}], 5.0) == [Point(T0, active=False, whole=False)]

    def test_nothing_of_nothing(self) -> None:
        assert (at_work([], 5.0), busy_bytes([], 5e6)) == ([], [])

    def test_chatter_is_no_work(self) -> None:
        """Story f11: 72 hours of an agent's chatter, 4 MB an hour, are 288 MB."""
        chatter = dict.fromkeys(moments(LAUNCH, T0), 4e6 / 12)
        assert not any(point.active for point in busy_bytes([chatter], 5e6))

    def test_a_transfer_is_work_while_it_lasts(self) -> None:
        begun = T0 - HOUR
        sent = dict.fromkeys(moments(LAUNCH, begun), 3e5)
        sent |= dict.fromkeys(moments(begun, begun + 2 * PERIOD), 30e6)
        sent |= dict.fromkeys(moments(begun + 2 * PERIOD, T0), 3e5)
        active = [point.at for point in busy_bytes([sent], 5e6) if point.active]
        assert active == [begun, begun + PERIOD]

    def test_both_directions_are_added_up(self) -> None:
        half = dict.fromkeys(moments(T0 - 2 * HOUR, T0), 2.6e6 / 12)
        assert not any(point.active for point in busy_bytes([half], 5e6))
        assert busy_bytes([half, half], 5e6)[-1] == Point(T0 - PERIOD, active=True)

    def test_one_direction_alone_is_in_doubt(self) -> None:
        assert busy_bytes([{T0: 0.0}, {}], 5e6) == [Point(T0, active=False, whole=False)]


@pytest.mark.parametrize(("behind", "minutes_late"), [(0, 5), (5, 10), (6, 15), (12, 20), (90, 10)])
def test_the_lag_is_in_whole_periods(behind: int, minutes_late: int) -> None:
    _, held = fold(Known.begin(LAUNCH), points(LAUNCH, T0), T0 + minutes(behind))
    assert lag([held, Known.begin(LAUNCH)], T0 + minutes(behind)) == minutes(minutes_late)
