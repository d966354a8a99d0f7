"""Botocore's clients of a running EC2 fake, for tests that look at it as AWS.

A test module gets the fixtures `clock`, `fleet` (on that clock) and `aws` by importing `fixture_clock`,
`fixture_fleet` and `fixture_aws`.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from reaper.testing import FakeClock
from reaper.testing.ec2 import Fleet, running_fleet
from tests.support.studio import Aws, fixture_clock, refused

__all__ = ["Aws", "fixture_aws", "fixture_clock", "fixture_fleet", "instances", "refused"]


@pytest.fixture(name="fleet")
async def fixture_fleet(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    async with running_fleet(clock) as fleet:
        for name, value in fleet.environment.items():
            monkeypatch.setenv(name, value)
        yield fleet


@pytest.fixture(name="aws")
async def fixture_aws(fleet: Fleet) -> AsyncIterator[Aws]:
    async with AsyncExitStack() as stack:
        yield Aws(stack)


async def instances(aws: Aws, **parameters: Any) -> dict[str, dict[str, Any]]:
    """Ask for instances, one page; give them by id."""
    answer = await aws("ec2", "describe_instances", **parameters)
    return {one["InstanceId"]: one for many in answer["Reservations"] for one in many["Instances"]}
