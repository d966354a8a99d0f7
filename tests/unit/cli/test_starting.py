"""What a command does not import, in processes of their own: each start would pay for it."""

import os
import subprocess
import sys
from pathlib import Path


def _python(code: str, home: Path) -> str:
    environ = {**os.environ, "HOME": str(home), "REAPER_STATE": "memory:", "REAPER_LISTEN": "none"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_daemon_leaves_rich_alone_and_others_may_have_it(tmp_path: Path) -> None:
    code = """
import sys
from reaper.cli.run_command import _plain_structlog
_plain_structlog()
import structlog.dev
import reaper.cli.run
print(structlog.dev.rich, [name for name in sys.modules if name.partition(".")[0] == "rich"])
import rich.console
"""
    assert _python(code, tmp_path) == "None []\n"


def test_one_who_reads_a_journal_needs_nothing_of_who_writes_or_watches(tmp_path: Path) -> None:
    code = """
import sys
import reaper.cli.offline, reaper.cli.status, reaper.policies.idle
from reaper.plugins import names
names("reaper.journals")
unwanted = {
    "aiohttp", "asyncio", "importlib.metadata", "pydantic", "reaper.config.model", "reaper.daemon",
    "reaper.journal.pruning", "reaper.journal.writing", "structlog", "zoneinfo",
}
print(sorted(unwanted & sys.modules.keys()))
"""
    assert _python(code, tmp_path) == "[]\n"
