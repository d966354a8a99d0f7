"""One server as a source, with answers that a real one seldom gives, on a host that is made up."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self, cast

import pytest

from reaper.clients.host import HostCache, ProcessTable
from reaper.clients.jupyter import (
    Deletion,
    JupyterClient,
    KernelModel,
    ServerAddress,
    ServerStatus,
    SessionModel,
    TerminalModel,
)
from reaper.core.model import Activity, Collected, Resource
from reaper.errors import ActionUnavailable, CollectError, SourceMalformed, SourceUnavailable
from reaper.plugins import Look
from reaper.providers.jupyter.options import JupyterOptions
from reaper.providers.jupyter.processes import HostShare
from reaper.providers.jupyter.source import JupyterSource
from reaper.testing import T0, FakeClock
from tests.support.host import FakeProc

URL = "http://127.0.0.1:8888/"
MINUTE = timedelta(minutes=1)
PTS = 136 << 8
AGO = T0 - timedelta(hours=3)


@dataclass
class Answers:
    """What the server says: a list, or what is raised. Stands for `JupyterClient`."""

    kernel_list: Sequence[KernelModel] | CollectError = ()
    session_list: Sequence[SessionModel] | CollectError = ()
    terminal_list: Sequence[TerminalModel] | CollectError | None = ()
    state: ServerStatus | CollectError = field(
        default_factory=lambda: ServerStatus(started=AGO, last_activity=AGO)
    )
    deleted: list[str] = field(default_factory=list)
    server_offset: float | None = None
    slow: bool = False

    async def status(self) -> ServerStatus:
        if isinstance(self.state, CollectError):
            raise self.state
        return self.state

    async def kernels(self) -> Sequence[KernelModel]:
        if self.slow:
            await asyncio.sleep(0.05)
        if isinstance(self.kernel_list, CollectError):
            raise self.kernel_list
        return self.kernel_list

    async def sessions(self) -> Sequence[SessionModel]:
        if isinstance(self.session_list, CollectError):
            raise self.session_list
        return self.session_list

    async def terminals(self) -> Sequence[TerminalModel] | None:
        if isinstance(self.terminal_list, CollectError):
            raise self.terminal_list
        return self.terminal_list

    async def keepalive(self) -> float | None:
        return None

    async def notebook_saved_at(self, path: str) -> None:
        return None

    async def shutdown_kernel(self, kernel_id: str) -> Deletion:
        self.deleted.append(kernel_id)
        return Deletion.DELETED

    async def delete_terminal(self, name: str) -> Deletion:
        self.deleted.append(name)
        return Deletion.DELETED

    async def __aenter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        pass


class MadeUpHost(HostShare):
    """A host whose processes are plain files."""

    def __init__(self, clock: FakeClock, proc: FakeProc) -> None:
        super().__init__(clock)
        self._proc, self._own_clock, self._kept = proc, clock, HostCache()

    def table(self, since: float) -> ProcessTable:
        self._proc.now = self._own_clock.now()
        return self._proc.snapshot(self._kept, monotonic=self._own_clock.monotonic())


class Stage:
    """A server (45) with a source that looks at it once a minute."""

    def __init__(self, proc: FakeProc) -> None:
        self.proc = proc
        self.clock = FakeClock()
        self.server = Answers()
        self.host = MadeUpHost(self.clock, proc)
        self.source = self.anew(None)
        self.polls = 0

    def anew(self, memo: object) -> JupyterSource:
        address = ServerAddress(url=URL, pid=45, local=True)
        source = JupyterSource(address, JupyterOptions(), self.host, self.clock, memo)
        source._client = cast(JupyterClient, self.server)
        source._saves._client = source._client
        return source

    async def look(self, *, after: timedelta = MINUTE) -> Collected:
        self.clock.advance(after)
        self.polls += 1
        return await self.source.collect(Look(poll_id=self.polls, at=self.clock.now(), deadline=5))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    proc = FakeProc(tmp_path)
    proc.add(45, command="jupyter-lab")
    stage = Stage(proc)
    yield stage
    await stage.source.close()


def kernel(name: str, *, problem: str | None = None) -> KernelModel:
    return KernelModel(id=name, name="python3", execution_state="idle", last_activity=AGO, problem=problem)


def terminal(name: str) -> TerminalModel:
    return TerminalModel(name=name, last_activity=AGO)


def said(collected: Collected, name: str, signal: str) -> Activity | None:
    found = [o.activity for o in collected.observations if (o.ref.id, o.signal) == (name, signal)]
    return found[0] if found else None


def resource(collected: Collected, name: str) -> Resource:
    (found,) = [one for one in collected.resources if one.ref.id == name]
    return found


def start_kernel(proc: FakeProc, pid: int, name: str, *, parent: int = 45, own: int = 0) -> None:
    proc.add(pid, parent=parent, argv=["python", "-f", f"/run/kernel-{name}.json"], own=own)


# One bad thing holds up nothing else


async def test_a_bad_session_of_one_kernel_is_no_concern_of_the_others(stage: Stage) -> None:
    stage.server.kernel_list = [kernel("a"), kernel("b")]
    stage.server.session_list = [SessionModel(id="s", kernel_id="a", problem="path is a number, not text")]
    seen = await stage.look()
    assert seen.poll.complete
    assert (said(seen, "a", "saved"), said(seen, "b", "saved")) == (Activity.UNKNOWN, None)
    assert said(seen, "b", "execution_state") is Activity.IDLE


async def test_a_session_whose_kernel_cannot_be_told_could_be_any_kernels(stage: Stage) -> None:
    stage.server.kernel_list = [kernel("a")]
    stage.server.session_list = [SessionModel(id="s", problem="kernel: id is missing")]
    seen = await stage.look()
    assert (seen.poll.failed_kinds, seen.poll.error) == (("jupyter.kernel",), "kernel: id is missing")


async def test_a_server_that_fails_leaves_no_request_behind(stage: Stage) -> None:
    stage.server.state, stage.server.slow = SourceUnavailable("refused"), True
    before = asyncio.all_tasks()
    seen = await stage.look()
    assert (seen.poll.complete, seen.poll.error) == (False, "refused")
    assert asyncio.all_tasks() == before


async def test_a_look_that_could_not_read_all_ends_no_life(stage: Stage) -> None:
    """Absent from an incomplete look: nothing is known."""
    start_kernel(stage.proc, 50, "a")
    stage.server.kernel_list = [kernel("a"), kernel("b")]
    stage.server.terminal_list = [terminal("1")]
    first = await stage.look()
    stage.server.kernel_list = [kernel("b"), kernel("", problem="id is missing")]
    stage.server.terminal_list = SourceMalformed("no JSON")
    torn = await stage.look()
    assert set(torn.poll.failed_kinds) == {"jupyter.kernel", "jupyter.terminal"}
    stage.server.kernel_list = [kernel("a"), kernel("b")]
    stage.server.terminal_list = [terminal("1")]
    again = await stage.look()
    for name in ("a", "b", "1"):
        assert resource(again, name).ref == resource(first, name).ref


async def test_counters_bridge_a_look_that_failed(stage: Stage) -> None:
    start_kernel(stage.proc, 50, "a")
    stage.server.kernel_list = [kernel("a")]
    await stage.look()
    stage.server.kernel_list = SourceMalformed("no JSON")
    await stage.look()
    start_kernel(stage.proc, 50, "a", own=3000)  # half a minute of work, over by now
    stage.server.kernel_list = [kernel("a")]
    assert said(await stage.look(), "a", "process") is Activity.ACTIVE


# Which processes are whose


async def test_another_users_kernel_goes_by_what_the_server_says(stage: Stage) -> None:
    """Never readable is not applicable. Somebody is always connected to something, so it would stay for ever."""
    stage.proc.tcp(
        ("0100007F:0016", "00000000:0000", "0A", 999), ("0100007F:0016", "0501A8C0:0FA0", "01", 998)
    )
    stage.proc.add(50, parent=45, argv=["python", "-f", "/run/kernel-a.json"], characters=None)
    stage.proc.add(60, parent=45, terminal=PTS, characters=None)
    stage.server.kernel_list, stage.server.terminal_list = [kernel("a")], [terminal("1")]
    await stage.look()
    seen = await stage.look()
    assert [(o.ref.id, o.signal) for o in seen.observations] == [
        ("a", "execution_state"),
        ("1", "last_activity"),
    ]
    for name in ("a", "1"):
        assert resource(seen, name).required_signals == ()
        assert resource(seen, name).attributes["process_evidence"] == "not readable: another user's process"


async def test_a_kernel_that_could_be_read_once_must_be(stage: Stage) -> None:
    start_kernel(stage.proc, 50, "a")
    stage.server.kernel_list = [kernel("a")]
    await stage.look()
    stage.proc.add(50, parent=45, argv=["python", "-f", "/run/kernel-a.json"], characters=None)
    seen = await stage.look()
    assert said(seen, "a", "process") is None
    assert resource(seen, "a").required_signals == ("process",)


async def test_rest_is_not_concluded_from_fewer_shells_than_there_are_terminals(stage: Stage) -> None:
    """The one that can't be seen could be at work."""
    stage.proc.add(60, parent=45, terminal=PTS)
    stage.server.terminal_list = [terminal("1"), terminal("2")]
    await stage.look()
    seen = await stage.look()
    for name in ("1", "2"):
        assert said(seen, name, "process") is None
        assert resource(seen, name).required_signals == ("process",)
    stage.proc.add(60, parent=45, terminal=PTS, own=6000)
    assert said(await stage.look(), "2", "process") is Activity.ACTIVE


