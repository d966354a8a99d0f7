"""SIGKILL at every point around an action, then a restart on the same journal.

At most one DELETE has an effect on an incarnation, never none for ever; timers survive; the ledger tells
the story. Between the daemon and a real server stands a proxy that counts.
"""

import asyncio
import signal
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reaper.core.facts import LedgerEntry, PolicyApplied
from tests.e2e.crashing import FRESH_LOOK, WRITES
from tests.e2e.daemon import Daemon, daemon_place, until
from tests.e2e.proxy import Gate, Proxy
from tests.e2e.receiver import Receiver
from tests.support.jupyter_server import JupyterServer, running_jupyter_async

pytestmark = [pytest.mark.xdist_group("e2e-crash"), pytest.mark.timeout(600)]

TIMEOUT_S = 2.0
BOUND_S = 60.0
"""From the restart to the kernel's end, and that being known. Some seconds; only what is broken takes that long."""
AT_ONCE = 5
"""Scenarios side by side: most of each is waiting."""

CLEAN = ["STARTED", "SUCCEEDED"]
ADOPTED = ["STARTED", "UNKNOWN", "SUCCEEDED"]
AGAIN = ["STARTED", "UNKNOWN", "STARTED", "SUCCEEDED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where the daemon ends, and what must have become of it in the end.

    Attributes:
        ledger: States in the ledger in the end.
        crashed: States in the ledger at the crash.
        sent: DELETEs that left the daemon, both lives of it together.
        gone: The kernel is gone when the daemon ends.
    """

    ledger: list[str]
    crashed: list[str]
    sent: int = 1
    gone: bool = False


POINTS = {
    "after-discovery": Point(ledger=CLEAN, crashed=[]),
    "before-first-look-is-written": Point(ledger=CLEAN, crashed=[]),
    "after-first-look-is-written": Point(ledger=CLEAN, crashed=[]),
    "after-decision-is-written": Point(ledger=CLEAN, crashed=[]),
    FRESH_LOOK: Point(ledger=CLEAN, crashed=[]),
    "before-started-is-written": Point(ledger=CLEAN, crashed=[]),
    "after-started-is-written": Point(ledger=AGAIN, crashed=["STARTED"]),
    "request-on-its-way": Point(ledger=AGAIN, crashed=["STARTED"], sent=2),
    "request-late": Point(ledger=AGAIN, crashed=["STARTED"], sent=2),
    "request-carried-out": Point(ledger=ADOPTED, crashed=["STARTED"], gone=True),
    "before-outcome-is-written": Point(ledger=ADOPTED, crashed=["STARTED"], gone=True),
    "after-outcome-is-written": Point(ledger=CLEAN, crashed=CLEAN, gone=True),
    "during-notify": Point(ledger=CLEAN, crashed=CLEAN, gone=True),
}
ELSEWHERE = ("after-started-is-written", "request-carried-out", "before-outcome-is-written")
CASES = [
    *((point, "UTC") for point in POINTS),
    *((point, zone) for zone in ("Asia/Tokyo", "America/New_York") for point in ELSEWHERE),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened.

    Attributes:
        crashed: The ledger's states at the crash.
        alive: The kernel was alive then.
        ledger: The ledger in the end.
        applied: When policies began to apply, by the journal.
        sent, effective: DELETEs that came, and that the server carried out.
        sent_later: DELETEs after it was gone, in two more looks.
        idle_since: The server's own last_activity.
        log: Both logs.
    """

    crashed: list[str]
    alive: bool
    ledger: list[LedgerEntry]
    applied: list[PolicyApplied]
    sent: int
    effective: int
    sent_later: int
    idle_since: datetime
    log: str


@pytest.fixture(scope="module")
def stories(request: pytest.FixtureRequest) -> dict[tuple[str, str], Story | BaseException]:
    """Run all chosen scenarios on one server, some at a time, each with a kernel and a proxy of its own."""
    chosen: list[tuple[str, str]] = [
        (str(item.callspec.params["point"]), str(item.callspec.params["zone"]))
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and "point" in item.fixturenames
    ]
    with tempfile.TemporaryDirectory(prefix="reaper-", ignore_cleanup_errors=True) as name:
        return asyncio.run(_all(Path(name), list(dict.fromkeys(chosen))))


@pytest.mark.parametrize(("point", "zone"), CASES, ids=[f"{point}-{zone}" for point, zone in CASES])
def test_a_crash_leads_to_one_effective_delete(
    point: str, zone: str, stories: dict[tuple[str, str], Story | BaseException]
) -> None:
    story, expected = stories[point, zone], POINTS[point]
    if isinstance(story, BaseException):
        raise story
    assert story.crashed == expected.crashed, "the crash came somewhere else"
    assert story.alive is not expected.gone, "the crash came somewhere else"
    # At most one effective DELETE, never none.
    assert (story.sent, story.effective, story.sent_later) == (expected.sent, 1, 0)
    # The ledger tells the story: each act has an outcome, and a second one is a new action.
    assert [entry.state.value for entry in story.ledger] == expected.ledger, story.log
    actions = [entry.action_id for entry in story.ledger if entry.state.value == "STARTED"]
    assert len(set(actions)) == len(actions)
    assert story.ledger[-1].action_id == actions[-1]
    assert len({entry.ref for entry in story.ledger}) == 1, "a restart is no new life"
    # Timers survive: no fresh idle period, no fresh grace.
    due = story.idle_since + timedelta(seconds=TIMEOUT_S)
    assert {entry.due_at for entry in story.ledger if entry.due_at} == {due}
    assert len(story.applied) == 1, "the policy applied anew after the restart"


async def _all(folder: Path, chosen: list[tuple[str, str]]) -> dict[tuple[str, str], Story | BaseException]:
    async with running_jupyter_async(
        folder / "jupyter", terminals=False, environ={"TZ": "America/New_York"}
    ) as server:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(point: str, zone: str) -> Story:
            async with at_once:
                return await _crash(server, point, zone)

        found = await asyncio.gather(*(one(*case) for case in chosen), return_exceptions=True)
    return dict(zip(chosen, found, strict=True))


async def _crash(server: JupyterServer, point: str, zone: str) -> Story:
    kernel_id = await server.idle_kernel()
    idle_since = datetime.fromisoformat((await server.kernel(kernel_id))["last_activity"])
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(server.url, only={kernel_id}))
        receiver = await stack.enter_async_context(Receiver("reaped"))
        daemon = await stack.enter_async_context(
            daemon_place(
                TZ=zone,
                jupyter__url=proxy.url,
                jupyter__token=server.token,
                jupyter__process__interval="200ms",
                idle_timeout=f"{TIMEOUT_S:g}s",
                apply_grace=f"{TIMEOUT_S:g}s",
                poll_interval="1s",
                notify=receiver.url if point == "during-notify" else "log:",
            )
        )
        late = await _until_the_end(daemon, proxy, receiver, point)
        crashed = await daemon.journal.states(kernel_id) if daemon.journal_path.exists() else []
        alive = kernel_id in {kernel["id"] for kernel in await server.get("api/kernels")}

        daemon.start()
        if late is not None:  # the first DELETE arrives when the second daemon has looked and sent its own
            second = proxy.hold("DELETE", "*")
            await daemon.reaching(second)
            late.release()
            await until(proxy.effective, "the late DELETE")
            second.release()

        await until(proxy.effective, f"the DELETE after {point}", BOUND_S)
        await until(
            lambda: daemon.events("resource gone", 1) or daemon.events("resource gone"),
            f"the outcome after {point}",
            BOUND_S,
        )
        sent = len(proxy.deletes())
        await proxy.further_looks(2)
        log = f"{daemon.log(1)}\n--- restarted ---\n{daemon.log()}"
        await daemon.stop()
        facts = await daemon.journal.facts()
        return Story(
            crashed=crashed,
            alive=alive,
            ledger=await daemon.journal.ledger(kernel_id),
            applied=[fact for fact in facts if isinstance(fact, PolicyApplied)],
            sent=sent,
            effective=len(proxy.effective()),
            sent_later=len(proxy.deletes()) - sent,
            idle_since=idle_since,
            log=log,
        )


async def _until_the_end(daemon: Daemon, proxy: Proxy, receiver: Receiver, point: str) -> Gate | None:
    """Start the daemon and end it at the point; gives the gate that still holds a DELETE on its way."""
    if point in WRITES or point == FRESH_LOOK:
        daemon.start(point=point)
        assert await daemon.ended() == -signal.SIGKILL, daemon.log()
        return None
    held: dict[str, Callable[[], Gate]] = {
        "after-discovery": lambda: proxy.hold("GET", "api/status"),
        "request-on-its-way": lambda: proxy.hold("DELETE", "*"),
        "request-late": lambda: proxy.hold("DELETE", "*"),
        "request-carried-out": lambda: proxy.hold("DELETE", "*", after=True),
        "during-notify": lambda: receiver.gate,
    }
    gate = held[point]()
    daemon.start()
    await daemon.reaching(gate)
    daemon.kill()
    if point == "request-late":
        return gate
    gate.drop()
    proxy.forget_rules()
    return None
