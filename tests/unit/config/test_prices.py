"""Prices that a person configures: by type, with or without a region; 0 is none."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from reaper.config.prices import PricesSettings


def read(overrides: Any) -> dict[str, float]:
    return PricesSettings(overrides=overrides).overrides


def test_they_are_a_table_or_json() -> None:
    table = {
        "g5.xlarge": 1.006,
        "eu-central-1/g5.xlarge": 1.2,
        "ml.m5.large": 1,
        "spot/us-east-1/u-6tb1.metal": 9.5,
    }
    assert read(table) == table
    assert read(json.dumps(table)) == table
    assert PricesSettings().overrides == {}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"g5.xlarge": 0}, "g5.xlarge: '0' is no price"),
        ({"g5.xlarge": 0.0}, "more than 0; leave an unknown one out"),
        ({"g5.xlarge": -1}, "is no price"),
        ({"g5.xlarge": float("inf")}, "is no price"),
        ({"g5.xlarge": float("nan")}, "is no price"),
        ({"g5.xlarge": True}, "is no price"),
        ({"g5.xlarge": "1.2"}, "is no price"),
        ({"g5": {"xlarge": 1.2}}, "'g5' names no instance type"),
        ({"Frankfurt/g5.xlarge": 1.2}, "names no instance type"),
        ({"": 1.2}, "names no instance type"),
        ("{", "must be JSON"),
        ("g5.xlarge=1.2", "must be JSON"),
        ([1.2], "must be a table"),
        ("[]", "must be a table"),
    ],
    ids=range(14),
)
def test_what_is_no_price_of_a_type_is_refused(given: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        read(given)
