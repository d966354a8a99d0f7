"""From a forgotten instance to the report of what its end saved: rounds of cron as processes, AWS as the fake."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from reaper.core.durations import parse_duration
from reaper.testing.ec2 import Fleet, running_fleet

POLICY = """
preset = "fleet"
apply_grace = "0s"
start_grace = "0s"

[[policies]]
name = "forgotten"
kind = "ec2.instance"
rule = "age"
timeout = "72h"
action = "stop"
"""


class Cron:
    """Runs the command as cron does: a process a round, on one journal."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        config = folder / "reaper.toml"
        config.write_text(POLICY)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "REAPER_"))},
            **fleet.environment,
            "REAPER_CONFIG": str(config),
            "REAPER_STATE": str(folder / "journal.db"),
            "REAPER_LISTEN": "none",
        }

    async def run(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reaper", *arguments,
            env=self.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, error = await asyncio.wait_for(process.communicate(), 90)
        assert process.returncode == 0, error.decode()
        return out.decode()

    async def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.run("report", "-o", "json"))
        return found


async def test_what_a_round_ends_is_in_the_report_with_its_price(tmp_path: Path) -> None:
    async with running_fleet() as fleet:
        fleet.prices["m5.large", "us-east-1"] = 1.5
        old = fleet.add("m5.large", "forgotten", age=parse_duration("80h"), tags={"Owner": "ann"})
        fleet.add("m5.large", "fresh", age=parse_duration("1h"))
        cron = Cron(tmp_path, fleet)
        for mode in ("dry-run", "enforce"):
            cron.environment["REAPER_MODE"] = mode
            await cron.run("run", "--once")
        assert [call["InstanceIds"] for call in fleet.calls("StopInstances")] == [[old.id]]
        document = await cron.report()
        assert len(fleet.calls("GetProducts")) == 1  # once a day, not once a round
    [row] = document["rows"]
    assert (row["id"], row["name"], row["owner"], row["action"], row["ended"]) == (
        old.id,
        "forgotten",
        "ann",
        "stop",
        None,
    )
    assert row["policy"] == "forgotten"
    assert (row["hourly_cost"], row["price_source"]) == (1.5, "pricing-api 2026-01-01")
    assert document["totals"]["at_least"] is False
