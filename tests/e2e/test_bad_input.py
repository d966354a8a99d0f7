"""A running daemon and a server that answers nonsense, refuses, or hangs.

Nothing is reaped because of it, nothing else is held up by it, `explain` says why, the journal loses nothing.
"""

from datetime import UTC, datetime, timedelta

import psutil
import pytest

from tests.e2e.daemon import daemon_place, until
from tests.e2e.proxy import Proxy

pytestmark = [pytest.mark.xdist_group("e2e-daemon"), pytest.mark.timeout(240)]

BRIEF = {"jupyter__process__interval": "200ms", "poll_interval": "500ms", "idle_timeout": "1s"}


def kernels(change):
    """Change each kernel that the server lists."""

    def changed(listed):
        return [change(dict(kernel)) for kernel in listed]

    return changed


def without(key):
    return kernels(lambda kernel: {k: v for k, v in kernel.items() if k != key})


def with_(**fields):
    return kernels(lambda kernel: {**kernel, **fields})


FAR = (datetime.now(UTC) + timedelta(days=400)).isoformat()

FAULTS = {
    "wrong token": (lambda proxy: proxy.with_token("wrong"), "source_failing", "token was refused"),
    "a page": (
        lambda proxy: proxy.say("GET", "api/kernels", text="<html>Sign in</html>", content_type="text/html"),
        "source_failing",
        "expected JSON",
    ),
    "cut-off JSON": (
        lambda proxy: proxy.say("GET", "api/kernels", text='[{"id": "6f1c'),
        "source_failing",
        "expected JSON",
    ),
    "sessions that fail": (
        lambda proxy: proxy.say("GET", "api/sessions", status=500, text="oops"),
        "source_failing",
        "api/sessions: 500",
    ),
    "no timestamp": (
        lambda proxy: proxy.rewrite("api/kernels", without("last_activity")),
        "evidence_unknown",
        "last_activity is missing",
    ),
    "a timestamp in the future": (
        lambda proxy: proxy.rewrite("api/kernels", with_(last_activity=FAR)),
        "evidence_unknown",
        "in the server's own future",
    ),
    "no state": (
        lambda proxy: proxy.rewrite("api/kernels", without("execution_state")),
        "evidence_unknown",
        "execution_state",
    ),
    "an unknown state": (
        lambda proxy: proxy.rewrite("api/kernels", with_(execution_state="hibernating")),
        "evidence_unknown",
        "hibernating",
    ),
    "an empty object": (
        lambda proxy: proxy.say("GET", "api/status", text="{}"),
        "source_failing",
        "api/status",
    ),
}


async def test_nonsense_is_unknown_and_never_reaped(server):
    kernel_id, other_id = await server.idle_kernel(), await server.idle_kernel()
    async with (
        Proxy(server.url, only={kernel_id}) as proxy,
        Proxy(server.url, only={other_id}) as healthy,
        daemon_place(
            jupyter__url=f"{proxy.url},{healthy.url}", jupyter__token=server.token, **BRIEF
        ) as daemon,
    ):
        other = healthy.hold("GET", "api/status")  # its kernel is seen, and due, in the middle of it all
        mend = FAULTS["no state"][0](proxy)
        daemon.start()
        await daemon.shows(kernel_id, verdict="unknown")
        hold = {"resource": kernel_id, "for": "1h", "why": "between two faults"}
        for name, (fault, reason, says) in FAULTS.items():
            await daemon.ask("/api/v1/holds", "POST", json=hold)
            mend()
            await daemon.shows(kernel_id, verdict="reap", reason="held")
            mend = fault(proxy)
            await daemon.shows(kernel_id, verdict="unknown", reason=reason)
            held = (await daemon.ask("/api/v1/holds"))["holds"]
            for one in held:
                await daemon.ask(f"/api/v1/holds/{one['id']}", "DELETE")
            await proxy.further_requests(8)
            row = await daemon.shows(kernel_id, verdict="unknown", reason=reason, holds=[])
            assert row["action"] is None or row["due_at"] is None, name
            explained = str(await daemon.explain(kernel_id))
            assert says in explained, f"{name}: {explained}"
            assert not proxy.deletes(), name
            if name == "cut-off JSON":
                other.release()
        assert len(healthy.effective(other_id)) == 1, "nothing else is held up by it"
        mend()
        await until(proxy.effective, "the reap when all is well again")
        await until(lambda: daemon.events("resource gone"), "its end")
        polls = (await daemon.ask("/api/v1/status"))["polls"]
        await daemon.stop()
        assert await daemon.journal.states(kernel_id) == ["STARTED", "SUCCEEDED"]
        assert await daemon.journal.states(other_id) == ["STARTED", "SUCCEEDED"]
        assert (await daemon.journal.polls())[0] >= polls, "the journal loses nothing"
        failed = [event for event in daemon.events("source failed") if proxy.url in event["source"]]
        assert 1 <= len(failed) <= len(FAULTS), "logged when it begins, not at every look"


