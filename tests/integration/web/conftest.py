"""A daemon that is only a memory, and a client over a socket file."""

import pytest

from reaper.testing.control import FakeControl, resource_row
from tests.integration.web.serving import NOW, over_unix


@pytest.fixture
def control():
    rows = [
        resource_row("6f1c2b54", name="work/analysis.ipynb"),
        resource_row("6f99aaaa", name="train.ipynb"),
    ]
    return FakeControl(at=NOW, resources=rows, decisions={"d1": {"schema": 1, "decision": {"id": "d1"}}})


@pytest.fixture
async def client(control, own_home):
    async with over_unix(control, own_home / "reaper.sock") as session:
        yield session
