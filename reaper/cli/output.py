"""What commands print: JSON for programs, tables and lines for people, and nothing wrapped in a pipe."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TextIO

import typer

__all__ = [
    "Column",
    "Format",
    "OutputOption",
    "Page",
    "Screen",
    "ago",
    "brief",
    "clean",
    "emit",
    "emit_json",
    "instant",
    "left",
    "note",
    "paused_line",
]

_NO_SECONDS = 600
"""From so many seconds on people are told whole minutes."""
_NARROW = 100
"""Below this many columns a terminal gets shorter texts."""
_BROKEN_PIPE = 141
"""What a shell reports of a command that SIGPIPE ended; ours is quiet about it in the same way."""


class Format(StrEnum):
    """What a reading command prints."""

    TABLE = "table"
    JSON = "json"


OutputOption = typer.Option("--output", "-o", help="For people, or JSON on stdout (see 'reaper schema').")
"""`--output table|json`, the same for every command: `output: Annotated[Format, OutputOption] = Format.TABLE`."""

_STYLES = {
    "reap": "31",
    "wait": "33",
    "keep": "32",
    "unknown": "35",
    "active": "32",
    "idle": "33",
    "uncovered": "31",
    "starting": "33",
    "covered": "32",
    "ok": "32",
    "warn": "33",
    "warning": "33",
    "critical": "31",
    "fail": "31",
    "bold": "1",
    "dim": "2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Where text goes.

    Attributes:
        width: Columns of the terminal; None for a pipe or a file, where nothing is wrapped or cut.
        color: Whether escape sequences may be used: a terminal, and no `NO_COLOR`.
    """

    width: int | None
    color: bool

    @property
    def narrow(self) -> bool:
        """Whether it is a terminal on which texts must be short."""
        return self.width is not None and self.width < _NARROW

    @classmethod
    def of(cls, stream: TextIO) -> "Screen":
        """Look at a stream."""
        if not stream.isatty():
            return cls(width=None, color=False)
        color = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
        return cls(width=max(40, shutil.get_terminal_size().columns), color=color)

    def styled(self, text: str, style: str) -> str:
        """Color a text by the name of a style (a verdict, `bold` ...); unknown names leave it plain."""
        code = _STYLES.get(style)
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        wraps: On a terminal its text may take several lines; other columns stay whole where they can.
        right: Aligned to the right.
        styled: Its cells are named like a style (verdicts, levels).
    """

    title: str
    wraps: bool = False
    right: bool = False
    styled: bool = False


@dataclass(slots=True)
class Page:
    """Text for one screen, built line by line and printed at once."""

    screen: Screen = field(default_factory=lambda: Screen.of(sys.stdout))
    lines: list[str] = field(default_factory=list)

    def line(self, text: str = "", *, indent: int = 0, hanging: int = 0, style: str = "") -> None:
        """Add a line; on a terminal it is wrapped, its further lines indented by `hanging` more."""
        text = clean(text)
        pieces = [" " * indent + text]
        if self.screen.width is not None and len(pieces[0]) > self.screen.width:
            pieces = textwrap.wrap(
                text,
                self.screen.width,
                initial_indent=" " * indent,
                subsequent_indent=" " * (indent + hanging),
                break_on_hyphens=False,
            )
        self.lines.extend(self.screen.styled(piece, style) for piece in pieces)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, indent: int = 0) -> None:
        """Add a table: drawn to the terminal's width, or aligned and whole for a pipe."""
        cleaned = [[clean(cell) for cell in row] for row in rows]
        if self.screen.width is None:
            self.lines.extend(" " * indent + line for line in _plain(columns, cleaned))
        else:
            drawn = _drawn(columns, cleaned, self.screen, self.screen.width - indent)
            self.lines.extend(" " * indent + line for line in drawn)

    def text(self) -> str:
        """Give everything, ending in a newline."""
        return "\n".join([*self.lines, ""])

    def show(self) -> None:
        """Print everything on stdout."""
        emit(self.text())


def _plain(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [[column.title.upper() for column in columns], *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(columns))]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _drawn(columns: Sequence[Column], rows: Sequence[Sequence[str]], screen: Screen, width: int) -> list[str]:
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold" if screen.color else "")
    for column in columns:
        table.add_column(
            column.title,
            no_wrap=not column.wraps,
            overflow="fold",
            justify="right" if column.right else "left",
        )
    names = {"31": "red", "32": "green", "33": "yellow", "35": "magenta"}
    for row in rows:
        cells = []
        for column, cell in zip(columns, row, strict=True):
            code = _STYLES.get(cell.partition(",")[0], "") if column.styled and screen.color else ""
            cells.append(Text(cell, style=names.get(code, "")))
        table.add_row(*cells)
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=screen.color,
        color_system="standard" if screen.color else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def emit(text: str) -> None:
    """Write to stdout; when nobody reads it any more, end quietly."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer is flushed at exit, into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(_BROKEN_PIPE) from None


def emit_json(document: Mapping[str, Any]) -> None:
    """Write a document to stdout as JSON."""
    emit(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def note(text: str) -> None:
    """Write a remark to stderr: stdout holds the answer alone."""
    sys.stderr.write(f"reaper: {clean(text)}\n")
    sys.stderr.flush()


def clean(text: str) -> str:
    """Replace control characters: a notebook's name must not move the cursor of who looks at it."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else " " if char in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def instant(text: object) -> datetime | None:
    """Read an instant of a document; null is None."""
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def brief(duration: timedelta) -> str:
    """Write a duration for people, with its two biggest units: `1h 23m`, `45s`, `3d`."""
    seconds = max(0, round(duration.total_seconds()))
    if seconds >= _NO_SECONDS:
        seconds -= seconds % 60
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0s"


def paused_line(pause: Mapping[str, Any], now: datetime) -> str:
    """Write that the kill switch is on, until when, and by whom."""
    until = f"for {left(pause.get('until'), now)} more" if pause.get("until") else "until 'reaper resume'"
    return f"PAUSED {until}, by {pause.get('who') or 'somebody'}: {pause.get('why') or 'no reason given'}"


def ago(text: object, now: datetime) -> str:
    """Write how long ago an instant of a document was; `-` for null."""
    at = instant(text)
    return "-" if at is None else f"{brief(now - at)} ago"


def left(text: object, now: datetime) -> str:
    """Write how long it is until an instant of a document; `-` for null."""
    at = instant(text)
    return "-" if at is None else brief(at - now)
