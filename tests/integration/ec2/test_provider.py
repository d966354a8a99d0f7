"""Which accounts and regions are sources, and what becomes of the others where one can't be reached."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from reaper.clients.aws import AwsOptions
from reaper.clients.aws.scopes import OrganizationOptions, ScopeOptions
from reaper.plugins import Look, Sources
from reaper.providers.ec2 import Ec2Provider
from reaper.testing import FakeClock
from reaper.testing.ec2 import Fleet
from tests.integration.ec2.watching import options
from tests.integration.studio.watching import made_models
from tests.support.ec2 import fixture_clock, fixture_fleet

__all__ = ["fixture_clock", "fixture_fleet"]

HOME = "123456789012"
OTHER = "222222222222"
ROLE = "arn:aws:iam::222222222222:role/reaper"

Make = Callable[..., Ec2Provider]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    made_models(folder)
    return folder


@pytest.fixture
async def make(clock: FakeClock, fleet: Fleet, cache: Path) -> AsyncIterator[Make]:
    made: list[Ec2Provider] = []

    def one(**scopes: Any) -> Ec2Provider:
        given = options(scopes=ScopeOptions(**scopes), aws=AwsOptions(attempts=1, cache=cache))
        made.append(Ec2Provider(given, clock))
        return made[-1]

    yield one
    for provider in made:
        await provider.close()


async def discover(provider: Ec2Provider, clock: FakeClock) -> Sources:
    return await provider.discover(clock.now(), {})


def names(found: Sources) -> list[str]:
    return [source.name for source in found.sources]


async def looked(found: Sources, clock: FakeClock) -> dict[str, bool]:
    """Look at every source, and tell which looks were complete."""
    look = Look(poll_id=1, at=clock.now(), deadline=20.0)
    return {source.name: (await source.collect(look)).poll.complete for source in found.sources}


async def test_a_region_is_a_source(make: Make, clock: FakeClock) -> None:
    provider = make(regions=("us-east-1", "eu-west-1"))
    found = await discover(provider, clock)
    assert sorted(names(found)) == [f"ec2:{HOME}/eu-west-1", f"ec2:{HOME}/us-east-1"]
    assert (found.complete, found.problems, sorted(found.required)) == (True, (), sorted(names(found)))
    again = await discover(provider, clock)
    assert [id(one) for one in again.sources] == [id(one) for one in found.sources]


async def test_a_role_that_is_denied_hides_no_other_account(
    make: Make, fleet: Fleet, clock: FakeClock
) -> None:
    fleet.add_account(OTHER, role="reaper")
    fleet.add("m5.large", "box")
    fleet.deny("AssumeRole")
    found = await discover(make(regions=("us-east-1",), roles=(ROLE,)), clock)
    assert (found.complete, any(OTHER in problem for problem in found.problems)) == (False, True)
    complete = await looked(found, clock)
    assert complete[f"ec2:{HOME}/us-east-1"] is True
    assert all(not whole for name, whole in complete.items() if OTHER in name)


async def test_a_role_with_its_external_id(make: Make, fleet: Fleet, clock: FakeClock) -> None:
    fleet.add_account(OTHER, role="reaper", external_id="fleet-4711")
    box = fleet.add("m5.large", "theirs", account=OTHER)
    provider = make(regions=("us-east-1",), roles=(ROLE,), external_id="fleet-4711")
    found = await discover(provider, clock)
    (theirs,) = [source for source in found.sources if OTHER in source.name]
    seen = await theirs.collect(Look(poll_id=1, at=clock.now(), deadline=20.0))
    assert [resource.ref.id for resource in seen.resources] == [box.id]


async def test_an_account_that_may_refuse_is_no_failure(make: Make, fleet: Fleet, clock: FakeClock) -> None:
    fleet.add_account(OTHER, role="reaper")
    fleet.deny("AssumeRole")
    organization = OrganizationOptions(expect_denied=(OTHER,))
    provider = make(regions=("us-east-1",), roles=(ROLE,), organization=organization)
    found = await discover(provider, clock)
    assert (found.complete, found.problems, names(found)) == (True, (), [f"ec2:{HOME}/us-east-1"])
    (source,) = found.sources
    seen = await source.collect(Look(poll_id=1, at=clock.now(), deadline=20.0))
    assert any(OTHER in note for note in seen.notes)


async def test_a_region_that_is_turned_off_fails_alone(make: Make, fleet: Fleet, clock: FakeClock) -> None:
    fleet.disable_region("eu-west-1")
    found = await discover(make(regions=("us-east-1", "eu-west-1")), clock)
    assert await looked(found, clock) == {f"ec2:{HOME}/eu-west-1": False, f"ec2:{HOME}/us-east-1": True}


async def test_nobody_answers(make: Make, fleet: Fleet, clock: FakeClock) -> None:
    fleet.fail("GetCallerIdentity", "InternalFailure", times=None)
    found = await discover(make(regions=("us-east-1",)), clock)
    assert (found.sources, found.complete, len(found.problems)) == ((), False, 1)
