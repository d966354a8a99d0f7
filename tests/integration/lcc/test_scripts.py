"""Each lifecycle script in a bare place without a network: the daemon comes up, and reaps.

They share one installation, which takes a good ten seconds of computing: the first to run makes it.
"""

import asyncio
from pathlib import Path

import pytest

from reaper.cli.lcc import Target
from tests.integration.lcc.place import Built, Place
from tests.support.jupyter_server import JupyterServer, wait_until

pytestmark = pytest.mark.xdist_group("lcc")


@pytest.fixture
def ready(place: Place, server: JupyterServer, installed: Path) -> Place:
    """A place where the server is found, and the program may be there already."""
    place.watching(server)
    place.folder = installed
    return place


async def reaps(place: Place, server: JupyterServer, kernel_id: str) -> None:
    """See the daemon answer and the kernel go."""
    await place.status()

    async def gone() -> bool:
        return kernel_id not in {model["id"] for model in await server.get("api/kernels")}

    await wait_until(gone, what=f"the end of the kernel\n{place.log[-3000:]}", deadline_s=60)


async def test_jupyter_server_with_the_python_of_the_bundle(ready, built: Built, server):
    """Studio Classic has no Python that is new enough: it comes along, and those that are there are not touched."""
    kernel_id = await server.idle_kernel()
    said = ready.run(ready.script(Target.JUPYTER_SERVER, built.path, built.sha256))
    assert f"its log is {ready.folder}/reaper.log" in said
    await reaps(ready, server, kernel_id)
    assert not (ready.folder / "bundle.tar.gz").exists(), "what was fetched is not left lying about"
    assert not (ready.folder / "unpacked").exists()
    if built.packs:
        running = Path(ready.daemon().exe()).resolve()
        assert running.is_relative_to(ready.folder / "venv/python")


async def test_jupyterlab_and_a_second_run(ready, built: Built, server):
    kernel_id = await server.idle_kernel()
    script = ready.script(Target.JUPYTERLAB, built.path, built.sha256)
    ready.run(script)
    await reaps(ready, server, kernel_id)
    daemon = ready.daemon()
    ready.run(script)
    ready.says("runs already")
    assert ready.daemon() == daemon
    assert "REAPER_IDLE_TIMEOUT" in await asyncio.to_thread(ready.command, "config", "show")


async def test_code_editor(ready, built: Built, server):
    kernel_id = await server.idle_kernel()
    ready.run(ready.script(Target.CODE_EDITOR, built.path, built.sha256))
    await reaps(ready, server, kernel_id)


async def test_a_notebook_instance_without_systemd(ready, built: Built, server):
    """A daemon that was killed comes back; one that was stopped does not."""
    ready.run(ready.script(Target.NOTEBOOK_INSTANCE, built.path, built.sha256))
    await ready.status()
    first = ready.daemon()
    first.kill()
    ready.says("daemon ended with status 137; started again in 2 s")
    kernel_id = await server.idle_kernel()
    await reaps(ready, server, kernel_id)
    second = ready.daemon()
    assert second.pid != first.pid
    second.terminate()
    assert ready.ended().endswith("Z stopped\n")
    assert not (ready.folder / "lock").is_symlink()
