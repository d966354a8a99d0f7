"""Socket files and ports: modes, groups, what a dead daemon left, and what belongs to somebody else."""

import asyncio
import grp
import os
import socket
import stat
import subprocess
import sys
from datetime import UTC, datetime

import aiohttp
import pytest
from pydantic import SecretStr

from reaper.config.places import ListenAddress
from reaper.errors import ConfigError, ControlError
from reaper.testing.control import FakeControl
from reaper.web import make_app, serve

CONTROL = FakeControl(at=datetime(2026, 11, 22, 21, 0, tzinfo=UTC))
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may give files to any group")


def serving(*listen, token=None):
    app = make_app(CONTROL, api_token=None if token is None else SecretStr(token))
    return serve(
        app, [ListenAddress(path=one) if not isinstance(one, ListenAddress) else one for one in listen]
    )


async def health(path):
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession("http://x", connector=connector) as session,
        session.get("/healthz") as response,
    ):
        return response.status


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def left_behind(path):
    """Leave the socket file of a daemon that was killed."""
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert path.exists()


@pytest.fixture
def group(monkeypatch):
    """Make the group `reaper` exist."""
    made = grp.struct_group(("reaper", "x", 4242, []))
    monkeypatch.setattr(grp, "getgrnam", {"reaper": made}.__getitem__)
    return made


@pytest.fixture
def no_group(monkeypatch):
    monkeypatch.setattr(grp, "getgrnam", {}.__getitem__)


async def test_the_socket_is_0660_whatever_the_umask(own_home, no_group):
    path = own_home / "reaper.sock"
    old = os.umask(0o077)
    try:
        async with serving(path) as bound:
            assert bound == (ListenAddress(path=path),)
            assert mode(path) == 0o660
            assert path.stat().st_gid == os.getgid()
            assert await health(path) == 200
    finally:
        os.umask(old)
    assert not path.exists()


async def test_nobody_can_connect_before_the_mode_is_set(own_home, no_group, monkeypatch):
    path, seen = own_home / "reaper.sock", []
    chmod = type(path).chmod

    def look(self, wanted, **more):
        with socket.socket(socket.AF_UNIX) as probe:
            seen.append(probe.connect_ex(str(path)))
        chmod(self, wanted, **more)

    monkeypatch.setattr(type(path), "chmod", look)
    async with serving(path):
        assert seen
        assert all(error != 0 for error in seen)


@as_root
async def test_the_group_reaper_may_use_it(own_home, group):
    path = own_home / "run" / "reaper" / "reaper.sock"
    async with serving(path):
        assert path.stat().st_gid == group.gr_gid
        assert mode(path) == 0o660
        assert path.parent.stat().st_gid == group.gr_gid
        assert mode(path.parent) == 0o750


async def test_a_group_that_is_not_ours_to_give_is_left_alone(own_home, group, monkeypatch):
    def refuse(*_args):
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    path = own_home / "made" / "reaper.sock"
    async with serving(path):
        assert mode(path) == 0o660
        assert mode(path.parent) == 0o700
        assert await health(path) == 200


async def test_a_directory_that_exists_keeps_its_mode(own_home, no_group):
    directory = own_home / "there"
    directory.mkdir(mode=0o755)
    async with serving(directory / "reaper.sock"):
        assert mode(directory) == 0o755


async def test_what_a_dead_daemon_left_is_removed(own_home):
    path = own_home / "reaper.sock"
    left_behind(path)
    async with serving(path):
        assert await health(path) == 200


async def test_a_live_ones_socket_is_never_touched(own_home):
    path = own_home / "reaper.sock"
    async with serving(path):
        before = path.stat().st_ino
        with pytest.raises(ControlError, match="another daemon listens"):
            async with serving(path):
                pass
        assert path.stat().st_ino == before
        assert await health(path) == 200


async def test_one_that_is_too_busy_to_answer_is_alive(own_home):
    path = own_home / "reaper.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))  # its queue is full now
        with pytest.raises(ControlError, match="another daemon listens"):
            async with serving(path):
                pass
        assert path.exists()


@pytest.mark.parametrize("kind", ["file", "directory", "link to a file", "dangling link"])
async def test_what_is_no_socket_is_never_removed(own_home, kind):
    path, target = own_home / "reaper.sock", own_home / "precious"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(target)
        if kind == "link to a file":
            target.write_text("precious")
    with pytest.raises(ConfigError, match="is no socket"):
        async with serving(path):
            pass
    assert path.is_symlink() or path.exists()


async def test_at_the_end_only_our_own_socket_is_removed(own_home):
    """Another daemon may have taken the place meanwhile."""
    path = own_home / "reaper.sock"
    with socket.socket(socket.AF_UNIX) as other:
        async with serving(path):
            path.unlink()
            other.bind(str(path))
        assert path.exists()


async def test_it_can_be_served_again_at_the_same_place(own_home):
    path = own_home / "reaper.sock"
    for _ in range(2):
        async with serving(path):
            assert await health(path) == 200


async def test_a_place_that_can_not_be_written_is_said(own_home):
    blocked = own_home / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match="can't listen on"):
        async with serving(blocked / "reaper.sock"):
            pass


async def test_several_at_once_and_a_port_that_the_system_chooses(own_home):
    path = own_home / "reaper.sock"
    async with serving(path, ListenAddress(host="127.0.0.1", port=0)) as (unix, tcp):
        assert unix.path == path
        assert tcp.port > 0
        assert await health(path) == 200
        async with aiohttp.ClientSession() as session, session.get(f"{tcp.url}/healthz") as response:
            assert response.status == 200


async def test_nowhere_is_possible():
    async with serving() as bound:
        assert bound == ()


async def test_a_port_in_use_is_said_and_nothing_stays_open(own_home):
    path = own_home / "reaper.sock"
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = ListenAddress(host="127.0.0.1", port=other.getsockname()[1])
        with pytest.raises(ControlError, match=f"another process listens on tcp:127.0.0.1:{taken.port}"):
            async with serving(path, taken):
                pass
    assert not path.exists()


async def test_an_address_that_is_not_ours_is_said():
    with pytest.raises(ConfigError, match=r"can't listen on tcp:192\.0\.2\.7:1"):
        async with serving(ListenAddress(host="192.0.2.7", port=1), token="tok-8f7d2a"):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "reaper.internal"])
async def test_other_machines_only_with_a_token(host):
    with pytest.raises(ConfigError, match="REAPER_API_TOKEN"):
        async with serving(ListenAddress(host=host, port=0)):
            pass


async def test_ipv6_loopback():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with (
        serving(ListenAddress(host="::1", port=0)) as (bound,),
        aiohttp.ClientSession() as session,
        session.get(f"{bound.url}/api/v1/status") as response,
    ):
        assert response.status == 200


async def test_cancelled_while_serving_leaves_nothing(own_home):
    path, begun = own_home / "reaper.sock", asyncio.Event()

    async def run():
        async with serving(path):
            begun.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(run())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not path.exists()
