"""Everything in a container, on made-up processes: what belongs to the boot, what is work, who visits."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from reaper.clients.host import Evidence, Gpu, GpuLook, HostCache, Thresholds
from reaper.clients.host.container import Container, ContainerView
from tests.support.host import FakeProc

ANY, HERE, BROWSER = "00000000", "0100007F", "0501A8C0"
NOBODY = "00000000:0000"
LISTENS, CONNECTED = "0A", "01"
SERVER_PORT = 8888
BOOT, SERVER, PERSON = 50, 300, 5000
"""Ticks: a service of the boot, the server's start three seconds in, and what a person starts after fifty."""


def at(address: str, port: int) -> str:
    return f"{address}:{port:04X}"


SERVER_LISTENS = (at(ANY, SERVER_PORT), NOBODY, LISTENS, 80)


class Looking:
    """Looks at a made-up container, ten seconds apart."""

    def __init__(self, proc: FakeProc, memo: dict[str, object] | None = None, *, boot_s: float = 60) -> None:
        self.proc = proc
        self.cache = HostCache()
        self.gpus = GpuLook(absent=True)
        self.boot = timedelta(seconds=boot_s)
        self.container = Container(boot_period=self.boot, thresholds=Thresholds(), memo=memo)
        self.monotonic = 1000.0

    def look(self, seconds: float = 10, *, server: int | None = None) -> ContainerView:
        self.proc.pass_time(seconds)
        self.monotonic += seconds
        table = self.proc.snapshot(self.cache, monotonic=self.monotonic)
        return self.container.look(table, ports={SERVER_PORT}, server_pid=server, gpus=lambda: self.gpus)

    def restarted(self) -> "Looking":
        again = Looking(self.proc, self.container.memo())
        again.monotonic = self.monotonic
        return again


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    """A container: a service of the boot (20), a server (80) that listens, a kernel of it (90)."""
    proc = FakeProc(tmp_path)
    proc.add(20, start=BOOT, command="agent")
    proc.add(80, start=SERVER, command="jupyter-lab", fds={3: "socket:[80]"})
    proc.add(90, parent=80, start=PERSON, argv=("python", "-f", "/run/kernel-a.json"))
    proc.tcp(SERVER_LISTENS)
    return proc


def use(view: ContainerView) -> Evidence:
    assert view.process is not None
    return view.process


class TestWork:
    def test_nothing_can_be_said_before_the_second_look(self, proc: FakeProc) -> None:
        looking = Looking(proc)
        assert looking.look().process is None
        assert looking.look(2).process is None
        assert use(looking.look(3)).activity == "idle"

    @pytest.mark.parametrize("parent", [1, 80], ids=["outside every tree", "in a terminal's tree"])
    def test_what_a_person_started_counts_wherever_it_is(self, proc: FakeProc, parent: int) -> None:
        """w3: training whose parent has ended belongs to process 1."""
        looking = Looking(proc)
        proc.add(100, parent=parent, start=PERSON, command="train", own=0)
        looking.look()
        proc.add(100, parent=parent, start=PERSON, command="train", own=200)
        view = looking.look()
        assert use(view).activity == "active"
        assert "train (pid 100)" in use(view).text

    def test_reading_and_writing_is_work(self, proc: FakeProc) -> None:
        looking = Looking(proc)
        proc.add(100, start=PERSON, command="upload")
        looking.look()
        proc.add(100, start=PERSON, command="upload", characters=20_000_000)
        assert use(looking.look()).activity == "active"

    def test_what_belongs_to_the_boot_does_not_count(self, proc: FakeProc) -> None:
        looking = Looking(proc)
        looking.look()
        proc.add(20, start=BOOT, command="agent", own=1000, characters=10**9)
        assert use(looking.look()).activity == "idle"

    def test_reaper_itself_does_not_count(self, proc: FakeProc) -> None:
        looking = Looking(proc)
        looking.look()
        proc.add(os.getpid(), start=PERSON, command="reaper", own=1000)
        proc.add(101, parent=os.getpid(), start=PERSON, command="notifier", own=1000)
        assert use(looking.look()).activity == "idle"

    def test_the_terminal_that_reaper_was_started_in_counts(self, proc: FakeProc) -> None:
        looking = Looking(proc)
        proc.add(100, parent=80, start=PERSON, command="bash")
        proc.add(os.getpid(), parent=100, session=100, start=PERSON, command="reaper")
        proc.add(101, parent=100, session=100, start=PERSON, command="train")
        looking.look()
        proc.add(101, parent=100, session=100, start=PERSON, command="train", own=500)
        assert use(looking.look()).activity == "active"

    def test_the_server_counts(self, proc: FakeProc) -> None:
        """Somebody uploads a data set through it."""
        looking = Looking(proc)
        looking.look()
        proc.add(80, start=SERVER, command="jupyter-lab", characters=50_000_000, fds={3: "socket:[80]"})
        assert use(looking.look()).activity == "active"

    def test_another_users_process_makes_it_unknown(self, proc: FakeProc) -> None:
        looking = Looking(proc)
        proc.add(100, start=PERSON, command="sudo", characters=None)
        looking.look()
        seen = use(looking.look())
        assert seen.activity == "unknown"
        assert "sudo (pid 100) can't be read" in seen.text

    def test_a_process_that_cant_be_listed_makes_it_unknown(self, proc: FakeProc) -> None:
        looking = Looking(proc)
        looking.look()
        (proc.proc / "90/stat").write_text("nonsense")
        view = looking.look()
        assert use(view).activity == "unknown"
        assert view.peers.activity == "unknown"

    def test_where_there_is_no_proc_it_is_unknown(self, proc: FakeProc) -> None:
        (proc.proc / "sys/kernel/random/boot_id").unlink()
        assert use(Looking(proc).look()).activity == "unknown"


