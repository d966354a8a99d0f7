"""Each lifecycle script in a bare place without a network: the daemon comes up, and reaps."""

import asyncio
from pathlib import Path

import pytest

from reaper.cli.lcc import Target
from tests.integration.lcc.place import Built, Place
from tests.support.jupyter_server import JupyterServer, wait_until

pytestmark = pytest.mark.xdist_group("lcc")


async def reaps(place: Place, server: JupyterServer, kernel_id: str) -> None:
    """See the daemon answer and the kernel go."""
    status = await place.status()
    assert status["mode"] == "enforce"

    async def gone() -> bool:
        return kernel_id not in {model["id"] for model in await server.get("api/kernels")}

    await wait_until(gone, what=f"the end of the kernel\n{place.log[-3000:]}")


async def test_jupyter_server_with_the_python_of_the_bundle(place, packed: Built, server):
    """Studio Classic has no Python that is new enough: it comes along. The wrong one on PATH is not touched."""
    place.watching(server)
    kernel_id = await server.idle_kernel()
    said = place.run(place.script(Target.JUPYTER_SERVER, packed.path, packed.sha256))
    assert f"its log is {place.folder}/reaper.log" in said
    await reaps(place, server, kernel_id)
    home = (place.folder / "venv/pyvenv.cfg").read_text()
    assert f"home = {place.folder}/venv/python/bin\n" in home
    running = Path(place.daemon().exe()).resolve()
    assert running.is_relative_to(place.folder / "venv/python")


async def test_jupyterlab_and_a_second_run(place, built: Built, server, installed: Path):
    place.watching(server)
    place.folder = installed
    kernel_id = await server.idle_kernel()
    script = place.script(Target.JUPYTERLAB, built.path, built.sha256)
    place.run(script)
    await reaps(place, server, kernel_id)
    daemon = place.daemon()
    place.run(script)
    place.says("runs already")
    assert place.daemon() == daemon
    assert not list(place.folder.glob("bundle.tar.gz")), "what was fetched is not left lying about"
    assert "idle" in await asyncio.to_thread(place.command, "config", "show")


async def test_code_editor_from_s3(place, built: Built, server, installed: Path, tmp_path):
    """The aws command is one that copies; what it was asked for is what was rendered."""
    place.watching(server)
    place.folder = installed
    aws = tmp_path / "aws"
    aws.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\nexec cp {built.path} "$5"\n')
    aws.chmod(0o755)
    place.path = f"{tmp_path}:{place.path}"
    (place.folder / "installed").unlink(missing_ok=True)
    kernel_id = await server.idle_kernel()
    place.run(place.script(Target.CODE_EDITOR, "s3://bucket/bundle.tar.gz", built.sha256))
    await reaps(place, server, kernel_id)
    asked = (tmp_path / "asked").read_text()
    assert asked == f"s3 cp --only-show-errors s3://bucket/bundle.tar.gz {place.folder}/bundle.tar.gz\n"


async def test_a_notebook_instance_without_systemd(place, built: Built, server, installed: Path):
    """A daemon that was killed comes back; one that was stopped does not."""
    place.watching(server)
    place.folder = installed
    place.run(place.script(Target.NOTEBOOK_INSTANCE, built.path, built.sha256))
    await place.status()
    first = place.daemon()
    first.kill()
    place.says("daemon ended with status 137; started again in 2 s")
    kernel_id = await server.idle_kernel()
    await reaps(place, server, kernel_id)
    second = place.daemon()
    assert second.pid != first.pid
    second.terminate()
    assert place.ended().endswith("Z stopped\n")
    assert not (place.folder / "lock").is_symlink()
