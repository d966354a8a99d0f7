"""Draw what `reaper check` saw: for a terminal, and plain for a mail or a file."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from reaper.cli.checking.rows import LEVELS, Limits, Row, Tally, document_of, end_command
from reaper.cli.output import Column, Page, Screen, brief, clean

__all__ = ["Seen", "ordered", "page", "written"]

_MARKERS = {"critical": "!!", "warning": "!", "ok": ""}
_MOST_DRAWN = 500
"""More rows than that are aligned without rich, which takes a millisecond for each."""

_CHUNK = 500


class Seen(NamedTuple):
    """What was seen.

    Attributes:
        rows: Everything that runs, once.
        scopes: `ACCOUNT/REGION` of what was looked at.
        errors: What could not be seen: where, and why.
        left_out: What is not looked at on purpose: where, and why.
    """

    rows: Sequence[Row]
    scopes: Sequence[str]
    errors: Sequence[tuple[str, str]]
    left_out: Sequence[tuple[str, str]] = ()


def ordered(rows: Iterable[Row], limits: Limits) -> list[Row]:
    """Put the worst first, then what has run longest. Sorted by one thing at a time: keys of many would be large."""
    found = sorted(rows, key=lambda row: row.id)
    found.sort(key=lambda row: row.runtime_s or 0.0, reverse=True)
    found.sort(key=lambda row: LEVELS.index(row.level(limits)))
    return found


def written(seen: Seen, limits: Limits, tally: Tally) -> Iterator[str]:
    """Write the JSON document, piece by piece: all of it at once would be large."""
    yield '{\n"schema": 1,\n"resources": ['
    for start in range(0, len(seen.rows), _CHUNK):
        rows = seen.rows[start : start + _CHUNK]
        lines = [json.dumps(document_of(row, limits), ensure_ascii=False) for row in rows]
        yield ("\n" if start == 0 else ",\n") + ",\n".join(lines)
    rest: dict[str, Any] = {
        "totals": tally.document(),
        "scopes": list(seen.scopes),
        "errors": [{"where": where, "message": message} for where, message in seen.errors],
        "left_out": [{"where": where, "message": message} for where, message in seen.left_out],
    }
    body = ",\n".join(f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in rest.items())
    yield f"\n],\n{body}\n}}\n"


def page(seen: Seen, limits: Limits, tally: Tally, screen: Screen) -> Iterator[str]:
    """Draw everything, piece by piece."""
    head = Page(screen)
    head.line(_summary(seen, tally), style="bold")
    head.line(
        f"warning from {brief(limits.warning_after)} on, critical from {brief(limits.critical_after)} on"
    )
    for where, message in seen.errors:
        head.line(f"not seen: {where}: {message}", hanging=2, style="reap")
    for where, message in seen.left_out:
        head.line(f"left out: {where}: {message}", hanging=2, style="dim")
    head.line()
    yield head.text()
    if seen.rows:
        yield from _table(seen.rows, limits, screen)
        yield from _commands(seen.rows, limits)
        foot = Page(screen)
        foot.line()
        foot.line(_total(tally))
        yield foot.text()


def _summary(seen: Seen, tally: Tally) -> str:
    where = _places(seen.scopes)
    if not seen.rows:
        return f"none found: nothing is running in {where}" if seen.scopes else "nothing could be seen"
    parts = [f"{tally.levels[level]} {level}" for level in LEVELS if tally.levels[level]]
    return f"{tally.count} running in {where}: {', '.join(parts)}"


def _places(scopes: Sequence[str]) -> str:
    if len(scopes) <= 3:  # noqa: PLR2004 - more are a number
        return ", ".join(scopes) or "nowhere"
    accounts = {scope.partition("/")[0] for scope in scopes}
    regions = {scope.partition("/")[2] for scope in scopes}
    one = "account" if len(accounts) == 1 else "accounts"
    return f"{len(regions)} regions of {len(accounts)} {one}"


def _total(tally: Tally) -> str:
    least = "at least " if tally.unpriced else ""
    unknown = f" ({tally.unpriced} without a known price)" if tally.unpriced else ""
    hourly = f"{least}{_dollars(tally.hourly)} an hour"
    exempt = f"; {tally.exempt} of them protected or held" if tally.exempt else ""
    return f"total: {tally.count} running{exempt}; {hourly}, {least}{_dollars(tally.cost)} so far{unknown}"


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.4f}"  # noqa: PLR2004 - cents say nothing


_COLUMNS = (
    Column(title=""),
    Column(title="level", styled=True),
    Column(title="kind"),
    Column(title="type"),
    Column(title="id"),
    Column(title="name", wraps=True),
    Column(title="owner", wraps=True),
    Column(title="running", right=True),
    Column(title="$/hour", right=True),
    Column(title="so far", right=True),
    Column(title="scope", wraps=True),
)


def _table(rows: Sequence[Row], limits: Limits, screen: Screen) -> Iterator[str]:
    if screen.width is not None and len(rows) <= _MOST_DRAWN:
        drawn = Page(screen)
        drawn.table(_COLUMNS, [_cells(row, limits) for row in rows])
        yield drawn.text()
        return
    titles = [column.title.upper() for column in _COLUMNS]
    widths = [len(title) for title in titles]
    for row in rows:
        for at, cell in enumerate(_cells(row, limits)):
            widths[at] = max(widths[at], len(cell))
    yield _line(titles, widths)
    for start in range(0, len(rows), _CHUNK):
        yield "".join(_line(_cells(row, limits), widths) for row in rows[start : start + _CHUNK])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [
        cell.rjust(width) if column.right else cell.ljust(width)
        for cell, width, column in zip(cells, widths, _COLUMNS, strict=True)
    ]
    return "  ".join(aligned).rstrip() + "\n"


def _cells(row: Row, limits: Limits) -> list[str]:
    level = row.level(limits)
    cost = row.cost
    return [
        _MARKERS[level],
        f"{level}, {row.exempt}" if row.exempt else level,
        row.kind,
        f"{row.instance_type or '-'}{' (spot)' if row.spot else ''}",
        clean(row.id),
        clean(row.name) if row.name != row.id else "-",
        clean(row.owner or "-"),
        "unknown" if row.runtime_s is None else brief(timedelta(seconds=row.runtime_s)),
        "unknown" if row.price is None else f"{row.price.hourly:.3f}",
        "unknown" if cost is None else _dollars(cost),
        row.scope,
    ]


def _commands(rows: Sequence[Row], limits: Limits) -> Iterator[str]:
    """Give the command that would end each that needs attention; none of them is wrapped, so that it can be copied."""
    wanted = [row for row in rows if row.level(limits) != "ok" and row.end]
    if not wanted:
        return
    yield "\nto end them:\n"
    for start in range(0, len(wanted), _CHUNK):
        yield "".join(f"  {clean(end_command(row) or '')}\n" for row in wanted[start : start + _CHUNK])
