"""How the daemon ends, reloads, and tells systemd; and what it refuses to start on."""

import asyncio
import json
import signal
import socket
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import pytest

from tests.e2e.daemon import Daemon, daemon_place, until
from tests.e2e.proxy import Proxy

pytestmark = [pytest.mark.xdist_group("e2e-daemon"), pytest.mark.timeout(240)]

BRIEF = {"jupyter__process__interval": "200ms", "poll_interval": "1s"}


async def test_the_first_signal_lets_an_action_end_and_starts_no_other(server):
    first = await server.idle_kernel()
    second = await server.idle_kernel()
    in_use = True

    def used(listed: Any) -> Any:
        """Show the second one in use; once it is not any more, it is due at once."""
        now = datetime.now(UTC).isoformat()
        return [{**one, "last_activity": now} if in_use and one["id"] == second else one for one in listed]

    async with (
        Proxy(server.url, only={first, second}) as proxy,
        daemon_place(
            jupyter__url=proxy.url, jupyter__token=server.token, idle_timeout="2s", **BRIEF
        ) as daemon,
    ):
        proxy.rewrite("api/kernels", used)
        gate = proxy.hold("DELETE", f"api/kernels/{first}")
        daemon.start()
        await daemon.reaching(gate)
        daemon.signal(signal.SIGTERM)
        await daemon.logged("stopping")
        in_use = False
        await asyncio.sleep(2.5)  # two looks, if it still looked
        assert daemon.process is not None
        assert daemon.process.poll() is None, "it waits for the action under way"
        gate.release()
        assert await daemon.ended() == 0
        assert await daemon.journal.states(first) == ["STARTED", "SUCCEEDED"]
        assert "STARTED" not in await daemon.journal.states(second)
        assert len(proxy.effective(first)) == 1
        assert not proxy.deletes(second)


async def test_after_the_grace_an_action_is_cut_short_and_its_outcome_is_unknown(server):
    kernel_id = await server.idle_kernel()
    async with (
        Proxy(server.url, only={kernel_id}) as proxy,
        daemon_place(
            jupyter__url=proxy.url, jupyter__token=server.token, idle_timeout="1s", **BRIEF
        ) as daemon,
    ):
        gate = proxy.hold("DELETE", "*")
        daemon.start(point='tuned:{"drain_grace": 0.5}')
        await daemon.reaching(gate)
        daemon.signal(signal.SIGINT)
        assert await daemon.ended() == 0
        assert daemon.events("actions cut short")
        entries = await daemon.journal.ledger(kernel_id)
        assert [entry.state.value for entry in entries] == ["STARTED", "UNKNOWN"]
        assert entries[-1].outcome == "reaper stopped before the answer came"
        gate.drop()


@pytest.mark.parametrize(
    ("one", "two"), [(signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)], ids=["term", "int"]
)
async def test_the_second_signal_ends_it_at_once(server, one, two):
    kernel_id = await server.idle_kernel()
    async with (
        Proxy(server.url, only={kernel_id}) as proxy,
        daemon_place(
            jupyter__url=proxy.url, jupyter__token=server.token, idle_timeout="1s", **BRIEF
        ) as daemon,
    ):
        gate = proxy.hold("DELETE", "*")
        daemon.execute()
        await daemon.reaching(gate)
        daemon.signal(one)
        await daemon.logged("stopping")
        daemon.signal(two)
        assert await daemon.ended() == -two, "by the signal itself: it waited for nothing any more"
        assert await daemon.journal.states(kernel_id) == ["STARTED"], "the next start looks what became of it"
        gate.drop()


async def test_a_server_that_hangs_does_not_hold_up_the_end(server):
    kernel_id = await server.idle_kernel()
    async with (
        Proxy(server.url, only={kernel_id}) as proxy,
        daemon_place(jupyter__url=proxy.url, jupyter__token=server.token, **BRIEF) as daemon,
    ):
        gate = proxy.hold("GET", "api/kernels")
        daemon.start()
        await daemon.reaching(gate)
        await daemon.stop()
        assert not daemon.events("source failed"), "the look was cut short, not waited for until its deadline"
        gate.drop()


