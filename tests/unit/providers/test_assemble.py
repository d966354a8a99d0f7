"""From what a server and its host say to resources and observations: the cases a real server seldom shows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from reaper.clients.host import Evidence, ProcessCounters, ProcessKey, TreeSample
from reaper.clients.jupyter import KernelModel, SessionModel, TerminalModel
from reaper.core.model import Activity, Observation
from reaper.providers.jupyter.assemble import Assembly, ServerSide
from reaper.providers.jupyter.lives import KeptLife, Lives, Samples
from reaper.providers.jupyter.options import JupyterOptions
from reaper.providers.jupyter.processes import HostView, Tree

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
QUIET = Evidence(activity="idle", text="quiet")


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def tree(pid: int, at: datetime, ticks: int) -> Tree:
    """A process that has used so many hundredths of a second of CPU time."""
    root = ProcessKey(pid=pid, start_ticks=1000 + pid, boot_id="boot", created_at=T0 - seconds(100))
    counters = ProcessCounters(
        pid=pid,
        start_ticks=root.start_ticks,
        parent=1,
        command="bash",
        own_ticks=ticks,
        waited_ticks=0,
        characters=0,
    )
    since_boot = (at - T0).total_seconds() + 1000
    sample = TreeSample(at=at, monotonic=since_boot, root=root, newest_ticks=10_000, processes=(counters,))
    return Tree(root=root, sample=sample, gpu=QUIET, peers=QUIET, command="bash")


class Looks:
    """Looks at two terminals whose shells are given."""

    def __init__(self) -> None:
        self.samples = Samples()
        self.lives = Lives()

    def look(self, at: datetime, shells: Sequence[Tree], names: Sequence[str] = ("1", "2")) -> Assembly:
        terminals = [TerminalModel(name=name, last_activity=T0) for name in names]
        server = ServerSide(started=T0, kernels=(), sessions={}, terminals=terminals, saved={})
        assembly = Assembly(
            scope="http://127.0.0.1:1/",
            server=server,
            host=HostView(shells=tuple(shells)),
            samples=self.samples,
            options=JupyterOptions(),
            now=at,
        )
        matched = len(shells) == len(terminals)
        for index, terminal in enumerate(terminals):
            own = shells[index : index + 1] if matched else shells
            process = shells[index].root if matched else None
            assembly.terminal(terminal, self.lives.see(terminal.name, process, at), own, matched=matched)
        for one in shells:
            if one.sample is not None:
                self.samples.keep(one.sample, seconds(5))
        return assembly


def process(assembly: Assembly, name: str) -> Observation | None:
    found = [one for one in assembly.observations if one.signal == "process" and one.ref.id == name]
    return found[0] if found else None


def test_a_busy_shell_keeps_every_terminal_it_could_be() -> None:
    looks = Looks()
    first = looks.look(T0, [tree(1, T0, 0), tree(2, T0, 0), tree(3, T0, 0)])
    assert [process(first, "1"), process(first, "2")] == [None, None]
    assert all(one.required_signals == ("process",) for one in first.resources)
    later = T0 + seconds(10)
    second = looks.look(later, [tree(1, later, 0), tree(2, later, 900), tree(3, later, 0)])
    for name in ("1", "2"):
        seen = process(second, name)
        assert seen is not None
        assert seen.activity is Activity.ACTIVE


def test_terminals_go_when_every_shell_they_could_be_is_quiet() -> None:
    looks = Looks()
    looks.look(T0, [tree(1, T0, 0), tree(2, T0, 0), tree(3, T0, 0)])
    later = T0 + seconds(10)
    second = looks.look(later, [tree(1, later, 0), tree(2, later, 0), tree(3, later, 1)])
    seen = process(second, "1")
    assert seen is not None
    assert seen.activity is Activity.IDLE


def test_a_shell_without_an_interval_leaves_unmatched_terminals_unknown() -> None:
    looks = Looks()
    looks.look(T0, [tree(1, T0, 0), tree(2, T0, 0), tree(3, T0, 0)])
    later = T0 + seconds(10)
    second = looks.look(later, [tree(1, later, 0), tree(2, later, 0), tree(3, later, 0), tree(4, later, 0)])
    assert process(second, "1") is None


def test_work_of_the_own_shell_shows_at_once_after_a_time_of_doubt() -> None:
    looks = Looks()
    looks.look(T0, [tree(1, T0, 0), tree(2, T0, 0)])
    for number in range(1, 20):  # an hour in which another child of the server confuses the count
        at = T0 + seconds(180 * number)
        looks.look(at, [tree(1, at, 0), tree(2, at, 0), tree(3, at, 0)])
    at = T0 + seconds(180 * 19 + 10)
    now = looks.look(at, [tree(1, at, 500), tree(2, at, 0)])
    seen = process(now, "1")
    assert seen is not None
    assert seen.activity is Activity.ACTIVE


def test_a_clock_set_forward_makes_no_busy_kernel_look_reborn() -> None:
    lives, samples = Lives(), Samples()
    kernel = KernelModel(id="k", name="python3", execution_state="busy", last_activity=T0)
    observed = []
    for at, created_at in ((T0 + seconds(10), T0 - seconds(60)), (T0 + seconds(7200), T0 + seconds(7000))):
        seen = tree(9, at, 0)
        root = ProcessKey(pid=9, start_ticks=1009, boot_id="boot", created_at=created_at)
        server = ServerSide(started=T0, kernels=(kernel,), sessions={}, terminals=(), saved={})
        assembly = Assembly(
            scope="s", server=server, host=HostView(), samples=samples, options=JupyterOptions(), now=at
        )
        moved = Tree(root=root, sample=seen.sample, gpu=QUIET, peers=QUIET)
        assembly.kernel(kernel, lives.see("k", root, at), moved)
        assert moved.sample is not None
        samples.keep(moved.sample, seconds(5))
        observed += [one.activity for one in assembly.observations if one.signal == "execution_state"]
    assert observed == [Activity.ACTIVE, Activity.ACTIVE]


@pytest.mark.parametrize(("saved", "activity"), [(T0, Activity.IDLE), ("hung", Activity.UNKNOWN)])
def test_a_notebooks_save_is_evidence(saved: datetime | str, activity: Activity) -> None:
    kernel = KernelModel(id="k", execution_state="idle", last_activity=T0)
    session = SessionModel(id="s", path="a.ipynb", name="a", type="notebook", kernel_id="k")
    server = ServerSide(
        started=T0, kernels=(kernel,), sessions={"k": [session]}, terminals=(), saved={"a.ipynb": saved}
    )
    assembly = Assembly(
        scope="s", server=server, host=None, samples=Samples(), options=JupyterOptions(), now=T0 + seconds(1)
    )
    assembly.kernel(kernel, KeptLife(first_seen_at=T0), None)
    (seen,) = [one for one in assembly.observations if one.signal == "saved"]
    assert seen.activity is activity


def test_samples_survive_a_restart() -> None:
    samples, restored = Samples(), Samples()
    first = tree(1, T0, 5).sample
    assert first is not None
    samples.keep(first, seconds(5))
    restored.restore(samples.memo())
    later = tree(1, T0 + seconds(60), 5).sample
    assert later is not None
    assert restored.baseline(later, seconds(5)) == first
