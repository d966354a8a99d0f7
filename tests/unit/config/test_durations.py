"""Durations: what is read, what is refused, and that what is written reads back equal."""

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from reaper.config.values import duration_text
from reaper.core.durations import format_duration, parse_duration

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("45s", 45),
        ("120m", 7200),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 2h ", 7200),
        ("3d", 259200),
        ("1w", 604800),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("2H", 7200),
        ("PT2H", 7200),
        ("P1DT12H", 129600),
        ("P2W", 1209600),
    ],
)
def test_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("120", "no unit"),
        ("1.5", "no unit"),
        ("-5", "no unit"),
        ("0", "no unit"),
        ("-5m", "negative"),
        ("-PT5M", "negative"),
        ("", "not a duration"),
        ("h", "not a duration"),
        ("5 minutes", "not a duration"),
        ("30m1h", "not a duration"),
        ("1h1h", "not a duration"),
        ("P", "not a duration"),
        ("PT", "not a duration"),
        ("nan", "not a duration"),
        ("infs", "not a duration"),
        ("9999999w", "hundred years"),
        ("9" * 400 + "s", "hundred years"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36000)))
def test_what_is_written_reads_back_to_the_millisecond(duration: timedelta) -> None:
    back = parse_duration(format_duration(duration))
    assert abs(back - duration) <= timedelta(microseconds=500)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36000)))
def test_what_the_configuration_writes_reads_back_equal(duration: timedelta) -> None:
    assert parse_duration(duration_text(duration)) == duration


@given(st.dictionaries(st.sampled_from(list(_UNITS)), st.integers(0, 500), min_size=1))
def test_units_add_up(parts: dict[str, int]) -> None:
    text = "".join(f"{parts[unit]}{unit}" for unit in _UNITS if unit in parts)
    assert parse_duration(text).total_seconds() == sum(_UNITS[unit] * count for unit, count in parts.items())


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_duration(text) >= timedelta(0)


@given(st.one_of(st.integers(), st.floats(allow_nan=False)))
def test_no_bare_number_is_a_duration(number: float) -> None:
    with pytest.raises(ValueError, match=r"unit|negative|not a duration"):
        parse_duration(str(number))
