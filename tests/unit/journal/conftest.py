"""A journal in a file, with a tale in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reaper.core.batch import Batch
from reaper.core.world import World
from reaper.journal import SqliteJournal
from reaper.testing.journal_tale import told

Tale = tuple[list[Batch], list[World]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def tale() -> Tale:
    return told(4)


@pytest.fixture
async def filled(path: Path, tale: Tale) -> AsyncIterator[SqliteJournal]:
    """A journal open for writing, with the first twenty batches of the tale."""
    journal = SqliteJournal(path)
    await journal.open(write=True)
    for batch in tale[0][:20]:
        await journal.write(batch)
    yield journal
    await journal.close()
