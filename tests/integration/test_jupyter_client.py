"""The Jupyter client against a real jupyter_server, real kernels and real terminals."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from reaper.clients.jupyter import (
    Deletion,
    JupyterClient,
    ServerAddress,
    discover,
    parse_address,
    saved_on_disk,
)
from reaper.errors import ActionDenied, ActionUnavailable, SourceDenied, SourceMalformed, SourceUnavailable
from tests.support.jupyter_server import (
    JupyterServer,
    fixture_jupyter,  # noqa: F401
    fixture_start_jupyter,  # noqa: F401
    wait_until,
)

StartJupyter = Callable[..., JupyterServer]


def address_of(server: JupyterServer) -> ServerAddress:
    return parse_address(server.url, token=SecretStr(server.token), ca_file=server.ca_file)


async def test_lists_what_there_is(jupyter: JupyterServer) -> None:
    session = await jupyter.open_session("seen.ipynb")
    kernel_id = session["kernel"]["id"]
    await jupyter.execute(kernel_id, "pass")
    await jupyter.wait_for_state(kernel_id, "idle")
    async with JupyterClient(address_of(jupyter), clock=lambda: datetime.now(UTC)) as client:
        status = await client.status()
        kernels = {kernel.id: kernel for kernel in await client.kernels()}
        sessions = {one.id: one for one in await client.sessions()}
        again = await client.kernel(kernel_id)
        assert await client.terminals() == ()
        assert await client.keepalive() is None
        assert client.server_offset is not None
        assert abs(client.server_offset) < 2
    assert status.kernels == len(kernels)
    assert status.started < status.last_activity
    kernel = kernels[kernel_id]
    assert kernel.problem is None
    assert kernel.execution_state == "idle"
    assert kernel.connections == 0
    assert kernel.last_activity is not None
    assert timedelta(0) <= datetime.now(UTC) - kernel.last_activity < timedelta(minutes=1)
    assert again == kernel
    seen = sessions[session["id"]]
    assert (seen.path, seen.type, seen.kernel_id, seen.kernel_name) == (
        "seen.ipynb",
        "notebook",
        kernel_id,
        "python3",
    )


async def test_a_silent_cell_is_busy_with_a_frozen_last_activity(jupyter: JupyterServer) -> None:
    kernel_id = await jupyter.idle_kernel()
    await jupyter.execute(kernel_id, "import time; time.sleep(600)", wait=False)
    await jupyter.wait_for_state(kernel_id, "busy")
    async with JupyterClient(address_of(jupyter)) as client:
        first = await client.kernel(kernel_id)
        second = await client.kernel(kernel_id)
        assert first is not None
        assert first.execution_state == "busy"
        assert first == second
        assert await client.shutdown_kernel(kernel_id) is Deletion.DELETED


async def test_our_looks_never_move_last_activity(jupyter: JupyterServer) -> None:
    kernel_id = await jupyter.idle_kernel()
    terminal = await jupyter.open_terminal()
    await jupyter.save_notebook("looked-at.ipynb")
    async with JupyterClient(address_of(jupyter)) as client:

        async def look() -> tuple[datetime, list[object]]:
            status = await client.status()
            return status.last_activity, [
                await client.kernels(),
                await client.sessions(),
                await client.terminals(),
                await client.notebook_saved_at("looked-at.ipynb"),
                await client.keepalive(),
                await client.kernel(kernel_id),
            ]

        async def quiet() -> tuple[datetime, list[object]] | None:
            first = await look()
            await asyncio.sleep(0.5)
            return first if first == await look() else None

        # Opening the terminal and a shell's first prompt count, and take a moment.
        before = await wait_until(quiet, what="a quiet server")
        assert before is not None
        for _ in range(5):
            assert await look() == before
        assert await client.delete_terminal(terminal) is Deletion.DELETED
        assert await client.shutdown_kernel(kernel_id) is Deletion.DELETED
        assert (await client.status()).last_activity == before[0]
        # The clock of this test does tick: without our parameter the same request is activity.
        await jupyter.request("GET", "api/kernels")
        assert (await client.status()).last_activity != before[0]


async def test_deleting_twice_is_gone(jupyter: JupyterServer) -> None:
    kernel_id = await jupyter.start_kernel()
    terminal = await jupyter.open_terminal()
    async with JupyterClient(address_of(jupyter)) as client:
        assert await client.shutdown_kernel(kernel_id) is Deletion.DELETED
        assert await client.shutdown_kernel(kernel_id) is Deletion.GONE
        assert await client.kernel(kernel_id) is None
        assert await client.delete_terminal(terminal) is Deletion.DELETED
        assert await client.delete_terminal(terminal) is Deletion.GONE


async def test_two_sessions_on_one_kernel_go_with_one_delete(jupyter: JupyterServer) -> None:
    one = await jupyter.open_session("one.ipynb")
    kernel_id = one["kernel"]["id"]
    two = await jupyter.open_session("two.ipynb", kernel_id=kernel_id)
    async with JupyterClient(address_of(jupyter)) as client:
        on_kernel = [session for session in await client.sessions() if session.kernel_id == kernel_id]
        assert {session.id for session in on_kernel} == {one["id"], two["id"]}
        assert await client.shutdown_kernel(kernel_id) is Deletion.DELETED
        assert [session for session in await client.sessions() if session.kernel_id == kernel_id] == []
        assert await client.delete("api", "sessions", one["id"]) is Deletion.GONE


async def test_terminals_come_in_order_of_creation(jupyter: JupyterServer) -> None:
    names = [await jupyter.open_terminal() for _ in range(3)]
    output = await jupyter.type_into(names[0], "echo do''ne", until="done")
    assert "done" in output
    async with JupyterClient(address_of(jupyter)) as client:
        assert await client.delete_terminal(names[0]) is Deletion.DELETED
        reused = await jupyter.open_terminal()
        terminals = await client.terminals()
        assert terminals is not None
        assert [terminal.name for terminal in terminals] == [names[1], names[2], reused]
        assert all(terminal.last_activity and terminal.problem is None for terminal in terminals)
        for terminal in terminals:
            await client.delete_terminal(terminal.name)


async def test_a_name_that_no_url_can_hold_is_not_taken_for_gone(jupyter: JupyterServer) -> None:
    await jupyter.open_terminal("not-a-word")
    async with JupyterClient(address_of(jupyter)) as client:
        with pytest.raises(ActionUnavailable, match="not Jupyter's own"):
            await client.delete_terminal("not-a-word")
        with pytest.raises(ActionUnavailable, match="DELETE /api/kernels/no%2Fid: 404"):
            await client.shutdown_kernel("no/id")
        with pytest.raises(SourceMalformed, match="404"):
            await client.kernel("no/id")
        terminals = await client.terminals()
        assert terminals is not None
        assert "not-a-word" in [terminal.name for terminal in terminals]


@pytest.mark.parametrize("path", ["plain.ipynb", "ünï cödé #1 %41?.ipynb", "sub folder/a&b+c.ipynb"])
async def test_a_saved_notebook_tells_when(jupyter: JupyterServer, path: str) -> None:
    (jupyter.root_dir / path).parent.mkdir(exist_ok=True)
    (jupyter.root_dir / "a folder").mkdir(exist_ok=True)
    await jupyter.save_notebook(path)
    address = replace(address_of(jupyter), root_dir=jupyter.root_dir)
    async with JupyterClient(address) as client:
        saved_at = await client.notebook_saved_at(path)
        assert saved_at is not None
        assert saved_at == saved_on_disk(address, path)
        assert abs(datetime.now(UTC) - saved_at) < timedelta(minutes=1)
        for other in ("", "no.ipynb", "no folder/no.ipynb", "../escape.ipynb", "a folder", "a\0b"):
            assert await client.notebook_saved_at(other) is None
            assert saved_on_disk(address, other) is None
        assert saved_on_disk(address, f"{path}/under-a-file") is None


async def test_a_wrong_token_is_denied_and_the_message_says_so(jupyter: JupyterServer) -> None:
    kernel_id = await jupyter.start_kernel()
    wrong = parse_address(jupyter.url, token=SecretStr("wrong"))
    async with JupyterClient(wrong) as client:
        for look in (client.status, client.kernels, client.sessions, client.terminals):
            with pytest.raises(SourceDenied, match="the token was refused"):
                await look()
        with pytest.raises(ActionDenied, match="the token was refused"):
            await client.shutdown_kernel(kernel_id)
    async with JupyterClient(replace(wrong, token=SecretStr(""))) as client:
        with pytest.raises(SourceDenied, match="wants a token"):
            await client.kernels()
        with pytest.raises(ActionDenied, match="wants a token"):
            await client.shutdown_kernel(kernel_id)
    assert (await jupyter.kernel(kernel_id))["id"] == kernel_id


async def test_a_base_url_right_and_wrong_and_no_terminals(start_jupyter: StartJupyter) -> None:
    server = start_jupyter(base_url="/user/a%40b/", terminals=False)
    kernel_id = await server.start_kernel()
    right = address_of(server)
    assert right.url.endswith("/user/a%40b/")
    wrong = replace(right, url=right.url.replace("/user/a%40b/", "/elsewhere/"))
    async with JupyterClient(wrong) as client:
        with pytest.raises(SourceMalformed, match=r"GET /elsewhere/api/kernels: 404.*base URL"):
            await client.kernels()
        with pytest.raises(ActionUnavailable, match="wrong base URL"):
            await client.shutdown_kernel(kernel_id)
    async with JupyterClient(right) as client:
        assert await client.terminals() is None
        assert [kernel.id for kernel in await client.kernels()] == [kernel_id]
        assert await client.shutdown_kernel(kernel_id) is Deletion.DELETED


async def test_a_server_without_token_wants_its_xsrf_cookie(start_jupyter: StartJupyter) -> None:
    hub = {"JUPYTERHUB_API_TOKEN": "of-the-hub"}
    server = start_jupyter(token="", base_url="/jupyter/default", environ=hub, forked=False)
    first, second = await server.start_kernel(), await server.start_kernel()
    async with JupyterClient(address_of(server)) as client:
        assert {kernel.id for kernel in await client.kernels()} == {first, second}
        assert await client.shutdown_kernel(first) is Deletion.DELETED
        assert await client.shutdown_kernel(first) is Deletion.GONE
    # As jupyterhub-singleuser leaves it: no token in the file, one in the server's environment.
    (address,) = discover([server.runtime_dir], {"JUPYTERHUB_API_TOKEN": "of-somebody-else"}).servers
    assert address.token.get_secret_value() == "of-the-hub"
    # This server never asked for it, so it does not vouch for a DELETE: the cookie must.
    async with JupyterClient(address) as client:
        assert await client.shutdown_kernel(second) is Deletion.DELETED


async def test_a_unix_socket(start_jupyter: StartJupyter) -> None:
    server = start_jupyter(unix_socket=True, base_url="/base/")
    kernel_id = await server.start_kernel()
    address = address_of(server)
    assert address.local
    assert address.socket_path == server.socket_path
    found = discover([server.runtime_dir], {})
    assert [one.url for one in found.servers] == [address.url]
    async with JupyterClient(found.servers[0]) as client:
        assert [kernel.id for kernel in await client.kernels()] == [kernel_id]
        assert await client.shutdown_kernel(kernel_id) is Deletion.DELETED


async def test_tls_with_a_ca_file_and_without(start_jupyter: StartJupyter) -> None:
    server = start_jupyter(tls=True)
    kernel_id = await server.start_kernel()
    address = address_of(server)
    assert address.url.startswith("https://")
    async with JupyterClient(address) as client:
        assert [kernel.id for kernel in await client.kernels()] == [kernel_id]
    async with JupyterClient(replace(address, ca_file=None)) as client:
        with pytest.raises(SourceUnavailable, match="certificate verify failed"):
            await client.kernels()
        with pytest.raises(ActionUnavailable, match="not connected"):
            await client.shutdown_kernel(kernel_id)
    # As discovered: on loopback nobody can know which certificate to expect.
    (found,) = discover([server.runtime_dir], {}).servers
    async with JupyterClient(found) as client:
        assert await client.shutdown_kernel(kernel_id) is Deletion.DELETED
    plain = replace(address, url=address.url.replace("https:", "http:"))
    async with JupyterClient(plain) as client:
        with pytest.raises((SourceUnavailable, SourceMalformed)):
            await client.kernels()


async def test_discovery_from_real_runtime_files(jupyter: JupyterServer) -> None:
    found = discover([jupyter.runtime_dir, jupyter.runtime_dir], {})
    assert found.complete
    assert found.problems == ()
    (address,) = found.servers
    assert address.url == jupyter.url
    assert address.token.get_secret_value() == jupyter.token
    assert jupyter.token not in repr(found)
    assert address.pid == jupyter.pid
    assert address.root_dir == jupyter.root_dir
    assert address.runtime_file == jupyter.runtime_file
    assert address.local
    async with JupyterClient(address) as client:
        assert (await client.status()).started < datetime.now(UTC)


async def test_a_crashed_server_is_passed_over_and_its_file_left_alone(start_jupyter: StartJupyter) -> None:
    server = start_jupyter()
    (address,) = discover([server.runtime_dir], {}).servers
    before = server.runtime_file.read_bytes(), server.runtime_file.stat().st_mtime_ns
    async with JupyterClient(address) as client:
        await client.kernels()
        server.crash()

        async def dead() -> bool:  # and not yet looked at by its parent, which is this test
            return psutil.Process(server.pid).status() == psutil.STATUS_ZOMBIE

        await wait_until(dead, what="a zombie")
        found = discover([server.runtime_dir], {})
        assert (found.servers, found.problems, found.complete) == ((), (), True)
        assert (server.runtime_file.read_bytes(), server.runtime_file.stat().st_mtime_ns) == before
        with pytest.raises(SourceUnavailable):
            await client.kernels()
        with pytest.raises(ActionUnavailable):
            await client.shutdown_kernel("1-2-3-4-5")


async def test_a_kernel_that_ignores_signals_is_shut_down_all_the_same(jupyter: JupyterServer) -> None:
    kernel_id = await jupyter.idle_kernel()
    code = "import signal, time\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\ntime.sleep(600)"
    await jupyter.execute(kernel_id, code, wait=False)
    await jupyter.wait_for_state(kernel_id, "busy")
    async with JupyterClient(address_of(jupyter)) as client:
        first, second = await asyncio.gather(
            client.shutdown_kernel(kernel_id), client.shutdown_kernel(kernel_id)
        )
    assert Deletion.DELETED in {first, second}


def test_no_descriptor_is_left_open(jupyter: JupyterServer) -> None:
    async def use() -> None:
        async with JupyterClient(address_of(jupyter)) as client:
            await asyncio.gather(client.kernels(), client.sessions(), client.status())

    asyncio.run(use())
    before = len(list(Path("/proc/self/fd").iterdir()))
    asyncio.run(use())
    assert len(list(Path("/proc/self/fd").iterdir())) == before
