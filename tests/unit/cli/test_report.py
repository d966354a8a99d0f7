"""`reaper report` on a journal that the builder made, and on a daemon's: table, JSON, CSV, groups."""

import asyncio
import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reaper.cli.output import Page, Screen
from reaper.cli.report import page
from reaper.clock import SystemClock
from reaper.core.facts import ActionState, LedgerEntry
from reaper.core.model import ResourceRef
from reaper.core.savings import report_document
from reaper.daemon.reporting import report
from reaper.errors import UsageError
from reaper.journal import MemoryJournal, journal_at
from reaper.testing import WorldBuilder, days, hours, minutes
from reaper.testing.clock import T0
from reaper.testing.scene import Scene
from tests.unit.cli.test_with_daemon import valid

SCOPE = "123456789012/eu-central-1"
NAME = "=HYPERLINK(1)"


def entry(
    ref: ResourceRef, at: datetime, state: ActionState = ActionState.SUCCEEDED, **changed: Any
) -> LedgerEntry:
    made = LedgerEntry(
        at=at,
        action_id=f"{ref.id}{ref.incarnation}{at:%j%H%M}",
        state=state,
        ref=ref,
        action="stop",
        policy="forgotten-gpus",
        decision_id="d",
        hourly_cost=2.0,
        name=ref.id,
        owner="ana",
        price_source="pricing-api 2026-02-01",
    )
    return replace(made, **changed)


def told(now: datetime) -> WorldBuilder:
    """Tell of ten days: a box stopped and started again, one stopped for good, one without a price, one not ended."""
    scene = Scene("ec2:one", kind="ec2.instance", scope=SCOPE)
    for box in ("i-again", "i-rest", "i-rare", "i-fails"):
        scene.add(box, owner="ben", hourly_cost=2.0)
    scene.add("k1", kind="jupyter.kernel")
    builder = WorldBuilder(scene)
    began = now - days(10)
    builder.look(began)
    ref = builder.ref
    builder.fact(entry(ref("i-again"), began + hours(1)), entry(ref("i-again"), began, ActionState.STARTED))
    builder.fact(entry(ref("i-rest"), began + hours(24), hourly_cost=0.5, owner=None, policy="nights"))
    builder.fact(entry(ref("i-rare"), began + hours(25), hourly_cost=None, price_source="", name=NAME))
    builder.fact(
        *(
            entry(ref("i-fails"), began + hours(26), state)
            for state in ActionState
            if state is not ActionState.SUCCEEDED
        )
    )
    kernel = ref("k1", "jupyter.kernel")
    builder.fact(
        entry(kernel, began + hours(27), action="shutdown", policy="idle", hourly_cost=None, price_source="")
    )
    scene.add("i-again", incarnation="life-2", owner="ben")
    scene.remove("k1", "jupyter.kernel")
    return builder.look(began + hours(6))


def written(path: Path | str, builder: WorldBuilder) -> None:
    async def write() -> None:
        journal = journal_at(str(path))
        await journal.open(write=True)
        for batch in builder.batches:
            await journal.write(batch)
        await journal.close()

    asyncio.run(write())


@pytest.fixture
def ledger(no_daemon: Path) -> Path:
    written(no_daemon, told(SystemClock().now()))
    return no_daemon


def test_json_says_what_each_reap_saved(reaper, ledger):
    document = valid("report", reaper("report", "-o", "json").json)
    assert document["daemon"] is False
    by_id = {one["id"]: one for one in document["rows"]}
    assert set(by_id) == {"i-again", "i-rest", "i-rare", "k1"}
    again, rest, rare = by_id["i-again"], by_id["i-rest"], by_id["i-rare"]
    assert (again["hours"], again["saved"], again["ended"]) == (5.0, 10.0, "started_again")
    assert (rest["saved"], rest["ended"], rest["owner"]) == (pytest.approx(0.5 * 216, abs=0.01), None, "ben")
    assert (rare["saved"], rare["hourly_cost"], rare["price_source"]) == (None, None, None)
    assert by_id["k1"]["saved"] == 0
    totals = document["totals"]
    assert (totals["reaps"], totals["unknown_prices"], totals["at_least"]) == (4, 1, True)
    assert totals["saved"] == pytest.approx(118, abs=0.01)
    assert totals["hourly_cost"] == 0.5


def test_the_table_says_at_least_and_is_fit_for_mail(reaper, ledger):
    ran = reaper("report")
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("4 reaps since ")
    assert re.search(r" saved at least \$118\.0\d, and \$0\.50 an hour still$", lines[0])
    assert lines[2].split() == [
        "WHEN", "KIND", "NAME", "OWNER", "POLICY", "ACTION", "HOURS", "SAVED", "$/HOUR", "PRICE", "COUNTS",
    ]  # fmt: skip
    assert any("i-again" in line and "until it was started again" in line for line in lines)
    assert any(NAME in line and "unknown" in line for line in lines)
    assert "1 price unknown: REAPER_PRICES__OVERRIDES can say what you pay" in lines
    assert "\x1b" not in ran.out
    assert f"the journal {ledger} says" in ran.err


@pytest.mark.parametrize(
    ("by", "first"),
    [("kind", "ec2.instance"), ("policy", "nights"), ("scope", SCOPE), ("owner", "ben")],
)
def test_it_is_put_together_by(reaper, ledger, by, first):
    document = valid("report", reaper("report", "--by", by, "-o", "json").json)
    assert (document["by"], document["groups"][0]["name"]) == (by, first)
    assert sum(group["reaps"] for group in document["groups"]) == 4
    lines = reaper("report", "--by", by).out.splitlines()
    assert lines[2].split()[0] == by.upper()
    assert lines[3].split()[0] == first