async def test_a_job_left_behind_by_exit_keeps_its_terminal_and_no_other(stage: Stage) -> None:
    """`train & exit`: Jupyter lists the terminal for as long as the job holds it."""
    stage.proc.add(60, parent=45, state="Z", start=60)
    stage.proc.add(61, parent=1, session=60, fds={0: f"{stage.proc.dev}/pts/0"})
    stage.proc.add(62, parent=45, terminal=PTS | 1, start=70)
    stage.server.terminal_list = [terminal("1"), terminal("2")]
    await stage.look()
    stage.proc.add(61, parent=1, session=60, own=6000, fds={0: f"{stage.proc.dev}/pts/0"})
    seen = await stage.look()
    assert (said(seen, "1", "process"), said(seen, "2", "process")) == (Activity.ACTIVE, Activity.IDLE)
    assert resource(seen, "1").attributes["pid"] == 60


@pytest.mark.parametrize("pid", [None, 40], ids=["by port", "by runtime file"])
async def test_shells_are_found_beside_the_kernels_of_a_server_in_a_container(
    stage: Stage, pid: int | None
) -> None:
    """Who listens on the published port is the container's proxy, and the pid in its runtime file another's here."""
    stage.proc.tcp(("00000000:22B8", "00000000:0000", "0A", 777))
    stage.proc.add(40, command="docker-proxy", fds={3: "socket:[777]"})
    start_kernel(stage.proc, 50, "a")
    stage.proc.add(60, parent=45, terminal=PTS)
    stage.server.kernel_list, stage.server.terminal_list = [kernel("a")], [terminal("1")]
    stage.source.address = ServerAddress(url=URL, pid=pid, local=True)
    assert resource(await stage.look(), "1").attributes["pid"] == 60


