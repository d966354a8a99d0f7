"""An owner's apps through the JupyterServer's own endpoint: lives by name alone, and DELETEs one by one."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Literal

import pytest

from reaper.clients.aws import Aws, AwsOptions
from reaper.clients.studio import Identity
from reaper.core.codec import instant_to_text
from reaper.core.model import Activity, Collected, Observation, Resource
from reaper.errors import ActionDenied, ActionUnavailable, OutcomeUnknown
from reaper.plugins import Look
from reaper.providers.studio import StudioOptions
from reaper.providers.studio.source import StudioSource
from reaper.testing import T0, FakeClock, hours, minutes
from tests.unit.clients.aws_server import serving
from tests.unit.clients.studio_server import ClassicServer, serving_classic

MINUTE = timedelta(minutes=1)
ANN = Identity(
    account="123456789012",
    region="eu-central-1",
    domain="d-abc",
    user="ann",
    app_type="JupyterServer",
    app_name="default",
)


class Watching:
    """A source on a server, looked at as the daemon does, a minute apart."""

    def __init__(self, server: ClassicServer, *, identity: Identity | None = None) -> None:
        self.server = server
        self.identity = identity
        self.clock = FakeClock()
        self.aws = Aws(AwsOptions(attempts=1))
        self.options = StudioOptions()
        self.polls = 0
        self.source = self.make()

    def make(
        self, memo: dict[str, object] | None = None, apps: Literal["auto", "server", "api"] = "auto"
    ) -> StudioSource:
        self.source = StudioSource(
            self.identity, [self.server.address], StudioOptions(apps=apps), self.aws, self.clock, memo
        )
        return self.source

    async def look(self, after: timedelta = MINUTE) -> Collected:
        self.clock.advance(after)
        self.polls += 1
        return await self.source.collect(Look(poll_id=self.polls, at=self.clock.now(), deadline=5.0))

    async def resources(self) -> dict[str, Resource]:
        seen = await self.look()
        assert seen.poll.complete, seen.poll.error
        return {resource.name: resource for resource in seen.resources}

    async def close(self) -> None:
        await self.source.close()
        await self.aws.close()


@pytest.fixture
async def server() -> AsyncIterator[ClassicServer]:
    async with serving_classic("a-1", "a-2") as running:
        yield running


@pytest.fixture
async def watching(server: ClassicServer) -> AsyncIterator[Watching]:
    one = Watching(server)
    yield one
    await one.close()


def status(seen: Collected, name: str) -> Observation:
    (ref,) = [resource.ref for resource in seen.resources if resource.name == name]
    (found,) = [o for o in seen.observations if o.ref == ref and o.signal == "status"]
    return found


def began(seen: Collected, name: str) -> datetime | None:
    return status(seen, name).evidence_at


class TestLooking:
    async def test_an_app_is_idle_since_it_was_first_seen(self, watching: Watching) -> None:
        first = await watching.look()
        later = await watching.look(minutes(60))
        assert later.poll.complete
        assert began(later, "a-1") == began(first, "a-1") == T0 + minutes(1)
        assert status(later, "a-1").activity is Activity.IDLE
        assert [r.ref for r in later.resources] == [r.ref for r in first.resources]

    async def test_its_kernels_must_be_seen_elsewhere(self, watching: Watching) -> None:
        app = (await watching.resources())["a-1"]
        assert app.children_from == "jupyter:"
        assert app.attributes["app_type"] == "KernelGateway"
        assert app.attributes["instance_type"] == "ml.t3.medium"

    async def test_without_an_owner_its_scope_is_the_server(self, watching: Watching) -> None:
        app = (await watching.resources())["a-1"]
        assert (app.ref.scope, app.ref.id) == (watching.server.url, "KernelGateway/a-1")
        assert watching.source.name == f"studio:{watching.server.url}"

    async def test_with_an_owner_it_is_the_account(self, server: ClassicServer) -> None:
        watching = Watching(server, identity=ANN)
        app = (await watching.resources())["a-1"]
        assert (app.ref.scope, app.ref.id) == ("123456789012/eu-central-1", "d-abc/ann/KernelGateway/a-1")
        assert app.owner == "ann"
        assert watching.source.name == "studio:123456789012/eu-central-1/d-abc/ann"
        assert watching.source.interval is None
        await watching.close()

    async def test_what_is_the_systems_is_not_there(self, watching: Watching, server: ClassicServer) -> None:
        server.names.append("system-1")
        assert set(await watching.resources()) == {"a-1", "a-2"}

    async def test_one_that_is_listed_twice_is_unknown(
        self, watching: Watching, server: ClassicServer
    ) -> None:
        server.names.append("a-1")
        seen = await watching.look()
        assert status(seen, "a-1").activity is Activity.UNKNOWN
        assert status(seen, "a-2").activity is Activity.IDLE

    @pytest.mark.parametrize("broken", ["status", "listed"])
    async def test_a_look_that_fails_says_so_and_ends_no_life(
        self, watching: Watching, server: ClassicServer, broken: str
    ) -> None:
        before = await watching.resources()
        if broken == "status":
            server.status = 500
        else:
            server.listed = '[{"app_name": "a-1"}, {"app_na'
        failed = await watching.look()
        assert not failed.poll.complete
        assert failed.poll.error
        assert failed.resources == ()
        server.status, server.listed = 200, None
        assert await watching.resources() == before

    async def test_a_restart_forgets_nothing(self, watching: Watching) -> None:
        before = await watching.look()
        await watching.source.close()
        assert before.memo is not None
        watching.make(dict(before.memo))
        after = await watching.look(minutes(30))
        assert [r.ref for r in after.resources] == [r.ref for r in before.resources]
        assert began(after, "a-1") == T0 + minutes(1)

    @pytest.mark.parametrize(
        "memo", [{"lives": 7}, {"lives": {"a-1": {}}}, {"lives": {"a-1": None}, "door": 3, "container": []}]
    )
    async def test_a_memo_that_cant_be_read_is_none(
        self, watching: Watching, memo: dict[str, object]
    ) -> None:
        await watching.source.close()
        watching.make(memo)
        assert began(await watching.look(), "a-1") == T0 + minutes(1)


class TestNamesThatAreUsedAgain:
    async def test_one_that_was_away_for_a_look_is_another(
        self, watching: Watching, server: ClassicServer
    ) -> None:
        before = await watching.resources()
        server.names.remove("a-1")
        assert set(await watching.resources()) == {"a-2"}
        server.names.append("a-1")
        back = await watching.look()
        after = {resource.name: resource for resource in back.resources}
        assert after["a-1"].ref.key == before["a-1"].ref.key
        assert after["a-1"].ref != before["a-1"].ref
        assert after["a-2"].ref == before["a-2"].ref
        assert began(back, "a-1") == T0 + minutes(3)

    async def test_after_our_own_delete_it_is_another_from_that_instant(
        self, watching: Watching, server: ClassicServer
    ) -> None:
        """Failure 11 of the original: a reused name inherits the old timer and dies at creation."""
        old = (await watching.resources())["a-1"]
        server.keeps.add("a-1")  # still listed at the next look: being deleted, or already somebody else's
        watching.clock.advance(minutes(120))
        done = await watching.source.act(old, "delete")
        assert (done.gone, server.deleted) == (True, ["a-1"])
        again = await watching.look()
        assert began(again, "a-1") == T0 + minutes(121)
        assert old.ref not in [resource.ref for resource in again.resources]

    async def test_a_decision_about_the_old_one_does_not_hit_it(
        self, watching: Watching, server: ClassicServer
    ) -> None:
        old = (await watching.resources())["a-1"]
        server.keeps.add("a-1")
        await watching.source.act(old, "delete")
        for _ in range(2):  # before the next look, and after it
            done = await watching.source.act(old, "delete")
            assert (done.gone, done.detail) == (True, "it was gone already")
            await watching.look()
        assert server.deleted == ["a-1"]


class TestDeleting:
    async def test_one_that_is_gone_since_the_look_is_success(
        self, watching: Watching, server: ClassicServer
    ) -> None:
        app = (await watching.resources())["a-1"]
        server.names.remove("a-1")
        done = await watching.source.act(app, "delete")
        assert (done.gone, server.deleted) == (True, [])

    async def test_one_that_fails_does_not_stop_the_others(
        self, watching: Watching, server: ClassicServer
    ) -> None:
        """Failure 3 of the original: one failing DELETE blocks everything after it."""
        apps = await watching.resources()
        server.refusals["a-1"] = 400
        results = await asyncio.gather(
            *(watching.source.act(apps[name], "delete") for name in ("a-1", "a-2")), return_exceptions=True
        )
        assert isinstance(results[0], ActionDenied)
        assert server.deleted == ["a-2"]
        assert (await watching.resources())["a-1"].ref == apps["a-1"].ref

    async def test_a_lost_answer_starts_its_timer_anew(
        self, watching: Watching, server: ClassicServer
    ) -> None:
        """It may be deleted, and the name somebody else's: nothing older than this counts against it."""
        app = (await watching.resources())["a-1"]
        server.refusals["a-1"] = "drop"
        server.keeps.add("a-1")
        watching.clock.advance(minutes(120))
        with pytest.raises(OutcomeUnknown):
            await watching.source.act(app, "delete")
        seen = await watching.look()
        assert began(seen, "a-1") == T0 + minutes(121)
        assert app.ref in [resource.ref for resource in seen.resources]

    async def test_a_server_that_does_not_answer_is_asked_for_nothing(
        self, watching: Watching, server: ClassicServer
    ) -> None:
        app = (await watching.resources())["a-1"]
        server.status = 503
        with pytest.raises(ActionUnavailable, match="could not be looked at"):
            await watching.source.act(app, "delete")
        server.status = 403
        with pytest.raises(ActionDenied, match="could not be looked at"):
            await watching.source.act(app, "delete")
        assert server.deleted == []

    async def test_nothing_happens_before_a_look(self, watching: Watching, server: ClassicServer) -> None:
        app = (await watching.resources())["a-1"]
        await watching.source.close()
        watching.make()
        with pytest.raises(ActionUnavailable, match="not been looked at"):
            await watching.source.act(app, "delete")
        assert server.deleted == []

    @pytest.mark.parametrize(
        ("attributes", "action"),
        [
            ({"app_type": "JupyterServer"}, "delete"),
            ({"instance_type": "system"}, "delete"),
            ({"app_type": "TensorBoard"}, "delete"),
            ({}, "stop"),
        ],
    )
    async def test_some_things_are_never_done(
        self, watching: Watching, server: ClassicServer, attributes: dict[str, str], action: str
    ) -> None:
        from dataclasses import replace

        app = (await watching.resources())["a-1"]
        app = replace(app, attributes={**app.attributes, **attributes})
        with pytest.raises(ActionDenied):
            await watching.source.act(app, action)
        assert server.deleted == []


