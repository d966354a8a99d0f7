"""`reaper plan`: what would be done now."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from reaper.cli.app import new_app
from reaper.cli.options import JournalOption
from reaper.cli.output import (
    Column,
    Format,
    OutputOption,
    Page,
    brief,
    emit_json,
    instant,
    left,
    note,
    paused_line,
)
from reaper.errors import ControlError

__all__ = ["app", "page"]

_MOST_VETOED = 10
"""How many of what a veto keeps are named; `status` names all."""

app = new_app()


@app.command()
def plan(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write the plan there, for 'reaper apply'.", show_default=False
        ),
    ] = None,
    output: Annotated[Format, OutputOption] = Format.TABLE,
    journal: Annotated[str | None, JournalOption] = None,
) -> None:
    """Show what would be done now; --out keeps it for 'apply'.

    A plan is good for 24 hours. 'reaper apply FILE' does exactly what it says, each item after a fresh look that
    must still agree, in dry-run mode too: whoever applies a plan has read it.

    \b
    Examples:
      reaper plan
      reaper plan --out plan.json && reaper apply plan.json
    """  # noqa: D301 - click's mark for lines to leave alone
    from reaper.cli.reach import open_reach

    reach = open_reach(journal)
    document = reach.plan()
    status = reach.status()  # after it: a plan is decided anew
    if out is not None:
        _keep(document, out)
    if output is Format.JSON:
        emit_json(document)
    else:
        _in_the_way(status, page(document, Page())).show()
    if out is not None:
        note(f"written to {out}, good until {document['expires_at']}: reaper apply {out}")


def page(document: Mapping[str, Any], shown: Page) -> Page:
    """Draw a plan document."""
    now, items = datetime.fromisoformat(document["at"]), document["items"]
    if not items:
        shown.line(f"mode {document['mode']}: nothing is to be done now")
        return shown
    totals = document["totals"]
    cost = f", ${totals['hourly_cost']:g} an hour" if totals["hourly_cost"] else ""
    unsure = f" (cost unknown for {totals['unknown_costs']})" if cost and totals["unknown_costs"] else ""
    number = f"{len(items)} action{'s' if len(items) > 1 else ''}"
    shown.line(
        f"mode {document['mode']}: {number} to do now{cost}{unsure}; good for {left(document['expires_at'], now)}"
    )
    columns = [
        Column(title="action"),
        Column(title="kind"),
        Column(title="name", wraps=True),
        Column(title="resource", wraps=True),
        Column(title="policy"),
        Column(title="idle for", right=True),
        Column(title="mode"),
    ]
    rows = []
    for one in items:
        idle = instant(one["idle_since"])
        mode = "dry run" if one["dry_run"] else "enforce"
        rows.append(
            [
                one["action"],
                one["kind"],
                str(one["name"]),
                str(one["resource"]),
                str(one["policy"] or "-"),
                "-" if idle is None else brief(now - idle),
                f"{mode}, would be denied" if one.get("would_be_denied") else mode,
            ]
        )
    shown.table(columns, rows)
    for why in dict.fromkeys(one["would_be_denied"] for one in items if one.get("would_be_denied")):
        shown.line(f"would be denied: {why}", style="reap", hanging=2)
    return shown


def _in_the_way(status: Mapping[str, Any], shown: Page) -> Page:
    """Add what the kill switch and vetoes keep out of the plan: 'status' shows `reap` of it all the same."""
    if status["paused"]:
        shown.line(paused_line(status["pause"] or {}, datetime.fromisoformat(status["at"])), style="reap")
    vetoed = [one for one in status["resources"] if one["verdict"] == "reap" and one["vetoes"]]
    if vetoed:
        reasons = ", ".join(dict.fromkeys(str(one["vetoes"][0]["reason"]) for one in vetoed))
        it = "it" if len(vetoed) == 1 else "them"
        shown.line(
            f"{len(vetoed)} would go but for a veto ({reasons}): 'reaper status' shows {it}", hanging=2
        )
        for one in vetoed[:_MOST_VETOED]:
            veto = one["vetoes"][0]
            why = f"{veto['reason']}: {veto['detail']}" if veto["detail"] else veto["reason"]
            shown.line(f"{one['action']} of {one['kind']} {one['name']}: {why}", indent=2, hanging=4)
    return shown


def _keep(document: Mapping[str, Any], out: Path) -> None:
    """Write the plan beside its place and move it there: a plan is whole or not there."""
    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        fresh.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        fresh.replace(out)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ControlError(f"the plan can't be written to {out}: {error.strerror or error}") from error
