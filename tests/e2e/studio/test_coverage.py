"""`reaper coverage` and `reaper iam` as commands, against the Studio fake: what they print, and how they end."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import pytest

from reaper.clients.studio.heartbeat import Heartbeat, write_heartbeat
from reaper.testing.studio import Studio, running_studio
from tests.stories.daemons import command

pytestmark = pytest.mark.xdist_group("studio")


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    """Ann is covered, bob is not."""
    async with running_studio() as fake:
        for name in ("ann", "bob"):
            created_at = fake.now() - timedelta(hours=5)
            server = fake.add_app(name, app_type="JupyterServer", created_at=created_at)
            fake.add_app(name, f"{name}-app", created_at=created_at)
            if name == "ann":
                beat = Heartbeat(version="0.3.0", idle_timeout=None, at=fake.now(), mode="enforce")
                server.tags["reaper:heartbeat"] = write_heartbeat(beat)
        yield fake


@pytest.fixture
def environ(studio: Studio, own_home) -> Mapping[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(own_home), **studio.environment}


async def test_how_many_are_uncovered(environ, studio, own_home):
    """The table; then JSON and a message; then what nobody may see."""
    status, said = await command(environ, "coverage")
    assert status == 1, said
    assert "2 user profiles and spaces, 1 uncovered, 1 covered" in said
    told = own_home / "told.json"
    teller = own_home / "tell"
    teller.write_text(f"#!/bin/sh\ncat >> {told}\n")
    teller.chmod(0o700)
    notify = {**environ, "REAPER_NOTIFY": f"command:{teller}"}
    status, said = await command(notify, "coverage", "--notify", "--output", "json", "--exit-status", "zero")
    assert status == 0, said
    document = json.loads(said)
    assert {one["name"]: one["coverage"] for one in document["owners"]} == {
        "ann": "covered",
        "bob": "uncovered",
    }
    notice = json.loads(told.read_text())  # one message
    assert (notice["topic"], "bob" in notice["text"]) == ("uncovered", True)
    studio.fail("ListTags", "AccessDeniedException", times=None)
    status, said = await command(environ, "coverage", "--output", "json")
    assert (status, json.loads(said)["totals"]["unknown"]) == (101, 2)
    studio.fail("ListDomains", "AccessDeniedException", times=None)
    assert (await command(environ, "coverage"))[0] == 100


async def test_what_is_configured_wrongly(environ):
    assert (await command(environ, "coverage", "--notify"))[0] == 103
    assert (await command({**environ, "REAPER_MODE": "perhaps"}, "coverage"))[0] == 103
    homeless = {name: value for name, value in environ.items() if "REGION" not in name}
    assert (await command(homeless, "coverage"))[0] == 103


async def test_a_policy_needs_no_credentials(own_home):
    status, said = await command({"PATH": "/usr/bin:/bin", "HOME": str(own_home)}, "iam", "--for", "coverage")
    assert status == 0, said
    assert json.loads(said)["Version"] == "2012-10-17"
