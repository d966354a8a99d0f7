"""Every value that the journal keeps reads back equal, through JSON text."""

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, strategies as st

import reaper.core
from reaper.core.codec import from_json, instant_from_text, instant_to_text, to_json
from reaper.core.facts import Fact, HoldPlaced, fact_from_json, fact_to_json
from reaper.core.model import Resource, ResourceKey
from reaper.core.ruleset import Budget
from reaper.testing import T0, Scene, rules
from tests.support.strategies import BYTES, Maker, values_of

# Not JSON: they hold the world (mutable), rules (objects with code), or are made and dropped within a tick.
NOT_KEPT = {
    "Batch",
    "Candidate",
    "Collected",
    "Delta",
    "Families",
    "History",
    "Image",
    "MassWatch",
    "Outlook",
    "Plan",
    "PlanItem",
    "PolicySpec",  # rules are built again from their parameters: test_ruleset.py
    "Ruleset",
    "SourceState",
    "Spending",
    "World",
    "_Tick",
}


def kept() -> list[type]:
    found = {}
    for module in pkgutil.iter_modules(reaper.core.__path__, "reaper.core."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__name__ not in NOT_KEPT:
                found[value.__name__] = value
    return [found[name] for name in sorted(found)]


KEPT = kept()
SPECIAL: dict[type, dict[str, Callable[[Maker], Any]]] = {
    Budget: {"window": lambda maker: timedelta(microseconds=1 + maker.number(5) % 86_400_000_000)},
}


@given(BYTES)
def test_every_kind_reads_back_equal(drawn):
    """One value of each kind an example, out of the same bytes: an example for each takes ten times as long."""
    for kind in KEPT:
        value = Maker(drawn).made(kind, **SPECIAL.get(kind, {}))
        text = json.dumps(to_json(value), sort_keys=True)
        again: Any = from_json(kind, json.loads(text))
        assert again == value
        assert json.dumps(to_json(again), sort_keys=True) == text


@given(values_of(Fact))
def test_facts_read_back_by_name(fact):
    name, body = fact_to_json(fact)
    assert fact_from_json(name, json.loads(json.dumps(body))) == fact


def test_a_fact_nobody_knows_is_an_error():
    with pytest.raises(KeyError):
        fact_from_json("Reaped", {})


def test_parent_key_is_a_key_again():
    scene = Scene()
    scene.add("k", parent=scene.key("app", "studio.app"))
    resource = next(iter(scene._things.values())).resource
    again = from_json(Resource, json.loads(json.dumps(to_json(resource))))
    assert isinstance(again.parent_key, ResourceKey)
    assert again == resource


def test_rows_of_another_version_can_be_read():
    body = {
        "at": "2026-03-02T09:00:00Z",
        "hold": {"id": "h", "matcher": {}, "who": "ada", "why": "", "colour": "red"},
    }
    hold = {**body["hold"], "starts_at": body["at"], "expires_at": None}  # type: ignore[dict-item]
    assert from_json(HoldPlaced, {**body, "hold": hold, "shape": "round"}).hold.matcher.kind is None


def test_unknown_field_kinds_have_no_json():
    with pytest.raises(TypeError, match="object has no JSON form"):
        to_json(object())


def test_a_cache_is_not_written():
    ruleset = rules()
    ruleset.digest()
    ruleset.policies[0].digest(ruleset.mode)
    assert not any(name.startswith("_") for name in (*ruleset.body()["policies"][0], *ruleset.body()))  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-02T09:00:00Z", T0),
        ("2026-03-02T09:00:00.000000Z", T0),
        ("2026-03-02T09:00:00.000001Z", T0 + timedelta(microseconds=1)),
        ("2026-03-02T18:00:00+09:00", T0),
        ("2026-03-02T04:00:00-05:00", T0),
    ],
)
def test_instants_with_and_without_microseconds_in_any_zone(text, instant):
    assert instant_from_text(text) == instant
    assert instant_from_text(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["", "now", "2026-03-02", "2026-03-02T09:00:00", "0001-01-01T00:00:00+23:59"]
)
def test_what_is_no_instant_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        instant_from_text(text)


@given(
    st.datetimes(
        min_value=datetime(1, 1, 2),  # noqa: DTZ001
        max_value=datetime(9999, 12, 30),  # noqa: DTZ001
        timezones=st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours))),
    )
)
def test_instants_sort_as_text(instant):
    text = instant_to_text(instant)
    assert instant_from_text(text) == instant
    assert len(text) == len("2026-03-02T09:00:00.000000Z")
