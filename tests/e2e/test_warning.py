"""Warn, wait, act: with a receiver that takes the notice, one that does not, and a person who says no."""

import asyncio
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from reaper.core.verdict import Reason
from tests.e2e.daemon import daemon_place, until
from tests.e2e.proxy import Proxy
from tests.e2e.receiver import Receiver

pytestmark = [pytest.mark.xdist_group("e2e-daemon"), pytest.mark.timeout(240)]

WARN = timedelta(seconds=3)
LATE = timedelta(seconds=15)
"""Only what is broken is later than that, however busy the machine."""
SETTINGS = {
    "jupyter__process__interval": "200ms",
    "poll_interval": "1s",
    "idle_timeout": "6s",
    "warn_before": "3s",
}


async def test_a_warning_comes_first_then_the_grace_then_the_reap(server):
    kernel_id = await server.idle_kernel()
    due = datetime.fromisoformat((await server.kernel(kernel_id))["last_activity"]) + timedelta(seconds=6)
    async with (
        Proxy(server.url, only={kernel_id}) as proxy,
        Receiver() as receiver,
        daemon_place(
            jupyter__url=proxy.url, jupyter__token=server.token, notify=receiver.url, **SETTINGS
        ) as daemon,
    ):
        daemon.start()
        await until(lambda: len(receiver.told) == 2, "the warning, and the notice of the outcome")
        await daemon.stop()
        warning, outcome = receiver.told
        assert (warning["topic"], warning["mode"], warning["resource"]["id"]) == (
            "warning",
            "enforce",
            kernel_id,
        )
        assert warning["actions"][0]["command"].startswith("reaper hold ")
        warned = datetime.fromisoformat(warning["at"])
        (deleted,) = proxy.deletes()
        assert deleted.at >= (warned + WARN).timestamp(), "warned first"
        started, done = await daemon.journal.ledger(kernel_id)
        assert (started.state.value, done.state.value, outcome["topic"]) == ("STARTED", "SUCCEEDED", "reaped")
        assert warned >= due - WARN
        assert started.at >= max(due, warned + WARN), "never before the deadline, nor before the grace"
        assert started.at <= max(due, warned + WARN) + LATE


async def test_an_undelivered_warning_moves_the_deadline(server):
    kernel_id = await server.idle_kernel()
    async with (
        Proxy(server.url, only={kernel_id}) as proxy,
        Receiver() as receiver,
        daemon_place(
            jupyter__url=proxy.url, jupyter__token=server.token, notify=receiver.url, **SETTINGS
        ) as daemon,
    ):
        receiver.status = 500
        daemon.start(point='tuned:{"retry_s": 1}')
        row = await daemon.shows(kernel_id, verdict="reap", reason="notice_undelivered")
        moved = datetime.fromisoformat(row["due_at"])
        assert moved > datetime.fromisoformat(row["idle_since"]) + timedelta(seconds=6)
        assert "notice_undelivered" in str(await daemon.explain(kernel_id))
        await until(lambda: len(receiver.refused) >= 3, "further tries")
        assert not proxy.deletes()
        receiver.status = 204
        await until(proxy.effective, "the reap after delivery and grace")
        await until(lambda: "reaped" in receiver.topics(), "the notice of the outcome")
        await daemon.stop()
        delivered = [
            fact
            for fact in await daemon.journal.facts("NoticeGiven")
            if fact.delivered and fact.topic == "warning"  # type: ignore[union-attr]
        ]
        started, _ = await daemon.journal.ledger(kernel_id)
        assert len(delivered) == 1
        assert WARN <= started.at - delivered[0].at <= WARN + LATE
        waited = [d for d in await daemon.journal.decisions(kernel_id) if d.reason is Reason.NOTICE_GRACE]
        assert {veto.until for decision in waited for veto in decision.vetoes} == {delivered[0].at + WARN}


async def test_the_command_in_the_notice_stops_the_reap(server):
    kernel_id = await server.idle_kernel()
    async with (
        Proxy(server.url, only={kernel_id}) as proxy,
        Receiver(
            "warning"
        ) as receiver,  # it counts as delivered once it was answered: that is, after the command
        daemon_place(
            jupyter__url=proxy.url, jupyter__token=server.token, notify=receiver.url, **SETTINGS
        ) as daemon,
    ):
        daemon.start()
        await until(lambda: receiver.waiting, "the warning")
        command = receiver.waiting[0]["actions"][0]["command"].split()
        assert command[0] == "reaper"
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", *command],
            env=daemon.env,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        receiver.gate.release()
        row = await daemon.shows(kernel_id, verdict="reap", reason="held")
        assert row["holds"]
        await proxy.further_looks(3)
        assert not proxy.deletes()
        await daemon.stop()
        assert "STARTED" not in await daemon.journal.states(kernel_id)
