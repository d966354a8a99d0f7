import asyncio
import json
import os
import signal
import stat
import sys
import time
from pathlib import Path

import psutil
import pytest

from reaper.errors import ConfigError, NotifyError
from reaper.notifiers.command import CommandNotifier
from reaper.testing.notifier_contract import a_notice

pytestmark = pytest.mark.skipif(not Path("/bin/sh").exists(), reason="needs a shell")


@pytest.fixture
def script(tmp_path):
    """Write an executable shell script and give its path."""

    def write(body, name="tell"):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


async def test_arguments_are_words_and_no_shell_runs(script, tmp_path):
    out = tmp_path / "args"
    path = script(f'for a in "$@"; do echo "[$a]"; done > {out}')
    await CommandNotifier.from_address(f"command:{path} --to 'two words' $HOME ;x *").notify(a_notice())
    assert out.read_text().splitlines() == ["[--to]", "[two words]", "[$HOME]", "[;x]", "[*]"]


async def test_its_environment_holds_no_secrets(script, tmp_path, monkeypatch):
    for name in ("REAPER_API_TOKEN", "AWS_SECRET_ACCESS_KEY", "JUPYTER_TOKEN", "LD_PRELOAD_NOT"):
        monkeypatch.setenv(name, "s3cret")
    out = tmp_path / "env"
    await CommandNotifier.from_address(f"command:{script(f'env > {out}; pwd >> {out}')}").notify(a_notice())
    seen = out.read_text()
    assert "s3cret" not in seen
    assert "PATH=" in seen
    assert seen.endswith("\n/\n")


async def test_a_failure_tells_status_and_last_words_without_the_arguments(script):
    path = script('echo out "$1"; echo "bad token $1" >&2; printf "\\033[31m\\n" >&2; exit 3')
    notifier = CommandNotifier.from_address(f"command:{path} tok-8f7d2a")
    with pytest.raises(NotifyError) as caught:
        await notifier.notify(a_notice())
    assert "ended with status 3" in str(caught.value)
    assert "bad token ***" in str(caught.value)
    assert "tok-8f7d2a" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


async def test_only_the_end_of_much_output_is_kept(script):
    path = script("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 1")
    with pytest.raises(NotifyError) as caught:
        await CommandNotifier.from_address(f"command:{path}").notify(a_notice())
    assert str(caught.value).endswith("line 19999")
    assert len(str(caught.value)) < 2100


async def test_ended_by_a_signal_is_said(script):
    with pytest.raises(NotifyError, match="SIGKILL"):
        await CommandNotifier.from_address(f"command:{script('kill -9 $$')}").notify(a_notice())


async def test_a_program_that_reads_nothing_gets_its_notice_all_the_same(script):
    """Far more than a pipe holds; nobody waits for it to be read."""
    await CommandNotifier.from_address(f"command:{script('exit 0')}").notify(a_notice(text="x" * 1_000_000))


async def test_a_child_left_behind_does_not_delay_delivery(script, tmp_path):
    """The program has ended well; what it started holds its output open."""
    pids = tmp_path / "pids"
    path = script(f"sleep 60 & echo $! > {pids}; exit 0")
    began = time.monotonic()
    try:
        await CommandNotifier.from_address(f"command:{path}").notify(a_notice())
        assert time.monotonic() - began < 5
    finally:
        os.kill(int(pids.read_text()), signal.SIGTERM)


async def test_a_program_that_hangs_is_ended_with_all_it_started(script, tmp_path):
    """Also a child that ignores SIGTERM."""
    pids = tmp_path / "pids"
    path = script(
        f"""trap '' TERM
        sh -c "trap '' TERM; echo \\$\\$ >> {pids}; while :; do sleep 0.1; done" &
        echo $$ >> {pids}; echo waiting; while :; do sleep 0.1; done"""
    )
    notifier = CommandNotifier.from_address(f"command:{path}")
    notifier._deadline = 1.0
    with pytest.raises(NotifyError, match=r"did not end within 1 s and was ended: waiting"):
        await notifier.notify(a_notice())
    await gone(pids, expected=2)


async def test_a_polite_program_is_ended_by_sigterm(script, tmp_path):
    said = tmp_path / "said"
    path = script(f"trap 'echo bye > {said}; exit 0' TERM; while :; do sleep 0.05; done")
    notifier = CommandNotifier.from_address(f"command:{path}")
    notifier._deadline = 0.5
    with pytest.raises(NotifyError):
        await notifier.notify(a_notice())
    assert said.read_text() == "bye\n"


async def test_cancelled_means_ended(script, tmp_path):
    pids = tmp_path / "pids"
    path = script(f"echo $$ >> {pids}; while :; do sleep 0.1; done")
    telling = asyncio.create_task(CommandNotifier.from_address(f"command:{path}").notify(a_notice()))
    while not (pids.exists() and pids.read_text()):
        await asyncio.sleep(0.01)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    await gone(pids, expected=1, waited_for=True)


async def test_a_program_that_vanished_after_the_start(script):
    path = script("exit 0")
    notifier = CommandNotifier.from_address(f"command:{path}")
    path.unlink()
    with pytest.raises(NotifyError, match="could not be run: No such file"):
        await notifier.notify(a_notice())


async def test_the_document_is_the_only_thing_on_standard_input(tmp_path):
    out = tmp_path / "in.json"
    program = f"import sys, pathlib; pathlib.Path({str(out)!r}).write_text(sys.stdin.read())"
    notifier = CommandNotifier((sys.executable, "-c", program))
    await notifier.notify(a_notice())
    assert json.loads(out.read_text()) == a_notice().body()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("command:", "needs a program"),
        ("command:tell-us --now", "no absolute path"),
        ("command:/nowhere/tell", "no such file"),
        ("command:/tmp", "no such file"),
        ("command:/etc/passwd", "not executable"),
        ("command:/bin/sh 'open", "split into words"),
        ("command:/bin/sh a\0b", "NUL"),
    ],
)
def test_what_can_never_work_is_refused_at_the_start(address, says):
    with pytest.raises(ConfigError, match=says) as caught:
        CommandNotifier.from_address(address)
    assert "open" not in str(caught.value)


async def gone(pids, expected, *, waited_for=False):
    """Wait until the processes named in a file are gone; `waited_for`: no zombies either, by the event loop."""
    found = [int(line) for line in pids.read_text().split()]
    assert len(found) == expected
    end = time.monotonic() + 10
    while any((psutil.pid_exists if waited_for else running)(pid) for pid in found):
        assert time.monotonic() < end, "a process is left"
        await asyncio.sleep(0.02)


def running(pid):
    """Tell whether a process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
