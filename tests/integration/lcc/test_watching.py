"""How the daemon is watched once it is installed, with a program of the test in its place."""

import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from reaper.cli.lcc import Target
from tests.integration.lcc.place import Place, until
from tests.integration.lcc.small import NO_PYTHON, REAPER, small_bundle

pytestmark = pytest.mark.xdist_group("lcc")

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else, or writes units")


def ran(place: Place) -> list[str]:
    """What the program noted each time it ran: who it was, and its settings."""
    path = place.folder / "run/reaper.sock.ran"
    return path.read_text().splitlines() if path.exists() else []


def start(place: Place, folder: Path, target: Target = Target.JUPYTERLAB, **bundle: str) -> None:
    """Run a script on a small bundle."""
    small = small_bundle(folder, **bundle)  # type: ignore[arg-type]  # no test gives files here
    place.run(place.script(target, small.path, small.sha256))


def test_a_configuration_that_can_not_be_used_is_not_tried_again(place, tmp_path):
    start(
        place,
        tmp_path,
        reaper="#!/bin/sh\n[ $1 = run ] || exit 0\necho REAPER_X: what is that >&2\nexit 78\n",
    )
    place.says("no daemon runs")
    log = place.ended()
    assert "REAPER_X: what is that" in log
    assert "FAILED: the configuration can't be used (see above): not started again" in log
    assert log.count("daemon started") == 1


def test_it_is_started_again_ever_later(place, tmp_path):
    start(place, tmp_path, reaper="#!/bin/sh\n[ $1 = run ] || exit 0\nexit 3\n")
    log = place.says("started again in 4 s")
    assert "daemon ended with status 3; started again in 2 s" in log
    assert log.count("daemon started") == 2


def test_the_watcher_takes_the_daemon_along(place, tmp_path):
    """A container that ends tells its processes; the daemon is not left to be killed."""
    start(place, tmp_path)
    until(lambda: ran(place), what="the daemon", told=place)
    psutil.Process(int((place.folder / "lock").readlink().name)).terminate()
    assert place.ended().endswith("Z stopped\n")


@pytest.mark.parametrize("holder", ["999999999", str(os.getpid())], ids=["gone", "somebody else"])
def test_a_lock_that_was_left_behind(place, tmp_path, holder):
    """By a process that is gone, or whose number somebody else has now."""
    place.folder.mkdir()
    (place.folder / "lock").symlink_to(holder)
    start(place, tmp_path)
    until(lambda: ran(place), what="the daemon", told=place)
    assert (place.folder / "lock").readlink().name != holder


def test_settings_reach_the_daemon_and_stay_private(place, tmp_path):
    start(place, tmp_path)
    (line,) = until(lambda: ran(place), what="the daemon", told=place)
    assert line.split()[1:3] == ["enforce", "2s"]
    assert (place.folder / "bin/reaper-daemon").stat().st_mode & 0o777 == 0o700
    assert (place.folder / "worker").stat().st_mode & 0o777 == 0o600
    assert "REAPER_MODE" not in (place.folder / "bin/reaper").read_text()


def test_a_command_of_the_users_own_is_left_alone(place, tmp_path):
    own = place.home / ".local/bin/reaper"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    start(place, tmp_path)
    until(lambda: ran(place), what="the daemon", told=place)
    assert own.read_text() == "mine"


@as_root
def test_root_runs_what_is_somebody_elses_as_that_user(place, tmp_path):
    """Or whoever owns a Python below their home would be root by changing it."""
    place.home.chmod(0o755)
    theirs = place.home / "miniconda3/bin/python3"
    theirs.unlink()
    theirs.write_text("#!/bin/sh\nexit 0\n")
    theirs.chmod(0o755)
    shutil.chown(theirs, "nobody")
    start(place, tmp_path, Target.NOTEBOOK_INSTANCE, python=NO_PYTHON)
    (line,) = until(lambda: ran(place), what="the daemon", told=place)
    assert line.startswith("nobody enforce 2s ")
    assert not line.endswith(str(place.home)), "it has a home of its own"
    for name in ("venv", "run", "state"):
        assert (place.folder / name).owner() == "nobody"
    assert place.folder.owner() == "root"


@as_root
def test_with_systemd_it_is_a_unit(place, tmp_path):
    """A systemctl that notes what it is asked stands for systemd; what it would start is started here."""
    (place.home / "systemd").mkdir()
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    systemctl.chmod(0o755)
    place.path = f"{tmp_path}:{place.path}"
    start(place, tmp_path, Target.NOTEBOOK_INSTANCE)
    place.says("handed to systemd; its log from here on: journalctl -u reaper-lifecycle.service")
    assert place.ended()
    assert (tmp_path / "asked").read_text().splitlines() == [
        "daemon-reload",
        "--quiet enable reaper-lifecycle.service",
        "--no-block restart reaper-lifecycle.service",
    ]
    unit = place.home / "reaper-lifecycle.service"
    lines = unit.read_text().splitlines()
    assert f"ExecStart={place.folder}/bin/reaper-daemon run" in lines
    assert "User=root" in lines
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(
            ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60
        )
        assert (checked.returncode, checked.stderr) == (0, "")
    with subprocess.Popen([place.folder / "bin/reaper-daemon", "run"], env={"PATH": os.defpath}) as daemon:
        (line,) = until(lambda: ran(place), what="the daemon", told=place)
        daemon.terminate()
    assert line.split() == ["root", "enforce", "2s"], "no home but what systemd gives"
    assert daemon.returncode == 0


def test_the_program_of_the_test_is_one_that_runs():
    """What stands for reaper here must not be what makes a test pass."""
    assert REAPER.startswith("#!/bin/bash\n")
    assert subprocess.run(["bash", "-n"], input=REAPER.encode(), check=False, timeout=30).returncode == 0
