"""Whom a tree serves, on made-up tables of sockets."""

import json
import shutil
from pathlib import Path

import pytest

from reaper.clients.host import Evidence, HostCache, served_peers
from reaper.clients.host.sockets import End, Sockets, text_rows
from tests.support.host import FakeProc

ANY, HERE, BROWSER = "00000000", "0100007F", "0501A8C0"
ANY6, HERE6 = "0" * 32, "0" * 24 + "01000000"
NOBODY = "00000000:0000"
LISTENS, CONNECTED, CLOSED = "0A", "01", "06"


def at(address: str, port: int) -> str:
    return f"{address}:{port:04X}"


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    """A kernel (50) that serves port 6006 from a child (51), and somebody else (60)."""
    proc = FakeProc(tmp_path)
    proc.add(50, fds={3: "socket:[500]"})
    proc.add(51, parent=50, fds={3: "socket:[510]", 4: "socket:[511]"})
    proc.add(60, fds={3: "socket:[600]"})
    return proc


def look(proc: FakeProc, pid: int = 50, cache: HostCache | None = None, **options) -> Evidence:
    table = proc.snapshot(cache)
    root = table.key(pid)
    assert root is not None
    return served_peers(table, root, **options)


SERVED = (at(HERE, 6006), NOBODY, LISTENS, 510)


def test_a_browser_on_a_childs_page_is_activity(proc: FakeProc):
    """w5."""
    proc.tcp(SERVED, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 511))
    seen = look(proc)
    assert (seen.activity, seen.value) == ("active", {"served_ports": [6006]})
    assert seen.text == "somebody is connected to port 6006 that it serves"


def test_a_local_relay_counts_as_a_peer(proc: FakeProc):
    """server-proxy: the Jupyter server is connected for a browser."""
    proc.tcp(
        SERVED,
        (at(HERE, 6006), at(HERE, 4000), CONNECTED, 511),
        (at(HERE, 4000), at(HERE, 6006), CONNECTED, 600),
    )
    assert look(proc).activity == "active"


def test_a_connection_that_nobody_has_accepted_counts(proc: FakeProc):
    proc.tcp(SERVED, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 0))
    assert look(proc).activity == "active"


def test_both_ends_in_the_tree_are_no_peer(proc: FakeProc):
    """f2: a local cluster's scheduler and workers."""
    proc.tcp(
        SERVED,
        (at(HERE, 6006), at(HERE, 4000), CONNECTED, 511),
        (at(HERE, 4000), at(HERE, 6006), CONNECTED, 500),
    )
    assert look(proc).activity == "idle"


def test_both_ends_are_found_across_ip_versions(proc: FakeProc):
    """A socket that listens on [::] sees IPv4 peers as ::ffff:a.b.c.d."""
    mapped = f"{'0' * 16}FFFF0000{HERE}"
    proc.tcp(
        (at(HERE, 4000), at(HERE, 6006), CONNECTED, 500),
        v6=[
            (at(ANY6, 6006), at(ANY6, 0), LISTENS, 510),
            (at(mapped, 6006), at(mapped, 4000), CONNECTED, 511),
        ],
    )
    assert look(proc).activity == "idle"
    proc.tcp(
        v6=[(at(ANY6, 6006), at(ANY6, 0), LISTENS, 510), (at(HERE6, 6006), at(HERE6, 4000), CONNECTED, 511)]
    )
    assert look(proc).activity == "active"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [SERVED],
        [SERVED, (at(HERE, 6006), at(BROWSER, 4000), CLOSED, 0)],
        [(at(HERE, 6006), NOBODY, LISTENS, 600), (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 601)],
        [SERVED, (at("0A00000A", 6006), at(BROWSER, 4000), CONNECTED, 0)],
        [SERVED, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 600)],
        [SERVED, (at(HERE, 4000), at(BROWSER, 6006), CONNECTED, 511)],
    ],
    ids=[
        "nothing",
        "no peer",
        "closed",
        "another's port",
        "another address",
        "another's",
        "it is the client",
    ],
)
def test_no_peer(proc: FakeProc, rows: list[tuple[str, str, str, int]]):
    proc.tcp(*rows)
    assert look(proc).activity == "idle"


def test_ignored_ports_say_nothing(proc: FakeProc):
    proc.tcp(SERVED, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 511))
    assert look(proc, ignored_ports={6006}).activity == "idle"


@pytest.fixture
def kernel(proc: FakeProc, tmp_path: Path) -> Path:
    """Make 50 a kernel whose shell port, 7001, the Jupyter server is connected to."""
    file = tmp_path / "kernel-a.json"
    names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
    file.write_text(json.dumps({name: 7001 + n for n, name in enumerate(names)}))
    proc.add(50, argv=["python", str(file)], fds={3: "socket:[500]", 4: "socket:[501]"})
    proc.tcp((at(HERE, 7001), NOBODY, LISTENS, 500), (at(HERE, 7001), at(HERE, 4000), CONNECTED, 501))
    return file


