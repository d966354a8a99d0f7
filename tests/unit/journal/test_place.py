import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reaper.errors import JournalCorrupt, JournalError, JournalFull, JournalLocked
from reaper.journal import place

MOUNTS = r"""
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
fs-1.efs.eu-central-1.amazonaws.com:/ /home/studio\040user nfs4 rw 0 0
tmpfs /home/studio\040user/tmp tmpfs rw 0 0
bucket /mnt/data fuse.s3fs rw 0 0
//nas/share /mnt/nas cifs rw 0 0
over /mnt/nas/local xfs rw 0 0
over /mnt/nas/local nfs rw 0 0
rubbish
"""


@pytest.mark.parametrize(
    ("where", "kind", "network"),
    [
        ("/var/lib/reaper", "ext4", False),
        ("/home/studio user/.local/state/reaper", "nfs4", True),
        ("/home/studio user", "nfs4", True),
        ("/home/studio users", "ext4", False),
        ("/home/studio user/tmp/reaper", "tmpfs", False),
        ("/mnt/data/reaper", "fuse.s3fs", True),
        ("/mnt/nas/x", "cifs", True),
        ("/mnt/nas/local/x", "nfs", True),  # of two on one point the later one counts
    ],
)
def test_the_file_system_is_that_of_the_innermost_mount(where, kind, network):
    assert place.file_system(Path(where), MOUNTS) == kind
    assert place.is_network(kind) is network


def test_an_unknown_file_system_is_taken_for_a_local_one():
    assert place.file_system(Path("/x"), "") == ""
    assert not place.is_network("")
    assert place.file_system(Path("/")) != "nfs"  # reads the real table


def test_folders_are_made_for_their_owner_alone(tmp_path):
    path = tmp_path / "a" / "b" / "journal.db"
    place.prepare_folder(path)
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)] == [
        0o700,
        0o700,
    ]
    place.claim(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"])
def test_links_are_not_followed(tmp_path, name):
    """Somebody who may write to the folder must not choose what we write to."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / name).symlink_to(victim)
    with pytest.raises(JournalFull, match="symbolic link"):
        place.prepare_folder(tmp_path / "journal.db")
    assert victim.read_text() == "precious"


def test_what_stands_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFull, match="file"):
        place.prepare_folder(tmp_path / "file" / "sub" / "journal.db")
    with pytest.raises(JournalFull, match="folder"):
        place.prepare_folder(tmp_path)


def test_a_pipe_is_no_journal(tmp_path):
    os.mkfifo(tmp_path / "journal.db")
    with pytest.raises(JournalFull, match="no regular file"):
        place.claim(tmp_path / "journal.db")


def test_the_header_is_looked_at(tmp_path):
    path = tmp_path / "journal.db"
    with pytest.raises(JournalError, match="no journal at"):
        place.check_header(path)
    path.write_text("<html>")
    with pytest.raises(JournalCorrupt, match="html"):
        place.check_header(path)
    path.write_bytes(b"")
    place.check_header(path)


def test_a_backup_never_overwrites_another(tmp_path):
    path, at = tmp_path / "journal.db", datetime(2026, 11, 22, 21, 51, tzinfo=UTC)
    first = place.backup_path(path, 1, at)
    assert first.name == "journal.db.bak-v1-20261122T215100Z"
    first.write_text("")
    second = place.backup_path(path, 1, at)
    assert second.name == "journal.db.bak-v1-20261122T215100Z-2"


def test_one_lock_at_a_time(tmp_path):
    path = tmp_path / "journal.db"
    one, other = place.Lock(path), place.Lock(path)
    one.acquire()
    with pytest.raises(JournalLocked, match=rf"this very process \({os.getpid()}\)"):
        other.acquire()
    one.release()
    one.release()
    other.acquire()
    other.release()


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    path = tmp_path / "journal.db"
    script = f"""
import sys, pathlib
from reaper.journal.place import Lock
lock = Lock(pathlib.Path({str(path)!r}))
lock.acquire()
print("locked", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(JournalLocked, match=f"process {holder.pid}:"):
            place.Lock(path).acquire()
        holder.kill()
    lock = place.Lock(path)
    lock.acquire()
    lock.release()


def test_the_same_pid_elsewhere_is_not_this_process(tmp_path):
    """Two containers on one volume, each with its daemon as process 7."""
    path = tmp_path / "journal.db"
    script = f"""
import os, pathlib, sys
from reaper.journal import place
os.getpid = lambda: {os.getpid()}
lock = place.Lock(pathlib.Path({str(path)!r}))
lock.acquire()
print("locked", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(JournalLocked, match=f"process {os.getpid()} of another container or host"):
            place.Lock(path).acquire()
        holder.kill()


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    """A child that was forked without exec (multiprocessing) lives on after the daemon was killed."""
    script = f"""
import os, pathlib
from reaper.journal.place import Lock
path = pathlib.Path({str(tmp_path / "journal.db")!r})
lock = Lock(path)
lock.acquire()
(ready, tell), (wait, end) = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.close(end)
    os.write(tell, b"x")
    os.read(wait, 1)
    os._exit(0)
os.read(ready, 1)
lock.disown()  # what the kernel does when this process is killed: closed, not unlocked
Lock(path).acquire()
os.close(end)
os.waitpid(child, 0)
print("free")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.stdout, done.stderr) == ("free\n", "")


def test_an_unwritable_place_for_the_lock_is_named(tmp_path):
    with pytest.raises(JournalFull, match=r"journal\.db\.lock"):
        place.Lock(tmp_path / "missing" / "journal.db").acquire()
