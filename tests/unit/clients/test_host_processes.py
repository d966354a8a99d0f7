"""Who is who among a host's processes, on a /proc made of plain files."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from reaper.clients.host import HostCache, ProcessKey, ProcessTable
from tests.support.host import BOOT, FakeProc

PTS = 136 << 8  # the device number of /dev/pts/0


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


def key(table: ProcessTable, pid: int) -> ProcessKey:
    found = table.key(pid)
    assert found is not None
    return found


def pids(keys: tuple[ProcessKey, ...] | list[ProcessKey]) -> list[int]:
    return [k.pid for k in keys]


def test_without_proc_nothing_is_known(tmp_path: Path):
    table = ProcessTable.snapshot(now=BOOT, proc=tmp_path / "none")
    assert (table.supported, table.complete, list(table)) == (False, False, [])
    assert table.key(1) is None
    assert table.find_kernel("a") is None
    assert table.shells_of(1) == []
    assert table.server_listening_on(8888) is None


def test_a_process_that_cannot_be_parsed_makes_the_table_incomplete(proc: FakeProc):
    proc.add(50)
    (proc.proc / "50/stat").write_text("50 (odd) S 1")
    table = proc.snapshot()
    assert not table.complete
    assert table.key(50) is None
    assert table.key(1) is not None


def test_a_process_that_ended_since_the_listing_is_just_gone(proc: FakeProc):
    (proc.proc / "50").mkdir()
    table = proc.snapshot()
    assert table.complete
    assert table.key(50) is None


@pytest.mark.parametrize(
    ("command", "shown"), [("a) S 1 (b", "a) S 1 (b"), ("tmux: server", "tmux: server"), ("a\tb", "a?b")]
)
def test_commands_may_hold_anything(proc: FakeProc, command: str, shown: str):
    proc.add(50, command=command)
    stat = proc.snapshot().stat(50)
    assert stat is not None
    assert (stat.command, stat.parent) == (shown, 1)


def test_created_at_comes_from_the_boot_and_moves_with_a_set_clock_but_the_identity_stays(proc: FakeProc):
    cache = HostCache()
    proc.add(50, start=12_345)
    before = key(proc.snapshot(cache), 50)
    assert before.created_at == BOOT + timedelta(seconds=123.45)
    proc.set_clock(timedelta(hours=1))
    after = key(proc.snapshot(cache), 50)
    assert after.created_at == BOOT + timedelta(hours=1, seconds=123.45)
    assert after == before


def test_created_at_does_not_tremble_between_looks(proc: FakeProc):
    proc.add(50)
    cache = HostCache()
    first = key(proc.snapshot(cache), 50)
    proc.pass_time(60)
    proc.now += timedelta(milliseconds=20)
    assert key(proc.snapshot(cache), 50).created_at == first.created_at


def test_a_container_that_shows_its_own_uptime_does_not_move_created_at(proc: FakeProc):
    proc.add(50, start=1000)
    proc.uptime = timedelta(seconds=5)
    assert key(proc.snapshot(), 50).created_at == BOOT + timedelta(seconds=10)


def test_a_pid_used_again_is_another_process(proc: FakeProc):
    proc.add(50, start=1000)
    old = key(proc.snapshot(), 50)
    proc.add(50, start=2000)
    table = proc.snapshot()
    assert not table.alive(old)
    assert table.tree(old) == ()
    assert key(table, 50) != old


def test_another_boot_is_another_process(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = FakeProc(tmp_path / "a", boot_id="one"), FakeProc(tmp_path / "b", boot_id="two")
    assert key(one.snapshot(), 1) != key(two.snapshot(), 1)


def test_tree_has_descendants_and_no_others(proc: FakeProc):
    proc.add(50)
    proc.add(51, parent=50)
    proc.add(52, parent=51)
    proc.add(60)
    table = proc.snapshot()
    assert pids(table.tree(key(table, 50))) == [50, 51, 52]
    assert pids(table.ancestors(52)) == [51, 50, 1]
    assert set(pids(table.outside(key(table, 50)))) == {1, 60}


def test_tree_skips_defunct_processes_but_keeps_their_counters(proc: FakeProc):
    """f20."""
    proc.add(50)
    proc.add(51, parent=50, state="Z", argv=())
    table = proc.snapshot()
    assert pids(table.tree(key(table, 50))) == [50]
    assert [s.pid for s in table.members(key(table, 50))] == [50, 51]
    assert table.key(51) is None


def test_an_orphan_in_the_session_of_its_leader_belongs_to_the_tree(proc: FakeProc):
    """`(train &)` in a terminal, a double fork in a kernel."""
    proc.add(50, session=50)
    proc.add(51, parent=1, session=50)
    proc.add(52, parent=51, session=52)
    proc.add(60, parent=1, session=60)
    table = proc.snapshot()
    assert pids(table.tree(key(table, 50))) == [50, 51, 52]


def test_a_session_of_another_leader_is_not_swallowed(proc: FakeProc):
    proc.add(40, session=40)
    proc.add(50, parent=40, session=40)
    table = proc.snapshot()
    assert pids(table.tree(key(table, 50))) == [50]


def test_the_operating_systems_own_threads_are_outside_of_nothing(proc: FakeProc):
    proc.add(2, parent=0, session=0, command="kthreadd")
    proc.add(3, parent=2, session=0, command="kworker/0:0")
    assert pids(proc.snapshot().outside()) == [1]


# Kernels


def test_kernels_are_found_by_their_command_lines(proc: FakeProc):
    proc.add(50, argv=["python", "-m", "ipykernel_launcher", "-f", "/run/u/kernel-abc-1.json"])
    proc.add(51, argv=["R", "--args", "--connection=/run/u/kernel-abc-2.json"])
    proc.add(52, argv=["less", "/run/u/kernel-abc-3.json.bak"])
    proc.add(53, argv=["vim", "notakernel-abc-4.json"])
    table = proc.snapshot()
    assert table.find_kernel("abc-1") == key(table, 50)
    assert table.find_kernel("abc-2") == key(table, 51)
    assert table.find_kernel("abc-3") is None


def test_a_wrapper_is_the_root_of_its_kernel(proc: FakeProc):
    """`conda run` keeps the kernel's arguments on its own command line."""
    argv = ["python", "-f", "/run/kernel-a.json"]
    proc.add(50, session=50, argv=["conda", "run", *argv])
    proc.add(51, session=50, parent=50, argv=argv)
    table = proc.snapshot()
    assert table.find_kernel("a") == key(table, 50)


