"""An owner's apps through SageMaker's API, on the Studio fake."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from reaper import __version__
from reaper.clients.aws import OPERATIONS, Models
from reaper.clients.prices import SHIPPED_ON
from reaper.core.model import Activity
from reaper.errors import ActionDenied, ActionUnavailable, OutcomeUnknown
from reaper.testing import T0, FakeClock, hours, minutes
from reaper.testing.studio import Studio
from tests.integration.studio.watching import Watching, identity_of, made_models, said, signals
from tests.support.studio import fixture_clock, fixture_studio, key

__all__ = ["fixture_clock", "fixture_studio"]

IDLE, ACTIVE, UNKNOWN = Activity.IDLE, Activity.ACTIVE, Activity.UNKNOWN


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return made_models(tmp_path_factory.mktemp("cache"))


@pytest.fixture
async def watching(clock: FakeClock, studio: Studio, models: Models) -> AsyncIterator[Watching]:
    """In ann's JupyterServer app."""
    one = Watching(clock, studio.add_app("ann", app_type="JupyterServer"), models)
    yield one
    await one.close()


class TestStates:
    async def test_an_app_in_service_is_idle_since_its_creation(
        self, watching: Watching, studio: Studio
    ) -> None:
        app = studio.add_app("ann", "data-science", created_at=T0 - hours(3))
        seen = await watching.look()
        assert said(seen, "data-science") == (IDLE, T0 - hours(3))
        (resource,) = seen.resources
        assert resource.ref.scope == "123456789012/us-east-1"
        assert resource.ref.id == f"{app.domain.id}/ann/KernelGateway/data-science"
        assert resource.started_at == T0 - hours(3)
        assert (resource.owner, resource.children_from) == ("ann", "jupyter:")
        assert resource.attributes["instance_type"] == "ml.t3.medium"
        assert (resource.hourly_cost, resource.attributes["price_source"]) == (0.05, f"shipped {SHIPPED_ON}")
        assert watching.source.interval == minutes(5)

    async def test_an_unknown_price_is_no_price(self, watching: Watching, studio: Studio) -> None:
        studio.add_app("ann", "rare", instance_type="ml.m5.24xlarge")
        (resource,) = (await watching.look()).resources
        assert resource.hourly_cost is None
        assert "price_source" not in resource.attributes

    async def test_one_that_starts_is_active(self, watching: Watching, studio: Studio) -> None:
        studio.add_app("ann", "new", boots_in=minutes(2))
        assert said(await watching.look(), "new") == (ACTIVE, None)
        assert said(await watching.look(minutes(3)), "new") == (IDLE, T0)

    async def test_one_on_its_way_out_is_unknown_and_then_gone(
        self, watching: Watching, studio: Studio
    ) -> None:
        app = studio.add_app("ann", "old", deletes_in=minutes(20))
        await watching.look()
        studio.delete_app(app)
        assert said(await watching.look(), "old") == (UNKNOWN, None)
        assert await watching.resources(minutes(30)) == {}

    async def test_one_that_failed_is_not_there(self, watching: Watching, studio: Studio) -> None:
        studio.add_app("ann", "bad", failure="no capacity")
        assert await watching.resources() == {}

    async def test_a_state_that_nobody_knows_is_unknown(self, watching: Watching, studio: Studio) -> None:
        app = studio.add_app("ann", "odd")
        studio.say_status(app, "Hibernated")
        assert said(await watching.look(), "odd") == (UNKNOWN, None)

    async def test_a_reused_name_is_another_life(self, watching: Watching, studio: Studio) -> None:
        app = studio.add_app("ann", "a-1", deletes_in=minutes(1))
        before = (await watching.resources())["a-1"].ref
        studio.delete_app(app)
        watching.clock.advance(minutes(2))
        studio.add_app("ann", "a-1")
        after = (await watching.resources())["a-1"].ref
        assert after.key == before.key
        assert after.incarnation != before.incarnation

    async def test_more_than_a_page(self, watching: Watching, studio: Studio) -> None:
        for number in range(130):
            studio.add_app("ann", f"a-{number}")
        assert len(await watching.resources()) == 130
        assert len(studio.calls("ListApps")) == 2


