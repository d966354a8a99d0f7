"""The GPU reader against a stand-in for NVIDIA's library, loaded as the real one is.

`tests/assets/nvml_stub.c` says what the stand-in can play. It is loaded in a process of its own,
whose library path can be set; the processes that have a "GPU" open are real.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

STUB = Path(__file__).parent.parent / "assets/nvml_stub.c"

READER = """
import json, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from reaper.clients.host import GpuReader, ProcessTable, gpu_evidence

reader = GpuReader()
for line in sys.stdin:
    pid = int(line)
    now = datetime.now(UTC)
    table = ProcessTable.snapshot(now=now, devices=Path(sys.argv[1]))
    def look():
        return reader.look(since=now - timedelta(minutes=1))
    seen = gpu_evidence(table, table.key(pid), look=look)
    answer = look()
    print(json.dumps({
        "activity": seen.activity, "text": seen.text, "reason": seen.value["gpu"],
        "utilisation": answer.utilisation, "absent": answer.absent, "error": answer.error,
        "gpus": len(answer.gpus),
    }), flush=True)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the stand-in; give the folder it is in."""
    folder = tmp_path_factory.mktemp("nvml")
    target = str(folder / "libnvidia-ml.so.1")
    command = ["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", target, str(STUB)]
    subprocess.run(command, check=True)
    return folder


class GpuHost:
    """A host with "GPUs", a reader that stays connected, and processes that have one open."""

    def __init__(self, folder: Path, library: Path, stack: ExitStack) -> None:
        self.world = folder / "world"
        self.dev = folder / "dev"
        self.dev.mkdir()
        for node in ("nvidia0", "nvidia1", "nvidiactl"):
            (self.dev / node).touch()
        self._stack = stack
        env = os.environ | {"NVML_STUB": str(self.world), "LD_LIBRARY_PATH": str(library)}
        self._reader = self._start([sys.executable, "-c", READER, str(self.dev)], env=env)

    def _start(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, **options)
        self._stack.callback(process.communicate)  # it ends once its input does
        return process

    def holder(self, node: str | None = "nvidia0") -> int:
        """Start a process that has a node open, or none; give its pid."""
        code = "import sys; f = open(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
        path = os.devnull if node is None else str(self.dev / node)
        process = self._start([sys.executable, "-S", "-E", "-c", code, path])
        assert process.stdout is not None
        process.stdout.readline()
        return process.pid

    def says(self, *lines: str) -> None:
        """Let NVML say this from now on."""
        new = self.world.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.replace(self.world)

    def look(self, pid: int) -> dict[str, Any]:
        """What is seen of a process and of the host."""
        assert self._reader.stdin is not None
        assert self._reader.stdout is not None
        self._reader.stdin.write(f"{pid}\n")
        self._reader.stdin.flush()
        seen: dict[str, Any] = json.loads(self._reader.stdout.readline())
        return seen


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[Callable[[Path], GpuHost]]:
    with ExitStack() as stack:
        yield lambda library: GpuHost(tmp_path, library, stack)


@pytest.fixture
def gpu_host(start_host: Callable[[Path], GpuHost], library: Path) -> GpuHost:
    return start_host(library)


def test_without_driver_there_is_no_gpu(start_host: Callable[[Path], GpuHost], tmp_path: Path):
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")  # before a real one, if this host has any
    host = start_host(tmp_path)
    seen = host.look(host.holder(None))
    assert (seen["activity"], seen["absent"], seen["utilisation"]) == ("idle", True, 0)
    assert host.look(host.holder())["activity"] == "unknown"  # it has one open, and nobody can be asked


def test_memory_held_is_no_work(gpu_host: GpuHost):
    """f9: it holds memory while another trains."""
    held, trains = gpu_host.holder(), gpu_host.holder()
    gpu_host.says("gpu 0 0 memory=9000", "gpu 1 0", f"hold 0 {held}")
    assert gpu_host.look(held)["activity"] == "idle"
    gpu_host.says(
        "gpu 0 97 memory=15000", "gpu 1 0", f"hold 0 {held}", f"hold 0 {trains}", f"work 0 {trains} 95"
    )
    seen = gpu_host.look(held)
    assert (seen["activity"], seen["reason"], seen["utilisation"]) == ("idle", "others", 97)
    seen = gpu_host.look(trains)
    assert (seen["activity"], seen["text"]) == ("active", f"pid {trains} is at work on GPU 0 (100 %)")


def test_pids_of_another_world_leave_doubt(gpu_host: GpuHost):
    """w18: NVML in a container shows the host's pids."""
    gpu_host.says("gpu 0 97", "gpu 1 0", "work 0 4194303 95")
    seen = gpu_host.look(gpu_host.holder())
    assert (seen["activity"], seen["reason"]) == ("unknown", "unmatched")
    assert gpu_host.look(gpu_host.holder("nvidia1"))["activity"] == "idle"


def test_a_divided_gpu_leaves_doubt_only_where_it_is_open(gpu_host: GpuHost):
    """f8."""
    gpu_host.says("gpu 0 0 mig", "gpu 1 0")
    seen = gpu_host.look(gpu_host.holder())
    assert (seen["activity"], seen["reason"], seen["utilisation"]) == ("unknown", "mig", None)
    assert gpu_host.look(gpu_host.holder(None))["activity"] == "idle"


def test_use_that_is_not_told_by_process_goes_by_who_has_it(gpu_host: GpuHost):
    one, two = gpu_host.holder(), gpu_host.holder()
    gpu_host.says("gpu 0 60 blind", "gpu 1 0", f"hold 0 {one}")
    assert gpu_host.look(one)["activity"] == "active"
    assert gpu_host.look(two)["activity"] == "idle"
    gpu_host.says("gpu 0 60 blind", "gpu 1 0", f"hold 0 {one}", f"hold 0 {two}")
    assert gpu_host.look(one)["activity"] == gpu_host.look(two)["activity"] == "unknown"
    gpu_host.says("gpu 0 0 blind", "gpu 1 0", f"hold 0 {one}")
    assert gpu_host.look(one)["activity"] == "idle"


def test_a_lost_gpu_leaves_doubt_and_the_others_go_on(gpu_host: GpuHost):
    lost, well = gpu_host.holder(), gpu_host.holder("nvidia1")
    gpu_host.says("gpu 0 0 lost", "gpu 1 0")
    seen = gpu_host.look(lost)
    assert (seen["activity"], seen["text"]) == ("unknown", "GPU 0 is open, and can't be asked: GPU is lost")
    assert gpu_host.look(well)["activity"] == "idle"


def test_a_driver_that_goes_and_comes_back_is_asked_again(gpu_host: GpuHost):
    pid = gpu_host.holder()
    gpu_host.says("gpu 0 0", "gpu 1 0")
    assert gpu_host.look(pid)["activity"] == "idle"
    gpu_host.says("init 9")
    seen = gpu_host.look(pid)
    assert (seen["activity"], seen["error"], seen["absent"]) == ("unknown", "Driver Not Loaded", False)
    gpu_host.says("gpu 0 0", "gpu 1 0")
    assert gpu_host.look(pid)["activity"] == "idle"


def test_nodes_are_matched_by_their_number(gpu_host: GpuHost):
    pid = gpu_host.holder("nvidia1")
    gpu_host.says("gpu 0 88 minor=1", f"work 0 {pid} 88", "gpu 1 0 minor=0")
    assert gpu_host.look(pid)["activity"] == "active"
    assert gpu_host.look(gpu_host.holder("nvidia0"))["activity"] == "idle"
