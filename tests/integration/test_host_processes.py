"""Trees of real processes: who belongs to them, and whether they are seen to work."""

import os
import warnings
from datetime import UTC, datetime

import psutil
import pytest

from reaper.clients.host import Evidence, ProcessTable, TreeSample, sample_tree
from tests.support.processes import (
    COMPUTE,
    Looker,
    Start,
    end_process,
    fixture_host,  # noqa: F401
    fixture_start,  # noqa: F401
    until,
)


def test_a_process_is_named_as_psutil_sees_it(host: Looker):
    mine = host.root(os.getpid())
    assert abs(mine.created_at.timestamp() - psutil.Process().create_time()) < 2
    table = host.table()
    assert table.supported
    assert table.complete
    assert [k.pid for k in table.ancestors(mine.pid)] == [p.pid for p in psutil.Process().parents()]
    assert host.root(os.getpid()).created_at == mine.created_at


def test_a_sleeping_tree_is_idle(start: Start, host: Looker):
    script = start("p = subprocess.Popen(['sleep', '600']); print(p.pid); sleep()")
    child = int(script.says())
    root = host.root(script.pid)
    until(
        lambda: {k.pid for k in host.table().tree(root)} == {script.pid, child}, what="its child runs sleep"
    )
    seen = until(lambda: (e := host.judge(root)).activity == "idle" and e, what="idle")
    assert isinstance(seen, Evidence)
    assert seen.value["cores"] == 0


def test_a_computing_process_is_active_and_named(start: Start, host: Looker):
    script = start("compute()")
    seen = host.judge(host.root(script.pid))
    assert seen.activity == "active", seen
    assert seen.value["busiest_pid"] == script.pid


def test_a_computing_grandchild_is_active(start: Start, host: Looker):
    script = start(
        f"""
        command = ["sh", "-c", '"$0" -S -E -c "$1"; true', sys.executable, {COMPUTE!r}]
        p = subprocess.Popen(command); print(p.pid); sleep()
        """
    )
    script.says()
    root = host.root(script.pid)
    seen = until(lambda: (e := host.judge(root)).activity == "active" and e, what="active")
    assert isinstance(seen, Evidence)
    assert seen.value["busiest_pid"] != script.pid


def test_short_children_that_come_and_go_are_work(start: Start, host: Looker):
    """Between any two looks none of them may be there: their parent's counters tell."""
    script = start(
        """
        print("ready")
        while True:
            pid = os.fork()
            if not pid:
                sum(range(200_000)); os._exit(0)
            os.waitpid(pid, 0)
        """
    )
    script.says()
    root = host.root(script.pid)
    seen = until(lambda: (e := host.judge(root)).activity == "active" and e, what="active")
    assert isinstance(seen, Evidence)
    assert seen.value["busiest_pid"] == script.pid


@pytest.mark.parametrize("waits", [True, False], ids=["waited for", "left defunct"])
def test_a_child_that_computed_before_the_first_look_and_ends_now_did_nothing(
    start: Start, host: Looker, waits: bool
):
    """f20 where it stays defunct."""
    script = start(
        f"""
        r, w = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(w)
            while time.process_time() < 1.0: sum(range(1000))
            print("computed"); os.read(r, 1); os._exit(0)
        sys.stdin.readline()
        os.write(w, b"x")
        if {waits}: os.waitpid(pid, 0); print("waited")
        else:
            while open(f"/proc/{{pid}}/stat").read().rsplit(")", 1)[1].split()[0] != "Z": time.sleep(0.01)
            print("defunct")
        sleep()
        """
    )
    assert script.says() == "computed"
    root = host.root(script.pid)
    assert host.judge(root).activity == "idle"
    before = host.sample(root)
    script.tell()
    assert script.says() == ("waited" if waits else "defunct")
    after = host.judge(root, before)
    assert after.activity == "idle", after
    assert len(host.table().tree(root)) == 1
    assert host.judge(root).activity == "idle"


def test_a_job_whose_parent_has_ended_stays_in_its_session(start: Start, host: Looker):
    """`(train &)` in a terminal; the group of a kernel, which dies with the kernel."""
    script = start(
        """
        if not os.fork():
            if not os.fork():
                print(os.getpid()); compute()
            os._exit(0)
        os.wait(); sleep()
        """,
        new_session=True,
    )
    orphan = int(script.says())
    root = host.root(script.pid)
    try:
        until(lambda: psutil.Process(orphan).ppid() != script.pid, what="adopted")
        assert orphan in {k.pid for k in host.table().tree(root)}
        assert host.judge(root).activity == "active"
    finally:
        end_process(orphan)


def test_a_daemon_of_its_own_leaves_the_tree_and_is_outside(start: Start, host: Looker):
    """w3: tmux, nohup or setsid are the app's and the host's evidence, no kernel's."""
    script = start(
        """
        if not os.fork():
            os.setsid()
            if not os.fork():
                print(os.getpid()); sleep()
            os._exit(0)
        os.wait(); sleep()
        """,
        new_session=True,
    )
    daemon = int(script.says())
    root = host.root(script.pid)
    try:
        until(lambda: [k.pid for k in host.table().tree(root)] == [script.pid], what="left the tree")
        assert daemon in {k.pid for k in host.table().outside(root)}
        assert script.pid not in {k.pid for k in host.table().outside(root)}
    finally:
        end_process(daemon)


def test_an_upload_is_active_though_it_uses_no_cpu_and_writes_nothing(start: Start, host: Looker):
    """w1: a thread reads a checkpoint at 2 MB/s and sends it; its main thread waits."""
    script = start(
        """
        def upload():
            a, b = socket.socketpair()
            threading.Thread(target=lambda: [b.recv(1 << 20) for _ in iter(int, 1)], daemon=True).start()
            with open("/dev/zero", "rb", buffering=0) as checkpoint:
                while True:
                    a.send(checkpoint.read(20_000)); time.sleep(0.01)
        threading.Thread(target=upload, daemon=True).start()
        print("uploading"); time.sleep(600)
        """
    )
    script.says()
    seen = host.judge(host.root(script.pid))
    assert seen.activity == "active", seen
    assert "busiest_io" in seen.value


def test_a_pid_that_was_used_again_is_not_the_old_process(start: Start, host: Looker):
    script = start("input()")
    root = host.root(script.pid)
    script.tell()
    script.process.wait()
    table = host.table()
    assert not table.alive(root)
    assert sample_tree(table, root) is None
    assert table.tree(root) == ()


def test_a_sample_bridges_a_restart_of_ours(start: Start, host: Looker):
    """f16, f18: kept as text, compared by another process's eyes."""
    script = start("compute()")
    text = host.sample(host.root(script.pid)).to_json()
    before = TreeSample.from_json(text)
    assert before is not None
    assert Looker().judge(before.root, before).activity == "active"


def test_another_users_process_is_not_readable(start: Start):
    """The reaper as an ordinary user beside a process of another one."""
    script = start("print(1); sleep()")
    script.says()
    pid = script.pid if os.getuid() == 0 else 1
    if os.getuid() != 0:
        assert _seen_by_me(pid) == 0
        return
    with warnings.catch_warnings():  # Python 3.12 warns of threads; the child only reads /proc
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        os._exit(_seen_by_me(pid))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _seen_by_me(pid: int) -> int:
    """Give 0 if the process is seen, but not readable."""
    table = ProcessTable.snapshot(now=datetime.now(UTC))
    key = table.key(pid)
    if key is None:
        return 1
    if table.files.open_files(pid) is not None:
        return 2
    return 0 if sample_tree(table, key) is None else 3