def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")


class TestWhichDoor:
    async def test_without_the_endpoint_and_an_owner_there_is_none(
        self, watching: Watching, server: ClassicServer
    ) -> None:
        server.status = 404
        seen = await watching.look()
        assert not seen.poll.complete
        assert "no JupyterServer of Studio Classic" in (seen.poll.error or "")

    async def test_without_the_endpoint_the_api_is_asked_and_stays_the_door(
        self, server: ClassicServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        credentials(monkeypatch)
        watching = Watching(server, identity=ANN)
        server.status = 404
        async with serving() as aws:
            monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
            aws.answer({"Apps": []})
            seen = await watching.look()
            assert (seen.poll.complete, seen.poll.error) == (True, None)
            assert aws.asked[0].body["UserProfileNameEquals"] == "ann"
            assert watching.source.interval == minutes(5)

            server.status = 200  # the other one answers now, and knows other lives: it is not asked
            assert (await watching.look()).resources == ()

            aws.answers.clear()
            aws.refuse("ThrottlingException")
            failed = await watching.look()
            assert not failed.poll.complete
            assert "throttled" in (failed.poll.error or "")
            await watching.close()

    async def test_where_none_answers_it_says_why_of_each(
        self, server: ClassicServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watching = Watching(server, identity=ANN)
        server.status = 500
        await watching.look()
        seen = await watching.look(minutes(6))
        assert not seen.poll.complete
        assert "GET /jupyter/default/sagemaker/api/apps: 500" in (seen.poll.error or "")
        assert "no valid AWS credentials" in (seen.poll.error or "")
        await watching.close()

    @pytest.mark.parametrize("memo", [None, {"door": "server"}])
    async def test_a_server_that_is_not_up_yet_is_waited_for(
        self, server: ClassicServer, monkeypatch: pytest.MonkeyPatch, memo: dict[str, object] | None
    ) -> None:
        """The API would stay the door, over restarts too: by it every app has another life, and other names count."""
        credentials(monkeypatch)
        watching = Watching(server, identity=ANN)
        watching.make(memo)
        server.status = 503
        async with serving() as aws:
            monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
            aws.answer({"Apps": []})
            for after in (MINUTE, minutes(4.9)):
                early = await watching.look(after)
                assert (early.poll.complete, early.memo, aws.asked) == (False, None, [])
                assert "sagemaker/api/apps: 503" in (early.poll.error or "")
                assert "5 minutes after the first look" in (early.poll.error or "")
            server.status = 200
            seen = await watching.look(timedelta(0))
            assert seen.memo is not None
            assert (len(seen.resources), seen.memo["door"]) == (2, "server")

            server.status = 503  # it is the door, however long it is away
            assert not (await watching.look(hours(1))).poll.complete
            assert {one.operation for one in aws.asked} <= {"ListTags"}
        await watching.close()

    async def test_a_server_that_never_comes_up_is_not_waited_for_for_ever(
        self, server: ClassicServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        credentials(monkeypatch)
        watching = Watching(server, identity=ANN)
        server.status = 503
        async with serving() as aws:
            monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
            aws.answer({"Apps": []})
            assert not (await watching.look()).poll.complete
            seen = await watching.look(minutes(5))
            assert (seen.poll.complete, seen.memo and seen.memo["door"]) == (True, "api")
        await watching.close()

    async def test_one_that_may_not_be_asked_is_not_waited_for(
        self, server: ClassicServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        credentials(monkeypatch)
        watching = Watching(server, identity=ANN)
        server.status = 403
        async with serving() as aws:
            monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
            aws.answer({"Apps": []})
            assert (await watching.look()).poll.complete
        await watching.close()

    async def test_after_a_restart_the_door_before_is_tried_first(
        self, server: ClassicServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        credentials(monkeypatch)
        watching = Watching(server, identity=ANN)
        async with serving() as aws:
            monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
            aws.answer({"Apps": []})
            watching.make({"door": "api"})
            assert (await watching.look()).resources == ()
            assert server.asked == []
            await watching.close()

    async def test_the_server_alone_where_that_is_wanted(self, server: ClassicServer) -> None:
        watching = Watching(server, identity=ANN)
        watching.make({"door": "api"}, apps="server")
        server.status = 404
        seen = await watching.look()
        assert "no JupyterServer of Studio Classic" in (seen.poll.error or "")
        assert "AWS" not in (seen.poll.error or "")
        await watching.close()

    async def test_the_time_for_a_look_is_bounded(self, watching: Watching, server: ClassicServer) -> None:
        look = Look(poll_id=1, at=watching.clock.now(), deadline=0.0)
        seen = await watching.source.collect(look)
        assert (seen.poll.complete, seen.poll.error) == (False, "no complete answer within 0 s")


def test_incarnations_say_how_they_are_known() -> None:
    from reaper.providers.studio.lives import Lives

    lives = Lives()
    assert lives.see("a-1", T0).incarnation == f"seen/{instant_to_text(T0)}"
    lives.doubt("never seen", T0)
    assert lives.memo().keys() == {"a-1"}
