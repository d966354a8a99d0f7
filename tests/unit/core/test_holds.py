"""Holds that people write into a tag: capped, from when the tag was first seen, also after a restart."""

from datetime import datetime

import pytest

from reaper.core.codec import instant_to_text
from reaper.core.holds import LONGEST_HOLD
from reaper.core.verdict import Reason
from reaper.core.world import World
from reaper.journal.memory import MemoryJournal
from reaper.testing import T0, Scene, WorldBuilder, days, hours, idle, minutes, rules
from tests.unit.core.deciding import decided

RULES = rules()


def held_until(end: datetime | str) -> WorldBuilder:
    tag = end if isinstance(end, str) else instant_to_text(end)
    scene = Scene().add("k", {"execution_state": idle(T0 - hours(3))}, tags={"Reaper:Hold-Until": tag})
    return WorldBuilder(scene, max_gap=days(90)).look(T0).apply(RULES, T0)


def test_it_holds_until_then():
    builder = held_until(T0 + days(3))
    (veto,) = decided(builder, RULES).vetoes
    assert (veto.reason, veto.until) == (Reason.HELD, T0 + days(3))
    at = T0 + days(3)
    assert decided(builder.look(at), RULES, at).to_act


@pytest.mark.parametrize("end", [T0 + LONGEST_HOLD + minutes(1), T0.replace(year=2099)])
def test_it_holds_no_longer_than_any_hold(end):
    builder = held_until(end)
    (veto,) = decided(builder, RULES).vetoes
    assert veto.until == T0 + LONGEST_HOLD
    assert "30 days at most" in veto.detail
    at = T0 + LONGEST_HOLD
    assert decided(builder.look(at), RULES, at).to_act


def test_writing_another_instant_renews_it():
    builder = held_until(T0.replace(year=2099))
    later = T0 + days(20)
    builder.scene.change("k", tags={"reaper:hold-until": instant_to_text(T0.replace(year=2098))})
    (veto,) = decided(builder.look(later), RULES, later).vetoes
    assert veto.until == later + LONGEST_HOLD


def test_what_cannot_be_read_holds_until_somebody_looks():
    builder = held_until("next week")
    at = T0 + days(60)
    (veto,) = decided(builder.look(at), RULES, at).vetoes
    assert (veto.reason, veto.until) == (Reason.HELD, None)
    assert "can't be read" in veto.detail


async def test_a_restart_grants_nothing():
    builder = held_until(T0.replace(year=2099))
    journal = MemoryJournal()
    await journal.open(write=True)
    for batch in builder.look(T0 + days(10)).batches:
        await journal.write(batch)
    again = World.restore(await journal.load(), max_gap=days(90))
    await journal.close()
    assert again.live == builder.world.live
    builder.world = again
    at = T0 + LONGEST_HOLD
    assert decided(builder.look(at), RULES, at).to_act
