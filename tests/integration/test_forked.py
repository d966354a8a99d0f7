"""What the fork server forks is a process of its own, and ends as any program does."""

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import forked
from tests.support.forked import Forked, Process, start

TELLS = """
import asyncio, os, signal, sys, time
from pathlib import Path
print({
    "pid": os.getpid(),
    "session": os.getsid(0),
    "cwd": os.getcwd(),
    "environ": dict(os.environ),
    "zone": time.tzname[0],
    "argv": sys.argv,
    "path": sys.path,
    "name": __name__,
    "open": sorted(int(file.name) for file in Path("/proc/self/fd").iterdir())[:-1],  # the last one is this look's
    "imported": "reaper.cli.run" in sys.modules,
    "input": sys.stdin.read(),
    "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "coroutine": asyncio.run(asyncio.sleep(0, "done")),
})
"""

Run = Callable[..., Process]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Start a script; what it prints goes to `out` and `errors`."""

    def run(code: str, *arguments: str, **options: Any) -> Process:
        script = tmp_path / "script.py"
        script.write_text(code)
        env = {"PYTHONPATH": os.environ["PYTHONPATH"], **options.pop("env", {})}
        command = [sys.executable, str(script), *arguments]
        with (tmp_path / "out").open("wb") as out, (tmp_path / "errors").open("wb") as errors:
            return start(
                command, program="reaper", env=env, cwd=tmp_path, output=out, errors=errors, **options
            )

    return run


def test_it_is_a_process_of_its_own(run: Run, tmp_path: Path):
    env = {"TZ": "Asia/Tokyo", "PYTHONPATH": f"{tmp_path}/more"}
    process = run(TELLS, "run", "--once", env=env, start_new_session=True)
    assert isinstance(process, Forked)
    assert process.wait(60) == 0, (tmp_path / "errors").read_text()
    told = ast.literal_eval((tmp_path / "out").read_text())
    assert told["pid"] == process.pid not in (os.getpid(), os.getppid())
    assert told["session"] == process.pid
    assert told["cwd"] == str(tmp_path)
    assert told["environ"] == env
    assert told["zone"] == "JST"
    assert told["argv"] == [str(tmp_path / "script.py"), "run", "--once"]
    assert told["path"][:2] == [str(tmp_path), f"{tmp_path}/more"]
    assert told["name"] == "__main__"
    assert told["open"] == [0, 1, 2], "no file of the fork server's"
    assert told["imported"], "else it was no use"
    assert told["input"] == ""
    assert told["interrupt"]
    assert told["coroutine"] == "done"


def test_two_have_nothing_in_common(run: Run, tmp_path: Path):
    code = (
        "import os, reaper.cli.run as run\nprint(hasattr(run, 'mark'), os.environ.get('MARK'))\nrun.mark = 1"
    )
    for env in ({"MARK": "1"}, {}):
        assert run(code, env=env).wait(60) == 0
        assert (tmp_path / "out").read_text() == f"False {env.get('MARK')}\n"


@pytest.mark.parametrize(
    ("code", "status", "errors"),
    [
        ("raise SystemExit(7)", 7, ""),
        ("raise SystemExit('so it is')", 1, "so it is\n"),
        ("raise LookupError('where?')", 1, "LookupError: where?\n"),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import atexit; atexit.register(lambda: print('bye', file=__import__('sys').stderr))", 0, "bye\n"),
        (
            "import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print(1))).start()",
            0,
            "",
        ),
    ],
    ids=["status", "words", "error", "killed", "atexit", "thread"],
)
def test_it_ends_as_any_program_does(run: Run, tmp_path: Path, code: str, status: int, errors: str):
    assert run(code).wait(60) == status
    assert (tmp_path / "errors").read_text().endswith(errors)
    assert (tmp_path / "out").read_text() == ("1\n" if "thread" in code else "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it(run: Run, tmp_path: Path, number: int):
    process = run("import time\nprint('up', flush=True)\ntime.sleep(600)")
    while not (tmp_path / "out").read_text():
        assert process.poll() is None
        time.sleep(0.02)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)
    process.send_signal(number)
    assert process.wait(60) == -number
    assert process.poll() == -number
    assert not psutil.pid_exists(process.pid), "it was waited for"
    process.kill()  # as with subprocess, nothing is done any more


@pytest.mark.parametrize("name", ["LD_LIBRARY_PATH", "PYTHONUNBUFFERED", "LC_ALL"])
def test_what_comes_too_late_is_refused(run: Run, name: str):
    with pytest.raises(ValueError, match=f"{name}=x comes too late"):
        run("", env={name: "x"})


def test_without_fork_servers_it_is_executed(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forked, "_servers", None)
    process = run("raise SystemExit(7)")
    assert isinstance(process, subprocess.Popen)
    assert process.wait(60) == 7
