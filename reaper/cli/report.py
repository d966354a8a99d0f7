"""`reaper report`: what was saved, reap by reap or put together."""

import csv
import io
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from reaper.cli.app import new_app
from reaper.cli.options import JournalOption
from reaper.cli.output import Column, Page, brief, clean, emit, emit_json, instant

__all__ = ["app", "page", "spreadsheet"]

app = new_app()


class Output(StrEnum):
    """What is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class By(StrEnum):
    """What savings are put together by."""

    KIND = "kind"
    POLICY = "policy"
    SCOPE = "scope"
    OWNER = "owner"


COLUMNS = (
    "at", "kind", "scope", "id", "incarnation", "name", "owner", "policy", "action", "hourly_cost", "price_source",
    "until", "ended", "hours", "saved", "action_id",
)  # fmt: skip
"""Columns of the CSV: a reap's fields in JSON, in this order; further ones come behind."""

_NEWEST = 50
"""How many reaps a table shows."""
_FORMULA = ("=", "+", "-", "@")
"""Beginnings of cells that spreadsheets would calculate."""


@app.command()
def report(
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="Reaps of the last so long.")
    ] = "30d",
    by: Annotated[By | None, typer.Option("--by", help="Put them together.", show_default=False)] = None,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="For people, JSON (see 'reaper schema'), or CSV.")
    ] = Output.TABLE,
    journal: Annotated[str | None, JournalOption] = None,
) -> None:
    """Tell what was saved by what was reaped.

    A reap counts from its success until the same thing is seen running again, for 30 days at most, at the hourly price
    that was known then. What has no known price adds nothing: the total is then 'at least' so much. Dry runs and
    what failed do not count. The journal keeps as much as REAPER_RETENTION says.
    """
    from reaper.cli.durations import duration
    from reaper.cli.reach import open_reach

    reach = duration("--since", since).total_seconds()
    document = open_reach(journal).report(reach, None if by is None else by.value)
    if output is Output.JSON:
        emit_json(document)
    elif output is Output.CSV:
        emit(spreadsheet(document))
    else:
        page(document, Page()).show()


def page(document: Mapping[str, Any], shown: Page) -> Page:
    """Draw a report document."""
    totals, now = document["totals"], datetime.fromisoformat(document["at"])
    since = datetime.fromisoformat(document["since"])
    shown.line(_summary(totals, f"{since:%Y-%m-%d}"), style="bold")
    if not document["rows"]:
        return shown
    shown.line()
    if document["by"] is not None:
        _groups(shown, document)
    else:
        _rows(shown, document["rows"], now)
    if totals["at_least"]:
        shown.line()
        shown.line(
            f"{_count(totals['unknown_prices'], 'price')} unknown: REAPER_PRICES__OVERRIDES can say what you pay"
        )
    return shown


def _summary(totals: Mapping[str, Any], since: str) -> str:
    if not totals["reaps"]:
        return f"nothing was reaped since {since}"
    freed = f", and ${totals['hourly_cost']:,.2f} an hour still" if totals["hourly_cost"] else ""
    return f"{_count(totals['reaps'], 'reap')} since {since} saved {_amount(totals)}{freed}"


def _amount(totals: Mapping[str, Any]) -> str:
    least = "at least " if totals["at_least"] else ""
    return f"{least}${totals['saved']:,.2f}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _groups(shown: Page, document: Mapping[str, Any]) -> None:
    columns = [
        Column(title=document["by"], wraps=True),
        Column(title="reaps", right=True),
        Column(title="hours", right=True),
        Column(title="$/hour still", right=True),
        Column(title="saved", right=True),
    ]
    rows = [
        [
            one["name"] or "-",
            str(one["reaps"]),
            f"{one['hours']:,.1f}",
            f"{one['hourly_cost']:,.2f}",
            _amount(one),
        ]
        for one in document["groups"]
    ]
    shown.table(columns, rows)


def _rows(shown: Page, reaps: list[Mapping[str, Any]], now: datetime) -> None:
    narrow = shown.screen.narrow
    columns = [
        Column(title="when"),
        Column(title="kind"),
        Column(title="name", wraps=True),
        Column(title="action"),
        Column(title="hours", right=True),
        Column(title="saved", right=True),
    ]
    if not narrow:
        columns[3:3] = [Column(title="owner", wraps=True), Column(title="policy", wraps=True)]
        columns += [
            Column(title="$/hour", right=True),
            Column(title="price"),
            Column(title="counts", wraps=True),
        ]
    rows = []
    for one in reaps[-_NEWEST:]:
        row = [
            f"{datetime.fromisoformat(one['at']):%Y-%m-%d %H:%M}Z",
            one["kind"],
            one["name"],
            one["action"],
            f"{one['hours']:,.1f}",
            "unknown" if one["saved"] is None else f"{one['saved']:,.2f}",
        ]
        if not narrow:
            row[3:3] = [one["owner"] or "-", one["policy"]]
            cost = one["hourly_cost"]
            row += ["-" if cost is None else f"{cost:.4g}", one["price_source"] or "-", _counts(one, now)]
        rows.append(row)
    shown.table(columns, rows)
    if len(reaps) > _NEWEST:
        shown.line(f"and {len(reaps) - _NEWEST} earlier ones: '--output csv' has all")


def _counts(one: Mapping[str, Any], now: datetime) -> str:
    """Say for how long a reap counts, and why no longer."""
    began, until = instant(one["at"]), instant(one["until"])
    lasted = brief((until or now) - (began or now))
    said = {
        None: f"{lasted} so far",
        "started_again": f"{lasted}, until it was started again",
        "limit": f"{lasted}, the most",
        "no_effect": "not: it had to be done again",
        "reaped_before": "with the act before",
    }
    return said.get(one["ended"], str(one["ended"]))


def spreadsheet(document: Mapping[str, Any]) -> str:
    """Write the reaps as CSV (RFC 4180): unknown is empty, and no cell is a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for one in document["rows"]:
        writer.writerow([_cell(one.get(name)) for name in COLUMNS])
    return text.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