def test_csv_has_all_and_no_formulas(reaper, ledger):
    ran = reaper("report", "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert len(rows) == 4
    assert {row["name"] for row in rows} == {"i-again", "i-rest", f"'{NAME}", "k1"}
    assert [row["saved"] for row in rows if row["id"] == "i-rare"] == [""]
    assert [float(row["saved"]) for row in rows if row["id"] == "i-again"] == [10.0]
    assert list(rows[0]) == [
        "at", "kind", "scope", "id", "incarnation", "name", "owner", "policy", "action", "hourly_cost", "price_source",
        "until", "ended", "hours", "saved", "action_id",
    ]  # fmt: skip


def test_since_reaches_back_as_far_as_asked(reaper, ledger):
    document = reaper("report", "--since", "9d", "-o", "json").json
    assert [one["id"] for one in document["rows"]] == ["i-rare", "k1"]
    ran = reaper("report", "--since", "1h")
    assert ran.status == 0
    assert ran.out.startswith("nothing was reaped since ")
    assert reaper("report", "--since", "1h", "-o", "csv").out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--since", "30"], "--since"),
        (["--since", "0s"], "no time at all"),
        (["--since", "9999d"], "no time to look back"),
        (["--by", "moon"], "moon"),
        (["--output", "xml"], "xml"),
    ],
    ids=range(5),
)
def test_what_can_not_be_asked_is_wrong_usage(reaper, ledger, arguments, problem):
    ran = reaper("report", *arguments)
    assert ran.status == 2
    assert problem in ran.err
    assert ran.out == ""


def test_without_daemon_and_journal_it_names_the_places(reaper, no_daemon):
    ran = reaper("report")
    assert ran.status == 1
    assert str(no_daemon) in ran.err


def test_a_daemon_answers_over_its_socket(reaper, daemon):
    document = valid("report", reaper("report", "--by", "kind", "-o", "json").json)
    assert document["daemon"] is True
    assert [one["kind"] for one in document["rows"]] == ["jupyter.kernel"]
    assert [group["name"] for group in document["groups"]] == ["jupyter.kernel"]
    ran = reaper("report", "--since", "9999d")
    assert (ran.status, ran.out) == (2, "")
    assert "no time to look back" in ran.err


def test_on_a_terminal_it_fits(ledger):
    """Also where it is narrow: then it tells less."""
    document = asyncio.run(_document(told(T0)))
    for width in (80, 200):
        shown = page(document, Page(Screen(width=width, color=False)))
        assert max(map(len, shown.lines)) <= width
    assert "started again" in page(document, Page(Screen(width=200, color=False))).text()


async def _document(builder: WorldBuilder) -> dict[str, Any]:
    journal = MemoryJournal()
    await journal.open(write=True)
    for batch in builder.batches:
        await journal.write(batch)
    found = await report(journal, T0, {})
    await journal.close()
    return found


def test_a_long_table_shows_the_newest(reaper):
    ref = ResourceRef(kind="ec2.instance", scope=SCOPE, id="i-1", incarnation="1")
    from reaper.core.savings import savings

    entries = [entry(replace(ref, id=f"i-{n:03}"), T0 + minutes(n)) for n in range(60)]
    document = report_document(savings(entries, [], T0 + days(1)), T0 + days(1), T0, None)
    text = page(document, Page(Screen(width=None, color=False))).text()
    assert "and 10 earlier ones: '--output csv' has all" in text
    assert "i-009" not in text
    assert "i-059" in text


@pytest.mark.parametrize("since", [0, -1, float("nan"), float("inf"), "x", True, 1e12])
async def test_the_daemon_refuses_what_is_no_time(since: object) -> None:
    with pytest.raises(UsageError, match="since_s"):
        await report(MemoryJournal(), T0, {"since_s": since})


async def test_the_daemon_refuses_what_can_not_be_put_together() -> None:
    with pytest.raises(UsageError, match="kind, policy, scope, owner"):
        await report(MemoryJournal(), T0, {"by": "moon"})


def test_as_a_process_it_keeps_stdout_for_the_answer(ledger):
    """With its own interpreter: what is written to a file, and what a terminal gets."""
    command = [sys.executable, "-m", "reaper", "report", "--journal", str(ledger)]
    ran = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["totals"]["reaps"] == 4
    leader, follower = pty.openpty()
    try:
        subprocess.run(command, stdout=follower, stderr=subprocess.DEVNULL, check=True)
        assert b"saved at least $118.0" in os.read(leader, 65536)
    finally:
        os.close(leader)
        os.close(follower)


def test_savings_grow_while_time_goes_by() -> None:
    async def saved(now: datetime) -> float:
        journal = MemoryJournal()
        await journal.open(write=True)
        for batch in told(T0).batches:
            await journal.write(batch)
        document: dict[str, Any] = await report(journal, now, {"since_s": timedelta(days=60).total_seconds()})
        await journal.close()
        return float(document["totals"]["saved"])

    assert asyncio.run(saved(T0 + hours(2))) == pytest.approx(asyncio.run(saved(T0)) + 1.0, abs=0.01)
    assert asyncio.run(saved(T0 + days(40))) == pytest.approx(10 + 0.5 * 720, abs=0.01)