def test_the_server_on_a_kernels_own_ports_is_no_peer(proc: FakeProc, kernel: Path):
    assert kernel.exists()
    assert look(proc).activity == "idle"


def test_without_its_connection_file_a_kernels_peers_are_unknown(proc: FakeProc, kernel: Path):
    kernel.unlink()
    assert look(proc).activity == "unknown"


def test_another_port_of_a_kernel_without_connection_file_counts_through_its_child(
    proc: FakeProc, kernel: Path
):
    kernel.unlink()
    proc.tcp(SERVED, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 511))
    assert look(proc).activity == "active"


def test_open_files_that_cannot_be_read_leave_doubt(proc: FakeProc):
    proc.add(52, parent=50, characters=None)
    assert look(proc).activity == "idle"  # nobody is connected to anything: whoever it is serves nobody
    proc.tcp((at(ANY, 22), NOBODY, LISTENS, 999), (at(BROWSER, 22), at(BROWSER, 4000), CONNECTED, 998))
    assert look(proc).activity == "unknown"
    assert look(proc, ignored_ports=[22]).activity == "idle"


def test_a_tree_in_another_network_namespace_has_its_own_sockets(proc: FakeProc):
    home = proc.proc / "50"
    (home / "ns").mkdir()
    (home / "ns/net").symlink_to("net:[2]")
    (home / "net").mkdir()
    (home / "net/tcp").touch()
    proc.tcp(SERVED, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 511))
    assert look(proc).activity == "idle"
    (home / "net/tcp").write_bytes((proc.proc / "self/net/tcp").read_bytes())
    proc.tcp()
    assert look(proc).activity == "active"


@pytest.mark.parametrize("version", ["tcp", "tcp6"])
def test_a_table_of_sockets_that_cannot_be_read_leaves_doubt(proc: FakeProc, version: str):
    """Without IPv6 there is no second table: that is all there is."""
    (proc.proc / "self/net" / version).unlink()
    assert look(proc).activity == ("unknown" if version == "tcp" else "idle")


def test_open_files_are_not_listed_again_for_what_others_serve(proc: FakeProc):
    """On most hosts somebody is connected to something: an sshd, a database."""
    cache = HostCache()
    sshd = [(at(ANY, 22), NOBODY, LISTENS, 999), (at(HERE, 22), at(BROWSER, 4000), CONNECTED, 998)]
    proc.tcp(*sshd)
    for _ in range(2):
        assert look(proc, cache=cache).activity == "idle"
    shutil.rmtree(proc.proc / "51/fd")
    (proc.proc / "51/fd").touch()  # can't be listed any more
    assert look(proc, cache=cache).activity == "idle"
    proc.tcp(*sshd, SERVED, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 511))
    assert look(proc, cache=cache).activity == "unknown"
    proc.add(51, parent=50, fds={3: "socket:[510]", 4: "socket:[511]"})
    assert look(proc, cache=cache).activity == "active"
    proc.tcp(*sshd)
    assert look(proc, cache=cache).activity == "idle"


def test_a_socket_that_a_child_took_over_during_a_look_is_found_at_the_next(proc: FakeProc):
    """A kernel listens, starts a server that inherits the socket, and closes its own end."""
    cache = HostCache()
    proc.tcp((at(HERE, 6006), NOBODY, LISTENS, 520), (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 521))
    assert look(proc, cache=cache).activity == "idle"
    proc.add(52, parent=50, fds={3: "socket:[520]", 4: "socket:[521]"})
    assert look(proc, cache=cache).activity == "active"


def test_a_socket_that_listens_anew_under_an_old_number_is_looked_for_again(proc: FakeProc):
    cache = HostCache()
    others = (at(HERE, 6006), NOBODY, LISTENS, 600)
    proc.tcp(others, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 601))
    for _ in range(3):
        assert look(proc, cache=cache).activity == "idle"
    proc.tcp()
    assert look(proc, cache=cache).activity == "idle"
    proc.add(51, parent=50, fds={3: "socket:[600]"})
    proc.tcp(others, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 601))
    assert look(proc, cache=cache).activity == "idle"  # accepted by somebody else
    proc.tcp(others, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 0))
    assert look(proc, cache=cache).activity == "active"


def test_odd_lines_of_a_table_are_passed_over():
    table = (
        b"header\n   0: 0100007F:1F90 00000000:0000 0A\n   1: 0100007F:1F92 00000000:0000 0A 0\n"
        b"   2: 0100007F:1F91 00000000:0000 0A 0 0 0 0 0 55 1\n"
    )
    assert Sockets(text_rows(table, b"")).listeners == {55: End(b"0100007F", 8081)}
