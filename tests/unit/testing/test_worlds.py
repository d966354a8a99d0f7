"""Worlds side by side: a copy stays as it was, differences are named, what pruning may drop is left out."""

from copy import deepcopy
from datetime import timedelta
from random import Random

from reaper.testing.journal_tale import START, Tale, told
from reaper.testing.worlds import as_it_stands, differences, lasting


def test_a_copy_stays_as_it_was():
    """As a deep copy does, which takes twenty times as long."""
    for seed in range(5):
        tale, kept = Tale(Random(seed).randrange), []
        for _ in range(60):
            tale.go_on()
            kept.append((as_it_stands(tale.world), deepcopy(tale.world)))
        for copy, deep in kept:
            assert copy == deep


def test_a_copy_shares_what_never_changes():
    world = told(3, 60)[1][-1]
    copy = as_it_stands(world)
    for key, history in world.live.items():
        assert copy.live[key] is not history
        assert copy.live[key].resource is history.resource


def test_differences_are_named_with_both_values():
    world = told(3, 60)[1][-1]
    other = as_it_stands(world)
    assert differences(world, other) == []
    key = next(iter(world.live))
    other.live[key].failures += 1
    other.polls = 0
    assert differences(world, other) == [
        f"world.polls: {world.polls} is not 0",
        f"world.live[{key}].failures: {world.live[key].failures} is not {world.live[key].failures + 1}",
    ]


def test_what_pruning_may_drop_is_left_out():
    _, worlds = told(3, 60)
    late = START + timedelta(days=1000)
    world = worlds[-1]
    left = lasting(world, late)
    assert left.live == world.live
    assert set(left.sources) == {history.source for history in world.live.values()}
    assert all(state.last_complete_at is None and not state.since_complete for state in left.sources.values())
    assert all(hold.expires_at is None for hold in left.holds.values())
    assert lasting(world, START).holds == world.holds
