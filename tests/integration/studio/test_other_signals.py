"""Canvas by CloudWatch, and the app that we run in by its container, on the Studio fake."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from reaper.clients.aws import Models
from reaper.core.model import Activity
from reaper.testing import T0, FakeClock, minutes
from reaper.testing.studio import Studio
from tests.integration.studio.watching import Watching, made_models, said, signals
from tests.support.studio import fixture_clock, fixture_studio, key

__all__ = ["fixture_clock", "fixture_studio"]

IDLE, UNKNOWN = Activity.IDLE, Activity.UNKNOWN


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return made_models(tmp_path_factory.mktemp("cache"))


@pytest.fixture
async def watching(clock: FakeClock, studio: Studio, models: Models) -> AsyncIterator[Watching]:
    """In ann's JupyterServer app."""
    one = Watching(clock, studio.add_app("ann", app_type="JupyterServer"), models)
    yield one
    await one.close()


class TestCanvas:
    async def test_it_is_idle_since_cloudwatch_says(self, watching: Watching, studio: Studio) -> None:
        app = studio.add_app("ann", app_type="Canvas")
        studio.add_canvas_activity(app, studio.now() + minutes(1), minutes(1))
        studio.add_canvas_activity(app, studio.now() + minutes(8), minutes(40))
        watching.clock.advance(minutes(9))
        seen = await watching.look()
        activity, active_at = said(seen, "default", "canvas")
        assert activity is IDLE
        assert active_at == T0 + minutes(9) - minutes(40)
        (resource,) = seen.resources
        assert (resource.required_signals, resource.children_from) == (("canvas",), "")

    async def test_of_one_period_the_least_counts(self, watching: Watching, studio: Studio) -> None:
        app = studio.add_app("ann", app_type="Canvas")
        at = studio.now() + minutes(1)
        studio.add_canvas_activity(app, at, minutes(50))
        studio.add_canvas_activity(app, at + timedelta(seconds=30), timedelta(0))
        _, active_at = said(await watching.look(minutes(2)), "default", "canvas")
        assert active_at == T0 + minutes(2)

    async def test_without_datapoints_it_is_unknown(self, watching: Watching, studio: Studio) -> None:
        app = studio.add_app("ann", app_type="Canvas")
        assert said(await watching.look(), "default", "canvas") == (UNKNOWN, None)
        studio.add_canvas_activity(app, studio.now(), minutes(40))
        assert said(await watching.look(minutes(20)), "default", "canvas") == (UNKNOWN, None)

    async def test_anothers_use_is_not_this_ones(self, watching: Watching, studio: Studio) -> None:
        studio.add_app("ann", app_type="Canvas")
        bobs = studio.add_app("bob", app_type="Canvas")
        studio.add_canvas_activity(bobs, studio.now(), minutes(40))
        assert said(await watching.look(), "default", "canvas") == (UNKNOWN, None)

    async def test_cloudwatch_alone_fails_for_canvas_alone(self, watching: Watching, studio: Studio) -> None:
        studio.add_app("ann", app_type="Canvas")
        studio.add_app("ann", "a-1")
        studio.fail("GetMetricData", "AccessDeniedException")
        seen = await watching.look()
        assert seen.poll.complete
        assert "needs cloudwatch:GetMetricData" in signals(seen, "default")["canvas"].value
        assert said(seen, "a-1")[0] is IDLE

    async def test_it_is_deleted_as_any(self, watching: Watching, studio: Studio) -> None:
        app = studio.add_app("ann", app_type="Canvas")
        await watching.source.act((await watching.resources())["default"], "delete")
        assert studio.calls("DeleteApp") == [key(app)]


class TestTheAppThatWeRunIn:
    async def test_it_shows_its_container(
        self, clock: FakeClock, studio: Studio, models: Models, tmp_path: Path
    ) -> None:
        editor = studio.add_app("ann", app_type="CodeEditor")
        history = tmp_path / "User/History/-1a2b"
        history.mkdir(parents=True)
        (history / "main.py").touch()
        watching = Watching(clock, editor, models, editor_data=(tmp_path / "User",))
        first = await watching.look()
        found = signals(first, "default")
        assert {"status", "peers"} <= found.keys()
        assert "process" not in found  # there is no interval yet
        (resource,) = first.resources
        assert (resource.required_signals, resource.children_from) == (("process",), "")
        second = signals(await watching.look(), "default")
        assert second["process"].covers_from == first.poll.started_at
        await watching.close()

    async def test_what_somebody_saved(
        self, clock: FakeClock, studio: Studio, models: Models, tmp_path: Path
    ) -> None:
        editor = studio.add_app("ann", app_type="CodeEditor")
        backup = tmp_path / "User/Backups/1/untitled"
        backup.parent.mkdir(parents=True)
        backup.touch()
        typed_at = T0 - minutes(7)
        os.utime(backup, (typed_at.timestamp(), typed_at.timestamp()))
        watching = Watching(clock, editor, models, editor_data=(tmp_path / "User",))
        assert said(await watching.look(), "default", "saved") == (IDLE, typed_at)
        await watching.close()