class TestBaseline:
    def test_it_ends_where_the_server_begins(self, proc: FakeProc) -> None:
        """A person comes in by the server, however soon after the boot."""
        looking = Looking(proc, boot_s=3600)
        proc.add(100, start=SERVER + 1, command="train")
        looking.look()
        proc.add(100, start=SERVER + 1, command="train", own=500)
        assert use(looking.look()).activity == "active"

    def test_it_ends_with_the_boot_where_no_server_is_seen(self, proc: FakeProc) -> None:
        proc.tcp()
        looking = Looking(proc, boot_s=10)
        proc.add(100, start=1 + 1000, command="train")
        looking.look()
        proc.add(100, start=1 + 1000, command="train", own=500)
        proc.add(20, start=BOOT, command="agent", own=500)
        seen = use(looking.look())
        assert "train" in seen.text
        assert "agent" not in seen.text

    @pytest.mark.parametrize("listens", [True, False])
    def test_a_runtime_files_pid_counts_only_where_nobody_is_seen_to_listen(
        self, proc: FakeProc, listens: bool
    ) -> None:
        if not listens:
            proc.tcp()
        looking = Looking(proc, boot_s=3600)
        proc.add(30, start=SERVER - 50, command="agent")
        looking.look(server=20)
        proc.add(30, start=SERVER - 50, command="agent", own=500)
        assert use(looking.look(server=20)).activity == ("idle" if listens else "active")

    def test_a_server_that_was_started_again_does_not_hide_what_ran_before(self, proc: FakeProc) -> None:
        looking = Looking(proc, boot_s=36_000)
        looking.look()
        proc.add(100, start=PERSON, command="train")
        proc.end(80)
        proc.add(81, start=PERSON + 9000, command="jupyter-lab", fds={3: "socket:[80]"})
        looking = looking.restarted()
        looking.look()
        proc.add(100, start=PERSON, command="train", own=500)
        assert use(looking.look()).activity == "active"

    def test_another_boot_has_another_baseline(self, proc: FakeProc) -> None:
        looking = Looking(proc)
        looking.look()
        memo = looking.container.memo()
        proc.add(1, parent=0, command="init", start=100_000)
        for pid in (20, 80, 90):
            proc.end(pid)
        proc.add(21, start=100_100, command="agent")
        proc.tcp()
        again = Looking(proc, memo)
        again.look()
        proc.add(21, start=100_100, command="agent", own=900)
        assert use(again.look()).activity == "idle"

    @pytest.mark.parametrize(
        "memo", [{}, {"boot": 1}, {"boot": "1:a", "baseline_ticks": 5, "samples": ["x"]}]
    )
    def test_a_memo_that_cant_be_read_is_none(self, proc: FakeProc, memo: dict[str, object]) -> None:
        looking = Looking(proc, memo)
        assert looking.look().process is None
        assert use(looking.look()).activity == "idle"

    def test_a_restart_bridges_the_gap(self, proc: FakeProc) -> None:
        looking = Looking(proc)
        proc.add(100, start=PERSON, command="train")
        looking.look()
        proc.add(100, start=PERSON, command="train", own=60_000)
        assert use(looking.restarted().look(600)).activity == "active"

    def test_few_looks_are_kept(self, proc: FakeProc) -> None:
        looking = Looking(proc)
        for _ in range(50):
            looking.look(1)
        samples = looking.container.memo()["samples"]
        assert isinstance(samples, list)
        assert len(samples) <= 6


