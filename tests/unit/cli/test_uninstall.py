"""`reaper uninstall`: what reaper made goes, and nothing else."""

import os
import socket

import pytest

from reaper.cli import uninstall as uninstalling
from tests.unit.cli.test_with_daemon import valid

UNIT = "[Service]\nExecStart=/opt/reaper/bin/reaper run\n"


@pytest.fixture
def made(own_home, monkeypatch):
    """A home in which reaper left one of everything, and people left things beside it."""
    state, run = own_home / "state/reaper", own_home / "run/reaper"
    units, etc = own_home / ".config/systemd/user", own_home / "etc/systemd"
    for folder in (state, run, units / "default.target.wants", etc, own_home / "config/reaper"):
        folder.mkdir(parents=True)
    for name in ("", "-wal", "-shm", ".lock", ".bak-v1-20261122T215100Z"):
        (state / f"journal.db{name}").write_text("x")
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(run / "reaper.sock"))
    left.close()
    (units / "reaper.service").write_text(UNIT)
    (units / "default.target.wants/reaper.service").symlink_to(units / "reaper.service")
    (units / "reaper-of-souls.service").write_text("[Service]\nExecStart=/usr/games/souls\n")
    (own_home / "config/reaper/reaper.toml").write_text("")
    (own_home / ".bash_completions").mkdir()
    (own_home / ".bash_completions/reaper.sh").write_text("x")
    (own_home / ".bashrc").write_text(
        f"alias l=ls\nsource '{own_home}/.bash_completions/reaper.sh'\nalias m=more\n"
    )
    monkeypatch.setattr(uninstalling, "_UNIT_FOLDERS", (etc,))
    monkeypatch.setattr("reaper.config.places.RUN_DIR", own_home / "none")
    monkeypatch.setattr("reaper.config.places.LIB_DIR", own_home / "none")
    monkeypatch.setattr("reaper.config.places.ETC_FILE", own_home / "none/reaper.toml")
    return own_home


def everything(home):
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def test_dry_run_lists_and_touches_nothing(reaper, made):
    before = everything(made)
    ran = reaper("uninstall", "--dry-run", "-o", "json")
    assert ran.status == 0
    document = valid("uninstall", ran.json)
    assert document["dry_run"] is True
    listed = {one["path"]: one["state"] for one in document["items"]}
    assert listed[f"{made}/state/reaper/journal.db"] == "found"
    assert listed[f"{made}/config/reaper/reaper.toml"] == "kept"
    assert everything(made) == before
    assert "pip uninstall idle-reaper" in document["package_command"]
    shown = reaper("uninstall", "--dry-run")
    assert "journal's backup" in shown.out
    assert "pip uninstall idle-reaper" in shown.out
    assert everything(made) == before


def test_what_reaper_made_goes_and_nothing_else(reaper, made):
    ran = reaper("uninstall", "--yes")
    assert ran.status == 0, ran.err
    left = everything(made)
    assert not [path for path in left if "journal" in path or "sock" in path or "completions/" in path]
    assert "state/reaper" not in left
    assert "run/reaper" not in left
    assert ".config/systemd/user/reaper.service" not in left
    assert ".config/systemd/user/default.target.wants/reaper.service" not in left
    assert ".config/systemd/user/reaper-of-souls.service" in left
    assert "config/reaper/reaper.toml" in left
    assert (made / ".bashrc").read_text() == "alias l=ls\nalias m=more\n"
    assert "daemon-reload" in ran.out
    assert reaper("uninstall", "--yes", "--purge").status == 0
    assert "config/reaper/reaper.toml" not in everything(made)
    assert "nothing on this machine" in reaper("uninstall", "--yes").out


def test_a_folder_with_something_else_in_it_stays(reaper, made):
    (made / "state/reaper/notes.txt").write_text("mine")
    ran = reaper("uninstall", "--yes", "-o", "json")
    states = {one["path"]: (one["state"], one["detail"]) for one in ran.json["items"]}
    assert states[f"{made}/state/reaper"] == ("kept", "something else is in it")
    assert (made / "state/reaper/notes.txt").exists()


def test_nobody_to_ask_is_an_error(reaper, made):
    ran = reaper("uninstall")
    assert ran.status == 2
    assert "--yes" in ran.err
    assert (made / "state/reaper/journal.db").exists()


def test_it_asks(reaper, made, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = iter([False, True])
    monkeypatch.setattr("typer.confirm", lambda *_a, **_k: next(answers))
    ran = reaper("uninstall")
    assert ran.status == 1
    assert "nothing was removed" in ran.err
    assert (made / "state/reaper/journal.db").exists()
    assert reaper("uninstall").status == 0
    assert not (made / "state/reaper/journal.db").exists()


def test_refused_while_a_daemon_runs(reaper, made, daemon):
    ran = reaper("uninstall", "--yes")
    assert ran.status == 1
    assert "a daemon runs" in ran.err
    assert (made / "state/reaper/journal.db").exists()
    assert reaper("uninstall", "--dry-run").status == 0


def test_refused_while_a_journal_is_written(reaper, made):
    """Also by a daemon that serves nowhere."""
    (made / "state/reaper/journal.db.lock").write_text(f"{os.getpid()}\n")
    ran = reaper("uninstall", "--yes")
    assert ran.status == 1
    assert str(os.getpid()) in ran.err
    assert (made / "state/reaper/journal.db").exists()


def test_what_can_not_be_removed_is_said(reaper, made, monkeypatch):
    def forbidden(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", forbidden)
    ran = reaper("uninstall", "--yes")
    assert ran.status == 1
    assert "failed (Permission denied)" in ran.out
