"""What a reap saved: until the thing is started again, for 30 days at most, and nothing that is not known."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from reaper.core.facts import ActionState, LedgerEntry, fact_from_json, fact_to_json
from reaper.core.model import Resource, ResourceRef
from reaper.core.savings import Ended, Saving, Sighting, report_document, savings
from reaper.testing import T0, days, hours, minutes

REF = ResourceRef(kind="ec2.instance", scope="123456789012/eu-central-1", id="i-1", incarnation="1")
NOW = T0 + days(10)


def reap(**changed: Any) -> LedgerEntry:
    entry = LedgerEntry(
        at=T0,
        action_id="a1",
        state=ActionState.SUCCEEDED,
        ref=REF,
        action="stop",
        policy="forgotten-gpus",
        decision_id="d1",
        outcome="its stop has begun",
        hourly_cost=2.0,
        name="train-7",
        owner="ana",
        price_source="pricing-api 2026-02-01",
    )
    return replace(entry, **changed)


def life(
    incarnation: str,
    first: datetime,
    *,
    ended: datetime | None = None,
    began: datetime | None = None,
    **changed: Any,
) -> Sighting:
    ref = replace(REF, incarnation=incarnation, **changed)
    return Sighting(
        resource=Resource(ref=ref, name="train-7", owner="ben", started_at=began),
        first_seen_at=first,
        ended_at=ended,
    )


def one(entry: LedgerEntry, *lives: Sighting, now: datetime = NOW) -> Saving:
    [found] = savings([entry], lives, now)
    return found


def test_it_counts_until_now_while_nobody_started_it_again() -> None:
    found = one(reap(), life("1", T0 - days(3)))
    assert (found.until, found.ended, found.hours, found.saved) == (NOW, None, 240.0, 480.0)


def test_it_counts_for_thirty_days_at_most() -> None:
    found = one(reap(), now=T0 + days(31))
    assert (found.until, found.ended, found.saved) == (T0 + days(30), Ended.LIMIT, 1440.0)
    assert one(reap(), now=T0 + days(30)).ended is Ended.LIMIT
    assert one(reap(), now=T0 + days(30) - minutes(1)).ended is None


@pytest.mark.parametrize(
    ("began", "until"),
    [
        (None, T0 + hours(5)),
        (T0 + hours(4), T0 + hours(4)),
        (T0 - hours(4), T0),  # its source says that it had begun before: then nothing was saved
        (T0 + hours(6), T0 + hours(5)),  # seen before it says to have begun: a clock is wrong
    ],
    ids=["by the look", "by its source", "before the act", "after the look"],
)
def test_it_counts_until_it_was_started_again(began: datetime | None, until: datetime) -> None:
    found = one(
        reap(), life("1", T0 - days(3)), life("2", T0 + hours(5), began=began), life("3", T0 + days(2))
    )
    assert (found.until, found.ended) == (until, Ended.STARTED_AGAIN)
    assert found.saved == 2.0 * found.hours


@pytest.mark.parametrize(
    "other",
    [
        life("0", T0 - days(9), ended=T0 - days(5)),
        life("1", T0 - days(3)),
        life("2", T0 + hours(1), id="i-2"),
        life("2", T0 + hours(1), scope="123456789012/us-east-1"),
        life("2", T0 + hours(1), kind="host"),
    ],
    ids=["an earlier life", "the same life", "another id", "another region", "another kind"],
)
def test_what_is_no_later_life_of_the_same_thing_changes_nothing(other: Sighting) -> None:
    assert one(reap(), other).ended is None


def test_a_start_after_the_thirty_days_changes_nothing() -> None:
    found = one(reap(), life("2", T0 + days(40)), now=T0 + days(50))
    assert (found.ended, found.saved) == (Ended.LIMIT, 1440.0)


@pytest.mark.parametrize("state", [state for state in ActionState if state is not ActionState.SUCCEEDED])
def test_what_did_not_succeed_saved_nothing(state: ActionState) -> None:
    assert savings([reap(state=state)], [], NOW) == []


def test_one_action_counts_once() -> None:
    entries = [reap(state=ActionState.STARTED), reap(), reap(at=T0 + hours(1))]
    assert [found.entry.at for found in savings(entries, [], NOW)] == [T0]


def test_an_unknown_price_adds_nothing_and_makes_the_total_a_least() -> None:
    entries = [reap(), reap(action_id="a2", ref=replace(REF, id="i-2"), hourly_cost=None, price_source="")]
    found = savings(entries, [], NOW)
    assert [saving.saved for saving in found] == [480.0, None]
    totals = report_document(found, NOW, T0, None)["totals"]
    assert totals == {
        "reaps": 2,
        "saved": 480.0,
        "hours": 480.0,
        "hourly_cost": 2.0,
        "unknown_prices": 1,
        "at_least": True,
    }


def test_what_costs_nothing_by_itself_is_no_unknown_price() -> None:
    kernel = reap(ref=replace(REF, kind="jupyter.kernel"), hourly_cost=None, action="shutdown")
    found = savings([kernel], [], NOW)
    assert found[0].saved == 0.0
    totals = report_document(found, NOW, T0, None)["totals"]
    assert totals == {
        "reaps": 1, "saved": 0.0, "hours": 0, "hourly_cost": 0.0, "unknown_prices": 0, "at_least": False,
    }  # fmt: skip


def test_a_ladder_frees_once() -> None:
    stop, terminate = reap(), reap(action_id="a2", action="terminate", at=T0 + days(5), hourly_cost=None)
    first, second = savings([stop, terminate], [life("1", T0 - days(3))], NOW)
    assert (first.saved, second.saved, second.ended) == (480.0, 0.0, Ended.REAPED_BEFORE)


def test_what_had_to_be_done_again_counts_from_the_second_time() -> None:
    first, second = savings([reap(), reap(action_id="a2", at=T0 + days(5))], [], NOW)
    assert (first.saved, first.ended, second.saved, second.ended) == (0.0, Ended.NO_EFFECT, 240.0, None)


def test_the_same_thing_in_another_life_counts_again() -> None:
    second = reap(action_id="a2", at=T0 + days(5), ref=replace(REF, incarnation="2"))
    found = savings([reap(), second], [life("1", T0 - days(1)), life("2", T0 + days(4))], NOW)
    assert [(saving.saved, saving.ended) for saving in found] == [
        (2 * 24 * 4.0, Ended.STARTED_AGAIN),
        (240.0, None),
    ]


def test_the_owner_is_the_ledgers_or_what_the_life_says() -> None:
    assert one(reap(), life("1", T0 - days(3))).owner == "ana"
    assert one(reap(owner=None), life("1", T0 - days(3))).owner == "ben"
    assert one(reap(owner=None)).owner is None


def test_a_row_says_what_was_freed_and_where_its_price_is_from() -> None:
    [row] = rows(report_document(savings([reap()], [life("2", T0 + hours(5))], NOW), NOW, T0, None))
    assert row == {
        "kind": "ec2.instance",
        "scope": "123456789012/eu-central-1",
        "id": "i-1",
        "incarnation": "1",
        "at": "2026-03-02T09:00:00.000000Z",
        "action_id": "a1",
        "name": "train-7",
        "owner": "ana",
        "policy": "forgotten-gpus",
        "action": "stop",
        "hourly_cost": 2.0,
        "price_source": "pricing-api 2026-02-01",
        "until": "2026-03-02T14:00:00.000000Z",
        "ended": "started_again",
        "hours": 5.0,
        "saved": 10.0,
    }


def rows(document: dict[str, object], name: str = "rows") -> list[dict[str, Any]]:
    found = document[name]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("kind", ["studio.app", "ec2.instance"]),
        ("policy", ["idle", "forgotten-gpus"]),
        ("scope", ["123456789012/us-east-1", "123456789012/eu-central-1"]),
        ("owner", [None, "ana"]),
        (None, []),
    ],
)
def test_groups_come_dearest_first(by: str | None, names: list[str | None]) -> None:
    app = ResourceRef(kind="studio.app", scope="123456789012/us-east-1", id="x", incarnation="1")
    entries = [
        reap(),
        reap(action_id="a2", ref=replace(REF, id="i-2"), hourly_cost=None),
        reap(action_id="a3", ref=app, policy="idle", owner=None, hourly_cost=9.0),
    ]
    document = report_document(savings(entries, [], NOW), NOW, T0, by)
    assert [group["name"] for group in rows(document, "groups")] == names
    if by:
        assert [group["at_least"] for group in rows(document, "groups")] == [False, True]
        assert [group["reaps"] for group in rows(document, "groups")] == [1, 2]


@given(
    st.lists(
        st.tuples(st.integers(0, 900), st.sampled_from([None, 0.5, 3.0]), st.integers(0, 3)), max_size=12
    ),
    st.lists(st.tuples(st.integers(-50, 900), st.integers(0, 3)), max_size=8),
    st.integers(0, 1200),
)
def test_it_never_counts_more_than_thirty_days_nor_the_future(
    reaps: list[tuple[int, float | None, int]], starts: list[tuple[int, int]], now: int
) -> None:
    at = T0 + hours(now)
    entries = [
        reap(
            action_id=str(n),
            at=T0 + hours(hour),
            hourly_cost=cost,
            ref=replace(REF, id=f"i-{thing}", incarnation=str(n)),
        )
        for n, (hour, cost, thing) in enumerate(sorted(reaps, key=lambda row: row[0]))
    ]
    lives = [life(f"s{n}", T0 + hours(hour), id=f"i-{thing}") for n, (hour, thing) in enumerate(starts)]
    for saving in savings(entries, lives, at):
        assert saving.entry.at <= saving.until <= at
        assert 0 <= saving.hours <= 720
        assert (saving.saved is None) == (saving.entry.hourly_cost is None)
        for other in lives:
            if other.resource.ref.id == saving.entry.ref.id and other.first_seen_at > saving.entry.at:
                assert saving.until <= other.first_seen_at


def test_a_row_of_an_earlier_reaper_is_read_as_it_was_written() -> None:
    kind, body = fact_to_json(reap())
    assert fact_from_json(kind, body) == reap()
    old = {name: value for name, value in body.items() if name not in ("owner", "price_source")}
    assert fact_from_json(kind, old) == reap(owner=None, price_source="")