class TestWhose:
    async def test_only_the_owners(self, watching: Watching, studio: Studio) -> None:
        """Two users' apps of one name."""
        studio.add_app("ann", "data-science")
        studio.add_app("bob", "data-science")
        apps = await watching.resources()
        assert [app.ref.id.split("/")[1] for app in apps.values()] == ["ann"]
        await watching.source.act(apps["data-science"], "delete")
        (deleted,) = studio.calls("DeleteApp")
        assert (deleted["UserProfileName"], "SpaceName" in deleted) == ("ann", False)
        bobs = [app for app in studio.apps if app.owner.name == "bob"]
        assert [app.status(studio.now()) for app in bobs] == ["InService"]

    async def test_only_four_types(self, watching: Watching, studio: Studio) -> None:
        for app_type in ("TensorBoard", "RStudioServerPro", "RSessionGateway", "DetailedProfiler"):
            studio.add_app("ann", app_type=app_type)
        studio.add_app("ann", "free", instance_type="system")
        studio.add_app("ann", "paid")
        assert set(await watching.resources()) == {"paid"}

    async def test_an_app_of_the_new_studio_is_judged_by_the_reaper_in_it_alone(
        self, watching: Watching, studio: Studio
    ) -> None:
        studio.add_app("ann", app_type="JupyterLab")
        studio.add_app("ann", app_type="CodeEditor")
        assert await watching.resources() == {}

    async def test_kernel_gateways_are_left_to_the_reaper_that_sees_their_kernels(
        self, clock: FakeClock, studio: Studio, models: Models
    ) -> None:
        lab = studio.add_app("ann", app_type="JupyterLab")
        studio.add_app("ann", "data-science")
        watching = Watching(clock, lab, models)
        seen = await watching.look()
        assert [resource.name for resource in seen.resources] == ["default"]
        assert "KernelGateway apps are left" in seen.notes[0]
        await watching.close()

    @pytest.mark.parametrize("how", ["missing", "failed"])
    async def test_it_says_so_where_the_app_that_it_runs_in_is_not_listed(
        self, clock: FakeClock, studio: Studio, models: Models, how: str
    ) -> None:
        """Else nothing tells it from a user who has no apps; and another user's of that name is not it."""
        lab = studio.add_app(studio.add_space("work", "ann"), app_type="JupyterLab")
        watching = Watching(clock, lab, models)
        assert (await watching.look()).notes == ()
        studio.apps.remove(lab)
        studio.add_app("bob", app_type="JupyterLab")
        if how == "failed":
            studio.add_app(lab.owner, app_type="JupyterLab", failure="no capacity")
        seen = await watching.look()
        assert (seen.poll.complete, seen.resources) == (True, ())
        assert seen.notes == (
            "SageMaker does not list the app that we run in (JupyterLab/default of work): nothing ends it",
        )
        await watching.close()

    async def test_the_apps_of_a_space(self, clock: FakeClock, studio: Studio, models: Models) -> None:
        space = studio.add_space("work", "ann")
        lab = studio.add_app(space, app_type="JupyterLab")
        studio.add_app("work", app_type="JupyterLab")  # a user called like the space
        watching = Watching(clock, lab, models)
        apps = await watching.resources()
        assert apps["default"].ref.id == f"{space.domain.id}/work/JupyterLab/default"
        done = await watching.source.act(apps["default"], "delete")
        assert not done.gone
        assert lab.status(studio.now()) == "Deleting"
        (deleted,) = studio.calls("DeleteApp")
        assert (deleted["SpaceName"], "UserProfileName" in deleted) == ("work", False)
        await watching.close()


class TestLooksThatFail:
    @pytest.mark.parametrize(
        ("code", "why"),
        [
            ("ThrottlingException", "throttled"),
            ("ExpiredTokenException", "credentials have expired"),
            ("AccessDeniedException", "needs sagemaker:ListApps"),
            ("InternalFailure", "InternalFailure"),
        ],
    )
    async def test_it_says_why_and_nothing_is_known(
        self, watching: Watching, studio: Studio, code: str, why: str
    ) -> None:
        studio.add_app("ann", "a-1")
        before = await watching.resources()
        studio.fail("ListApps", code)
        failed = await watching.look()
        assert (failed.poll.complete, failed.resources) == (False, ())
        assert why in (failed.poll.error or "")
        assert await watching.resources() == before

    async def test_a_page_that_fails_spoils_all_of_it(self, watching: Watching, studio: Studio) -> None:
        for number in range(130):
            studio.add_app("ann", f"a-{number}")
        studio.fail("ListApps", "ThrottlingException", when={"MaxResults": 100}, times=None)
        assert not (await watching.look()).poll.complete

    async def test_an_answer_that_is_cut_short(self, watching: Watching, studio: Studio) -> None:
        studio.add_app("ann", "a-1")
        studio.garble("ListApps")
        failed = await watching.look()
        assert not failed.poll.complete
        assert failed.resources == ()


