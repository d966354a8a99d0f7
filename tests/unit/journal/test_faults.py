"""Bad journals, bad disks: each gets a clear error, nothing is deleted, and what was acknowledged is there."""

import contextlib
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from reaper.core.world import World
from reaper.errors import JournalCorrupt, JournalError, JournalFull, JournalSchema
from reaper.journal import SqliteJournal
from reaper.journal.schema import APPLICATION_ID, MIGRATIONS
from reaper.testing.journal_tale import MAX_GAP
from tests.unit.journal.processes import in_a_process, restored

pytestmark = pytest.mark.usefixtures("own_home")


def sqlite(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


# --- what is no journal, or none we know -------------------------------------------------------------------------


@pytest.mark.parametrize("write", [True, False])
async def test_what_is_no_database_is_refused_and_left_alone(path, write):
    path.write_bytes(b"<!doctype html>" * 1000)
    with pytest.raises(JournalCorrupt, match=r"no SQLite database.*Nothing was deleted"):
        await SqliteJournal(path).open(write=write)
    assert path.read_bytes() == b"<!doctype html>" * 1000


@pytest.mark.parametrize("write", [True, False])
async def test_another_programs_database_is_refused_and_left_alone(path, write):
    sqlite(path, "CREATE TABLE history (x)", "PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(JournalSchema, match="no journal of reaper's"):
        await SqliteJournal(path).open(write=write)
    assert path.read_bytes() == before


@pytest.mark.parametrize("write", [True, False])
async def test_a_newer_journal_is_refused_and_left_alone(filled, path, write):
    await filled.close()
    sqlite(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(JournalSchema, match=rf"version 99, this one knows up to {len(MIGRATIONS)}.*backup"):
        await SqliteJournal(path).open(write=write)
    assert path.read_bytes() == before


async def test_a_fact_of_a_newer_reaper_is_named(filled, path):
    await filled.close()
    sqlite(path, "UPDATE facts SET type = 'BudgetLent'")
    journal = SqliteJournal(path)
    await journal.open(write=False)
    with pytest.raises(JournalSchema, match=r"'BudgetLent'.*a newer reaper"):
        await journal.load()
    await journal.close()


async def test_an_empty_file_becomes_a_journal(path, tale):
    path.touch(mode=0o640)
    journal = SqliteJournal(path)
    with pytest.raises(JournalError, match="is empty"):
        await journal.open(write=False)
    await journal.open(write=True)
    await journal.write(tale[0][0])
    await journal.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # what an administrator set stays


async def test_where_there_is_none_a_reader_is_told(path):
    with pytest.raises(JournalError, match="no journal at"):
        await SqliteJournal(path).open(write=False)
    assert not path.exists()


# --- upgrades ----------------------------------------------------------------------------------------------------

NEXT = ("ALTER TABLE lives ADD COLUMN note TEXT",)


async def test_an_upgrade_backs_the_journal_up_and_names_the_backup(filled, path, tale):
    await filled.close()
    journal = SqliteJournal(path, migrations=(*MIGRATIONS, NEXT))
    with pytest.raises(JournalSchema, match=r"has version 1, this reaper reads 2.*reaper run"):
        await journal.open(write=False)
    await journal.open(write=True)
    assert World.restore(await journal.load(), MAX_GAP) == tale[1][20]
    await journal.close()
    (backup,) = path.parent.glob("journal.db.bak-v1-*")
    assert any(str(backup) in note and "from version 1 to 2" in note for note in journal.notes)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    shutil.move(backup, path)  # going back is putting the backup in its place
    assert await restored(path) == tale[1][20]
    await journal.open(write=True)
    await journal.close()
    await journal.open(write=True)
    assert journal.notes == ()  # once
    await journal.close()


async def test_an_upgrade_that_fails_changes_nothing(filled, path, tale):
    await filled.close()
    broken = (*NEXT, "ALTER TABLE no_such_table ADD COLUMN note TEXT")
    with pytest.raises(JournalError, match="no_such_table"):
        await SqliteJournal(path, migrations=(*MIGRATIONS, broken)).open(write=True)
    assert list(path.parent.glob("*.bak-v1-*"))
    assert await restored(path) == tale[1][20]


async def test_no_room_for_the_backup_means_no_upgrade(filled, path, tale, monkeypatch):
    await filled.close()
    monkeypatch.setattr("reaper.journal.place.claim", _full_after_the_journal(path))
    with pytest.raises(JournalFull, match="backup"):
        await SqliteJournal(path, migrations=(*MIGRATIONS, NEXT)).open(write=True)
    monkeypatch.undo()
    assert await restored(path) == tale[1][20]


def _full_after_the_journal(path: Path):
    def claim(wanted: Path) -> None:
        if wanted != path:
            raise JournalFull(f"the backup {wanted}: no space left on device")

    return claim


# --- damage ------------------------------------------------------------------------------------------------------


async def test_damaged_pages_are_reported_with_what_sqlite_says_of_them(filled, path):
    await filled.close()
    content = bytearray(path.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'heads'").fetchone()
    content[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    journal = SqliteJournal(path)
    await journal.open(write=True)
    with pytest.raises(
        JournalCorrupt, match=r"damaged.*quick_check: .*Nothing was deleted.*-wal and -shm.*journal\.db\.bak"
    ):
        await journal.load()
    await journal.close()
    assert path.read_bytes() == content


async def test_a_file_cut_short_is_reported(filled, path, tale):
    await filled.close()
    path.write_bytes(path.read_bytes()[: 3 * 4096 + 100])
    journal = SqliteJournal(path)
    with pytest.raises(JournalCorrupt):
        await _open_and_load(journal)
    await journal.close()


async def test_a_damaged_header_is_reported(filled, path):
    await filled.close()
    content = bytearray(path.read_bytes())
    content[16:100] = bytes(84)
    path.write_bytes(content)
    with pytest.raises((JournalCorrupt, JournalSchema)):
        await SqliteJournal(path).open(write=True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE versions SET body = '{'",
        "UPDATE versions SET body = '{}'",
        "UPDATE facts SET body = '[]'",
        "UPDATE heads SET activity = 7",
        "UPDATE polls SET started_at = 1 << 62",
        "UPDATE facts SET body = replace(hex(zeroblob(50000)), '0', '[')",
        "DROP TABLE heads",
    ],
)
async def test_rows_that_make_no_sense_are_reported(filled, path, statement):
    await filled.close()
    sqlite(path, statement)
    journal = SqliteJournal(path)
    await journal.open(write=False)
    with pytest.raises(JournalCorrupt, match="Nothing was deleted"):
        await journal.load()
    await journal.close()


# --- no space, no permission -------------------------------------------------------------------------------------


async def test_a_full_disk_loses_nothing(filled, tale):
    """The batch that did not fit is not there in part; once there is room it is written as if nothing had been."""
    batches, worlds = tale
    connection = filled._store._connection
    worker = filled._worker
    await worker.run(lambda: connection.execute("PRAGMA max_page_count = 1").fetchone())
    number = 20

    async def write_until_full() -> None:
        nonlocal number
        while True:
            await filled.write(batches[number])
            number += 1

    with pytest.raises(JournalFull, match=r"full.*MB free.*Nothing of it was lost"):
        await write_until_full()
    assert World.restore(await filled.load(), MAX_GAP) == worlds[number]
    with pytest.raises(JournalFull):
        await filled.write(batches[number])
    await worker.run(lambda: connection.execute("PRAGMA max_page_count = 1000000").fetchone())
    for batch in batches[number:]:
        await filled.write(batch)
    assert World.restore(await filled.load(), MAX_GAP) == worlds[-1]


@pytest.fixture
def shown(tmp_path_factory):
    """A folder everybody may look into."""
    folder = tmp_path_factory.mktemp("shown")
    for above in (folder, *folder.parents[:-2]):
        above.chmod(above.stat().st_mode | 0o055)
    yield folder
    for closed in (folder, *folder.glob("*/")):
        closed.chmod(0o755)


async def test_a_folder_we_may_not_write_to_is_named(shown):
    shown.chmod(0o555)
    said = in_a_process(shown / "journal.db", "write", "powerless")
    assert said.startswith("JournalFull"), said
    assert str(shown) in said
    assert "ermission denied" in said


@pytest.mark.parametrize("name", ["journal.db", "sub/journal.db"])
async def test_a_folder_we_may_not_look_into_is_named(shown, name):
    """As another user's state directory is: there not even what exists can be asked."""
    closed = shown / "closed"
    closed.mkdir(mode=0o700)
    for mode in ("write", "read"):
        said = in_a_process(closed / name, mode, "powerless")
        assert said.startswith("JournalFull" if mode == "write" else "JournalError"), said
        assert str(closed) in said
        assert "ermission denied" in said


async def test_a_journal_we_may_not_write_is_named(shown):
    path = shown / "journal.db"
    await restored(path)
    path.chmod(0o444)
    shown.chmod(0o777)
    path.with_name("journal.db.lock").chmod(0o666)
    said = in_a_process(path, "write", "powerless")
    assert said.startswith("JournalFull"), said


async def test_a_reader_needs_no_right_to_write(shown, tale):
    """No daemon runs and the folder is closed to us: SQLite can't make the shared memory it wants, and needs none."""
    path = shown / "journal.db"
    journal = SqliteJournal(path)
    await journal.open(write=True)
    for batch in tale[0][:7]:
        await journal.write(batch)
    await journal.close()
    path.chmod(0o444)
    shown.chmod(0o555)
    assert in_a_process(path, "read", "powerless") == "7\n"
    assert sorted(file.name for file in shown.iterdir()) == ["journal.db", "journal.db.lock"]


async def test_a_reader_sees_what_a_crash_left_in_the_log(shown, tale):
    """The same after a crash: what was acknowledged is in the log alone, and is worked in in a copy."""
    path = shown / "journal.db"
    journal = SqliteJournal(path)
    await journal.open(write=True)
    for batch in tale[0][:7]:
        await journal.write(batch)
    left = shown / "left"
    left.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(shown / name, left / name)
        (left / name).chmod(0o444)
    await journal.close()
    left.chmod(0o555)
    assert in_a_process(left / "journal.db", "read", "powerless") == "7\n"
    assert sorted(file.name for file in left.iterdir()) == ["journal.db", "journal.db-wal"]


def test_our_application_id_spells_our_name():
    assert APPLICATION_ID.to_bytes(4, "big") == b"REAP"


async def _open_and_load(journal: SqliteJournal) -> None:
    await journal.open(write=True)
    await journal.load()
