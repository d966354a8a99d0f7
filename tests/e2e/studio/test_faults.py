"""What is wrong with AWS or with the metadata file, as people see it: said, survived, and never a reason to reap."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reaper.core.facts import ActionState
from reaper.plugins import Caller
from reaper.testing.studio import App, Studio, resource_metadata, running_studio
from tests.stories.daemons import Reaper, reaper_in_process
from tests.stories.waiting import patiently
from tests.support.jupyter_server import wait_until

pytestmark = pytest.mark.xdist_group("studio")

HOUR = timedelta(hours=1)


class Told:
    """What a daemon tells people."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper

    async def status(self, says: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Wait until the status says something; give it."""

        async def told() -> dict[str, Any] | None:
            status: dict[str, Any] = await self._reaper.control.status()
            return status if says(status) else None

        found = await wait_until(told, what=what, deadline_s=60)
        assert found is not None
        return found

    async def explained(self, verdict: str, reason: str) -> str:
        """Wait until Canvas' app is explained so; give the words."""
        found: dict[str, Any] = {}

        async def said() -> bool:
            nonlocal found
            found = (await self._reaper.control.explain("default"))["decision"]  # type: ignore[assignment]
            return (found["verdict"], found["reason"]) == (verdict, reason)

        await patiently(said, deadline_s=60)
        assert (found["verdict"], found["reason"]) == (verdict, reason), found["reason_text"]
        return str(found["reason_text"])


_SOMEBODY = Caller(who="ann", details={})


async def _deleted(studio: Studio, app: App) -> None:
    async def deleted() -> bool:
        return app.status(studio.now()) == "Deleted"

    await wait_until(deleted, what="the app is deleted", deadline_s=60)


def _failing(error: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: any(error in str(one["error"]) for one in status["sources"])


async def test_nothing_goes_while_something_is_wrong_and_each_thing_is_named(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A malformed metadata file, expired credentials, throttling; and two users' apps of one name."""
    async with running_studio(boots_in=timedelta(0), deletes_in=timedelta(0)) as studio:
        for name, value in studio.environment.items():
            monkeypatch.setenv(name, value)
        here = studio.add_app("ann", app_type="JupyterServer")
        long_ago = studio.now() - 2 * HOUR
        anns, bobs = (studio.add_app(who, app_type="Canvas", created_at=long_ago) for who in ("ann", "bob"))
        for app in (anns, bobs):
            studio.add_canvas_activity(app, studio.now(), HOUR)
        metadata = own_home / "resource-metadata.json"
        metadata.write_text('{"AppType": "JupyterServer", "Dom')
        settings = {
            "MODE": "enforce",
            "PRESET": "studio",
            "IDLE_TIMEOUT": "10h",
            "APPLY_GRACE": "1s",
            "START_GRACE": "0s",
            "POLL_INTERVAL": "1s",
            "AWS__POLL_INTERVAL": "1s",
            "STUDIO__APPS": "api",
            "STUDIO__METADATA_FILE": str(metadata),
            "LISTEN": f"unix:{own_home}/reaper.sock",
        }
        environ = {f"REAPER_{name}": value for name, value in settings.items()} | {"HOME": str(own_home)}
        async with reaper_in_process(environ) as reaper:
            told = Told(reaper)
            await told.status(lambda one: str(metadata) in str(one["problems"]), "the file is named")
            studio.fail("ListApps", "ExpiredTokenException", times=None)
            metadata.write_text(json.dumps(resource_metadata(here)))
            await told.status(_failing("the AWS credentials have expired"), "who must sign in again")
            studio.heal()
            await told.explained("wait", "idle_not_long_enough")

            studio.fail("ListApps", "ThrottlingException", times=None)
            await told.status(_failing("throttled"), "the throttling is named")
            await reaper.control.change_setting({"name": "idle-timeout", "value": "30m"}, _SOMEBODY)
            said = await told.explained("unknown", "source_failing")
            assert "throttled" in said
            assert studio.calls("DeleteApp") == [], "it is due by all that was known of it"

            studio.heal()
            await _deleted(studio, anns)
            begun = [entry for entry in await reaper.ledger() if entry.state is ActionState.STARTED]
        now = studio.now()
        assert (anns.status(now), bobs.status(now)) == ("Deleted", "InService")
        assert [call["UserProfileName"] for call in studio.calls("DeleteApp")] == ["ann"]
        assert [entry.ref.id for entry in begun] == [f"{anns.domain.id}/ann/Canvas/default"]
