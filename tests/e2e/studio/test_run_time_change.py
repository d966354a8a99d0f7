"""The limit changed while the daemon runs, in every way there is: heeded at once, told, journaled, and remembered."""

import os
import pwd
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reaper.core.facts import SettingChanged
from reaper.journal.sqlite import SqliteJournal
from reaper.plugins import LedgerQuery
from reaper.web.idle_checker import PATHS
from tests.stories.daemons import Reaper, command, environment, reaper_in_process
from tests.stories.waiting import true_within
from tests.support.jupyter_server import JupyterServer

TOKEN = {"Authorization": "Bearer a-long-random-value"}
IDLE_CHECKER = PATHS[1]
WHO = "token@127.0.0.1"


class Played:
    """A daemon that is started again and again on one journal, and a client of its API by TCP."""

    def __init__(self, environ: Mapping[str, str], port: int) -> None:
        self.environ = dict(environ)
        self.url = f"http://127.0.0.1:{port}"

    @asynccontextmanager
    async def running(self, **settings: str) -> AsyncIterator[Reaper]:
        journal = SqliteJournal.from_address(self.environ["REAPER_STATE"])
        environ = self.environ | {f"REAPER_{name}": value for name, value in settings.items()}
        async with reaper_in_process(environ, journal=journal) as reaper:
            await true_within(lambda: bool(reaper.resources()), what="the first look")
            yield reaper

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.request(method, path, json=body, headers=TOKEN if body else {}) as response,
        ):
            return response.status, await response.json(content_type=None)

    async def changes(self, reaper: Reaper) -> list[SettingChanged]:
        facts = await reaper.daemon.journal.facts(LedgerQuery(types=("SettingChanged",), limit=100))
        return [fact for fact in facts if isinstance(fact, SettingChanged)]


@pytest.fixture
def played(server: JupyterServer, own_home: Path) -> Played:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    listen = f"unix:{own_home}/reaper.sock,127.0.0.1:{port}"
    environ = environment(
        own_home,
        server,
        MODE="dry-run",
        IDLE_TIMEOUT="1h",
        POLL_INTERVAL="60s",
        IDLE_TIMEOUT_MIN="10m",
        IDLE_TIMEOUT_MAX="8h",
        LISTEN=listen,
        API_TOKEN="a-long-random-value",
        STATE=str(own_home / "journal.db"),
    )
    return Played(environ, port)


def limit(reaper: Reaper, name: str) -> timedelta:
    """Give what is in force for a kernel: how long after its last activity it is due; nothing while that is now."""
    one = reaper.resource(name) or {}
    if not (one.get("idle_since") and one.get("due_at")):
        return timedelta(0)
    return datetime.fromisoformat(one["due_at"]) - datetime.fromisoformat(one["idle_since"])


async def test_a_limit_set_at_run_time(server: JupyterServer, played: Played) -> None:
    kernel = await server.idle_kernel()
    try:
        await _changed_by_everybody(played, kernel)
        await _remembered(played, kernel)
        await _over_when_the_configuration_changes(played, kernel)
    finally:
        await server.request("DELETE", f"api/kernels/{kernel}")


async def _heeded(reaper: Reaper, kernel: str, **lasting: int) -> None:
    """Wait until a limit is in force, for far less time than there is between two looks."""
    await true_within(
        lambda: abs(limit(reaper, kernel) - timedelta(**lasting)) < timedelta(seconds=1),
        what=f"{lasting} is in force",
        deadline_s=30,
    )


async def _changed_by_everybody(played: Played, kernel: str) -> None:
    async with played.running() as reaper:
        await _heeded(reaper, kernel, hours=1)
        polls = reaper.daemon.world.polls
        code, out = await command(played.environ, "set", "idle-timeout", "90m")
        assert code == 0, out
        await _heeded(reaper, kernel, minutes=90)
        _, told = await played.ask("GET", IDLE_CHECKER)
        assert (told["idle_time"], told["keep_terminals"]) == (5400, False)
        assert told["count"] >= polls

        status, told = await played.ask("POST", IDLE_CHECKER, {"idle_time": 30, "keep_terminals": False})
        assert (status, told["idle_time"]) == (200, 1800)
        await _heeded(reaper, kernel, minutes=30)

        await _refused(played)
        await _heeded(reaper, kernel, minutes=30)
        _, shown = await command(played.environ, "status")
        assert "idle-timeout was set to 30m" in shown
        by_socket, by_token = await played.changes(reaper)
    assert (by_socket.value, by_socket.previous, by_socket.underlying) == ("90m", "1h", "1h")
    assert (by_token.value, by_token.previous, by_token.underlying) == ("30m", "90m", "1h")
    assert by_socket.who == pwd.getpwuid(os.getuid()).pw_name
    assert by_token.who == WHO
    assert by_socket.at < by_token.at


async def _refused(played: Played) -> None:
    """Neither the bounds of the configuration nor who may write is another by this way in."""
    for minutes, bound in ((5, "REAPER_IDLE_TIMEOUT_MIN"), (540, "REAPER_IDLE_TIMEOUT_MAX"), (10**8, "")):
        for method, path, body in (
            ("POST", IDLE_CHECKER, {"idle_time": minutes}),
            ("PATCH", "/api/v1/settings", {"name": "idle-timeout", "value": f"{minutes}m"}),
        ):
            status, told = await played.ask(method, path, body)
            assert status == 422, (path, told)
            assert bound in told["detail"]
    async with aiohttp.ClientSession(played.url) as session:
        assert (await session.post(IDLE_CHECKER, json={"idle_time": 90})).status == 401


async def _remembered(played: Played, kernel: str) -> None:
    async with played.running() as reaper:
        await _heeded(reaper, kernel, minutes=30)
        _, told = await played.ask("GET", IDLE_CHECKER)
        assert told["idle_time"] == 1800
        _, status = await played.ask("GET", "/api/v1/status")
        assert [(one["name"], one["value"], one["who"]) for one in status["overrides"]] == [
            ("idle-timeout", "30m", WHO)
        ]
        assert status["idle_timeout_s"] == 1800
        assert status["polls"] >= 2


async def _over_when_the_configuration_changes(played: Played, kernel: str) -> None:
    async with played.running(IDLE_TIMEOUT="2h") as reaper:
        await _heeded(reaper, kernel, hours=2)
        _, told = await played.ask("GET", IDLE_CHECKER)
        assert told["idle_time"] == 7200
