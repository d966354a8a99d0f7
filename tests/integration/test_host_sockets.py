"""Who is connected to real processes, who listens, and who sits on a terminal."""

import os
import socket
import sys
import time
from pathlib import Path

import ptyprocess  # type: ignore[import-untyped]

from reaper.clients.host import served_peers
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
