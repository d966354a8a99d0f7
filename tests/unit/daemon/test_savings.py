"""What the daemon says that it saved, as it watches: real loop, virtual time."""

from typing import Any

import pytest

from reaper.core.ruleset import Mode
from reaper.daemon.control import DaemonControl
from reaper.errors import ActionDenied
from reaper.testing import Scene, hours, idle, policy, rules
from tests.unit.daemon.rig import Rig, passing

pytestmark = pytest.mark.looptime

HOUR = 3600


def box(rig: Rig, life: str) -> Scene:
    return rig.scene.add(
        "i-1",
        {"cpu": idle(rig.now - hours(3))},
        kind="host",
        incarnation=life,
        owner="ana",
        hourly_cost=2.0,
        attributes={"price_source": "pricing-api 2026-02-01"},
    )


async def told(rig: Rig) -> dict[str, Any]:
    return await DaemonControl(rig.daemon).report({"by": "owner"})


async def test_it_counts_until_the_thing_is_seen_again():
    rig = Rig(ruleset=rules(policy(kind="host", action="stop")))
    box(rig, "1")
    async with rig.running():
        await passing(10)
        (started, done) = await rig.ledger()
        assert (done.owner, done.price_source, done.hourly_cost) == ("ana", "pricing-api 2026-02-01", 2.0)
        assert started.price_source == done.price_source
        await passing(3 * HOUR)
        document = await told(rig)
        assert document["totals"]["saved"] == pytest.approx(6.0, abs=0.05)
        assert [group["name"] for group in document["groups"]] == ["ana"]
        rig.scene.add("i-1", kind="host", incarnation="2", hourly_cost=2.0)
        await passing(5 * HOUR)
        document = await told(rig)
    (row,) = document["rows"]
    assert (row["ended"], row["saved"]) == ("started_again", pytest.approx(6.0, abs=0.1))
    assert document["totals"]["hourly_cost"] == 0


async def test_a_dry_run_saves_nothing():
    rig = Rig(ruleset=rules(policy(kind="host", action="stop"), mode=Mode.DRY_RUN))
    box(rig, "1")
    async with rig.running():
        await passing(3 * HOUR)
        document = await told(rig)
    assert (document["rows"], document["totals"]["saved"]) == ([], 0)


async def test_what_failed_saves_nothing():
    rig = Rig(ruleset=rules(policy(kind="host", action="stop")))
    box(rig, "1")
    rig.source.outcomes.extend([ActionDenied("403")] * 500)
    async with rig.running():
        await passing(HOUR)
        assert "FAILED" in await rig.states()
        assert (await told(rig))["rows"] == []