async def test_a_server_that_hangs_holds_up_no_other(server):
    stuck_id, other_id = await server.idle_kernel(), await server.idle_kernel()
    in_use = True

    def used(listed):
        """Show the other one in use; once it is not any more, it is due at once."""
        now = datetime.now(UTC).isoformat()
        return [{**one, "last_activity": now} if in_use else one for one in listed]

    async with (
        Proxy(server.url, only={stuck_id}) as stuck,
        Proxy(server.url, only={other_id}) as healthy,
        daemon_place(
            jupyter__url=f"{stuck.url},{healthy.url}", jupyter__token=server.token, **BRIEF
        ) as daemon,
    ):
        stuck.rewrite("api/kernels", used)
        healthy.rewrite("api/kernels", used)
        daemon.start()
        await daemon.watching(stuck_id)
        await daemon.watching(other_id)
        gate = stuck.hold("GET", "api/kernels")
        await daemon.reaching(gate)
        in_use = False
        await until(healthy.effective, "the reap at the healthy server")
        assert not daemon.events("source failed"), "meanwhile the other one still hangs"
        await daemon.shows(stuck_id, verdict="unknown", reason="source_failing")
        assert "no complete answer within 10 s" in str(await daemon.explain(stuck_id))
        assert not stuck.deletes()
        gate.release()
        await until(stuck.effective, "the reap when it answers again")
        await daemon.stop()
        assert await daemon.journal.states(other_id) == ["STARTED", "SUCCEEDED"]


async def test_a_delete_that_fails_is_not_repeated_blindly(server):
    good = await server.idle_kernel()
    bad = {status: await server.idle_kernel() for status in (400, 403, 404, 500)}
    async with (
        Proxy(server.url, only={good, *bad.values()}) as proxy,
        daemon_place(jupyter__url=proxy.url, jupyter__token=server.token, **BRIEF) as daemon,
    ):
        for status, kernel_id in bad.items():
            proxy.say(
                "DELETE",
                f"api/kernels/{kernel_id}",
                status=status,
                text="<html>no</html>",
                content_type="text/html",
            )
        daemon.start()
        await until(lambda: proxy.effective(good), "the reap that nothing stands against")
        for status, kernel_id in bad.items():
            row = await daemon.shows(kernel_id, verdict="reap", reason="cooldown")
            assert row["due_at"] is not None, "it says when it is tried again"
            explained = str(await daemon.explain(kernel_id))
            assert f"{status}" in explained, explained
        await proxy.further_looks(4)
        assert {status: len(proxy.deletes(one)) for status, one in bad.items()} == dict.fromkeys(bad, 1)
        await daemon.stop()
        assert await daemon.journal.states(good) == ["STARTED", "SUCCEEDED"]
        for status, kernel_id in bad.items():
            told = ["STARTED", "UNKNOWN", "FAILED"] if status == 500 else ["STARTED", "FAILED"]
            assert await daemon.journal.states(kernel_id) == told


async def test_a_full_disk_stops_every_action_and_loses_nothing(server):
    kernel_id = await server.idle_kernel()
    async with (
        Proxy(server.url, only={kernel_id}) as proxy,
        daemon_place(
            jupyter__url=proxy.url, jupyter__token=server.token, **{**BRIEF, "idle_timeout": "1h"}
        ) as daemon,
    ):
        daemon.start()
        await daemon.shows(kernel_id, verdict="wait")
        assert daemon.process is not None
        process = psutil.Process(daemon.process.pid)
        process.rlimit(psutil.RLIMIT_FSIZE, (4096, psutil.RLIM_INFINITY))  # less than a page of the WAL

        async def journal_error():
            return (await daemon.ask("/api/v1/status"))["journal_error"]

        error = await until(journal_error, "journal_error in status")
        assert str(daemon.journal_path) in error
        # What is due now is not reaped: nothing could be written down.
        answer = await daemon.ask(
            "/api/v1/settings", "PATCH", json={"name": "idle-timeout", "value": "1s", "for": "1h"}
        )
        await daemon.shows(kernel_id, verdict="reap")
        await proxy.further_looks(4)
        assert not proxy.deletes(), answer
        process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        await until(proxy.effective, "the reap when there is room again")
        await daemon.logged("journal recovered")
        assert len(daemon.events("journal failed")) == 1
        polls = (await daemon.ask("/api/v1/status"))["polls"]
        await daemon.stop()
        assert await daemon.journal.states(kernel_id) == ["STARTED", "SUCCEEDED"]
        assert (await daemon.journal.polls())[0] >= polls, "looks in between were written in the end"
