"""`reaper hold -- COMMAND` as a process: the command's status, signals and streams, and the hold behind it."""

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reaper.clock import SystemClock
from reaper.journal import MemoryJournal
from tests.e2e.cli.commands import REAPER, holds, line, run, started
from tests.unit.cli.stage import NEW, Stage

# --- hold -- COMMAND


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["/no/such/command"], 127),
        (["/etc/passwd"], 126),
        (["/"], 126),
    ],
)
def test_the_exit_status_is_the_commands(daemon, command, status):
    ended = run("hold", NEW, "--", *command)
    assert ended.returncode == status
    assert ended.stdout == ""
    assert holds() == []


def test_options_after_the_dashes_are_the_commands(daemon):
    ended = run("hold", NEW, "--why", "w", "--", "echo", "--for", "--help", "--", "-o", "json")
    assert ended.stdout == "--for --help -- -o json\n"


def test_stdin_and_stdout_are_the_commands(daemon):
    assert run("hold", NEW, "--", "cat", input="through\n").stdout == "through\n"


def test_it_is_held_while_the_command_runs_and_no_longer(daemon):
    with started("hold", NEW, "--why", "epoch 40", "--", "sh", "-c", "echo up; read x") as process:
        assert line(process) == "up"
        [one] = holds()
        assert one["why"] == "epoch 40"
        assert one["matcher"]["id"] == NEW  # type: ignore[index]
        process.communicate("\n", timeout=30)
    assert process.returncode == 0
    assert holds() == []


def test_without_a_resource_it_holds_what_it_runs_in(daemon):
    """This test is the shell of terminal 1, as far as the daemon knows."""
    with started("hold", "--", "sh", "-c", "echo up; read x") as process:
        assert line(process) == "up"
        [one] = holds()
        assert one["matcher"]["kind"] == "jupyter.terminal"  # type: ignore[index]
        assert one["why"] == "while sh runs"
        process.communicate("\n", timeout=30)


def test_outside_of_everything_it_holds_everything(own_home, monkeypatch):
    """To this daemon nothing among the ancestors of this test is a terminal."""
    with Stage(own_home / "s", MemoryJournal(), terminal_pid=2**22 + 1).serving() as stage:
        monkeypatch.setenv("REAPER_LISTEN", f"unix:{stage.socket}")
        ended = run("hold", "--", *REAPER, "hold", "--list", "-o", "json")
    [one] = json.loads(ended.stdout)["holds"]
    assert one["matcher"] == {"kind": None, "scope": None, "id": None, "incarnation": None}
    assert "holding everything" in ended.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(daemon, sent):
    name = sent.name.removeprefix("SIG")
    script = f"trap 'echo got {name}; exit 9' {name}; echo up; while :; do sleep 0.05; done"
    with started("hold", NEW, "--", "sh", "-c", script) as process:
        assert line(process) == "up"
        process.send_signal(sent)
        assert line(process) == f"got {name}"
        assert process.wait(30) == 9
    assert holds() == []


def test_a_command_that_dies_of_the_signal(daemon):
    with started("hold", NEW, "--", "sh", "-c", "echo up; exec sleep 30") as process:
        assert line(process) == "up"
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM


def test_the_command_gets_no_blocked_or_ignored_signals(daemon):
    shown = run("hold", NEW, "--", "grep", "-E", "SigBlk|SigIgn", "/proc/self/status").stdout
    masks = {name: int(mask, 16) for name, mask in re.findall(r"(\w+):\s+([0-9a-f]+)", shown)}
    assert masks["SigBlk"] == 0
    usual = (1 << 31) - 1
    assert masks["SigIgn"] & usual == 0


def test_ctrl_c_on_a_terminal_reaches_the_command_once(daemon):
    """The terminal sends it to the whole foreground group: passed on, it would come twice."""
    script = "n=0; trap 'n=$((n+1))' INT; echo up; until [ $n -gt 0 ]; do sleep 0.1; done; sleep 1; echo n=$n"
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        primary, secondary = pty.openpty()
        process = subprocess.Popen(
            [*REAPER, "hold", NEW, "--", "sh", "-c", f"({script}) > {out}"],
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread runs here
        )
        os.close(secondary)
        deadline = time.monotonic() + 60
        while not (out.exists() and "up" in out.read_text()):
            assert time.monotonic() < deadline, "the command has not started"
            time.sleep(0.05)
        os.write(primary, b"\x03")
        process.wait(60)
        os.close(primary)
        assert "n=1" in out.read_text()


def test_killed_it_leaves_a_hold_that_ends_soon(daemon):
    with started("hold", NEW, "--", "sh", "-c", "echo up; exec sleep 2") as process:
        assert line(process) == "up"
        process.kill()
        process.wait(30)
    [one] = holds()
    try:
        left = (datetime.fromisoformat(str(one["expires_at"])) - SystemClock().now()).total_seconds()
        assert 0 < left <= 300
    finally:
        run("release", str(one["id"]))


def test_it_is_renewed(daemon):
    code = (
        "import sys\n"
        "from reaper.cli import holding\n"
        "holding.RENEW_EVERY = 0.2\n"
        "from reaper.cli.app import main\n"
        "main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "hold", NEW, "--", "sh", "-c", "echo up; read x"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert line(process) == "up"
    [first] = holds()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        [again] = holds()
        assert again["id"] == first["id"], "one hold, renewed, not one more each time"
        if str(again["expires_at"]) > str(first["expires_at"]):
            break
    else:
        pytest.fail("not renewed")
    process.communicate("\n", timeout=30)
    assert holds() == []


def test_no_hold_no_command(own_home, monkeypatch):
    monkeypatch.setenv("REAPER_LISTEN", f"unix:{own_home}/none.sock")
    monkeypatch.setenv("REAPER_STATE", f"{own_home}/none.db")
    ended = run("hold", "--", "touch", str(own_home / "ran"))
    assert ended.returncode == 1
    assert "none.sock" in ended.stderr
    assert not (own_home / "ran").exists()


def test_the_daemon_goes_away_while_the_command_runs(own_home, monkeypatch):
    """The command goes on; that the hold could not be released is said."""
    with Stage(own_home / "s", MemoryJournal()).serving() as stage:
        monkeypatch.setenv("REAPER_LISTEN", f"unix:{stage.socket}")
        monkeypatch.setenv("REAPER_STATE", f"{own_home}/none.db")
        process = subprocess.Popen(
            [*REAPER, "hold", NEW, "--", "sh", "-c", "echo up; read x; exit 3"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert line(process) == "up"
    _, error = process.communicate("\n", timeout=30)
    assert process.returncode == 3
    assert "could not be released" in error


def test_without_a_daemon_the_journal_is_written_and_free_in_between(journal):
    with started("hold", NEW, "--", "sh", "-c", "echo up; read x") as process:
        assert line(process) == "up"
        assert [one["matcher"]["id"] for one in holds()] == [NEW]  # type: ignore[index]
        assert run("pause").returncode == 0, "the lock is not kept"
        process.communicate("\n", timeout=30)
    assert process.returncode == 0
    assert holds() == []
