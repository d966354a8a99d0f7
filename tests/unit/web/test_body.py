import asyncio
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings, strategies as st

from reaper.web.body import SLICE, answer, only_fields, seconds, slices, text
from reaper.web.problem import Problem

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(
    st.dictionaries(st.text(), VALUES, max_size=5),
    st.integers(min_value=0, max_value=3 * SLICE + 1),
)
@settings(max_examples=100)  # each is long; what varies is where the slices end
def test_slices_together_are_the_document(document, length):
    """In any form, and with a list around every multiple of the slice's length."""
    document = {**document, "long": [{"n": n} for n in range(length)]}
    assert json.loads("".join(slices(document))) == document


def test_a_slice_holds_a_bounded_number_of_items():
    rows = [{"id": f"row-{number}"} for number in range(10_000)]
    counts = [part.count('"id"') for part in slices({"schema": 1, "resources": rows})]
    assert sum(counts) == 10_000
    assert max(counts) == SLICE


async def test_a_long_answer_gives_the_loop_back_between_slices():
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    response = await answer({"resources": [{"id": str(number)} for number in range(50 * SLICE)]})
    counting.cancel()
    assert isinstance(response.body, bytes)
    assert len(json.loads(response.body)["resources"]) == 50 * SLICE
    assert turns >= 50


def test_values_of_ours_that_slipped_into_a_document_are_written():
    at = datetime(2026, 11, 22, 21, 51, tzinfo=UTC)
    assert json.loads("".join(slices({"at": at, "path": "\udcff"}))) == {
        "at": "2026-11-22T21:51:00.000000Z",
        "path": "\udcff",
    }


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, None),
        ({"for_s": None, "for": None}, None),
        ({"for_s": 90}, 90.0),
        ({"for_s": 0.5}, 0.5),
        ({"for": "2h"}, 7200.0),
        ({"for": "1h30m"}, 5400.0),
    ],
)
def test_seconds(document, expected):
    assert seconds(document) == expected


@pytest.mark.parametrize(
    ("document", "field", "says"),
    [
        ({"for": "90"}, "for", "no unit"),
        ({"for": 90}, "for", "'for_s'"),
        ({"for": "-2h"}, "for", "negative"),
        ({"for": "0s"}, "for", "more than zero"),
        ({"for": "soon"}, "for", "not a duration"),
        ({"for": "2h", "for_s": 3}, "for", "one of them"),
        ({"for_s": "90"}, "for_s", "'for'"),
        ({"for_s": True}, "for_s", "true or false"),
        ({"for_s": 0}, "for_s", "more than 0"),
        ({"for_s": -1}, "for_s", "more than 0"),
        ({"for_s": float("inf")}, "for_s", "hundred years"),
        ({"for_s": float("nan")}, "for_s", "more than 0"),
        ({"for_s": 10**400}, "for_s", "hundred years"),
        ({"for_s": [1]}, "for_s", "a list"),
    ],
)
def test_seconds_refuses(document, field, says):
    with pytest.raises(Problem) as caught:
        seconds(document)
    assert caught.value.status == 400
    assert caught.value.more == {"field": field}
    assert says in caught.value.detail


@pytest.mark.parametrize("value", ["a\nb", "\x1b[2J", "\x7f", "\x9b31m", "\ud800", "x" * 1001, 7, ["a"]])
def test_text_refuses_what_harms_a_terminal_or_the_journal(value):
    with pytest.raises(Problem) as caught:
        text({"why": value}, "why")
    assert caught.value.status == 400
    assert "\x1b" not in caught.value.detail


@given(st.text(max_size=50))
def test_accepted_text_can_be_written_anywhere(value):
    try:
        accepted = text({"why": value}, "why")
    except Problem:
        return
    assert accepted == value
    value.encode()
    assert "\n" not in value


def test_an_unknown_field_suggests_the_nearest():
    with pytest.raises(Problem, match="did you mean 'for_s'"):
        only_fields({"fro_s": 1}, ("for_s", "why"))
    with pytest.raises(Problem, match="there are: for_s, why"):
        only_fields({"zzz": 1}, ("for_s", "why"))
