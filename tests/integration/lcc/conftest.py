"""A bundle built by the real builder, a server with kernels to reap, and a bare place to run a script in."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.integration.lcc.place import Built, Place
from tests.support.jupyter_server import JupyterServer, running_jupyter

ROOT = Path(__file__).parents[3]

_SYSTEM = Path("/usr/bin") / "python{}.{}".format(*sys.version_info)
"""Debian's Python runs from anywhere: it can be packed. Others are not known to."""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Run the builder as `make bundle` does, with a Python in it where there is one to pack.

    Once: the wheels are fetched by the first run of all and stay in .cache, but pip takes its time.
    """
    out = tmp_path_factory.mktemp("bundle")
    packs = _SYSTEM.exists() and Path("/etc/debian_version").exists()
    done = subprocess.run(
        [sys.executable, "-m", "lcc.bundle", "--out", str(out), *(["--pack", str(_SYSTEM)] if packs else [])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said, digest = done.stdout.splitlines()
    path = Path(said.partition(" (")[0])
    return Built(path=path, sha256=digest.removeprefix("SHA-256 "), packs=packs)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server on a unix socket: that can be reached from where there is no network."""
    with running_jupyter(tmp_path_factory.mktemp("jupyter"), unix_socket=True) as jupyter:
        yield jupyter


@pytest.fixture(scope="session")
def installed() -> Iterator[Path]:
    """A folder for all scripts that install the real thing: the first one does, the others find it there."""
    with TemporaryDirectory(prefix="reaper-", ignore_cleanup_errors=True) as name:
        yield Path(name) / "idle-reaper"


@pytest.fixture
def place(own_home: Path) -> Iterator[Place]:
    """A bare place, with whatever still runs in it ended afterwards."""
    place = Place(own_home)
    try:
        yield place
    finally:
        place.end()