class TestTags:
    async def test_they_are_read_and_our_own_heartbeat_is_no_news(
        self, watching: Watching, studio: Studio
    ) -> None:
        app = studio.add_app("ann", "a-1")
        app.tags.update({"reaper:protect": "true", "reaper:heartbeat": "1 7200 x", "team": "nlp"})
        apps = await watching.resources()
        assert apps["a-1"].tags == {"reaper:protect": "true", "team": "nlp"}

    async def test_where_they_cant_be_read_one_may_protect_it(
        self, watching: Watching, studio: Studio
    ) -> None:
        studio.add_app("ann", "a-1")
        studio.add_app("ann", "a-2")
        studio.fail("ListTags", "AccessDeniedException", times=1)
        seen = await watching.look()
        assert seen.poll.complete
        unknown = [o for o in seen.observations if o.signal == "tags"]
        assert [o.activity for o in unknown] == [UNKNOWN]
        assert "needs sagemaker:ListTags" in unknown[0].value
        assert "tags" not in signals(await watching.look(), "a-1")

    async def test_an_arn_is_asked_for_once_a_life(self, watching: Watching, studio: Studio) -> None:
        studio.add_app("ann", "a-1")
        for _ in range(3):
            await watching.look()
        assert len(studio.calls("DescribeApp")) == 1
        assert len(studio.calls("ListTags")) == 3

    @pytest.mark.parametrize(
        ("code", "error", "why"),
        [
            (None, ActionUnavailable, "its tags have changed since it was decided on"),
            ("ThrottlingException", ActionUnavailable, "could not be looked at"),
            ("AccessDeniedException", ActionDenied, "needs sagemaker:ListTags"),
        ],
        ids=["read", "throttled", "denied"],
    )
    async def test_a_protected_app_is_not_deleted_where_its_tags_could_not_be_read(
        self,
        watching: Watching,
        studio: Studio,
        code: str | None,
        error: type[Exception],
        why: str,
    ) -> None:
        """A rule by age reads no signals: that they are unknown does not keep it."""
        app = studio.add_app("ann", "a-1")
        app.tags["reaper:protect"] = "true"
        studio.fail("ListTags", "ThrottlingException", times=1)
        resource = (await watching.resources())["a-1"]
        assert resource.tags == {}
        if code is not None:
            studio.fail("ListTags", code)
        with pytest.raises(error, match=why):
            await watching.source.act(resource, "delete")
        assert studio.calls("DeleteApp") == []

    async def test_a_new_heartbeat_is_no_change(self, watching: Watching, studio: Studio) -> None:
        app = studio.add_app("ann", "a-1")
        app.tags.update({"reaper:heartbeat": "1 7200 x", "team": "nlp"})
        resource = (await watching.resources())["a-1"]
        app.tags["reaper:heartbeat"] = "1 7200 y"
        assert not (await watching.source.act(resource, "delete")).gone
        assert len(studio.calls("DeleteApp")) == 1


