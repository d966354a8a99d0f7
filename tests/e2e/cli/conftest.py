"""A daemon behind a socket, and a journal without one, for commands to talk to."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reaper.clock import SystemClock
from reaper.core.ruleset import Mode
from reaper.journal import MemoryJournal, journal_at
from tests.unit.cli.stage import Stage, fill, ruleset


@pytest.fixture(scope="module")
def _stage() -> Iterator[Stage]:
    with (
        TemporaryDirectory(prefix="reaper-stage-") as folder,
        Stage(Path(folder) / "reaper.sock", MemoryJournal(), terminal_pid=os.getpid()).serving() as stage,
    ):
        yield stage


@pytest.fixture
def daemon(_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A daemon to which this test's process is the shell of terminal 1."""
    monkeypatch.setenv("REAPER_LISTEN", f"unix:{_stage.socket}")
    return _stage


@pytest.fixture
def journal(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No daemon, and a journal that was written a moment ago."""
    path = own_home / "journal.db"
    monkeypatch.setenv("REAPER_LISTEN", f"unix:{own_home}/none.sock")
    monkeypatch.setenv("REAPER_STATE", str(path))

    async def write() -> None:
        made = journal_at(str(path))
        await made.open(write=True)
        await fill(made, SystemClock().now(), ruleset(Mode.ENFORCE))
        await made.close()

    asyncio.run(write())
    return path
