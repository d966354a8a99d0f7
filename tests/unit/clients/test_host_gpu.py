"""What a tree does on GPUs, from made-up answers of NVML."""

from pathlib import Path

import pytest

from reaper.clients.host import Evidence, Gpu, GpuLook, gpu_evidence
from tests.support.host import FakeProc


def gpu(number: int = 0, **says) -> Gpu:
    return Gpu(index=number, minor=says.pop("minor", number), **says)


def not_by_process(*holders: int) -> Gpu:
    """One that is busy, and does not tell with whom."""
    return gpu(utilisation=50, holders=frozenset(holders))


BUSY_WITH_51 = gpu(utilisation=90, working={51: 87}, holders=frozenset({51}))
AT_REST = gpu(utilisation=0, working={}, holders=frozenset({50}))


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    """A host with a GPU; a kernel (50) with a child (51) that has it open, and another holder (60)."""
    proc = FakeProc(tmp_path)
    (proc.dev / "nvidia0").touch()
    proc.add(50)
    proc.add(51, parent=50, fds={3: f"{proc.dev}/nvidiactl", 4: f"{proc.dev}/nvidia0"})
    proc.add(60, fds={4: f"{proc.dev}/nvidia0"})
    return proc


def look(proc: FakeProc, *gpus: Gpu, pid: int = 50, error: str | None = None) -> Evidence:
    table = proc.snapshot()
    root = table.key(pid)
    assert root is not None
    return gpu_evidence(table, root, look=lambda: GpuLook(gpus=gpus, error=error))


def never() -> GpuLook:
    pytest.fail("NVML was asked without need")


def test_a_host_without_gpu_never_asks(tmp_path: Path):
    proc = FakeProc(tmp_path)
    proc.add(50, characters=None)
    table = proc.snapshot()
    root = table.key(50)
    assert root is not None
    seen = gpu_evidence(table, root, look=never)
    assert (seen.activity, seen.value) == ("idle", {"gpu": "none"})


def test_a_tree_without_gpu_open_is_idle_whatever_nvml_can_say(proc: FakeProc):
    """f8: under MIG too."""
    proc.add(50)
    proc.add(51, parent=50, fds={1: f"{proc.dev}/null", 2: f"{proc.dev}/nvidiactl"})
    table = proc.snapshot()
    root = table.key(50)
    assert root is not None
    seen = gpu_evidence(table, root, look=never)
    assert (seen.activity, seen.value) == ("idle", {"gpu": "closed"})


def test_a_driver_without_nodes_here_is_a_gpu_too(tmp_path: Path):
    """A reaper in a side container sees no /dev/nvidia0, but the driver in /proc/devices."""
    proc = FakeProc(tmp_path)
    proc.add(50, fds={4: f"{proc.dev}/nvidia0"})
    (proc.proc / "devices").write_text("Character devices:\n  1 mem\n195 nvidia-frontend\n\nBlock devices:\n")
    assert look(proc, gpu(mig=True)).activity == "unknown"
    (proc.proc / "devices").write_text("Character devices:\n  1 mem\n\nBlock devices:\n")
    assert look(proc, gpu(mig=True)).activity == "idle"


@pytest.mark.parametrize(
    ("why", "said", "activity", "reason"),
    [
        ("at work", BUSY_WITH_51, "active", "busy"),
        ("memory held only", AT_REST, "idle", "idle"),
        ("another trains (f9)", gpu(utilisation=99, working={60: 99}), "idle", "others"),
        ("a container's view (w18)", gpu(utilisation=99, working={4711: 99}), "unknown", "unmatched"),
        ("divided", gpu(mig=True), "unknown", "mig"),
        ("lost", gpu(error="GPU is lost"), "unknown", "no answer"),
        ("nothing can be told", gpu(), "unknown", "no answer"),
        ("by process only, at rest", gpu(working={}), "idle", "idle"),
        ("not by process, at rest", gpu(utilisation=0), "idle", "idle"),
        ("not by process, busy, it alone has it", not_by_process(51), "active", "busy"),
        ("not by process, busy, others have it", not_by_process(60), "idle", "others"),
        ("not by process, busy, both have it", not_by_process(51, 60), "unknown", "unmatched"),
        ("not by process, busy, who knows", not_by_process(), "unknown", "unmatched"),
        ("busy, but no sample of it", gpu(utilisation=50, working={}), "unknown", "unmatched"),
        ("not by process, busy, strangers", not_by_process(4711), "unknown", "unmatched"),
        ("not listed", gpu(1, utilisation=0, working={}), "unknown", "not listed"),
    ],
)
def test_a_tree_with_the_gpu_open(proc: FakeProc, why: str, said: Gpu, activity: str, reason: str):
    seen = look(proc, said)
    assert (seen.activity, seen.value["gpu"]) == (activity, reason), why


