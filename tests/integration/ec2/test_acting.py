"""Stop, hibernate and terminate on the fake, which refuses what EC2 refuses."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from reaper.clients.aws import Models
from reaper.clients.ec2 import forget_types
from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.model import Resource
from reaper.errors import ActionDenied, ActionUnavailable, OutcomeUnknown
from reaper.plugins import UNDER_WAY
from reaper.testing import FakeClock, hours, minutes
from reaper.testing.ec2 import Fleet, Instance
from tests.integration.ec2.watching import Watching
from tests.integration.studio.watching import made_models
from tests.support.ec2 import fixture_clock, fixture_fleet

__all__ = ["fixture_clock", "fixture_fleet"]

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    forget_types()
    return made_models(tmp_path_factory.mktemp("cache"))


@pytest.fixture
async def watching(fleet: Fleet, clock: FakeClock, models: Models) -> AsyncIterator[Watching]:
    one = Watching(fleet, clock, models)
    yield one
    await one.close()


@pytest.fixture
def box(fleet: Fleet) -> Instance:
    return fleet.add("m5.large", "box", age=DAY, tags={"Owner": "ann"})


def acts(fleet: Fleet) -> list[str]:
    """Name what was carried out, or tried, that changes something."""
    wanted = ("StopInstances", "TerminateInstances", "CancelSpotInstanceRequests", "CreateTags")
    return [one.operation for one in fleet.requests if one.operation in wanted]


async def refused(watching: Watching, resource: Resource, action: str = "stop") -> str:
    with pytest.raises(ActionUnavailable) as caught:
        await watching.source.act(resource, action)
    return str(caught.value)


async def denied(watching: Watching, resource: Resource, action: str = "stop") -> str:
    with pytest.raises(ActionDenied) as caught:
        await watching.source.act(resource, action)
    return str(caught.value)


class TestStop:
    async def test_one_id_a_call_and_the_tag_before(
        self, watching: Watching, fleet: Fleet, box: Instance
    ) -> None:
        done = await watching.source.act(await watching.one(), "stop")
        assert (done.gone, done.detail) == (False, "its stop has begun")
        assert fleet.calls("StopInstances") == [{"InstanceIds": [box.id]}]
        assert acts(fleet) == ["CreateTags", "StopInstances"]
        assert box.tags["reaper:last-action"].startswith("stop 2026-03-02T09:")
        assert fleet.instance(box.id).state == "stopping"

    async def test_our_own_tag_is_no_change(self, watching: Watching, fleet: Fleet, box: Instance) -> None:
        box.tags["reaper:last-action"] = "stop yesterday"
        resource = await watching.one()
        box.tags["Reaper:Last-Action"] = "of another"
        assert not (await watching.source.act(resource, "stop")).gone

    async def test_gone_already_is_success(self, watching: Watching, fleet: Fleet, box: Instance) -> None:
        resource = await watching.one()
        box.terminate(fleet.now())
        assert (await watching.source.act(resource, "stop")).gone
        assert acts(fleet) == []

    @pytest.mark.parametrize("state", ["pending", "stopping", "stopped"])
    async def test_in_another_state(
        self, watching: Watching, fleet: Fleet, box: Instance, state: str
    ) -> None:
        resource = await watching.one()
        box.state, box.since = state, fleet.now()
        assert f"it is {state}, not running" in await refused(watching, resource)
        assert acts(fleet) == []

    async def test_started_anew_meanwhile(self, watching: Watching, fleet: Fleet, box: Instance) -> None:
        resource = await watching.one()
        box.launched_at = fleet.now()
        assert "started anew" in await refused(watching, resource)
        assert acts(fleet) == []

    @pytest.mark.parametrize("tags", [{"reaper:protect": ""}, {"Owner": "ben"}, {}])
    async def test_tags_that_changed_between_the_look_and_the_act(
        self, watching: Watching, fleet: Fleet, box: Instance, tags: dict[str, str]
    ) -> None:
        resource = await watching.one()
        box.tags = {"Name": "box", **tags}
        assert "its tags have changed" in await refused(watching, resource)
        assert acts(fleet) == []

    async def test_tags_that_a_list_leaves_out_are_read_by_id(
        self, watching: Watching, fleet: Fleet, box: Instance
    ) -> None:
        box.tags["reaper:protect"] = ""
        box.listed_without_tags = True
        listed = next(iter((await watching.look()).resources))
        assert "reaper:protect" not in listed.tags
        (fresh,) = (await watching.look(timedelta(0), (listed.ref,))).resources
        assert "reaper:protect" in fresh.tags
        assert "its tags have changed" in await refused(watching, listed)

    async def test_stopped_by_somebody_else_in_the_last_moment(
        self, watching: Watching, fleet: Fleet, box: Instance
    ) -> None:
        resource = await watching.one()
        fleet.before("StopInstances", lambda: box.stop(fleet.now()))
        assert "it was stopping already" in await refused(watching, resource)

    async def test_incorrect_instance_state(self, watching: Watching, fleet: Fleet, box: Instance) -> None:
        resource = await watching.one()
        fleet.fail("StopInstances", "IncorrectInstanceState", "it is not in a state to be stopped")
        assert "IncorrectInstanceState" in await refused(watching, resource)

    async def test_stop_protection_is_read_right_before(
        self, watching: Watching, fleet: Fleet, box: Instance
    ) -> None:
        resource = await watching.one()
        box.disable_api_stop = True
        assert "DisableApiStop" in await denied(watching, resource)
        assert acts(fleet) == []

    async def test_stop_protection_is_a_veto_from_the_fresh_look_on(
        self, watching: Watching, box: Instance
    ) -> None:
        box.disable_api_stop = True
        assert (await watching.resources())["box"].obstacles == ()
        fresh = await watching.one()
        assert [one.reason for one in fresh.obstacles] == ["stop_protection"]
        later = (await watching.resources(minutes(5)))["box"]
        assert [one.reason for one in later.obstacles] == ["stop_protection"]
        box.disable_api_stop = False
        assert (await watching.resources(hours(1)))["box"].obstacles == ()

    async def test_a_persistent_spot_instance_keeps_its_request_w15(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        box = fleet.add("m5.large", "box", age=DAY, spot="persistent")
        resource = await watching.one()
        assert resource.obstacles == ()
        await watching.source.act(resource, "stop")
        assert acts(fleet) == ["CreateTags", "StopInstances"]
        assert fleet.instance(box.id).state == "stopping"

    async def test_a_one_time_spot_instance_is_refused_by_ec2_too(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        fleet.add("m5.large", "box", age=DAY, spot="one-time")
        resource = await watching.one()
        assert [one.reason for one in resource.obstacles] == ["one_time_spot"]
        assert "UnsupportedOperation" in await denied(watching, resource)

    async def test_an_answer_that_never_comes_is_in_doubt(
        self, watching: Watching, fleet: Fleet, box: Instance
    ) -> None:
        resource = await watching.one()
        fleet.drop("StopInstances", after=True)
        with pytest.raises(OutcomeUnknown):
            await watching.source.act(resource, "stop")
        assert fleet.instance(box.id).state == "stopping"
        assert len(fleet.calls("StopInstances")) == 1

    async def test_without_the_tag_nothing_is_done(
        self, watching: Watching, fleet: Fleet, box: Instance
    ) -> None:
        resource = await watching.one()
        fleet.deny("CreateTags")
        assert "ec2:CreateTags" in await denied(watching, resource)
        assert fleet.calls("StopInstances") == []

    async def test_where_the_tag_may_not_have_been_written_nothing_is_sent(
        self, watching: Watching, fleet: Fleet, box: Instance
    ) -> None:
        """Else a stop would be in doubt that was never asked for."""
        resource = await watching.one()
        fleet.drop("CreateTags", after=True)
        assert "could not be written" in await refused(watching, resource)
        assert fleet.calls("StopInstances") == []

    async def test_the_tag_names_policy_and_decision(
        self, watching: Watching, fleet: Fleet, box: Instance
    ) -> None:
        resource = await watching.one()
        entry = LedgerEntry(
            at=fleet.now(),
            action_id="a1",
            state=ActionState.STARTED,
            ref=resource.ref,
            action="stop",
            policy="forgotten gpus",
            decision_id="d0123",
        )
        UNDER_WAY.set(entry)
        await watching.source.act(resource, "stop")
        assert box.tags["reaper:last-action"].endswith("Z forgotten gpus d0123")

    async def test_a_mark_and_nothing_else(self, watching: Watching, fleet: Fleet, box: Instance) -> None:
        done = await watching.source.act(await watching.one(), "tag")
        assert (done.gone, acts(fleet)) == (False, ["CreateTags"])
        assert box.tags["reaper:last-action"].startswith("tag 2026-")
        assert fleet.instance(box.id).state == "running"

    @pytest.mark.parametrize(
        ("action", "refusing"),
        [
            ("stop", "CreateTags"),
            ("stop", "StopInstances"),
            ("hibernate", "StopInstances"),
            ("terminate", "TerminateInstances"),
            ("tag", "CreateTags"),
        ],
    )
    async def test_what_would_be_denied_is_known_without_doing_it(
        self, watching: Watching, fleet: Fleet, box: Instance, action: str, refusing: str
    ) -> None:
        box.hibernation = True
        resource = await watching.one()
        assert await watching.source.may(resource, action) is None
        fleet.deny(refusing)
        assert f"ec2:{refusing}" in (await watching.source.may(resource, action) or "")
        assert fleet.instance(box.id).state == "running"
        assert "reaper:last-action" not in box.tags

    @pytest.mark.parametrize("operation", ["DescribeInstances", "DescribeInstanceAttribute"])
    async def test_what_cant_be_looked_at_is_not_acted_on(
        self, watching: Watching, fleet: Fleet, box: Instance, operation: str
    ) -> None:
        resource = await watching.one()
        fleet.fail(operation, "InternalError", times=None)
        assert "could not be looked at" in await refused(watching, resource)
        fleet.heal()
        fleet.deny(operation)
        assert "could not be looked at" in await denied(watching, resource)
        assert acts(fleet) == []

    async def test_an_action_that_there_is_not(self, watching: Watching, box: Instance) -> None:
        assert "knows no action 'reboot'" in await denied(watching, await watching.one(), "reboot")


class TestHibernate:
    async def test_one_that_is_set_up(self, watching: Watching, fleet: Fleet, box: Instance) -> None:
        box.hibernation = True
        done = await watching.source.act(await watching.one(), "hibernate")
        assert "hibernation" in done.detail
        assert fleet.calls("StopInstances") == [{"InstanceIds": [box.id], "Hibernate": True}]

    async def test_one_that_is_not_is_denied(self, watching: Watching, fleet: Fleet, box: Instance) -> None:
        assert "Hibernat" in await denied(watching, await watching.one(), "hibernate")
        assert fleet.instance(box.id).state == "running"

    @pytest.mark.parametrize("prepared", [True, False])
    async def test_or_stopped_if_that_is_configured(
        self, fleet: Fleet, clock: FakeClock, models: Models, box: Instance, prepared: bool
    ) -> None:
        watching = Watching(fleet, clock, models, hibernate_fallback=True)
        resource = await watching.one()
        box.hibernation = prepared
        if prepared:
            fleet.fail("StopInstances", "UnsupportedHibernationConfiguration", "not now")
        done = await watching.source.act(resource, "hibernate")
        assert done.detail == "its stop has begun, since it can't hibernate"
        assert fleet.instance(box.id).state == "stopping"
        await watching.close()


class TestTerminate:
    async def test_one(self, watching: Watching, fleet: Fleet, box: Instance) -> None:
        done = await watching.source.act(await watching.one(), "terminate")
        assert (done.gone, fleet.instance(box.id).state) == (False, "shutting-down")
        assert fleet.calls("TerminateInstances") == [{"InstanceIds": [box.id]}]

    async def test_one_that_we_stopped(
        self, watching: Watching, fleet: Fleet, clock: FakeClock, box: Instance
    ) -> None:
        box.stop(clock.now())
        resource = await watching.one()
        assert resource.stopped is not None
        await watching.source.act(resource, "terminate")
        assert fleet.instance(box.id).state == "terminated"

    async def test_one_that_was_started_and_stopped_by_somebody_meanwhile(
        self, watching: Watching, fleet: Fleet, clock: FakeClock, box: Instance
    ) -> None:
        box.stop(clock.now())
        resource = await watching.one()
        clock.advance(hours(1))
        box.state_reason, box.transition_reason = None, "User initiated (2026-03-02 10:00:00 GMT)"
        assert "stopped at another time" in await refused(watching, resource, "terminate")
        assert acts(fleet) == []

    async def test_termination_protection(self, watching: Watching, fleet: Fleet, box: Instance) -> None:
        resource = await watching.one()
        box.disable_api_termination = True
        assert "DisableApiTermination" in await denied(watching, resource, "terminate")
        assert acts(fleet) == []

    async def test_protected_ones_zone_mates_stay(
        self, watching: Watching, fleet: Fleet, box: Instance
    ) -> None:
        """One id a call: with a protected one beside it, a call would end those of other zones."""
        other = fleet.add("m5.large", "other", age=DAY, zone="b", disable_api_termination=True)
        await watching.source.act(await watching.one(), "terminate")
        await denied(watching, await watching.one("other"), "terminate")
        assert (fleet.instance(other.id).state, len(fleet.calls("TerminateInstances"))) == ("running", 1)

    async def test_a_persistent_request_is_cancelled_first(self, watching: Watching, fleet: Fleet) -> None:
        box = fleet.add("m5.large", "box", age=DAY, spot="persistent")
        await watching.source.act(await watching.one(), "terminate")
        assert acts(fleet) == ["CreateTags", "CancelSpotInstanceRequests", "TerminateInstances"]
        assert box.spot is not None
        assert box.spot.state == "cancelled"

    async def test_a_one_time_request_needs_no_cancelling(self, watching: Watching, fleet: Fleet) -> None:
        fleet.add("m5.large", "box", age=DAY, spot="one-time")
        await watching.source.act(await watching.one(), "terminate")
        assert acts(fleet) == ["CreateTags", "TerminateInstances"]

    async def test_where_the_request_cant_be_cancelled_nothing_ends(
        self, watching: Watching, fleet: Fleet
    ) -> None:
        box = fleet.add("m5.large", "box", age=DAY, spot="persistent")
        resource = await watching.one()
        fleet.deny("CancelSpotInstanceRequests")
        assert "CancelSpotInstanceRequests" in await denied(watching, resource, "terminate")
        assert fleet.instance(box.id).state == "running"
