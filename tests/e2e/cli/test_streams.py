"""The command line as processes: exit statuses, signals, pipes, terminals, and what it does not import."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

import pytest

from tests.e2e.cli.commands import REAPER, line, run, started
from tests.unit.cli.stage import OLD

# --- imports: what a command may cost -------------------------------------------------------------------------------


HEAVY = (
    "aiohttp",
    "aiobotocore",
    "botocore",
    "pydantic",
    "prometheus_client",
    "structlog",
    "psutil",
    "tenacity",
)


def imported(*arguments: str) -> set[str]:
    code = (
        "import sys\n"
        "from reaper.cli.app import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    print('|'.join(sys.modules), file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return set(ended.stderr.splitlines()[-1].split("|"))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["status", "--help"], ["run", "--help"]])
def test_help_imports_next_to_nothing(arguments):
    found = imported(*arguments)
    assert found.isdisjoint(
        {*HEAVY, "rich", "asyncio", "http.client", "reaper.core.decide", "reaper.config.model"}
    )


@pytest.mark.parametrize("arguments", [["status"], ["explain", OLD], ["plan"], ["hold", "--list"]])
def test_with_a_daemon_a_command_only_talks(daemon, arguments):
    """Also not pydantic, which typer would import to read an option."""
    found = imported(*arguments)
    assert found.isdisjoint(
        {*HEAVY, "rich", "asyncio", "sqlite3", "reaper.core.decide", "reaper.config.model"}
    )


@pytest.mark.parametrize("arguments", [["status"], ["explain", OLD], ["plan"]])
def test_without_a_daemon_a_command_reads_the_journal_alone(journal, arguments):
    found = imported(*arguments)
    assert found.isdisjoint({*HEAVY, "rich", "http.client", "reaper.config.model", "reaper.daemon.loop"})


# --- exit statuses and streams


def test_statuses(daemon, own_home, monkeypatch):
    assert run("status").returncode == 0
    assert run("explain", "nothing-like-it").returncode == 1
    assert run("explain", "6f1c").returncode == 2
    assert run("no-such-command").returncode == 2
    monkeypatch.setenv("REAPER_IDLE_TIMEOUT", "90")
    ended = run("config", "show", "--local")
    assert ended.returncode == 78
    assert ended.stderr.startswith("reaper: error: REAPER_IDLE_TIMEOUT")
    assert run("run", "--once").returncode == 78
    monkeypatch.setenv("REAPER_LISTEN", "nowhere at all")
    assert run("status").returncode == 78


def test_json_is_alone_on_stdout(journal):
    ended = run("status", "--output", "json")
    assert json.loads(ended.stdout)["daemon"] is False
    assert "no daemon answers" in ended.stderr
    ended = run("pause", "--output", "json")
    assert json.loads(ended.stdout)["paused"] is True


def test_a_reader_that_goes_away_is_no_error(daemon):
    """`reaper status | head -1`."""
    with started("status", "--watch", "--every", "200ms") as process:
        assert line(process).startswith("mode dry-run")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stdout = None


def test_ctrl_c_is_130_and_says_nothing(daemon):
    with started("status", "--watch") as process:
        line(process)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert process.returncode == 130
        assert error == ""


def test_a_terminal_that_speaks_latin_1(daemon):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert run("status", env=environment).returncode == 0


def on_terminal(*arguments: str, columns: int = 80, **changes: str) -> str:
    """Run a command on a terminal of its own; gives what it shows."""
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", **changes}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(
        [*REAPER, *arguments],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env=environment,
        start_new_session=True,
    )
    os.close(secondary)
    shown = b""
    while True:
        try:
            part = os.read(primary, 65536)
        except OSError:  # EIO: the other end is closed
            break
        shown += part
    os.close(primary)
    process.wait(30)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    "arguments", [["status"], ["explain", OLD], ["plan"], ["config", "show"], ["doctor"]]
)
@pytest.mark.parametrize("columns", [80, 140])
def test_a_terminal_of_80_columns_is_enough(daemon, arguments, columns):
    shown = on_terminal(*arguments, columns=columns)
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= columns
    assert "\x1b" not in plain
    if arguments == ["status"]:
        for word in ("train.ipynb", "wait", "reap", "unknown", "3h"):
            assert word in plain


def test_no_color(daemon):
    assert "\x1b" not in on_terminal("status", NO_COLOR="1")
    assert "\x1b" not in on_terminal("status", TERM="dumb")


# --- the shell's completion


def test_bash_asks_for_completions(daemon):
    def completed(words: str, at: int) -> list[str]:
        environment = {
            **os.environ,
            "_REAPER_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(at),
        }
        ended = subprocess.run(
            REAPER, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return ended.stdout.split()

    assert completed("reaper st", 1) == ["status"]
    assert completed("reaper config s", 2) == ["show", "schema"]
    assert "new.ipynb" in completed("reaper explain n", 2)
