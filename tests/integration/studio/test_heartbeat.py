"""The heartbeat that a reaper leaves on its own app, on the Studio fake."""

from collections.abc import AsyncIterator

import pytest

from reaper import __version__
from reaper.clients.aws import Models
from reaper.clients.studio.heartbeat import Heartbeat, read_heartbeat
from reaper.plugins import Look
from reaper.providers.studio.options import Standing
from reaper.testing import FakeClock, hours, minutes
from reaper.testing.studio import Studio
from tests.integration.studio.watching import Watching, made_models
from tests.support.studio import fixture_clock, fixture_studio

__all__ = ["fixture_clock", "fixture_studio"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return made_models(tmp_path_factory.mktemp("cache"))


class Reaper(Watching):
    """A reaper in ann's JupyterServer app, in dry run, with a limit that can be changed."""

    def __init__(self, clock: FakeClock, studio: Studio, models: Models) -> None:
        self.inside = studio.add_app("ann", app_type="JupyterServer")
        self.in_force = Standing(mode="dry-run", idle_timeout=hours(2))
        super().__init__(clock, self.inside, models, standing=lambda: self.in_force)

    @property
    def left(self) -> Heartbeat:
        """What it has left on its app."""
        return read_heartbeat(self.inside.tags["reaper:heartbeat"])


@pytest.fixture
async def reaper(clock: FakeClock, studio: Studio, models: Models) -> AsyncIterator[Reaper]:
    one = Reaper(clock, studio, models)
    yield one
    await one.close()


async def test_at_its_start_in_dry_run_too(reaper: Reaper, studio: Studio) -> None:
    seen = await reaper.look()
    assert seen.poll.complete
    assert seen.notes == ()
    assert reaper.left == Heartbeat(
        version=__version__,
        idle_timeout=hours(2),
        at=reaper.clock.now().replace(microsecond=0),
        mode="dry-run",
        door="api",
    )
    (call,) = studio.calls("AddTags")
    assert [tag["Key"] for tag in call["Tags"]] == ["reaper:heartbeat"]


async def test_then_once_an_hour(reaper: Reaper, studio: Studio) -> None:
    for _ in range(125):
        await reaper.look(minutes(1))
    assert len(studio.calls("AddTags")) == 3
    assert reaper.clock.now() - reaper.left.at < hours(1)


async def test_a_changed_limit_is_told_at_once(reaper: Reaper, studio: Studio) -> None:
    await reaper.look()
    reaper.in_force = Standing(mode="enforce", idle_timeout=minutes(90))
    await reaper.look()
    assert (reaper.left.mode, reaper.left.idle_timeout) == ("enforce", minutes(90))
    assert len(studio.calls("AddTags")) == 2


async def test_denied_it_is_noted_and_the_look_is_whole(reaper: Reaper, studio: Studio) -> None:
    studio.fail("AddTags", "AccessDeniedException", times=None)
    studio.add_app("ann", "data-science")
    looks = [await reaper.look() for _ in range(60)]
    assert all(seen.poll.complete and len(seen.resources) == 1 for seen in looks)
    assert len({note for seen in looks for note in seen.notes}) == 1, "logged once"
    assert "'reaper coverage' can't see this reaper" in looks[0].notes[0]
    assert "the role needs sagemaker:AddTags" in looks[0].notes[0]
    assert 5 <= len(studio.calls("AddTags")) <= 7, "tried again after 1, 2, 4, 8 ... minutes"
    studio.heal()
    seen = await reaper.look(hours(1))
    assert seen.notes == ()
    assert reaper.left.at == reaper.clock.now().replace(microsecond=0)


async def test_one_failure_is_told_to_nobody(reaper: Reaper, studio: Studio) -> None:
    studio.drop("AddTags")
    assert (await reaper.look()).notes == ()
    assert (await reaper.look(minutes(1))).notes == ()
    assert reaper.left.mode == "dry-run"


async def test_a_look_that_fails_does_not_keep_it_back(reaper: Reaper, studio: Studio) -> None:
    studio.fail("ListApps", "ThrottlingException", times=None)
    assert not (await reaper.look()).poll.complete
    assert reaper.left.version == __version__


async def test_right_before_an_act_nothing_waits_for_it(reaper: Reaper, studio: Studio) -> None:
    await reaper.source.collect(Look(poll_id=1, at=reaper.clock.now(), deadline=60.0, refs=()))
    assert studio.calls("AddTags") == []


async def test_a_clock_that_is_set_back_does_not_stop_it(reaper: Reaper, studio: Studio) -> None:
    await reaper.look()
    reaper.clock.jump(-hours(30))
    await reaper.look()
    assert len(studio.calls("AddTags")) == 2


async def test_an_app_that_sagemaker_does_not_know_is_noted(reaper: Reaper, studio: Studio) -> None:
    studio.apps.remove(reaper.inside)
    assert "/ann/jupyterserver/default does not exist" in (await reaper.look()).notes[0]


async def test_where_nobody_says_what_is_in_force_there_is_none(
    clock: FakeClock, studio: Studio, models: Models
) -> None:
    watching = Watching(clock, studio.add_app("ann", app_type="JupyterServer"), models)
    await watching.look()
    await watching.close()
    assert studio.calls("AddTags") == []
