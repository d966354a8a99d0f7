"""Run commands in this process, over a daemon's socket or a journal."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from reaper.cli import offline
from reaper.cli.app import main
from reaper.cli.client import Client
from reaper.clock import SystemClock
from reaper.config.places import ListenAddress
from reaper.core.ruleset import Mode
from reaper.journal import MemoryJournal, journal_at
from tests.unit.cli.stage import Stage, fill, ruleset


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Reaper = Callable[..., Ran]


@pytest.fixture
def reaper(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Reaper:
    """The command line as a function."""

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(offline, "_told", set())
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        said = capsys.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, said.out, said.err)

    return run


@pytest.fixture(
    scope="module"
)  # not longer: its looks grow old, and after three minutes nothing is to be reaped
def _shared_stage() -> Iterator[Stage]:
    with (
        TemporaryDirectory(prefix="reaper-stage-") as folder,
        Stage(Path(folder) / "reaper.sock", MemoryJournal(), mode=Mode.DRY_RUN).serving() as stage,
    ):
        yield stage


@pytest.fixture
def daemon(_shared_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A daemon in dry-run mode that answers. What a test changes it must change back."""
    monkeypatch.setenv("REAPER_LISTEN", f"unix:{_shared_stage.socket}")
    Client(ListenAddress(path=_shared_stage.socket)).get(
        "/api/v1/plan"
    )  # decides anew: no hold of the test before
    return _shared_stage


@pytest.fixture
def no_daemon(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody listens, and there is no journal yet: its path."""
    monkeypatch.setenv("REAPER_LISTEN", f"unix:{own_home}/none.sock")
    journal = own_home / "journal.db"
    monkeypatch.setenv("REAPER_STATE", str(journal))
    return journal


@pytest.fixture
def journal(no_daemon: Path) -> Path:
    """A journal in enforce mode, last looked at a moment ago, that nobody writes."""

    async def write() -> None:
        made = journal_at(str(no_daemon))
        await made.open(write=True)
        await fill(made, SystemClock().now(), ruleset(Mode.ENFORCE))
        await made.close()

    asyncio.run(write())
    return no_daemon
