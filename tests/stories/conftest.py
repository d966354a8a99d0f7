"""The plays of the stories: each runs once in a session, on one worker, and the tests ask what came of it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest

from tests.stories.cluster import Cluster, play_cluster
from tests.stories.gpus import Gpus, play_gpus
from tests.stories.house import House, play_house
from tests.stories.night import Night, play_night
from tests.stories.restarts import Restarts, play_restarts
from tests.stories.studio import Classic, play_classic
from tests.stories.travel import Travel, play_travel
from tests.stories.workplaces import Workplace, play_workplaces

T = TypeVar("T")


def _played(play: Callable[[Path, Path], Awaitable[T]], factory: pytest.TempPathFactory) -> T:
    async def run(home: str) -> T:
        return await play(factory.mktemp("play"), Path(home))

    with TemporaryDirectory(prefix="reaper-", ignore_cleanup_errors=True) as home:  # short: for unix sockets
        return asyncio.run(run(home))


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, _own_session_environment: None) -> House:
    return _played(play_house, tmp_path_factory)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, _own_session_environment: None) -> Cluster:
    return _played(play_cluster, tmp_path_factory)


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory, _own_session_environment: None) -> Night:
    return _played(play_night, tmp_path_factory)


@pytest.fixture(scope="session")
def travel(tmp_path_factory: pytest.TempPathFactory, _own_session_environment: None) -> Travel:
    return _played(play_travel, tmp_path_factory)


@pytest.fixture(scope="session")
def restarts(tmp_path_factory: pytest.TempPathFactory, _own_session_environment: None) -> Restarts:
    return _played(play_restarts, tmp_path_factory)


@pytest.fixture(scope="session")
def gpus(tmp_path_factory: pytest.TempPathFactory, _own_session_environment: None) -> Gpus:
    return _played(play_gpus, tmp_path_factory)


@pytest.fixture(scope="session")
def classic(tmp_path_factory: pytest.TempPathFactory, _own_session_environment: None) -> Classic:
    return _played(play_classic, tmp_path_factory)


@pytest.fixture(scope="session")
def workplaces(
    tmp_path_factory: pytest.TempPathFactory, _own_session_environment: None
) -> dict[str, Workplace]:
    return _played(play_workplaces, tmp_path_factory)