PAGE = (at(ANY, 6006), NOBODY, LISTENS, 500)


class TestPeers:
    def test_a_page_with_a_browser_on_it(self, proc: FakeProc) -> None:
        proc.add(100, start=PERSON, fds={3: "socket:[500]", 4: "socket:[501]"})
        proc.tcp(SERVER_LISTENS, PAGE, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 501))
        seen = Looking(proc).look().peers
        assert (seen.activity, "port 6006" in seen.text) == ("active", True)

    def test_a_page_that_the_server_relays(self, proc: FakeProc) -> None:
        """w5: server-proxy."""
        proc.add(80, start=SERVER, fds={3: "socket:[80]", 4: "socket:[81]"})
        proc.add(100, start=PERSON, fds={3: "socket:[500]", 4: "socket:[501]"})
        proc.tcp(
            SERVER_LISTENS,
            PAGE,
            (at(HERE, 6006), at(HERE, 4000), CONNECTED, 501),
            (at(HERE, 4000), at(HERE, 6006), CONNECTED, 81),
        )
        assert Looking(proc).look().peers.activity == "active"

    def test_two_processes_that_talk_are_no_visit(self, proc: FakeProc) -> None:
        """A database and its client, each started with setsid."""
        proc.add(100, start=PERSON, fds={3: "socket:[500]", 4: "socket:[501]"})
        proc.add(110, start=PERSON, fds={3: "socket:[502]"})
        proc.tcp(
            SERVER_LISTENS,
            PAGE,
            (at(HERE, 6006), at(HERE, 4000), CONNECTED, 501),
            (at(HERE, 4000), at(HERE, 6006), CONNECTED, 502),
        )
        assert Looking(proc).look().peers.activity == "idle"

    def test_an_open_tab_is_no_visit(self, proc: FakeProc) -> None:
        proc.add(80, start=SERVER, fds={3: "socket:[80]", 4: "socket:[81]"})
        proc.tcp(SERVER_LISTENS, (at(HERE, SERVER_PORT), at(BROWSER, 4000), CONNECTED, 81))
        assert Looking(proc).look().peers.activity == "idle"

    def test_what_the_boot_serves_is_no_visit(self, proc: FakeProc) -> None:
        proc.add(20, start=BOOT, fds={3: "socket:[500]", 4: "socket:[501]"})
        proc.tcp(SERVER_LISTENS, PAGE, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 501))
        assert Looking(proc).look().peers.activity == "idle"

    def test_what_a_kernel_serves_is_asked_of_the_kernel(self, proc: FakeProc) -> None:
        proc.add(
            90,
            parent=80,
            start=PERSON,
            argv=("python", "-f", "/run/kernel-a.json"),
            fds={3: "socket:[500]", 4: "socket:[501]"},
        )
        proc.tcp(SERVER_LISTENS, PAGE, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 501))
        assert Looking(proc).look().peers.activity == "idle"

    def test_another_users_process_could_serve_it(self, proc: FakeProc) -> None:
        proc.add(100, start=PERSON, characters=None)
        proc.tcp(SERVER_LISTENS, PAGE, (at(HERE, 6006), at(BROWSER, 4000), CONNECTED, 501))
        assert Looking(proc).look().peers.activity == "unknown"

    def test_without_a_table_of_sockets_it_is_unknown(self, proc: FakeProc) -> None:
        (proc.proc / "self/net/tcp").unlink()
        assert Looking(proc).look().peers.activity == "unknown"


class TestGpu:
    def test_without_one_nothing_is_said(self, proc: FakeProc) -> None:
        assert Looking(proc).look().gpu is None

    def test_one_that_nobody_has_open(self, proc: FakeProc) -> None:
        (proc.dev / "nvidia0").touch()
        seen = Looking(proc).look().gpu
        assert seen is not None
        assert seen.activity == "idle"

    def test_one_at_work_for_a_process_outside_every_tree(self, proc: FakeProc) -> None:
        (proc.dev / "nvidia0").touch()
        proc.add(100, start=PERSON, command="train", fds={5: f"{proc.dev}/nvidia0"})
        looking = Looking(proc)
        looking.gpus = GpuLook(gpus=(Gpu(index=0, minor=0, utilisation=90, working={100: 90}),))
        seen = looking.look().gpu
        assert seen is not None
        assert seen.activity == "active"
