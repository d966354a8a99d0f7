"""w3: work outside every kernel's and terminal's tree, in a container of its own with real processes."""

import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.studio.container import InContainer, running_container

PYTHON = f"{sys.executable} -S -c"
TRAIN = f'{PYTHON} \'import os; print(os.getpid(), file=open("pid", "w"), flush=True)\nwhile True: sum(range(1000))\''
COPY = 'import time; f = open("/dev/zero", "rb", 0)\nwhile True: f.read(200_000); time.sleep(.1)'
UPLOAD = f"{PYTHON} '{COPY}'"
REST = f"{PYTHON} 'import time; time.sleep(9e9)'"


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InContainer]:
    monkeypatch.chdir(tmp_path)  # where what runs in it leaves its pid
    with running_container() as running:
        yield running


LEAVING = {
    "nohup": "nohup {} > /dev/null 2>&1 &",
    "setsid": "setsid {} > /dev/null 2>&1 < /dev/null &",
    "both": "nohup setsid {} > /dev/null 2>&1 < /dev/null &",
    "a subshell": "(({} > /dev/null 2>&1 < /dev/null) &)",
}


@pytest.mark.parametrize("way", LEAVING)
def test_training_outside_every_tree_is_seen(container: InContainer, way: str) -> None:
    """w3."""
    container.until("idle")
    container.person(LEAVING[way].format(TRAIN))
    assert "core" in container.until("active")
    container.person("kill $(cat pid)")
    container.until("idle")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_training_under_tmux_is_seen(container: InContainer) -> None:
    """w3."""
    container.until("idle")
    container.person(f"tmux -S tmux.sock new-session -d {shlex.quote(TRAIN)}")
    assert "core" in container.until("active")


def test_an_upload_that_takes_no_cpu_is_seen(container: InContainer) -> None:
    container.until("idle")
    container.person(f"setsid {UPLOAD} > /dev/null 2>&1 < /dev/null &")
    assert "KiB/s" in container.until("active")


def test_a_session_that_rests_is_not_work(container: InContainer) -> None:
    container.person(f"setsid {REST} > /dev/null 2>&1 < /dev/null &")
    assert "quiet" in container.until("idle")


def test_a_visitor_of_what_was_left_behind_is_seen(container: InContainer) -> None:
    container.until("idle", "peers")
    with socket.create_connection(("127.0.0.1", container.port)):  # an open tab of the app itself
        container.until("idle", "peers")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    serve = f'import socket; s = socket.create_server(("127.0.0.1", {port})); s.accept()[0].recv(1)'
    container.person(f"setsid {PYTHON} '{serve}' > /dev/null 2>&1 < /dev/null &")
    visitor = _connected(port)
    try:
        assert f"port {port}" in container.until("active", "peers")
    finally:
        visitor.close()
    container.until("idle", "peers")


def _connected(port: int) -> socket.socket:
    import time

    end = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
