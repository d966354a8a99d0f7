"""The journal's place in the file system: who may write, on what kind of disk, with what access."""

import contextlib
import fcntl
import os
import stat
import weakref
from datetime import datetime
from pathlib import Path

from reaper.errors import JournalCorrupt, JournalError, JournalFull, JournalLocked
from reaper.journal.faults import RESCUE, cannot_write

__all__ = ["Lock", "backup_path", "check_header", "claim", "file_system", "is_network", "prepare_folder"]

_MAGIC = b"SQLite format 3\0"
_COMPANIONS = ("", "-wal", "-shm", "-journal", ".lock")

_NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "gfs2",
    }
    | {"smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs", "fhgfs", "panfs", "pvfs2", "orangefs", "wekafs"}
)
"""Where two hosts, or a host and its guest, may hold one file: shared memory does not reach that far, and
SQLite's WAL needs it. EFS mounts as nfs4; everything in FUSE (`fuse.s3fs`, `fuse.sshfs`) is taken for one."""


def prepare_folder(path: Path) -> None:
    """Make the folders a journal is to lie in, closed to others.

    Raises:
        JournalFull: That can't be done, something stands in the way, or we may not even look.
    """
    try:
        _make_folders(path.parent)
        if path.is_dir():
            raise cannot_write(path, "it is a folder: name the file in it")
        for suffix in _COMPANIONS:
            beside = path.with_name(path.name + suffix)
            if beside.is_symlink():
                raise cannot_write(
                    path, f"{beside} is a symbolic link, and links are not followed: name the file itself"
                )
    except OSError as error:
        raise cannot_write(path, f"{error.filename}: {error.strerror}") from error


def _make_folders(wanted: Path) -> None:
    missing = []
    for folder in (wanted, *wanted.parents):
        if folder.exists():
            break
        missing.append(folder)
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)


def claim(path: Path) -> None:
    """Make the file where there is none: readable by its owner alone.

    Raises:
        JournalFull: That can't be done.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot_write(path, error.strerror or str(error)) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise cannot_write(path, "it is no regular file")
    finally:
        os.close(descriptor)


def check_header(path: Path) -> None:
    """Make sure that a file is a SQLite database, or empty.

    Raises:
        JournalCorrupt: It is something else.
        JournalError: It can't be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise JournalError(
            f"there is no journal at {path}: has `reaper run` been started with this REAPER_STATE?"
        ) from None
    except OSError as error:
        raise JournalError(f"the journal {path} can't be read: {error.strerror}") from error
    if start and start != _MAGIC:
        raise JournalCorrupt(f"the journal {path} is no SQLite database: it starts with {start!r}. {RESCUE}")


def backup_path(path: Path, version: int, at: datetime) -> Path:
    """Give the name for a backup made before an upgrade: `journal.db.bak-v1-20261122T215100Z`."""
    stem = f"{path.name}.bak-v{version}-{at:%Y%m%dT%H%M%SZ}"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 1000)))
    return next(found for name in names if not (found := path.with_name(name)).exists())


def file_system(path: Path, mounts: str | None = None) -> str:
    """Give the type of the file system a path lies on (`ext4`, `nfs4`, `fuse.sshfs`); empty: not known.

    Args:
        path: Absolute.
        mounts: Text of `/proc/self/mounts`; None: read it.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""
    real, longest, found = os.path.realpath(path), -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004 - device, mount point, type
            continue
        point = _unescaped(fields[1])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # of two mounts on one point the later one counts
            longest, found = len(point), fields[2]
    return found


def is_network(kind: str) -> bool:
    """Tell whether a file system may be shared between hosts."""
    return kind in _NETWORK or kind == "fuse" or kind.startswith("fuse.")


def _unescaped(point: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, character)
    return point


_held: weakref.WeakSet["Lock"] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for lock in list(_held):
        lock.disown()


os.register_at_fork(after_in_child=_let_go_in_child)


class Lock:
    """The right to write a journal: a lock on `<journal>.lock`, with our pid in it.

    It ends with the process whatever ends that; a forked child does not keep it, and neither does another
    journal object of this process get it.

    Args:
        path: The journal.
    """

    def __init__(self, path: Path) -> None:
        self._journal = path
        self._path = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it.

        Raises:
            JournalLocked: Another process, or another part of this one, has it.
            JournalFull: The lock's file can't be made.
        """
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise cannot_write(self._journal, f"{self._path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            ours = any(lock.is_on(descriptor) for lock in list(_held))
            os.close(descriptor)
            raise JournalLocked(self._locked(holder, ours=ours)) from None
        except OSError as error:
            os.close(descriptor)
            raise JournalFull(f"the journal {self._journal} can't be locked: {error.strerror}") from error
        with contextlib.suppress(OSError):  # a full disk has no room for the pid; the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        _held.add(self)

    def release(self) -> None:
        """Give it up. The file stays: removing it would let two processes lock two files of one name."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = None
        _held.discard(self)

    def is_on(self, descriptor: int) -> bool:
        """Tell whether it is held, and on the file that a descriptor is open on."""
        return self._descriptor is not None and os.path.sameopenfile(self._descriptor, descriptor)

    def disown(self) -> None:
        """In a forked child: close our copy, which leaves the parent's lock in force."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _locked(self, holder: str, *, ours: bool) -> str:
        if ours:
            who = f"this very process ({holder})"
        elif holder == str(os.getpid()):
            who = f"process {holder} of another container or host"
        else:
            who = f"process {holder}" if holder else "another process"
        return (
            f"the journal {self._journal} is being written by {who}: one daemon a journal. "
            "Stop that one, or give this one a REAPER_STATE of its own"
        )
