"""`reaper coverage` and `reaper iam` as commands, against the Studio fake: what they print, and how they end."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import pytest

from reaper import __version__
from reaper.clients.studio.heartbeat import Heartbeat, read_heartbeat, write_heartbeat
from reaper.testing.studio import Studio, resource_metadata, running_studio
from tests.integration.studio.watching import made_models
from tests.stories.daemons import command, daemon_process
from tests.support.jupyter_server import wait_until

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
                beat = Heartbeat(
                    version="0.3.0", idle_timeout=None, at=fake.now(), mode="enforce", door="server"
                )
                server.tags["reaper:heartbeat"] = write_heartbeat(beat)
        yield fake


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where trimmed service models are, made once."""
    made = tmp_path_factory.mktemp("cache")
    made_models(made / "reaper")
    return str(made)


@pytest.fixture
def environ(studio: Studio, own_home, cache: str) -> Mapping[str, str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(own_home), "XDG_CACHE_HOME": cache}
    return environment | studio.environment


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


async def test_a_daemon_reports_itself_and_what_is_set(studio, environ, own_home):
    """In a JupyterLab space, by SageMaker's API; the limit changed at run time is told at once."""
    lab = studio.add_app(studio.add_space("lab", "ann"), app_type="JupyterLab")
    metadata = own_home / "metadata.json"
    metadata.write_text(json.dumps(resource_metadata(lab)))
    settings = {
        "PRESET": "studio",
        "MODE": "enforce",
        "STUDIO__METADATA_FILE": str(metadata),
        "POLL_INTERVAL": "1s",
        "AWS__POLL_INTERVAL": "1s",
        "STATE": str(own_home / "journal.db"),
        "LISTEN": f"unix:{own_home}/reaper.sock",
        "JUPYTER__RUNTIME_DIRS": str(own_home),
    }
    inside = {**environ, **{f"REAPER_{name}": value for name, value in settings.items()}}
    log = own_home / "log"

    async def told(limit: timedelta) -> bool:
        value = lab.tags.get("reaper:heartbeat")
        return value is not None and read_heartbeat(value).idle_timeout == limit

    async with daemon_process(inside, log):
        await wait_until(
            lambda: told(timedelta(hours=2)), what=f"a heartbeat; {log.read_text()}", deadline_s=60
        )
        status, said = await command(inside, "set", "idle-timeout", "90m")
        assert status == 0, said
        await wait_until(lambda: told(timedelta(minutes=90)), what="the limit that was set", deadline_s=30)
    beat = read_heartbeat(lab.tags["reaper:heartbeat"])
    assert (beat.version, beat.mode, beat.door) == (__version__, "enforce", "api")
    _, said = await command(environ, "coverage", "--output", "json")
    (one,) = [one for one in json.loads(said)["owners"] if one["name"] == "lab"]
    assert (one["coverage"], one["idle_timeout_s"]) == ("covered", 5400.0)


async def test_what_is_configured_wrongly(environ):
    assert (await command(environ, "coverage", "--notify"))[0] == 103
    assert (await command({**environ, "REAPER_MODE": "perhaps"}, "coverage"))[0] == 103
    homeless = {name: value for name, value in environ.items() if "REGION" not in name}
    assert (await command(homeless, "coverage"))[0] == 103


async def test_a_policy_needs_no_credentials(own_home):
    status, said = await command({"PATH": "/usr/bin:/bin", "HOME": str(own_home)}, "iam", "--for", "coverage")
    assert status == 0, said
    assert json.loads(said)["Version"] == "2012-10-17"
