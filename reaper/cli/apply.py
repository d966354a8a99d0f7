"""`reaper apply`: do what a plan says."""

import json
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from reaper.cli.app import new_app
from reaper.cli.output import Column, Format, OutputOption, Page, brief, emit_json
from reaper.clock import SystemClock
from reaper.errors import ControlError, UsageError

__all__ = ["app", "page", "read_plan"]

app = new_app()

_LONGEST = timedelta(hours=24)
"""A plan's life, whatever it says itself."""


@app.command()
def apply(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="What 'reaper plan --out' wrote; '-' reads stdin.", show_default=False
        ),
    ],
    output: Annotated[Format, OutputOption] = Format.TABLE,
) -> int:
    """Do what a plan says, each item after a fresh look.

    Nothing else is done, and nothing that a fresh look does not agree to: it may be at work again. Exit status 1 if
    any item was not done; each is told with its reason.
    """
    from reaper.cli.reach import open_reach

    document = read_plan(file, SystemClock().now())
    done = open_reach().apply(document)
    if output is Format.JSON:
        emit_json(done)
    else:
        page(done, Page(), {_key(one): one.get("name") or one["id"] for one in document["items"]}).show()
    return 0 if all(one["outcome"] == "succeeded" for one in done["items"]) else 1


def read_plan(file: str, now: datetime) -> dict[str, Any]:
    """Read a plan and refuse what is none, or is too old.

    Raises:
        UsageError: It can't be read, or is no plan.
        ControlError: It has expired.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"the plan {file} can't be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{file} is no plan of 'reaper plan --out': it is no JSON ({error})") from error
    wrong = _wrong(document)
    if wrong:
        raise UsageError(f"{file} is no plan of 'reaper plan --out': {wrong}")
    made, expires = datetime.fromisoformat(document["at"]), datetime.fromisoformat(document["expires_at"])
    ends = min(expires, made + _LONGEST)
    if now >= ends:
        raise ControlError(
            f"the plan {file} expired {brief(now - ends)} ago: make a new one with 'reaper plan --out'"
        )
    plan: dict[str, Any] = document
    return plan


def _wrong(document: object) -> str | None:
    """Tell what about a document is not as a plan has it; None: nothing."""
    if not isinstance(document, dict):
        return "it is no JSON object"
    if document.get("schema") != 1:
        return f"its schema is {document.get('schema')!r}, this reaper reads 1"
    for name in ("at", "expires_at"):
        try:
            aware = datetime.fromisoformat(document[name]).tzinfo is not None
        except (KeyError, TypeError, ValueError):
            aware = False
        if not aware:
            return f"{name!r} is no instant"
    items = document.get("items")
    if not isinstance(items, list):
        return "it has no list of items"
    for number, item in enumerate(items, start=1):
        for name in ("kind", "scope", "id", "incarnation", "action"):
            if not isinstance(item, dict) or not isinstance(item.get(name), str):
                return f"item {number} has no {name!r}"
    return None


def _key(item: Mapping[str, Any]) -> tuple[str, ...]:
    return item["kind"], item["scope"], item["id"]


def page(document: Mapping[str, Any], shown: Page, names: Mapping[tuple[str, ...], str]) -> Page:
    """Draw what was done.

    Args:
        document: What the daemon answered.
        shown: The page.
        names: What the plan calls each, by kind, scope and id.
    """
    items = document["items"]
    if not items:
        shown.line("the plan is empty: nothing was to be done")
        return shown
    columns = [
        Column(title="outcome"),
        Column(title="action"),
        Column(title="kind"),
        Column(title="name", wraps=True),
        Column(title="detail", wraps=True),
    ]
    rows = [
        [one["outcome"], one["action"], one["kind"], names.get(_key(one), one["id"]), one["detail"] or "-"]
        for one in items
    ]
    shown.table(columns, rows)
    missed = [one for one in items if one["outcome"] != "succeeded"]
    shown.line(f"{len(items) - len(missed)} done" + (f", {len(missed)} not done" if missed else ""))
    return shown
