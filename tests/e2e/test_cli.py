"""The command line as processes: exit statuses, signals, pipes, terminals, and what it does not import."""

import asyncio
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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reaper.clock import SystemClock
from reaper.core.ruleset import Mode
from reaper.journal import MemoryJournal, journal_at
from tests.unit.cli.stage import NEW, OLD, Stage, fill, ruleset

REAPER = [sys.executable, "-m", "reaper"]


@pytest.fixture(scope="module")
def _stage() -> Iterator[Stage]:
    with (
        TemporaryDirectory(prefix="reaper-stage-") as folder,
        Stage(Path(folder) / "reaper.sock", MemoryJournal(), terminal_pid=os.getpid()).serving() as stage,
    ):
        yield stage


@pytest.fixture
def daemon(_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A daemon to which this test's process is the shell of terminal 1."""
    monkeypatch.setenv("REAPER_LISTEN", f"unix:{_stage.socket}")
    return _stage


@pytest.fixture
def journal(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No daemon, and a journal that was written a moment ago."""
    path = own_home / "journal.db"
    monkeypatch.setenv("REAPER_LISTEN", f"unix:{own_home}/none.sock")
    monkeypatch.setenv("REAPER_STATE", str(path))

    async def write() -> None:
        made = journal_at(str(path))
        await made.open(write=True)
        await fill(made, SystemClock().now(), ruleset(Mode.ENFORCE))
        await made.close()

    asyncio.run(write())
    return path


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*REAPER, *arguments], capture_output=True, text=True, timeout=60, check=False, **options
    )


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [*REAPER, *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def holds() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("hold", "--list", "-o", "json").stdout)["holds"]
    return found


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


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
    script = (
        "n=0; trap 'n=$((n+1))' INT; echo up; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done; echo n=$n"
    )
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
        for _ in range(200):
            if out.exists() and "up" in out.read_text():
                break
            time.sleep(0.05)
        time.sleep(0.2)
        os.write(primary, b"\x03")
        process.wait(30)
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
    deadline = time.monotonic() + 20
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
