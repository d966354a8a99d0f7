"""Botocore's clients of a running Studio fake, for tests that look at it as AWS.

A test module gets the fixtures `clock`, `studio` (on that clock) and `aws` by importing `fixture_clock`,
`fixture_studio` and `fixture_aws`.
"""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from reaper.testing import FakeClock, minutes
from reaper.testing.studio import App, Studio, running_studio

__all__ = ["ONCE", "Aws", "aws_session", "fixture_aws", "fixture_clock", "fixture_studio", "key", "refused"]

ONCE = AioConfig(retries={"total_max_attempts": 1}, read_timeout=3)
"""No second try, and no long wait for what never comes."""

_LOADER = get_session().get_component("data_loader")


def aws_session() -> Any:
    """Make a session that shares what others have read of the service models: half a second a client."""
    session = get_session()
    session.register_component("data_loader", _LOADER)
    return session


class Aws:
    """Clients, made when they are needed: `await aws("sagemaker", "list_apps", MaxResults=100)`."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._clients: dict[tuple[str, str | None], Any] = {}

    async def __call__(
        self, service: str, operation: str, *, region: str | None = None, **kwargs: Any
    ) -> Any:
        """Call an operation; give its answer without the metadata."""
        place = (service, region)
        if place not in self._clients:
            context = aws_session().create_client(service, region_name=region, config=ONCE)
            self._clients[place] = await self._stack.enter_async_context(context)
        answer = await getattr(self._clients[place], operation)(**kwargs)
        del answer["ResponseMetadata"]
        return answer


def key(app: App) -> dict[str, str]:
    """Name a user profile's app as its operations want it."""
    return {
        "DomainId": app.domain.id,
        "UserProfileName": app.owner.name,
        "AppType": app.type,
        "AppName": app.name,
    }


async def refused(call: Awaitable[Any]) -> tuple[str, str]:
    """Give the code and the message of the error that a call must answer."""
    with pytest.raises(ClientError) as caught:
        await call
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture(name="clock")
def fixture_clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="studio")
async def fixture_studio(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Studio]:
    async with running_studio(clock, boots_in=minutes(2), deletes_in=minutes(5)) as studio:
        for name, value in studio.environment.items():
            monkeypatch.setenv(name, value)
        yield studio


@pytest.fixture(name="aws")
async def fixture_aws(studio: Studio) -> AsyncIterator[Aws]:
    async with AsyncExitStack() as stack:
        yield Aws(stack)
