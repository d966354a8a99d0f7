"""Texts for people: durations, tables on terminals and in pipes, nothing that moves a cursor."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from reaper.cli.output import Column, Page, Screen, ago, brief, clean, left

PIPE = Screen(width=None, color=False)
TERMINAL = Screen(width=80, color=True)
COLUMNS = [
    Column(title="name", wraps=True),
    Column(title="verdict", styled=True),
    Column(title="due in", right=True),
]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0s"),
        (0, "0s"),
        (0.4, "0s"),
        (59.6, "1m"),
        (61, "1m 1s"),
        (599, "9m 59s"),
        (601, "10m"),
        (3600, "1h"),
        (3661, "1h 1m"),
        (86400, "1d"),
        (90061, "1d 1h"),
        (86460, "1d"),
    ],
)
def test_durations_have_two_units_at_most(seconds, said):
    assert brief(timedelta(seconds=seconds)) == said


def test_instants_are_told_relative_to_now():
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert ago("2026-11-22T11:00:00.000000Z", now) == "1h ago"
    assert left("2026-11-22T12:00:30Z", now) == "30s"
    assert ago(None, now) == left(None, now) == "-"


def test_control_characters_do_not_reach_the_terminal():
    """A notebook can be called anything, also a sequence that clears the screen or sets the window's title."""
    assert clean("\x1b]0;you\x07\x1b[2Jok\r\nnext\t.") == "\ufffd]0;you\ufffd\ufffd[2Jok\ufffd next ."
    page = Page(PIPE)
    page.table(COLUMNS, [["a\x1b[2J\nb", "wait", "1h"]])
    page.line("c\x1b[2J")
    assert "\x1b" not in page.text()


def test_a_pipe_gets_whole_aligned_lines():
    page = Page(PIPE)
    page.table(COLUMNS, [["x" * 200, "wait", "1h"], ["y", "reap", "now"]])
    lines = page.text().splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["NAME", "VERDICT", "DUE", "IN"]
    assert lines[1] == "x" * 200 + "  wait" + " " * 3 + "      1h"
    assert "\x1b" not in page.text()


def test_a_terminal_gets_what_fits():
    page = Page(TERMINAL)
    page.table(COLUMNS, [["word " * 40, "reap", "1h"]])
    page.line("word " * 40, indent=2, hanging=2)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", page.text())
    assert max(map(len, plain.splitlines())) <= 80
    assert plain.count("word") == 80, "wrapped, not cut"
    assert "\x1b[31mreap" in page.text()


def test_no_color_means_no_escape_sequences(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")

    class Terminal:
        def isatty(self):
            return True

    screen = Screen.of(Terminal())  # type: ignore[arg-type]
    assert screen.width is not None
    page = Page(screen)
    page.line("bold", style="bold")
    page.table(COLUMNS, [["a", "reap", "1h"]])
    assert "\x1b" not in page.text()
    monkeypatch.delenv("NO_COLOR")
    assert Screen.of(Terminal()).color  # type: ignore[arg-type]
    monkeypatch.setenv("TERM", "dumb")
    assert not Screen.of(Terminal()).color  # type: ignore[arg-type]