def test_nvml_that_cannot_be_asked_leaves_doubt_only_where_a_gpu_is_open(proc: FakeProc):
    assert look(proc, error="Driver/library version mismatch").activity == "unknown"
    assert look(proc, pid=1, error="...").activity == "unknown"
    proc.add(70)
    assert look(proc, pid=70, error="Driver/library version mismatch").activity == "idle"


def test_a_pid_that_matches_by_chance_in_a_container_is_a_stranger(proc: FakeProc):
    proc.in_container()
    proc.add(61, fds={})
    proc.add(62, characters=None)
    assert look(proc, gpu(utilisation=9, working={61: 9})).activity == "unknown"
    assert look(proc, gpu(utilisation=9, working={62: 9})).activity == "unknown"
    assert look(proc, gpu(utilisation=9, working={60: 9})).activity == "idle"
    assert look(proc, BUSY_WITH_51).activity == "active"


def test_only_the_gpus_that_are_open_count(proc: FakeProc):
    others = gpu(1, utilisation=99, working={4711: 99})
    assert look(proc, AT_REST, others).activity == "idle"
    proc.add(51, parent=50, fds={3: f"{proc.dev}/nvidia-uvm"})
    assert look(proc, AT_REST, others).activity == "unknown"
    proc.add(51, parent=50, fds={3: f"{proc.dev}/nvidia-caps/nvidia-cap1"})
    assert look(proc, AT_REST, gpu(1, mig=True)).activity == "unknown"


def test_work_on_one_gpu_beats_doubt_on_another(proc: FakeProc):
    proc.add(51, parent=50, fds={3: f"{proc.dev}/nvidia0", 4: f"{proc.dev}/nvidia1"})
    assert look(proc, gpu(mig=True), gpu(1, working={50: 3})).activity == "active"


def test_nodes_are_told_by_their_number_not_by_nvmls_order(proc: FakeProc):
    others = gpu(0, minor=3, utilisation=99, working={4711: 9})
    assert look(proc, others, gpu(1, minor=0, utilisation=0)).activity == "idle"


def test_no_gpu_listed_for_an_open_common_node_leaves_doubt(proc: FakeProc):
    proc.add(51, parent=50, fds={3: f"{proc.dev}/nvidia-uvm"})
    assert look(proc).activity == "unknown"


def test_accelerators_that_cannot_be_measured_leave_doubt(proc: FakeProc):
    """AMD GPUs, Trainium, Inferentia: no way to tell yet whether they work."""
    proc.add(70, fds={3: f"{proc.dev}/kfd"})
    proc.add(71, fds={3: f"{proc.dev}/neuron0 (deleted)"})
    assert look(proc, pid=70).activity == "unknown"
    assert look(proc, pid=71).value == {"gpu": "unmeasured"}


def test_open_files_that_cannot_be_read_leave_doubt(proc: FakeProc):
    proc.add(52, parent=50, characters=None)
    assert look(proc, AT_REST).value == {"gpu": "unreadable"}
    assert look(proc, BUSY_WITH_51).activity == "active"


def test_a_look_gives_the_hosts_utilisation():
    assert GpuLook(absent=True, error="NVML Shared Library Not Found").utilisation == 0
    assert GpuLook(error="Driver Not Loaded").utilisation is None
    assert GpuLook(gpus=(AT_REST, BUSY_WITH_51)).utilisation == 90
    assert GpuLook(gpus=(AT_REST, gpu(1, mig=True, utilisation=0))).utilisation is None
    assert GpuLook(gpus=(AT_REST, gpu(1))).utilisation is None
