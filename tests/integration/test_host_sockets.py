"""Who is connected to real processes, who listens, and who sits on a terminal."""

import os
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path

import ptyprocess  # type: ignore[import-untyped]
import pytest

from reaper.clients.host import netlink, served_peers
from reaper.clients.host.sockets import Row, Sockets, text_rows
from tests.support.processes import (
    COMPUTE,
    Looker,
    Start,
    fixture_host,  # noqa: F401
    fixture_start,  # noqa: F401
    until,
)


def test_a_page_with_somebody_on_it_is_activity(start: Start, host: Looker):
    """w5, from a child of the root."""
    script = start(
        """
        if not os.fork():
            server = socket.create_server(("127.0.0.1", 0))
            print(server.getsockname()[1])
            peers = [server.accept() for _ in range(9)]
        sleep()
        """
    )
    port = int(script.says())
    root = host.root(script.pid)
    assert served_peers(host.table(), root).activity == "idle"
    with socket.create_connection(("127.0.0.1", port)):
        seen = served_peers(host.table(), root)
        assert seen.activity == "active"
        assert seen.value == {"served_ports": [port]}
        assert served_peers(host.table(), root, ignored_ports=[port]).activity == "idle"
        listener = until(lambda: host.table().server_listening_on(port), what="its server is found")
        assert listener in {k.pid for k in host.table().tree(root)}
    until(lambda: served_peers(host.table(), root).activity == "idle", what="idle once the tab is closed")


def test_a_page_of_a_dual_stack_server_is_seen(start: Start, host: Looker):
    script = start(
        """
        server = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        print(server.getsockname()[1]); peer = server.accept(); sleep()
        """
    )
    port = int(script.says())
    with socket.create_connection(("127.0.0.1", port)):
        assert served_peers(host.table(), host.root(script.pid)).activity == "active"


def test_the_kernel_tells_the_same_by_netlink_as_in_text():
    """Everything of a listener and both ends of a connection, over IPv4, IPv6 and IPv4 through IPv6."""
    with ExitStack() as stack:
        ports, inodes = set(), set()
        for family, address, peer in (
            (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
            (socket.AF_INET6, "::1", "::1"),
            (socket.AF_INET6, "", "127.0.0.1"),
        ):
            dual = {"dualstack_ipv6": True} if family == socket.AF_INET6 and not address else {}
            server = stack.enter_context(socket.create_server((address, 0), family=family, **dual))
            ports.add(server.getsockname()[1])
            client = stack.enter_context(socket.create_connection((peer, server.getsockname()[1])))
            waiting = socket.create_connection((peer, server.getsockname()[1]))  # accepted by nobody
            stack.enter_context(waiting)
            accepted = stack.enter_context(server.accept()[0])
            inodes |= {os.fstat(one.fileno()).st_ino for one in (server, client, accepted, waiting)}

        def ours(rows: Iterable[Row]) -> list[Row]:
            return [row for row in rows if not ports.isdisjoint((row[2], row[4]))]

        def read() -> tuple[list[Row], list[Row]]:
            texts = [Path(f"/proc/self/net/{name}").read_bytes() for name in ("tcp", "tcp6")]
            return ours(netlink.tcp_rows()), ours(text_rows(*texts))

        no_addresses = itemgetter(0, 2, 4, 5)  # these are written in two ways
        told, written = read()
        for _ in range(
            9
        ):  # the text is no snapshot: a socket of anybody's that comes or goes shifts its pieces
            if sorted(map(no_addresses, told)) == sorted(map(no_addresses, written)):
                break
            told, written = read()
        assert sorted(map(no_addresses, told)) == sorted(map(no_addresses, written))
        for rows in (told, written):
            sockets = Sockets(rows)
            assert len(sockets.listeners) == 3
            for listener in sockets.listeners:
                connections = list(sockets.peers_of(listener))
                assert sorted(connection.inode == 0 for connection in connections) == [False, True]
                assert all(sockets.other_end(connection) in inodes for connection in connections)


@pytest.mark.parametrize("asked", ["_NETLINK_SOCK_DIAG", "_TCPDIAG_GETSOCK"])
def test_where_netlink_is_refused_the_text_is_read(
    start: Start, host: Looker, monkeypatch: pytest.MonkeyPatch, asked: str
):
    """A unit or sandbox that may not open such sockets; a kernel that does not know the question."""
    monkeypatch.setattr(netlink, asked, 31)
    with pytest.raises(OSError, match=r"not supported|Invalid argument"):
        list(netlink.tcp_rows())
    script = start(
        "server = socket.create_server(('127.0.0.1', 0)); print(server.getsockname()[1]); p = server.accept(); sleep()"
    )
    with socket.create_connection(("127.0.0.1", int(script.says()))):
        assert served_peers(host.table(), host.root(script.pid)).activity == "active"


def test_a_cluster_that_talks_to_itself_serves_nobody(start: Start, host: Looker):
    """f2: scheduler and workers hold connections for ever."""
    script = start(
        """
        server = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        port = server.getsockname()[1]
        for _ in range(2):
            if not os.fork():
                server.close()
                peer = socket.create_connection(("127.0.0.1", port)); sleep()
        peers = [server.accept()[0] for _ in range(2)]
        print(port); sleep()
        """
    )
    port = int(script.says())
    root = host.root(script.pid)
    assert served_peers(host.table(), root).activity == "idle"
    with socket.create_connection(("127.0.0.1", port)):
        assert served_peers(host.table(), root).activity == "active"


def test_who_listens_at_a_path_is_found(start: Start, host: Looker):
    script = start(
        """
        server = socket.socket(socket.AF_UNIX); path = sys.stdin.readline().strip()
        server.bind(path); server.listen(); print("listens"); sleep()
        """
    )
    path = f"{os.environ['XDG_RUNTIME_DIR']}/x.sock"
    script.tell(path)
    script.says()
    assert host.table().server_listening_on(path=path) == script.pid
    assert host.table().server_listening_on(path=f"{path}.none") is None


def test_shells_are_found_in_order_of_start(host: Looker):
    """w2."""
    shells: list[ptyprocess.PtyProcess] = []
    try:
        for _ in range(3):
            shells.append(ptyprocess.PtyProcess.spawn(["sh"]))
            until(lambda: len(host.table().shells_of(os.getpid())) == len(shells), what="a shell more")
            time.sleep(0.011)  # start times come in ticks of 10 ms
        assert [k.pid for k in host.table().shells_of(os.getpid())] == [s.pid for s in shells]
        shells.append(ptyprocess.PtyProcess.spawn(["sh"]))
        shells[0].terminate(force=True)
        expected = [s.pid for s in shells[1:]]
        until(
            lambda: [k.pid for k in host.table().shells_of(os.getpid())] == expected, what="1 closed, 4 new"
        )
        table = host.table()
        for pid in expected:
            assert Path(f"/proc/{pid}/fd/0").readlink() == Path(f"/dev/pts/{table.pts(pid)}")
    finally:
        for shell in shells:
            shell.close(force=True)


def test_a_background_job_of_a_shell_is_its_work(host: Looker):
    shell = ptyprocess.PtyProcess.spawn(["sh"])
    try:
        root = host.root(shell.pid)
        until(lambda: host.judge(root).activity == "idle", what="an idle shell")
        shell.write(f"{sys.executable} -S -E -c '{COMPUTE}' &\n".encode())
        until(lambda: host.judge(root).activity == "active", what="a job in the background")
        shell.write(b"kill $!\n")
        until(lambda: host.judge(root).activity == "idle", what="idle again")
    finally:
        shell.close(force=True)
