"""Both journals keep the contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reaper.journal import MemoryJournal, SqliteJournal
from reaper.plugins import Journal
from reaper.testing.journal_contract import JournalContract


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    async def journal(self) -> AsyncIterator[Journal]:
        journal = MemoryJournal()
        await journal.open(write=True)
        yield journal
        await journal.close()


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open(write=True)
        yield journal
        await journal.close()
