"""The provider inside real Jupyter servers of the Studio fake: Studio Classic's JupyterServer, and a JupyterLab app."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from reaper.clients.aws import AwsOptions, Models
from reaper.core.model import Activity, Collected, Resource
from reaper.errors import ActionDenied, OutcomeUnknown
from reaper.plugins import Look, Source
from reaper.providers.studio import StudioOptions, StudioProvider
from reaper.testing import FakeClock, minutes
from reaper.testing.studio import Studio, StudioServer, running_studio, running_studio_server
from tests.integration.studio.watching import made_models, said, signals

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("studio-server")]

MINUTE = timedelta(minutes=1)
IDLE, ACTIVE, UNKNOWN = Activity.IDLE, Activity.ACTIVE, Activity.UNKNOWN


@pytest_asyncio.fixture(name="studio", scope="module", loop_scope="module")
async def fixture_studio() -> AsyncIterator[Studio]:
    async with running_studio(deletes_in=timedelta(0)) as studio:
        yield studio


@pytest_asyncio.fixture(name="classic", scope="module", loop_scope="module")
async def fixture_classic(
    studio: Studio, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[StudioServer]:
    async with running_studio_server(studio, tmp_path_factory.mktemp("classic"), "ann") as server:
        yield server


@pytest.fixture(autouse=True)
def _all_is_well(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    studio.heal()
    studio.requests.clear()
    for name, value in studio.environment.items():
        monkeypatch.setenv(name, value)


class Inside:
    """The provider inside an app, looking once a minute by its own clock."""

    def __init__(self, server: StudioServer, cache: Path) -> None:
        self.clock = FakeClock()
        options = StudioOptions(
            metadata_file=server.metadata_file,
            runtime_dirs=(server.runtime_dir,),
            aws=AwsOptions(attempts=1, cache=cache),
        )
        self.provider = StudioProvider(options, self.clock)
        self.memos: dict[str, dict[str, object]] = {}
        self.polls = 0

    async def source(self) -> Source:
        found = await self.provider.discover(self.clock.now(), self.memos)
        assert found.problems == ()
        (source,) = found.sources
        return source

    async def look(self, *before_acting_on: Resource, after: timedelta = MINUTE) -> Collected:
        source = await self.source()
        self.clock.advance(after)
        self.polls += 1
        refs = tuple(resource.ref for resource in before_acting_on) or None
        seen = await source.collect(Look(poll_id=self.polls, at=self.clock.now(), deadline=60.0, refs=refs))
        if seen.memo is not None:
            self.memos[source.name] = dict(seen.memo)
        return seen

    async def resources(self) -> dict[str, Resource]:
        seen = await self.look()
        assert seen.poll.complete, seen.poll.error
        return {resource.name: resource for resource in seen.resources}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    made_models(folder)
    return folder


@pytest_asyncio.fixture(name="inside", loop_scope="module")
async def fixture_inside(classic: StudioServer, cache: Path) -> AsyncIterator[Inside]:
    one = Inside(classic, cache)
    yield one
    await one.provider.close()


def tags(seen: Collected) -> dict[str, dict[str, str]]:
    return {resource.name: dict(resource.tags) for resource in seen.resources}


class TestClassic:
    async def test_apps_are_deleted_by_the_servers_own_endpoint(self, inside: Inside, studio: Studio) -> None:
        gpu = studio.add_app("ann", instance_type="ml.g4dn.xlarge")
        apps = await inside.resources()
        assert apps[gpu.name].attributes["door"] == "server"
        assert apps[gpu.name].ref.id == f"{gpu.domain.id}/ann/KernelGateway/{gpu.name}"
        done = await (await inside.source()).act(apps[gpu.name], "delete")
        assert done.gone
        assert gpu.status(studio.now()) == "Deleted"
        assert gpu.name not in await inside.resources()
        asked = {(request.service, request.operation) for request in studio.requests}
        assert {one for one in asked if one[0] != "jupyter"} == {("sagemaker", "ListTags")}

    async def test_tags_are_asked_for_at_the_api(self, inside: Inside, studio: Studio) -> None:
        """The server's endpoint tells none."""
        app = studio.add_app("ann", "kept")
        app.tags.update({"reaper:protect": "true", "reaper:heartbeat": "1 7200 x"})
        for _ in range(5):
            seen = await inside.look()
            assert tags(seen) == {"kept": {"reaper:protect": "true"}}
            assert seen.notes == ()
        assert [call["ResourceArn"] for call in studio.calls("ListTags")] == [app.arn]
        app.tags.clear()
        assert tags(await inside.look()) == {"kept": {}}
        studio.delete_app(app)

    async def test_right_before_an_act_they_are_read_anew(self, inside: Inside, studio: Studio) -> None:
        one, other = studio.add_app("ann", "one"), studio.add_app("ann", "other")
        apps = await inside.resources()
        one.tags["reaper:protect"] = other.tags["reaper:protect"] = "true"
        assert tags(await inside.look()) == {"one": {}, "other": {}}
        assert tags(await inside.look(apps["one"])) == {"one": {"reaper:protect": "true"}, "other": {}}
        for app in (one, other):
            studio.delete_app(app)

    async def test_without_the_permission_to_read_tags_apps_are_judged(
        self, inside: Inside, studio: Studio
    ) -> None:
        app = studio.add_app("ann", "judged")
        studio.fail("ListTags", "AccessDeniedException", times=None)
        looks = [await inside.look() for _ in range(5)]
        for seen in looks:
            assert said(seen, "judged")[0] is IDLE
            assert signals(seen, "judged").keys() == {"status"}
            (note,) = seen.notes
            assert note.startswith(
                "tags of apps can't be read, so reaper:protect and reaper:hold-until on them"
            )
            assert "the role needs sagemaker:ListTags" in note
        assert len(studio.calls("ListTags")) == 1
        (resource,) = looks[-1].resources
        assert (await inside.look(resource)).notes == looks[-1].notes
        assert len(studio.calls("ListTags")) == 2, "right before an act all the same"
        assert (await (await inside.source()).act(resource, "delete")).gone
        assert app.status(studio.now()) == "Deleted"

    async def test_a_protection_is_not_forgotten(self, inside: Inside, studio: Studio) -> None:
        app = studio.add_app("ann", "kept")
        app.tags["reaper:protect"] = "true"
        await inside.look()
        studio.drop("ListTags", times=None)
        seen = await inside.look(after=minutes(6))
        assert (tags(seen), seen.notes) == ({"kept": {"reaper:protect": "true"}}, ())
        seen = await inside.look(after=minutes(6))
        assert tags(seen) == {"kept": {"reaper:protect": "true"}}
        assert "tags of apps can't be read" in seen.notes[0]
        assert len(studio.calls("ListTags")) == 3
        studio.heal()
        assert (await inside.look(after=minutes(6))).notes == ()
        studio.delete_app(app)
        assert tags(await inside.look()) == {}
        new = studio.add_app("ann", "kept")
        assert tags(await inside.look()) == {"kept": {}}, "another life"
        studio.delete_app(new)

    async def test_no_answer_holds_a_look_up_for_long(
        self, inside: Inside, studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reaper.providers.studio.labels._DEADLINE_S", 0.2)
        app = studio.add_app("ann", "slow")
        studio.hang("ListTags", times=None)
        seen = await inside.look()
        assert seen.poll.complete
        assert "sagemaker ListTags in us-east-1: no answer within 0.2 s" in seen.notes[0]
        studio.delete_app(app)

    async def test_the_loading_of_awss_client_holds_up_only_an_act(
        self, inside: Inside, studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def loading(_models: Models) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(Models, "loader", loading)
        monkeypatch.setattr("reaper.providers.studio.labels._DEADLINE_S", 0.3)
        app = studio.add_app("ann", "early")
        seen = await inside.look()
        assert (seen.poll.complete, tags(seen), seen.notes) == (True, {"early": {}}, ())
        assert "AWS's client is not loaded yet" in (await inside.look(*seen.resources)).notes[0]
        studio.delete_app(app)

    async def test_one_that_fails_does_not_stop_the_others(self, inside: Inside, studio: Studio) -> None:
        """Failure 3 of the original."""
        bad, good = studio.add_app("ann", "bad"), studio.add_app("ann", "good")
        apps = await inside.resources()
        studio.fail("DELETE app", "400", when={"app_name": "bad"}, times=None)
        source = await inside.source()
        results = await asyncio.gather(
            source.act(apps["bad"], "delete"), source.act(apps["good"], "delete"), return_exceptions=True
        )
        assert isinstance(results[0], ActionDenied)
        now = studio.now()
        assert (bad.status(now), good.status(now)) == ("InService", "Deleted")
        assert (await inside.resources())["bad"].ref == apps["bad"].ref
        studio.delete_app(bad)

    async def test_a_reused_name_has_a_life_of_its_own(self, inside: Inside, studio: Studio) -> None:
        """Failure 11 of the original: the new one inherits the old timer and dies at creation."""
        studio.add_app("ann", "again")
        old = (await inside.resources())["again"]
        inside.clock.advance(minutes(120))
        await (await inside.source()).act(old, "delete")
        new = studio.add_app("ann", "again")  # before anybody looked
        seen = await inside.look()
        assert said(seen, "again") == (IDLE, inside.clock.now() - minutes(1))
        assert old.ref not in [resource.ref for resource in seen.resources]
        studio.delete_app(new)

    async def test_a_list_that_fails_is_no_empty_list(self, inside: Inside, studio: Studio) -> None:
        app = studio.add_app("ann", "there")
        before = await inside.resources()
        for spoil in ("fail", "garble", "drop"):
            if spoil == "fail":
                studio.fail("GET apps", "500")
            else:
                getattr(studio, spoil)("GET apps", times=3)
            seen = await inside.look()
            assert (seen.poll.complete, seen.resources) == (False, ())
            studio.heal()
        assert await inside.resources() == before
        studio.delete_app(app)

    async def test_a_lost_answer_leaves_it_open(self, inside: Inside, studio: Studio) -> None:
        app = studio.add_app("ann", "lost")
        resource = (await inside.resources())["lost"]
        studio.drop("DELETE app", after=True)
        with pytest.raises(OutcomeUnknown):
            await (await inside.source()).act(resource, "delete")
        assert app.status(studio.now()) == "Deleted"
        assert "lost" not in await inside.resources()

    async def test_what_boots_is_not_there_yet(self, inside: Inside, studio: Studio) -> None:
        app = studio.add_app("ann", "boots", boots_in=minutes(10))
        assert "boots" not in await inside.resources()
        studio.delete_app(app)

    async def test_without_the_endpoint_it_asks_the_api(self, inside: Inside, studio: Studio) -> None:
        app = studio.add_app("ann", "by-api")
        studio.fail("GET apps", "404", times=None)
        apps = await inside.resources()
        assert apps["by-api"].attributes["door"] == "api"
        assert apps["by-api"].started_at == app.created_at
        studio.delete_app(app)


async def test_a_jupyterlab_app_deletes_itself(studio: Studio, cache: Path, tmp_path: Path) -> None:
    space = studio.add_space("work", "ann")
    async with running_studio_server(studio, tmp_path / "lab", space, app_type="JupyterLab") as server:
        notebook = server.root_dir / "ideas/a.ipynb"
        notebook.parent.mkdir()
        notebook.touch()
        saved_at = FakeClock().now() - minutes(10)
        os.utime(notebook, (saved_at.timestamp(), saved_at.timestamp()))
        inside = Inside(server, cache)
        inside.clock.jump(studio.now() - inside.clock.now())
        seen = await inside.look()
        assert (seen.poll.complete, seen.poll.error) == (True, None)
        assert [resource.name for resource in seen.resources] == ["default"]
        found = signals(seen, "default")
        assert {"status", "saved", "peers"} <= found.keys()
        assert (found["saved"].activity, found["saved"].evidence_at) == (IDLE, saved_at)
        assert str(notebook) in found["saved"].value
        (own,) = seen.resources
        assert (own.required_signals, own.children_from) == (("process",), "jupyter:")
        assert own.attributes["own"] is True
        assert "process" in signals(await inside.look(), "default")
        done = await (await inside.source()).act(own, "delete")
        assert not done.gone
        assert server.app.deletion_at is not None
        await inside.provider.close()