def test_an_older_console_is_not_taken_for_the_kernel(proc: FakeProc):
    """A kernel that was restarted is younger than the console that is attached to it."""
    proc.add(40, session=39, argv=["jupyter", "console", "--existing", "kernel-a.json"])
    proc.add(50, session=50, argv=["python", "-f", "/run/kernel-a.json"])
    table = proc.snapshot()
    assert table.find_kernel("a") == key(table, 50)


def test_of_two_the_servers_own_is_the_kernel(proc: FakeProc):
    proc.add(40, session=40, argv=["spyder", "/run/kernel-a.json"])
    proc.add(45)
    proc.add(50, parent=45, session=50, argv=["python", "-f", "/run/kernel-a.json"])
    table = proc.snapshot()
    assert table.find_kernel("a", server_pid=45) == key(table, 50)
    assert table.find_kernel("a", server_pid=99) == key(table, 40)


def test_a_process_that_becomes_a_kernel_by_execve_is_found(proc: FakeProc):
    """Pid and start stay the same, so a cache by these alone would never see it."""
    cache = HostCache()
    proc.add(50, argv=["python", "launcher.py"], arguments_at=4096)
    assert proc.snapshot(cache).find_kernel("a") is None
    proc.add(50, argv=["python", "-f", "kernel-a.json"], arguments_at=8192)
    assert proc.snapshot(cache).find_kernel("a") is not None


def test_where_addresses_are_hidden_only_a_settled_process_is_remembered(proc: FakeProc):
    cache = HostCache()
    proc.add(50, start=1000, argv=["python", "launcher.py"], arguments_at=0)
    assert proc.snapshot(cache).find_kernel("a") is None
    proc.add(50, start=1000, argv=["python", "kernel-a.json"], arguments_at=0)
    proc.add(60, start=1000 + 6001)
    assert proc.snapshot(cache).find_kernel("a") is not None
    (proc.proc / "50/cmdline").unlink()
    assert proc.snapshot(cache).find_kernel("a") is not None


def test_command_lines_are_read_once(proc: FakeProc):
    cache = HostCache()
    proc.add(50, argv=["python", "kernel-a.json"])
    assert proc.snapshot(cache).find_kernel("a") is not None
    (proc.proc / "50/cmdline").unlink()
    assert proc.snapshot(cache).find_kernel("a") is not None
    proc.add(50, start=777, argv=["python"])
    assert proc.snapshot(cache).find_kernel("a") is None


def test_a_defunct_kernel_is_none(proc: FakeProc):
    proc.add(50, state="Z", argv=["python", "kernel-a.json"])
    assert proc.snapshot().find_kernel("a") is None


@pytest.mark.parametrize(
    ("content", "ports"),
    [
        ({"transport": "tcp"}, {1001, 1002, 1003, 1004, 1005}),
        ({}, {1001, 1002, 1003, 1004, 1005}),
        ({"transport": "ipc"}, set()),
        ({"shell_port": "many"}, None),
        ([], None),
        (None, None),
    ],
)
def test_a_kernels_ports_stand_in_its_connection_file(
    proc: FakeProc, tmp_path: Path, content: object, ports: set[int] | None
):
    names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
    file = tmp_path / "kernel-a.json"
    if isinstance(content, dict):
        content = {name: 1001 + n for n, name in enumerate(names)} | content
    file.write_text("{" if content is None else json.dumps(content))
    proc.add(50, argv=["python", str(file)])
    assert proc.snapshot().kernel_ports() == {50: None if ports is None else frozenset(ports)}


