"""Opens a journal's file: to write it, or to read it beside the one who does."""

import shutil
import sqlite3
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from reaper.clock import Clock
from reaper.errors import JournalError, JournalFull, JournalSchema
from reaper.journal import place, schema
from reaper.journal.faults import cannot_write, translate, translated
from reaper.journal.store import Store

__all__ = ["Opened", "open_memory", "open_reader", "open_writer"]

_BUSY_S = 5.0
"""How long to wait for a lock that a SQLite shell or a backup may hold for a moment."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A journal that was opened.

    Attributes:
        store: What to ask.
        notes: What a person should know: an upgrade and its backup, a disk on which only one may read.
    """

    store: Store
    notes: tuple[str, ...] = ()


def open_memory(kept: bytes | None) -> Opened:
    """Open a journal without a file, with what an earlier one `serialize`d."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    if kept is not None:
        connection.deserialize(kept)
    schema.migrate(connection)
    return Opened(Store("memory:", writer=connection, reader=connection))


def open_writer(
    path: Path, clock: Clock, migrations: tuple[schema.Migration, ...] = schema.MIGRATIONS
) -> Opened:
    """Open a journal to write it, making or upgrading it as needed.

    Args:
        path: Absolute.
        clock: Dates a backup.
        migrations: All versions there are.

    Raises:
        JournalLocked: Somebody else writes it.
        JournalSchema: It is newer, or no journal.
        JournalCorrupt: It is damaged.
        JournalFull: It can't be made or written.
    """
    with ExitStack() as undo:
        place.prepare_folder(path)
        lock = place.Lock(path)
        lock.acquire()
        undo.callback(lock.release)
        place.claim(path)
        place.check_header(path)
        kind = place.file_system(path.parent)
        alone = place.is_network(kind)
        with translated(path):
            connection = sqlite3.connect(
                f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_S
            )
        undo.callback(connection.close)
        notes = _make_ready(connection, path, clock, migrations, alone=alone)
        if alone:
            notes.append(
                f"the journal {path} lies on a network file system ({kind}): it is kept with a rollback journal and an "
                "exclusive lock, so that nobody can read it while the daemon runs; a local disk is faster"
            )
            reader = connection
        else:
            with translated(path, connection):
                reader = sqlite3.connect(
                    f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_S
                )
            undo.callback(reader.close)
        undo.pop_all()
        return Opened(Store(str(path), writer=connection, reader=reader, on_close=lock.release), tuple(notes))


def _make_ready(
    connection: sqlite3.Connection,
    path: Path,
    clock: Clock,
    migrations: tuple[schema.Migration, ...],
    *,
    alone: bool,
) -> list[str]:
    notes = []
    with translated(path, connection):
        if alone:
            connection.execute(
                "PRAGMA locking_mode = EXCLUSIVE"
            )  # before the first access: no shared memory then
        version = _version(connection, path, len(migrations))
        if version == 0:
            schema.create(connection)
        elif version < len(migrations):
            notes.append(_back_up(connection, path, version, len(migrations), clock))
        wanted = "truncate" if alone else "wal"
        (mode,) = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
        if mode != wanted:
            raise cannot_write(path, f"its journal mode can't be set to {wanted}, it stays {mode}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        schema.migrate(connection, migrations)
    return notes


def _version(connection: sqlite3.Connection, path: Path, ours: int) -> int:
    """Give the version of a journal; 0: an empty file.

    Raises:
        JournalSchema: It is newer than ours, or no journal.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != schema.APPLICATION_ID:
        if application == version == tables == 0:
            return 0
        raise JournalSchema(
            f"{path} is a SQLite database, but no journal of reaper's (application id {application:#x}): "
            "set REAPER_STATE to another file"
        )
    if version > ours:
        raise JournalSchema(
            f"the journal {path} was written by a newer reaper: it has version {version}, this one knows up to {ours}. "
            "Use that reaper, or put back the backup that it made before its upgrade (*.bak-v*), with nothing of the "
            "newer one beside it (-wal, -shm)"
        )
    return int(version)


def _back_up(connection: sqlite3.Connection, path: Path, version: int, ours: int, clock: Clock) -> str:
    """Copy a journal before its upgrade; gives what to tell about it.

    Raises:
        JournalFull: There is no room for the copy: nothing was changed.
    """
    backup = place.backup_path(path, version, clock.now())
    try:
        place.claim(backup)
        copy = sqlite3.connect(f"{backup.as_uri()}?mode=rw", uri=True, isolation_level=None)
        try:
            connection.backup(copy)
        finally:
            copy.close()
    except sqlite3.Error as error:
        backup.unlink(missing_ok=True)
        why = f"the backup {backup}, which must be made before the upgrade to version {ours}, failed: {error}"
        raise cannot_write(path, why) from error
    return f"the journal {path} was upgraded from version {version} to {ours}; the backup is {backup}"


# --- reading -----------------------------------------------------------------------------------------------------


def open_reader(path: Path, migrations: tuple[schema.Migration, ...] = schema.MIGRATIONS) -> Opened:
    """Open a journal to read it, beside a daemon that writes it or without one. Takes no lock, changes nothing.

    Raises:
        JournalSchema: It is newer, older, or no journal.
        JournalCorrupt: It is damaged.
        JournalLocked: It lies on a network file system and a daemon writes it.
        JournalError: There is none, or it can't be read.
    """
    place.check_header(path)
    with ExitStack() as undo:
        connection = _connect_reader(path, undo)
        undo.callback(connection.close)
        with translated(path, connection):
            version = _version(connection, path, len(migrations))
        if version == 0:
            raise JournalError(f"the journal {path} is empty: no daemon has written to it yet")
        if version < len(migrations):
            raise JournalSchema(
                f"the journal {path} has version {version}, this reaper reads {len(migrations)}: "
                "start `reaper run` once, which upgrades it (and keeps a backup)"
            )
        clean = undo.pop_all()
        return Opened(Store(str(path), writer=None, reader=connection, on_close=clean.close))


def _connect_reader(path: Path, undo: ExitStack) -> sqlite3.Connection:
    """Connect for reading, by the first way that goes.

    Beside a writer SQLite needs the shared memory file, and makes it where there is none. In a folder we may not
    write to that fails: then nobody else is writing either, and the file can be read as it stands; unless a
    crash left a log that SQLite must first work in, which it does in a copy.
    """
    try:
        return _tried(f"{path.as_uri()}?mode=ro")
    except sqlite3.Error as error:
        problem = translate(error, path)
        if not isinstance(problem, JournalFull):
            raise problem from error
    logs = [log for suffix in ("-wal", "-journal") if (log := path.with_name(path.name + suffix)).exists()]
    with translated(path):
        if not any(log.stat().st_size for log in logs):
            return _tried(f"{path.as_uri()}?immutable=1")
        try:
            folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="reaper-journal-"))
            for file in (path, *logs):
                shutil.copyfile(file, Path(folder, file.name))
        except OSError as error:
            raise JournalError(f"the journal {path} can't be read in place, nor copied: {error}") from error
        return _tried(Path(folder, path.name).as_uri())


def _tried(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_S)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
