"""`reaper run` beside a Studio Classic JupyterServer: kernels, then their app; work keeps its app. Real kernels."""

import json
import os
from pathlib import Path

import pytest

from reaper.clients.studio.heartbeat import read_heartbeat
from reaper.core.facts import ActionState
from reaper.testing.studio import running_studio, running_studio_server
from tests.stories.cells import SILENT
from tests.stories.daemons import command, daemon_process, journaled
from tests.support.jupyter_server import wait_until

pytestmark = pytest.mark.xdist_group("studio")


def environment(home: Path, folder: Path, metadata: Path, **more: str) -> dict[str, str]:
    settings = {
        "MODE": "enforce",
        "PRESET": "studio",
        "STUDIO__METADATA_FILE": str(metadata),
        "IDLE_TIMEOUT": "8s",
        "APPLY_GRACE": "1s",
        "START_GRACE": "0s",
        "POLL_INTERVAL": "3s",
        "LOG_FORMAT": "json",
        "STATE": str(home / "journal.db"),
        "LISTEN": f"unix:{home}/reaper.sock",
        "JUPYTER__RUNTIME_DIRS": str(folder),
    }
    return {f"REAPER_{name}": value for name, value in settings.items()} | more


async def test_an_app_goes_after_its_kernels_and_one_at_work_stays(tmp_path, own_home):
    async with running_studio(boots_in=None, deletes_in=None) as studio:
        domain = studio.add_domain("d-team")
        ann = studio.add_user("ann", domain)
        idle, busy, empty = (studio.add_app(ann, name=name) for name in ("idle-app", "busy-app", "empty-app"))
        async with running_studio_server(studio, tmp_path, ann, app_type="JupyterServer") as server:
            await server.open_notebook("idle.ipynb", idle)
            model = await server.open_notebook("busy.ipynb", busy)
            await server.execute(model["kernel"]["id"], SILENT, wait=False)
            await server.open_terminal(None)  # the system's own: never touched
            environ = server.environment | environment(own_home, server.runtime_dir, server.metadata_file)
            environ |= {"PATH": "/usr/bin:/bin", "HOME": str(own_home)}
            environ["XDG_CACHE_HOME"] = os.environ["XDG_CACHE_HOME"]
            log = own_home / "log"
            async with daemon_process(environ, log):

                async def gone() -> bool:
                    now = studio.now()
                    return all(app.status(now) != "InService" for app in (idle, empty))

                await wait_until(gone, what=f"both idle apps are gone; {log.read_text()}", deadline_s=60)
                code, shown = await command(environ, "explain", "busy-app", "--output", "json")
                assert code == 0, shown
                status = json.loads((await command(environ, "status", "--output", "json"))[1])
            assert busy.status(studio.now()) == "InService"
            listed = {one["name"] for one in await server.get("api/terminals")}
            reported = read_heartbeat(server.app.tags["reaper:heartbeat"])
    assert (reported.mode, reported.door) == ("enforce", "server")
    explained = json.loads(shown)["decision"]
    assert (explained["verdict"], explained["reason"]) == ("wait", "active")
    children = next(one for one in explained["evidence"] if one["signal"] == "children")
    assert "busy.ipynb" in children["value"]
    assert listed, "the system's terminal is still there"
    assert not [one for one in status["resources"] if one["kind"] == "jupyter.terminal"]
    ledger = (await journaled(own_home / "journal.db")).ledger
    begun = [entry.name for entry in ledger if entry.state is ActionState.STARTED]
    assert set(begun) == {"idle.ipynb", "idle-app", "empty-app"}
    assert begun.index("idle.ipynb") < begun.index("idle-app")
