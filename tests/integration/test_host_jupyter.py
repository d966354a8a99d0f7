"""Real kernels and terminals of a real Jupyter server, and a real Dask cluster in a kernel."""

import asyncio
import json
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from reaper.clients.host import Evidence, ProcessKey, served_peers
from tests.support.jupyter_server import (
    JupyterServer,
    fixture_jupyter,  # noqa: F401
    fixture_start_jupyter,  # noqa: F401
    wait_until,
)
from tests.support.processes import (
    Looker,
    end_process,
    fixture_host,  # noqa: F401
)


async def judge(host: Looker, root: ProcessKey, *, seconds: float = 1.0) -> Evidence:
    """Look twice, in a worker thread as the daemon does."""
    return await asyncio.to_thread(host.judge, root, seconds=seconds)


async def test_a_kernel_is_found_and_idle_with_a_tab_open(jupyter: JupyterServer, host: Looker):
    """f1; the server holds connections to its ports all the time."""
    kernel_id = await jupyter.idle_kernel()
    table = host.table()
    assert table.server_listening_on(urlsplit(jupyter.url).port) == jupyter.pid
    root = table.find_kernel(kernel_id, server_pid=jupyter.pid)
    assert root is not None
    assert jupyter.pid in {k.pid for k in table.ancestors(root.pid)}
    assert len(table.kernel_ports()[root.pid] or ()) == 5
    async with jupyter.attached(kernel_id):
        seen = await judge(host, root)
        assert seen.activity == "idle", seen
    assert table.find_kernel("no-such-kernel") is None


async def test_a_thread_that_goes_on_after_its_cell_is_seen(jupyter: JupyterServer, host: Looker):
    kernel_id = await jupyter.idle_kernel()
    root = host.table().find_kernel(kernel_id)
    assert root is not None
    await jupyter.execute(
        kernel_id,
        "import threading\n"
        "def work():\n"
        "    while going: sum(range(1000))\n"
        "going = True\n"
        "threading.Thread(target=work).start()",
    )
    await jupyter.wait_for_state(kernel_id, "idle")
    seen = await judge(host, root)
    assert (seen.activity, seen.value["busiest_pid"]) == ("active", root.pid)
    await jupyter.execute(kernel_id, "going = False")
    assert await wait_until(lambda: _is(host, root, "idle"), what="idle again")


async def _is(host: Looker, root: ProcessKey, activity: str) -> bool:
    return (await judge(host, root)).activity == activity


async def test_a_restarted_kernel_is_another_process(jupyter: JupyterServer, host: Looker):
    kernel_id = await jupyter.idle_kernel()
    before = host.table().find_kernel(kernel_id)
    assert before is not None
    await jupyter.request("POST", f"api/kernels/{kernel_id}/restart")

    async def another() -> ProcessKey | None:
        found = host.table().find_kernel(kernel_id)
        return found if found != before else None

    after = await wait_until(another, what="another process")
    assert after is not None
    assert after.created_at > before.created_at
    assert not host.table().alive(before)


async def test_a_page_served_from_the_kernel_itself_is_activity(jupyter: JupyterServer, host: Looker):
    """w5, from a thread of the kernel."""
    kernel_id = await jupyter.idle_kernel()
    root = host.table().find_kernel(kernel_id)
    assert root is not None
    port = await jupyter.execute(
        kernel_id,
        "import http.server, threading\n"
        "server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "print(server.server_port)",
    )
    assert served_peers(host.table(), root).activity == "idle"
    _, writer = await asyncio.open_connection("127.0.0.1", int(port))
    seen = served_peers(host.table(), root)
    assert seen.value == {"served_ports": [int(port)]}
    writer.close()
    await writer.wait_closed()


async def test_the_debugger_of_a_kernel_is_nobody(start_jupyter: Callable[..., JupyterServer], host: Looker):
    """Its adapter leaves the tree, and stays connected for as long as the kernel lives."""
    server = start_jupyter(quick=False)
    kernel_id = await server.idle_kernel()
    root = host.table().find_kernel(kernel_id)
    assert root is not None
    await server.execute(kernel_id, "import debugpy; endpoint = debugpy.listen(('127.0.0.1', 0))")
    assert await wait_until(lambda: _is(host, root, "idle"), what="idle")


async def test_terminals_are_shells_in_order(jupyter: JupyterServer, host: Looker):
    """w2: their names are used again, their order of start is the list's."""
    names = [await jupyter.open_terminal() for _ in range(3)]
    first = host.table().shells_of(jupyter.pid)
    assert len(first) == 3
    await jupyter.request("DELETE", f"api/terminals/{names[0]}")
    again = await jupyter.open_terminal(names[0])
    assert again == names[0]
    listed = [terminal["name"] for terminal in await jupyter.get("api/terminals")]
    shells = host.table().shells_of(jupyter.pid)
    assert shells[:2] == first[1:]
    youngest = shells[listed.index(again)]
    assert youngest not in first
    await jupyter.type_into(again, "while true; do :; done &")
    assert await wait_until(lambda: _is(host, youngest, "active"), what="the job in the background")
    assert not await _is(host, shells[0], "active")
    assert not await _is(host, shells[1], "active")


async def test_a_job_that_was_left_by_exit_is_the_terminals_work(jupyter: JupyterServer, host: Looker):
    """Jupyter lists the terminal for as long as the job holds its pty; the shell is defunct by then."""
    before = host.table().shells_of(jupyter.pid)
    name = await jupyter.open_terminal()
    (shell,) = set(host.table().shells_of(jupyter.pid)).difference(before)
    job = f"{sys.executable} -S -E -c 'import os; print(os.getpid())\nwhile True: pass'"
    await jupyter.type_into(name, f"{job} & disown; exit")

    async def left() -> bool:
        stat = host.table().stat(shell.pid)
        return stat is not None and stat.defunct

    assert await wait_until(left, what="the shell has ended")
    assert name in [terminal["name"] for terminal in await jupyter.get("api/terminals")]
    table = host.table()
    assert shell in table.shells_of(jupyter.pid)
    (worker,) = table.tree(shell)
    try:
        assert await wait_until(lambda: _is(host, shell, "active"), what="the job is seen")
    finally:
        end_process(worker.pid)

    async def gone() -> bool:
        return shell not in host.table().shells_of(jupyter.pid)

    assert await wait_until(gone, what="its terminal ends with the job")


@pytest.mark.timeout(180)
async def test_a_dask_cluster_serves_nobody_until_somebody_comes(jupyter: JupyterServer, host: Looker):
    """f2: its processes chat with each other all the time, over sockets that listen; its CPU time is the story's."""
    kernel_id = await jupyter.idle_kernel()
    root = host.table().find_kernel(kernel_id)
    assert root is not None
    ports = await jupyter.execute(
        kernel_id,
        "import json\n"
        "from distributed import Client, LocalCluster\n"
        "cluster = LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address='127.0.0.1:0')\n"
        "client = Client(cluster)\n"
        "client.submit(sum, [1, 2]).result()\n"
        "print(json.dumps(cluster.scheduler.http_server.port))",
        deadline_s=120,
    )
    assert len(host.table().tree(root)) >= 4
    assert served_peers(host.table(), root).activity == "idle"
    _, writer = await asyncio.open_connection("127.0.0.1", json.loads(ports))  # somebody at the dashboard
    assert served_peers(host.table(), root).activity == "active"
    writer.close()
    await writer.wait_closed()
    await jupyter.execute(
        kernel_id, "future = client.submit(lambda: [sum(range(1000)) for _ in iter(int, 1)])"
    )
    assert (await judge(host, root)).activity == "active"