class TestDeleting:
    async def test_it_takes_its_time(self, watching: Watching, studio: Studio) -> None:
        app = studio.add_app("ann", "a-1")
        resource = (await watching.resources())["a-1"]
        first = await watching.source.act(resource, "delete")
        again = await watching.source.act(resource, "delete")
        assert (first.gone, again.gone) == (False, False)
        assert again.detail == "it is being deleted already"
        assert studio.calls("DeleteApp") == [key(app)]
        watching.clock.advance(minutes(6))
        assert (await watching.source.act(resource, "delete")).gone

    async def test_one_that_was_never_there_is_gone(self, watching: Watching, studio: Studio) -> None:
        app = studio.add_app("ann", "a-1")
        resource = (await watching.resources())["a-1"]
        studio.apps.remove(app)
        assert (await watching.source.act(resource, "delete")).gone
        assert studio.calls("DeleteApp") == []

    async def test_another_one_of_its_name_is_left_alone(self, watching: Watching, studio: Studio) -> None:
        app = studio.add_app("ann", "a-1", deletes_in=minutes(0))
        resource = (await watching.resources())["a-1"]
        studio.delete_app(app)
        watching.clock.advance(minutes(1))
        studio.add_app("ann", "a-1")
        done = await watching.source.act(resource, "delete")
        assert done.gone
        assert "another app has its name" in done.detail
        assert studio.calls("DeleteApp") == []

    async def test_one_that_starts_is_left_alone(self, watching: Watching, studio: Studio) -> None:
        studio.add_app("ann", "a-1", boots_in=minutes(10))
        resource = (await watching.resources())["a-1"]
        with pytest.raises(ActionUnavailable, match="Pending"):
            await watching.source.act(resource, "delete")
        assert studio.calls("DeleteApp") == []

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("ResourceInUse", ActionUnavailable),
            ("ThrottlingException", ActionUnavailable),
            ("AccessDeniedException", ActionDenied),
            ("ExpiredTokenException", ActionDenied),
            ("ValidationException", ActionDenied),
            ("InternalFailure", OutcomeUnknown),
        ],
    )
    async def test_one_that_fails_does_not_stop_the_others(
        self, watching: Watching, studio: Studio, code: str, error: type[Exception]
    ) -> None:
        for name in ("a-1", "a-2", "a-3"):
            studio.add_app("ann", name)
        apps = await watching.resources()
        studio.fail("DeleteApp", code, when={"AppName": "a-2"})
        results = await asyncio.gather(
            *(watching.source.act(apps[name], "delete") for name in ("a-1", "a-2", "a-3")),
            return_exceptions=True,
        )
        assert [type(result).__name__ for result in results] == ["ActOutcome", error.__name__, "ActOutcome"]
        assert len(studio.calls("DeleteApp")) == 3

    @pytest.mark.parametrize("code", ["ResourceNotFound", "ValidationException"])
    async def test_one_that_ends_meanwhile_is_success(
        self, watching: Watching, studio: Studio, code: str
    ) -> None:
        studio.add_app("ann", "a-1")
        resource = (await watching.resources())["a-1"]
        studio.fail("DeleteApp", code, "App arn:aws:... has already been deleted")
        assert (await watching.source.act(resource, "delete")).gone

    async def test_a_look_right_before_that_fails_deletes_nothing(
        self, watching: Watching, studio: Studio
    ) -> None:
        studio.add_app("ann", "a-1")
        resource = (await watching.resources())["a-1"]
        for code, error in (
            ("ThrottlingException", ActionUnavailable),
            ("AccessDeniedException", ActionDenied),
        ):
            studio.fail("DescribeApp", code)
            with pytest.raises(error, match="could not be looked at"):
                await watching.source.act(resource, "delete")
        assert studio.calls("DeleteApp") == []

    @pytest.mark.parametrize("how", ["hang", "drop"])
    async def test_no_answer_leaves_it_open(self, watching: Watching, studio: Studio, how: str) -> None:
        app = studio.add_app("ann", "a-1")
        resource = (await watching.resources())["a-1"]
        getattr(studio, how)("DeleteApp", after=True)
        with pytest.raises(OutcomeUnknown):
            await watching.source.act(resource, "delete")
        assert app.status(studio.now()) == "Deleting"
        assert said(await watching.look(), "a-1") == (UNKNOWN, None)


async def test_nothing_is_called_that_is_not_registered(watching: Watching, studio: Studio) -> None:
    studio.add_app("ann", app_type="Canvas")
    studio.add_app("ann", "a-1")
    for resource in (await watching.resources()).values():
        await watching.source.act(resource, "delete")
    called = {(request.service, request.operation) for request in studio.requests}
    registered = {(operation.service, operation.name) for operation in OPERATIONS}
    assert called <= registered
    assert {name for _, name in called} == {
        "ListApps",
        "DescribeApp",
        "ListTags",
        "GetMetricData",
        "DeleteApp",
    }
    assert all(f"idle-reaper/{__version__}" in request.user_agent for request in studio.requests)


async def test_the_account_by_the_caller(watching: Watching, studio: Studio) -> None:
    assert await watching.aws.account("us-east-1") == identity_of(studio.add_app("ann", "a-1")).account