async def test_the_last_key_is_asked_of_the_shells_own_terminal_device(stage: Stage) -> None:
    """A container numbers its terminals from 0, as this host does."""
    typed = T0 - timedelta(hours=1)
    devices = stage.proc.proc / "60/root/dev/pts"
    stage.proc.add(60, parent=45, terminal=PTS | 7)
    devices.mkdir(parents=True)
    (devices / "7").touch()
    os.utime(devices / "7", (typed.timestamp(), typed.timestamp()))
    stage.server.terminal_list = [TerminalModel(name="1", last_activity=T0)]
    stage.source._options = JupyterOptions(terminal_output=False)
    (seen,) = [o for o in (await stage.look()).observations if o.signal == "last_activity"]
    assert seen.evidence_at == typed + timedelta(seconds=8)


# Acts


async def test_an_act_on_an_old_life_is_not_sent(stage: Stage) -> None:
    """A look may come between the decision and the act."""
    start_kernel(stage.proc, 50, "a")
    stage.proc.add(60, parent=45, terminal=PTS, start=60)
    stage.server.kernel_list, stage.server.terminal_list = [kernel("a")], [terminal("1")]
    old = await stage.look()
    stage.proc.end(50)
    start_kernel(stage.proc, 51, "a")
    stage.proc.add(60, parent=45, terminal=PTS, start=90)
    new = await stage.look()
    for name in ("a", "1"):
        outcome = await stage.source.act(resource(old, name), "shutdown")
        assert outcome.detail == "it was gone already"
    assert stage.server.deleted == []
    for name in ("a", "1"):
        assert (await stage.source.act(resource(new, name), "shutdown")).detail == "shut down"
    assert stage.server.deleted == ["a", "1"]