def refused(daemon: Daemon, at_least: int = 0) -> list[dict[str, Any]]:
    """Give the refusals of a new configuration, once there are that many."""
    events = daemon.events("new configuration refused; the old one stays")
    return events if len(events) >= at_least else []


async def test_sighup_takes_a_new_timeout_and_refuses_what_can_not_be_used(server):
    kernel_id = await server.idle_kernel()
    async with (
        Proxy(server.url, only={kernel_id}) as proxy,
        daemon_place(jupyter__url=proxy.url, jupyter__token=server.token, **BRIEF) as daemon,
    ):
        file = daemon.folder / "reaper.toml"
        file.write_text('idle_timeout = "1h"\n')
        with Systemd(daemon) as systemd:
            daemon.execute(REAPER_CONFIG=str(file), **systemd.env)
            await daemon.shows(kernel_id, verdict="wait")
            await systemd.told("READY=1")
            await systemd.told("STATUS=enforce: watching 1, next due in")
            await systemd.told("WATCHDOG=1", times=2)

            for text in ('idle_timeout = "90"\n', "no toml at all", 'idle_timeut = "1s"\n'):
                file.write_text(text)
                refusals = len(refused(daemon)) + 1
                systemd.forget()
                daemon.signal(signal.SIGHUP)
                await until(partial(refused, daemon, refusals), "the refusal")
                await systemd.told("RELOADING=1")
                await systemd.told("READY=1")
            assert all(str(file) in event["error"] for event in refused(daemon))
            assert (await daemon.ask("/api/v1/status"))["idle_timeout_s"] == 3600
            await proxy.further_looks(2)
            assert not proxy.deletes()

            file.write_text('idle_timeout = "1s"\n')
            daemon.signal(signal.SIGHUP)
            await until(proxy.effective, "the reap under the new timeout")
            assert (await daemon.ask("/api/v1/status"))["idle_timeout_s"] == 1
            daemon.signal(signal.SIGTERM)
            await systemd.told("STOPPING=1")
            assert await daemon.ended() == 0
        assert await daemon.journal.states(kernel_id) == ["STARTED", "SUCCEEDED"]
        (life,) = {entry.ref for entry in await daemon.journal.ledger(kernel_id)}
        assert life.scope == proxy.url


async def test_a_second_daemon_on_the_same_journal_is_refused():
    async with daemon_place(jupyter__url="http://127.0.0.1:9/", jupyter__token="t") as daemon:
        daemon.start()
        await daemon.logged("started")
        first = daemon.process
        assert first is not None
        try:
            daemon.execute()
            assert await daemon.ended() == 1
            assert f"{daemon.journal_path}" in daemon.log()
            assert str(first.pid) in daemon.log(), "the message names who holds it"
            assert "Traceback" not in daemon.log()
        finally:
            first.terminate()
            await asyncio.to_thread(first.wait)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"idle_timeout": "90"}, "no unit"),
        ({"idle_timeut": "90m"}, "REAPER_IDLE_TIMEOUT"),
        ({"warn_before": "5m"}, "REAPER_NOTIFY"),
    ],
    ids=["no-unit", "misspelt", "contradiction"],
)
async def test_a_configuration_that_can_not_be_used_ends_it_with_78(setting, says):
    async with daemon_place(**setting) as daemon:
        daemon.execute()
        assert await daemon.ended() == 78
        assert says in daemon.log()
        assert "Traceback" not in daemon.log()
        assert not daemon.journal_path.exists()


class Systemd:
    """Listens where systemd would: a datagram socket."""

    def __init__(self, daemon: Daemon) -> None:
        path = daemon.folder / "notify"
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def forget(self) -> None:
        """Wait for what comes from now on."""
        self._read()
        self.messages.clear()

    async def told(self, start: str, times: int = 1) -> None:
        """Wait until it was told a line that starts like that."""

        def heard() -> bool:
            self._read()
            return sum(line.startswith(start) for line in self.messages) >= times

        await until(heard, f"{start} in {json.dumps(self.messages)}")

    def _read(self) -> None:
        while True:
            try:
                self.messages.extend(self._socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                return
