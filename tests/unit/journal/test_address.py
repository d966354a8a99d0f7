from pathlib import Path

import pytest

from reaper.errors import ConfigError
from reaper.journal import MemoryJournal, SqliteJournal, journal_at


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/var/lib/reaper/journal.db", "/var/lib/reaper/journal.db"),
        ("sqlite:///var/lib/reaper/journal.db", "/var/lib/reaper/journal.db"),
        ("sqlite:////var/lib/reaper/journal.db", "/var/lib/reaper/journal.db"),
        ("sqlite:///with%20space/%C3%BC.db", "/with space/ü.db"),
        ("/a/../b/journal.db", "/b/journal.db"),
        ("~/journal.db", str(Path("~/journal.db"))),
    ],
)
def test_paths_and_urls(address, path):
    journal = journal_at(address)
    assert isinstance(journal, SqliteJournal)
    assert journal.path == Path(path).expanduser()


def test_a_relative_path_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = journal_at("state/journal.db")
    assert isinstance(journal, SqliteJournal)
    assert journal.path == tmp_path / "state/journal.db"


@pytest.mark.parametrize("address", ["memory:", "memory://"])
def test_memory(address):
    assert isinstance(journal_at(address), MemoryJournal)


@pytest.mark.parametrize("address", ["postgresql://db/reaper", "redis:x"])
def test_another_scheme_is_refused_and_the_existing_ones_are_named(address):
    with pytest.raises(ConfigError, match=r"there are: a file's path, memory, sqlite"):
        journal_at(address)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            " ",
            "a\0b",
            "sqlite://host/x",
            "sqlite:///",
            "sqlite:///x?mode=ro",
            "memory:x",
            "sqlite:///x#y",
        ),
        *("sqlite:x.db", "sqlite:/var/lib/reaper/journal.db", "SQLite:x.db"),
        "~no-such-user/journal.db",
    ],
)
def test_what_means_nothing_is_refused(address):
    with pytest.raises(ConfigError, match="no address of a journal"):
        journal_at(address)