def test_a_connection_file_with_a_relative_name_is_looked_for_where_the_kernel_is(
    proc: FakeProc, tmp_path: Path
):
    (tmp_path / "run").mkdir()
    names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
    (tmp_path / "run/kernel-a.json").write_text(json.dumps(dict.fromkeys(names, 7)))
    proc.add(50, argv=["python", "kernel-a.json"])
    cache = HostCache()
    assert proc.snapshot(cache).kernel_ports() == {50: None}
    (proc.proc / "50/cwd").symlink_to(tmp_path / "run")
    assert proc.snapshot(cache).kernel_ports() == {50: frozenset({7})}


# Shells


def test_shells_are_children_that_lead_a_session_on_a_pty_in_order_of_start(proc: FakeProc):
    """w2: terminal names are used again; the order of start is what the list's order pairs with."""
    proc.add(50)
    proc.add(90, parent=50, terminal=PTS | 1, start=300)
    proc.add(91, parent=50, terminal=PTS | 2, start=200)
    proc.add(92, parent=50, terminal=(143 << 8) | 5, start=400)
    proc.add(60, parent=50, terminal=0)  # a kernel: no pty
    proc.add(61, parent=50, session=50, terminal=PTS)  # leads nothing
    proc.add(62, parent=50, terminal=PTS, state="Z")
    proc.add(63, parent=1, terminal=PTS)  # another's
    proc.add(64, parent=50, terminal=(4 << 8) | 1)  # on a console
    table = proc.snapshot()
    assert pids(table.shells_of(50)) == [91, 90, 92]
    assert (table.pts(90), table.pts(92), table.pts(60), table.pts(999)) == (1, 7 * 256 + 5, None, None)


def test_a_shell_that_left_a_job_on_its_pty_is_still_one(proc: FakeProc):
    """Somebody typed `train & exit`: bash stays defunct, the terminal is listed until the job ends."""
    proc.add(50)
    proc.add(90, parent=50, state="Z", start=200)
    proc.add(91, parent=1, session=90, fds={0: f"{proc.dev}/pts/3"})
    proc.add(92, parent=50, terminal=PTS | 1, start=300)
    proc.add(93, parent=50, state="Z", start=400)  # a kernel that has just died, and its child
    proc.add(94, parent=93, session=93, fds={0: "/dev/null"})
    table = proc.snapshot()
    shells = table.shells_of(50)
    assert pids(shells) == [90, 92]
    assert pids(table.tree(shells[0])) == [91]
    assert table.alive(shells[0])
    proc.add(91, parent=1, session=90, characters=None)
    assert pids(proc.snapshot().shells_of(50)) == [90, 92]  # whether it holds one can't be told
    proc.end(91)
    table = proc.snapshot()
    assert pids(table.shells_of(50)) == [92]
    assert not table.alive(shells[0])


# Who listens


def test_the_oldest_process_that_holds_the_socket_is_the_server(proc: FakeProc):
    proc.tcp(("0100007F:22B8", "00000000:0000", "0A", 777))
    proc.add(50, start=500, fds={3: "socket:[777]"})
    proc.add(60, start=400, fds={3: "socket:[777]", 4: "/dev/null"})
    proc.add(70, start=300, fds={3: "socket:[778]"})
    proc.add(80, start=200, characters=None)
    table = proc.snapshot()
    assert table.server_listening_on(8888) == 60
    assert table.server_listening_on(8889) is None


def test_the_open_files_of_others_are_not_listed_once_a_server_is_found(proc: FakeProc):
    cache = HostCache()
    proc.tcp(("0100007F:22B8", "00000000:0000", "0A", 777))
    proc.add(50, fds={3: "socket:[777]"})
    proc.add(40, fds={3: "socket:[1]"})
    assert proc.snapshot(cache).server_listening_on(8888) == 50
    (proc.proc / "40/fd/4").symlink_to("socket:[777]")  # an older one now holds it too: nobody asks
    assert proc.snapshot(cache).server_listening_on(8888) == 50
    proc.end(50)
    assert proc.snapshot(cache).server_listening_on(8888) == 40


def test_a_server_on_a_unix_socket_is_found_by_its_path(proc: FakeProc):
    (proc.proc / "self/net/unix").write_text(
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 800 /run/jupyter server.sock\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 801 /run/jupyter server.sock\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 802\n"
    )
    proc.add(50, fds={3: "socket:[801]"})
    proc.add(60, fds={3: "socket:[800]"})
    table = proc.snapshot()
    assert table.server_listening_on(path="/run/jupyter server.sock") == 60
    assert table.server_listening_on(path="/run/other.sock") is None