async def test_what_began_anew_since_the_latest_look_is_not_touched(stage: Stage) -> None:
    """w16: a terminal's name is used again at once, a restarted kernel keeps its id."""
    start_kernel(stage.proc, 50, "a")
    stage.proc.add(60, parent=45, terminal=PTS, start=60)
    stage.server.kernel_list, stage.server.terminal_list = [kernel("a")], [terminal("1")]
    seen = await stage.look()
    stage.proc.end(50)
    start_kernel(stage.proc, 51, "a")
    stage.proc.add(60, parent=45, terminal=PTS, start=90)
    for name in ("a", "1"):
        assert (await stage.source.act(resource(seen, name), "shutdown")).detail == "it was gone already"
    assert stage.server.deleted == []


async def test_a_kernel_whose_process_has_died_is_shut_down(stage: Stage) -> None:
    """f7: the server still lists it."""
    start_kernel(stage.proc, 50, "a")
    stage.server.kernel_list = [kernel("a")]
    await stage.look()
    stage.proc.end(50)
    stage.server.kernel_list = [
        KernelModel(id="a", name="python3", execution_state="dead", last_activity=AGO)
    ]
    seen = await stage.look()
    assert (await stage.source.act(resource(seen, "a"), "shutdown")).detail == "shut down"


async def test_a_source_that_has_not_looked_yet_does_not_act(stage: Stage) -> None:
    """The server's address changed between the fresh look and the act: what is there now is not known."""
    stage.server.kernel_list = [kernel("a")]
    seen = await stage.look()
    await stage.source.close()
    stage.source = stage.anew(seen.memo)
    with pytest.raises(ActionUnavailable, match="not been looked at"):
        await stage.source.act(resource(seen, "a"), "shutdown")
    again = await stage.look()
    assert resource(again, "a").ref == resource(seen, "a").ref
    assert (await stage.source.act(resource(seen, "a"), "shutdown")).detail == "shut down"


# What the servers of a host share


def test_servers_that_are_looked_at_together_share_one_look_at_the_processes() -> None:
    clock = FakeClock()
    share = HostShare(clock)
    began = clock.monotonic()
    first = share.table(began)
    clock.advance(timedelta(seconds=1))
    assert share.table(began) is first
    assert share.table(clock.monotonic()) is not first


def test_a_clock_that_is_set_back_makes_no_old_look_fresh() -> None:
    clock = FakeClock()
    share = HostShare(clock)
    first = share.table(clock.monotonic())
    clock.jump(timedelta(hours=-1))
    clock.advance(MINUTE)
    assert share.table(clock.monotonic()) is not first
