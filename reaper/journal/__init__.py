"""Where facts are kept: a SQLite file by default, or memory."""

from reaper.journal.address import journal_at
from reaper.journal.memory import MemoryJournal
from reaper.journal.sqlite import SqliteJournal

__all__ = ["MemoryJournal", "SqliteJournal", "journal_at"]
