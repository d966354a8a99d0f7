"""The notebook instance that we run on, on the fake."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from reaper.clients.aws import OPERATIONS, Models
from reaper.clients.host import Thresholds
from reaper.clients.prices import PriceBook
from reaper.clients.studio import Identity
from reaper.core.model import Activity, Observation
from reaper.errors import ActionDenied, ActionUnavailable, OutcomeUnknown
from reaper.providers.sagemaker import SagemakerOptions
from reaper.providers.sagemaker.instance import InstanceSource
from reaper.testing import T0, FakeClock, hours, minutes
from reaper.testing.studio import NotebookInstance, Studio
from tests.integration.sagemaker.watching import Watching, aws_of, signals
from tests.integration.studio.watching import made_models
from tests.support.studio import fixture_clock, fixture_studio

__all__ = ["fixture_clock", "fixture_studio"]

BOOTED = T0 - hours(5)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return made_models(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def box(studio: Studio) -> NotebookInstance:
    return studio.add_notebook_instance("Box", instance_type="ml.g4dn.xlarge", created_at=T0 - hours(200))


def watch(
    clock: FakeClock, box: NotebookInstance, models: Models, memo: dict[str, object] | None = None
) -> Watching:
    identity = Identity(account=box.place.account, region=box.place.region, notebook_instance=box.name)
    aws = aws_of(models)
    prices = PriceBook(clock, overrides={"us-east-1/ml.g4dn.xlarge": 0.7})
    options = SagemakerOptions(
        thresholds=Thresholds(min_interval=0.2), aws_interval=minutes(5), prices=prices
    )

    def booted() -> datetime:
        return BOOTED

    return Watching(clock, InstanceSource(identity, (), options, aws, clock, memo, booted), aws)


@pytest.fixture
async def watching(clock: FakeClock, box: NotebookInstance, models: Models) -> AsyncIterator[Watching]:
    one = watch(clock, box, models)
    yield one
    await one.close()


async def status(watching: Watching) -> Observation:
    return signals(await watching.look(), "Box")["status"]


class TestLooks:
    async def test_it_shows_itself_and_its_host(self, watching: Watching) -> None:
        first = await watching.look()
        (resource,) = first.resources
        assert (resource.ref.kind, resource.ref.scope) == (
            "sagemaker.notebook_instance",
            "123456789012/us-east-1",
        )
        assert (resource.ref.id, resource.ref.incarnation) == ("Box", "boot/fake-boot")
        assert (resource.started_at, resource.hourly_cost) == (BOOTED, 0.7)
        assert (resource.children_from, resource.required_signals) == ("jupyter:", ("process",))
        expected = {"instance_type": "ml.g4dn.xlarge", "own": True, "price_source": "override"}
        assert resource.attributes == expected
        found = signals(first, "Box")
        assert (found["status"].activity, found["status"].evidence_at) == (Activity.IDLE, BOOTED)
        assert "peers" in found
        assert "process" not in found  # there is no interval yet
        second = signals(await watching.look(), "Box")
        assert second["process"].covers_from == first.poll.started_at
        assert watching.source.interval == minutes(5)

    @pytest.mark.parametrize("state", ["Pending", "Stopping", "Updating", "Hibernated"])
    async def test_other_states_are_never_idle(
        self, watching: Watching, box: NotebookInstance, studio: Studio, state: str
    ) -> None:
        studio.say_status(box, state)
        said = await status(watching)
        assert said.activity is (Activity.ACTIVE if state == "Pending" else Activity.UNKNOWN)

    async def test_another_boot_is_another_life(
        self, watching: Watching, clock: FakeClock, box: NotebookInstance, models: Models
    ) -> None:
        """Its owner stopped it and started it again; the journal lies on the volume that stays."""
        before = await watching.look()
        clock.reboot("later-boot")
        box.stop_at = None
        again = watch(clock, box, models, dict(before.memo or {}))
        (old,), (new,) = before.resources, (await again.look()).resources
        assert new.ref.key == old.ref.key
        assert new.ref.incarnation != old.ref.incarnation
        done = await again.source.act(old, "stop")
        assert done.gone
        assert "another start" in done.detail
        await again.close()

    async def test_a_restart_of_ours_changes_nothing(
        self, watching: Watching, clock: FakeClock, box: NotebookInstance, models: Models
    ) -> None:
        before = await watching.look()
        again = watch(clock, box, models, dict(before.memo or {}))
        after = await again.look()
        assert after.resources[0] == before.resources[0]
        assert signals(after, "Box")["process"].covers_from == before.poll.started_at
        await again.close()

    @pytest.mark.parametrize("memo", [{"boot": "fake-boot"}, {"boot": 7, "booted_at": "yesterday"}, {}])
    async def test_a_memo_that_says_nothing(
        self, clock: FakeClock, box: NotebookInstance, models: Models, memo: dict[str, object]
    ) -> None:
        again = watch(clock, box, models, memo)
        assert (await again.resources())["Box"].started_at == BOOTED
        await again.close()

    async def test_a_system_that_names_no_boot_shows_nothing(
        self, watching: Watching, clock: FakeClock
    ) -> None:
        clock.reboot("")
        failed = await watching.look()
        assert (failed.poll.complete, failed.resources) == (False, ())
        assert "name its boot" in (failed.poll.error or "")

    @pytest.mark.parametrize(
        ("code", "why"),
        [
            ("ThrottlingException", "throttled"),
            ("ExpiredTokenException", "credentials have expired"),
            ("AccessDeniedException", "needs sagemaker:DescribeNotebookInstance"),
            ("InternalFailure", "InternalFailure"),
        ],
    )
    async def test_a_look_that_fails_says_why_and_nothing_is_known(
        self, watching: Watching, studio: Studio, code: str, why: str
    ) -> None:
        studio.fail("DescribeNotebookInstance", code)
        failed = await watching.look()
        assert (failed.poll.complete, failed.resources) == (False, ())
        assert why in (failed.poll.error or "")
        assert (await watching.look()).poll.complete

    async def test_one_that_sagemaker_does_not_know_is_gone(self, watching: Watching, studio: Studio) -> None:
        studio.notebook_instances.clear()
        seen = await watching.look()
        assert (seen.poll.complete, seen.resources) == (True, ())
        assert "no notebook instance Box" in seen.notes[0]


class TestTags:
    async def test_they_are_read(self, watching: Watching, box: NotebookInstance) -> None:
        box.tags.update({"reaper:protect": "true", "team": "nlp"})
        assert (await watching.resources())["Box"].tags == {"reaper:protect": "true", "team": "nlp"}

    async def test_where_they_cant_be_read_one_may_protect_it(
        self, watching: Watching, studio: Studio
    ) -> None:
        studio.fail("ListTags", "AccessDeniedException")
        said = signals(await watching.look(), "Box")["tags"]
        assert said.activity is Activity.UNKNOWN
        assert "needs sagemaker:ListTags" in said.value
        assert "tags" not in signals(await watching.look(), "Box")


class TestStopping:
    async def test_it_is_stopped_once(
        self, watching: Watching, box: NotebookInstance, studio: Studio
    ) -> None:
        resource = (await watching.resources())["Box"]
        first = await watching.source.act(resource, "stop")
        again = await watching.source.act(resource, "stop")
        assert (first.gone, first.detail) == (False, "its stop has begun")
        assert (again.gone, again.detail) == (False, "it is being stopped or deleted already")
        assert studio.calls("StopNotebookInstance") == [{"NotebookInstanceName": "Box"}]
        assert (await status(watching)).activity is Activity.UNKNOWN
        watching.clock.advance(minutes(6))
        assert box.status(studio.now()) == "Stopped"
        assert (await watching.source.act(resource, "stop")).gone

    async def test_nothing_else_can_be_done_to_it(self, watching: Watching) -> None:
        with pytest.raises(ActionDenied, match="only stop"):
            await watching.source.act((await watching.resources())["Box"], "delete")

    @pytest.mark.parametrize("state", ["Pending", "Updating", "InMaintenance"])
    async def test_only_in_service(
        self, watching: Watching, box: NotebookInstance, studio: Studio, state: str
    ) -> None:
        resource = (await watching.resources())["Box"]
        studio.say_status(box, state)
        with pytest.raises(ActionUnavailable, match=state):
            await watching.source.act(resource, "stop")
        assert studio.calls("StopNotebookInstance") == []

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("ThrottlingException", ActionUnavailable),
            ("AccessDeniedException", ActionDenied),
            ("ExpiredTokenException", ActionDenied),
            ("ValidationException", ActionDenied),
            ("InternalFailure", OutcomeUnknown),
        ],
    )
    async def test_a_stop_that_fails_says_whether_it_may_have_had_effect(
        self, watching: Watching, studio: Studio, code: str, error: type[Exception]
    ) -> None:
        resource = (await watching.resources())["Box"]
        studio.fail("StopNotebookInstance", code)
        with pytest.raises(error):
            await watching.source.act(resource, "stop")
        assert len(studio.calls("StopNotebookInstance")) == 1

    async def test_one_that_is_protected_meanwhile_is_left_alone(
        self, watching: Watching, box: NotebookInstance, studio: Studio
    ) -> None:
        resource = (await watching.resources())["Box"]
        box.tags["reaper:protect"] = "yes"
        with pytest.raises(ActionUnavailable, match="tags have changed"):
            await watching.source.act(resource, "stop")
        studio.fail("ListTags", "AccessDeniedException")
        with pytest.raises(ActionDenied, match="needs sagemaker:ListTags"):
            await watching.source.act(resource, "stop")
        assert studio.calls("StopNotebookInstance") == []

    async def test_its_owner_was_quicker(
        self, watching: Watching, box: NotebookInstance, studio: Studio
    ) -> None:
        """Between our look and our stop: SageMaker refuses the second one with status 400."""
        resource = (await watching.resources())["Box"]
        studio.fail("StopNotebookInstance", "ValidationException", "Status (Stopping) not in", after=True)
        done = await watching.source.act(resource, "stop")
        assert (done.gone, done.detail) == (False, "it is being stopped")
        assert box.status(studio.now()) == "Stopping"

    @pytest.mark.parametrize("how", ["hang", "drop"])
    async def test_an_answer_that_is_lost_is_looked_for(
        self, watching: Watching, studio: Studio, how: str
    ) -> None:
        resource = (await watching.resources())["Box"]
        getattr(studio, how)("StopNotebookInstance", after=True)
        done = await watching.source.act(resource, "stop")
        assert (done.gone, done.detail) == (False, "it is being stopped")

    @pytest.mark.parametrize("how", ["hang", "drop"])
    async def test_no_answer_and_no_effect_leaves_it_open(
        self, watching: Watching, box: NotebookInstance, studio: Studio, how: str
    ) -> None:
        resource = (await watching.resources())["Box"]
        getattr(studio, how)("StopNotebookInstance")
        with pytest.raises(OutcomeUnknown):
            await watching.source.act(resource, "stop")
        assert box.status(studio.now()) == "InService"

    @pytest.mark.parametrize(
        ("code", "error"),
        [("ThrottlingException", ActionUnavailable), ("AccessDeniedException", ActionDenied)],
    )
    async def test_a_look_right_before_that_fails_stops_nothing(
        self, watching: Watching, studio: Studio, code: str, error: type[Exception]
    ) -> None:
        resource = (await watching.resources())["Box"]
        studio.fail("DescribeNotebookInstance", code)
        with pytest.raises(error, match="could not be looked at"):
            await watching.source.act(resource, "stop")
        assert studio.calls("StopNotebookInstance") == []

    async def test_one_that_is_deleted_meanwhile_is_gone(self, watching: Watching, studio: Studio) -> None:
        resource = (await watching.resources())["Box"]
        studio.notebook_instances.clear()
        assert (await watching.source.act(resource, "stop")).gone


async def test_nothing_is_called_that_is_not_registered_for_it(watching: Watching, studio: Studio) -> None:
    await watching.source.act((await watching.resources())["Box"], "stop")
    called = {request.operation for request in studio.requests}
    assert called == {o.name for o in OPERATIONS if "notebook-instance" in o.used_for}


def test_the_metadata_file_of_the_fake_is_understood(box: NotebookInstance, tmp_path: Path) -> None:
    import json

    from reaper.clients.studio import read_identity

    file = tmp_path / "resource-metadata.json"
    file.write_text(json.dumps(box.metadata))
    identity = read_identity(file)
    assert identity is not None
    assert (identity.notebook_instance, identity.scope) == ("Box", "123456789012/us-east-1")
