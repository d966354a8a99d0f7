"""Which regions are looked at, and that nothing is asked that no policy wants; a daemon made as `reaper run` does."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reaper.core.facts import ActionState
from reaper.plugins import Look, Sources
from reaper.providers.sagemaker import SagemakerOptions, SagemakerProvider
from reaper.testing import FakeClock, hours, minutes
from reaper.testing.studio import Studio, running_studio
from tests.stories.daemons import reaper_in_process
from tests.support.jupyter_server import wait_until
from tests.support.studio import fixture_clock, fixture_studio

__all__ = ["fixture_clock", "fixture_studio"]

KINDS = frozenset({"sagemaker.endpoint", "sagemaker.job"})


class Place:
    """A provider with its own cache of service models."""

    def __init__(self, folder: Path, clock: FakeClock, **options: Any) -> None:
        metadata = folder / "resource-metadata.json"
        self.clock = clock
        self.provider = SagemakerProvider(SagemakerOptions(metadata_file=metadata, **options), clock)

    async def discover(self) -> Sources:
        return await self.provider.discover(self.clock.now(), {})


async def names(place: Place) -> list[str]:
    return [source.name for source in (await place.discover()).sources]


@pytest.fixture
async def place(own_home: Path, clock: FakeClock, studio: Studio) -> AsyncIterator[Place]:
    one = Place(own_home, clock, kinds=KINDS)
    yield one
    await one.provider.close()


async def test_the_region_of_the_environment(place: Place, studio: Studio) -> None:
    found = await place.discover()
    assert [source.name for source in found.sources] == [
        "sagemaker:123456789012/us-east-1/endpoints",
        "sagemaker:123456789012/us-east-1/jobs",
    ]
    assert (found.complete, found.problems) == (True, ())
    assert [request.operation for request in studio.requests] == ["GetCallerIdentity"]
    again = await place.discover()
    assert [a is b for a, b in zip(again.sources, found.sources, strict=True)] == [True, True]
    assert len(studio.requests) == 1


async def test_regions_by_name_and_only_what_a_policy_is_about(
    own_home: Path, clock: FakeClock, studio: Studio
) -> None:
    regions = ("eu-west-1", "us-east-1", "eu-west-1")
    place = Place(own_home, clock, kinds=frozenset({"sagemaker.job"}), regions=regions)
    assert await names(place) == [
        "sagemaker:123456789012/eu-west-1/jobs",
        "sagemaker:123456789012/us-east-1/jobs",
    ]
    studio.add_job("training-job", "far", region="eu-west-1")
    (source, _) = (await place.discover()).sources
    seen = await source.collect(Look(poll_id=1, at=clock.now(), deadline=60))
    assert [(one.name, one.ref.scope) for one in seen.resources] == [("far", "123456789012/eu-west-1")]
    await place.provider.close()


@pytest.mark.parametrize("code", ["ExpiredTokenException", "ThrottlingException"])
async def test_who_we_are_is_asked_again_where_there_was_no_answer(
    place: Place, studio: Studio, code: str
) -> None:
    """What was watched before a restart has not ended for that."""
    studio.fail("GetCallerIdentity", code, times=None)
    found = await place.discover()
    assert (found.sources, found.complete, found.required) == ((), False, ())
    assert "GetCallerIdentity" in found.problems[0]
    studio.heal()
    assert len(await names(place)) == 2


async def test_without_a_region_it_says_what_to_set(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable)
    found = await place.discover()
    assert (found.sources, found.complete) == ((), False)
    assert "REAPER_AWS__REGIONS" in found.problems[0]


POLICIES = """
[[policies]]
name = "quiet-endpoints"
kind = "sagemaker.endpoint"
rule = "idle"
timeout = "6h"
action = "delete"

[[policies]]
name = "endless-jobs"
kind = "sagemaker.job"
rule = "age"
timeout = "72h"
action = "stop"
"""


async def test_a_daemon_ends_what_its_policies_say(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint nobody invokes, a job of four days; what is used, young or protected stays."""
    async with running_studio(deletes_in=minutes(5)) as studio:
        for name, value in studio.environment.items():
            monkeypatch.setenv(name, value)
        now = studio.now()
        for name in ("quiet", "used", "kept"):
            studio.add_endpoint(name, created_at=now - timedelta(days=9))
        quiet, used, kept = studio.endpoints
        studio.add_invocations(quiet, now - hours(30))
        studio.add_invocations(used, now - hours(2))
        kept.tags["reaper:protect"] = "demo on Friday"
        endless = studio.add_job("training-job", "endless", created_at=now - hours(96))
        young = studio.add_job("training-job", "young", created_at=now - hours(5))
        async with reaper_in_process(_environment(own_home)) as reaper:

            async def ended() -> bool:
                at = studio.now()
                return (quiet.status(at), endless.status(at)) == ("Deleting", "Stopping")

            await wait_until(ended, what="the quiet endpoint and the endless job go", deadline_s=90)
            await _two_more_looks(reaper, studio)
            ledger = await reaper.ledger()
        at = studio.now()
    assert [one.status(at) for one in (used, kept, young)] == ["InService", "InService", "InProgress"]
    assert {entry.name for entry in ledger if entry.state is ActionState.SUCCEEDED} == {"quiet", "endless"}
    assert (len(studio.calls("DeleteEndpoint")), len(studio.calls("StopTrainingJob"))) == (1, 1)


async def _two_more_looks(reaper: Any, studio: Studio) -> None:
    before = len(studio.calls("ListEndpoints"))

    async def looked() -> bool:
        reaper.look_now()
        return len(studio.calls("ListEndpoints")) >= before + 2

    await wait_until(looked, what="two more looks", deadline_s=60)


def _environment(home: Path) -> dict[str, str]:
    config = home / "reaper.toml"
    config.write_text(POLICIES)
    settings = {
        "CONFIG": str(config),
        "MODE": "enforce",
        "PRESET": "jupyter",
        "APPLY_GRACE": "1s",
        "START_GRACE": "0s",
        "POLL_INTERVAL": "2s",
        "AWS__POLL_INTERVAL": "2s",
        "STATE": "memory:",
        "LISTEN": f"unix:{home}/reaper.sock",
        "JUPYTER__RUNTIME_DIRS": str(home),
    }
    return {f"REAPER_{name}": value for name, value in settings.items()} | {"HOME": str(home)}
