"""`reaper run` on a notebook instance: its kernels go, then it stops itself; work keeps it. Real kernels.

Other tests' processes are on this host too, so its `process` signal is set to see nothing of any of them. What it sees
is told by the stories w3 and w4 (`tests/stories/workplaces.py`), on an instance in a container of its own.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from reaper.core.facts import ActionState
from reaper.testing.studio import NotebookInstance, Studio, running_studio
from tests.stories.daemons import asked, daemon_process, environment, journaled
from tests.support.jupyter_server import JupyterServer, running_jupyter_async, wait_until

TIMEOUT_S = 6
BLIND = {
    "JUPYTER__PROCESS__CORE": "1000",
    "JUPYTER__PROCESS__TREE_CORE": "1000",
    "JUPYTER__PROCESS__IO": "1000GiB/s",
}


def on_the_instance(
    home: Path, server: JupyterServer, studio: Studio, box: NotebookInstance
) -> dict[str, str]:
    """Give a daemon's environment as the lifecycle script does: the preset is found by the metadata file."""
    metadata = home / "resource-metadata.json"
    metadata.write_text(json.dumps(box.metadata))
    settings = {
        "STUDIO__METADATA_FILE": str(metadata),
        "IDLE_TIMEOUT": f"{TIMEOUT_S}s",
        "POLL_INTERVAL": "3s",
        "AWS__POLL_INTERVAL": "3s",
        **BLIND,
    }
    return environment(home, server, **settings) | studio.environment


async def test_it_stops_itself_after_its_kernel_went_and_not_while_that_worked(
    tmp_path: Path, own_home: Path
) -> None:
    async with running_studio(deletes_in=timedelta(minutes=5)) as studio:
        box = studio.add_notebook_instance("Box", created_at=studio.now() - timedelta(days=9))
        async with running_jupyter_async(tmp_path / "jupyter") as server:
            session = await server.open_session("work.ipynb")
            log = own_home / "log"
            environ = on_the_instance(own_home, server, studio, box)
            await server.execute(session["kernel"]["id"], "import time; time.sleep(600)", wait=False)
            async with daemon_process(environ, log):

                async def kept() -> bool:
                    shown = await asked(environ, "explain?resource=Box")
                    return bool(shown) and _kept_by(shown["decision"], "work.ipynb")

                await wait_until(kept, what="it is kept by its kernel", deadline_s=60)
                assert box.status(studio.now()) == "InService", log.read_text()
                await server.request("POST", f"api/kernels/{session['kernel']['id']}/interrupt")

                async def stopped() -> bool:
                    return box.status(studio.now()) != "InService"

                await wait_until(stopped, what="it is stopped", deadline_s=90)
    assert len(studio.calls("StopNotebookInstance")) == 1
    ledger = (await journaled(own_home / "journal.db")).ledger
    begun = [entry.name for entry in ledger if entry.state is ActionState.STARTED]
    assert begun == ["work.ipynb", "Box"]


def _kept_by(decision: dict[str, Any], kernel: str) -> bool:
    children = [one["value"] for one in decision["evidence"] if one["signal"] == "children"]
    return decision["reason"] == "active" and kernel in "".join(children)
