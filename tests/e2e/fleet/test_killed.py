"""reaper is killed between the call that stops an instance and its record: looked up, never asked for again."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reaper.core.durations import parse_duration
from reaper.testing.ec2 import Fleet, running_fleet

POLICY = """
preset = "fleet"
apply_grace = "0s"
start_grace = "0s"
mode = "enforce"
poll_interval = "1s"

[aws]
poll_interval = "1s"

[[policies]]
name = "forgotten"
kind = "ec2.instance"
rule = "age"
timeout = "72h"
[[policies.steps]]
action = "stop"
[[policies.steps]]
action = "terminate"
after = "14d"
"""


@asynccontextmanager
async def daemon(folder: Path, fleet: Fleet) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the daemon as a process; kill it in the end."""
    config = folder / "reaper.toml"
    config.write_text(POLICY)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "REAPER_"))},
        **fleet.environment,
        "REAPER_CONFIG": str(config),
        "REAPER_STATE": str(folder / "journal.db"),
        "REAPER_LISTEN": "none",
        "REAPER_PRICES__SOURCE": "none",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reaper", "run", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def until(what: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.05)


def ledger(folder: Path) -> list[str]:
    """Read the states of the ledger, oldest first."""
    with sqlite3.connect(f"file:{folder / 'journal.db'}?mode=ro", uri=True) as journal:
        rows = journal.execute("SELECT body FROM facts WHERE type = 'LedgerEntry' ORDER BY id").fetchall()
    journal.close()
    return [json.loads(body)["state"] for (body,) in rows]


@pytest.mark.parametrize("carried_out", [True, False], ids=["after the call", "before the call"])
async def test_it_is_looked_up_and_asked_for_once(tmp_path: Path, carried_out: bool) -> None:
    async with running_fleet() as fleet:
        box = fleet.add("m5.large", "forgotten", age=parse_duration("80h"))
        fleet.hang("StopInstances" if carried_out else "CreateTags", after=carried_out)
        asked = "StopInstances" if carried_out else "CreateTags"
        async with daemon(tmp_path, fleet) as process:
            await until(lambda: bool(fleet.calls(asked)))
            process.send_signal(signal.SIGKILL)
            await process.wait()
        assert ledger(tmp_path) == ["STARTED"]
        fleet.heal()
        assert (fleet.instance(box.id).state != "running") is carried_out
        async with daemon(tmp_path, fleet):
            await until(lambda: ledger(tmp_path)[-1] == "SUCCEEDED" and len(ledger(tmp_path)) >= 3)
            await asyncio.sleep(0)
        effective = [call for call in fleet.calls("StopInstances") if not call.get("DryRun")]
        assert [call["InstanceIds"] for call in effective] == [[box.id]]
        assert ledger(tmp_path)[:2] == ["STARTED", "UNKNOWN"]
        assert fleet.calls("TerminateInstances") == []
