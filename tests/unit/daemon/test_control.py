"""What the API asks of a daemon, in virtual time."""

from typing import Any

import pytest

from reaper.core.codec import to_json
from reaper.core.facts import ActionState
from reaper.core.ruleset import Mode
from reaper.daemon.control import DaemonControl
from reaper.errors import ActionDenied, ControlError, UsageError
from reaper.plugins import Caller
from reaper.testing import T0, FakeSource, Scene, hours, idle, minutes, policy, rules
from tests.unit.daemon.rig import Rig, passing

pytestmark = pytest.mark.looptime

ADA = Caller(who="ada")


async def test_what_is_younger_than_the_latest_look_can_be_held_and_explained_at_once():
    rig = Rig()
    async with rig.running() as daemon:
        await passing(5)
        rig.scene.add("new", {"execution_state": idle(rig.now)})
        assert "new" not in {key.id for key in daemon.world.live}
        control = DaemonControl(daemon)
        document = await control.explain("new")
        assert document["gone"] is False
        held: dict[str, Any] = await control.place_hold({"resource": "new", "for": "2h"}, ADA)
        assert held["hold"]["matcher"]["id"] == "new"


async def test_renewing_a_hold_by_its_id_does_not_widen_it():
    rig = Rig()
    rig.scene.add("a", {"execution_state": idle(rig.now)}).add("b", {"execution_state": idle(rig.now)})
    async with rig.running() as daemon:
        await passing(5)
        control = DaemonControl(daemon)
        placed: dict[str, Any] = await control.place_hold({"resource": "a", "for": "5m"}, ADA)
        renewed: dict[str, Any] = await control.place_hold({"id": placed["hold"]["id"], "for": "5m"}, ADA)
        assert renewed["hold"]["matcher"] == placed["hold"]["matcher"]


async def test_a_hold_on_everything_is_released_by_its_name():
    rig = Rig()
    async with rig.running() as daemon:
        await passing(5)
        control = DaemonControl(daemon)
        await control.place_hold({"resource": "host", "for": "5m"}, ADA)
        before: dict[str, Any] = control.holds()
        assert len(before["holds"]) == 1
        await control.release_hold("host", ADA)
        assert control.holds()["holds"] == []


async def test_an_unknown_name_is_a_usage_error():
    rig = Rig()
    rig.scene.add("a", {"execution_state": idle(rig.now - hours(1))})
    async with rig.running() as daemon:
        await passing(minutes(1).total_seconds())
        with pytest.raises(UsageError, match="nothing"):
            await DaemonControl(daemon).explain("nowhere")


@pytest.mark.parametrize(
    ("made", "says"), [(-hours(25), "expired 1h ago"), (hours(1), "still to come")], ids=["old", "future"]
)
async def test_a_plan_lasts_a_day_whatever_it_says_of_itself(made, says):
    rig = Rig()
    rig.scene.add("a", {"execution_state": idle(rig.now - hours(3))})
    async with rig.running() as daemon:
        await passing(5)
        control = DaemonControl(daemon)
        document = await control.plan()
        changed = {**document, "at": to_json(rig.now + made), "expires_at": to_json(rig.now + hours(999))}
        with pytest.raises(ControlError, match=says):
            await control.apply(changed, ADA)


@pytest.mark.parametrize("fails", [False, True], ids=["done", "failed"])
async def test_an_approved_plan_ends_what_lives_in_an_app_first(fails):
    apps = FakeSource(scene=Scene("studio:one", kind="studio.app", scope="1/eu"))
    jupyter = FakeSource(scene=Scene("jupyter:one"))
    apps.scene.add("app", {"status": idle(T0 - hours(5), "InService")}, children_from="jupyter:")
    jupyter.scene.add("k", {"execution_state": idle(T0 - hours(4))}, parent=apps.scene.key("app"))
    if fails:
        jupyter.outcomes.append(ActionDenied("403 Forbidden"))
    rig = Rig(
        sources=[apps, jupyter],
        ruleset=rules(
            policy("kernels"), policy("apps", kind="studio.app", action="delete"), mode=Mode.DRY_RUN
        ),
    )
    async with rig.running() as daemon:
        await passing(90)
        control = DaemonControl(daemon)
        document: dict[str, Any] = await control.plan()
        assert [item["id"] for item in document["items"]] == ["k", "app"]
        done: dict[str, Any] = await control.apply(document, ADA)
        outcomes = {item["id"]: item["outcome"] for item in done["items"]}
        started = [e.ref.id for e in await rig.ledger() if e.state is ActionState.STARTED]
    if fails:
        assert outcomes == {"k": "failed", "app": "abandoned"}
        assert started == ["k"]
    else:
        assert outcomes == {"k": "succeeded", "app": "succeeded"}
        assert started == ["k", "app"]
