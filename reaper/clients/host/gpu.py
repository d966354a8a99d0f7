"""What a tree of processes computes on GPUs, as NVIDIA's management library (NVML) tells.

A tree that has no GPU open is at rest on all of them, whatever NVML can or can't say (MIG, a
failing driver). Of one that has, NVML's samples by process tell, where their pids are those of
this host; in a container they are the host's, and match nothing. Memory held is not work.
The library is imported and loaded only when a tree with a GPU open asks.

Sources: NVML API reference: nvmlDeviceGetProcessUtilization (NOT_FOUND where nothing ran),
nvmlDeviceGetUtilizationRates (share of the last 1/6 to 1 s), nvmlDeviceGetMigMode.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reaper.clients.host.evidence import ActivityName, Evidence, Value, quantise, strongest
from reaper.clients.host.processes import ProcessKey, ProcessTable

__all__ = ["Gpu", "GpuLook", "GpuReader", "gpu_evidence"]

_ONE_GPU = re.compile(r"nvidia(\d+)")
_ALL_GPUS = re.compile(r"nvidia-uvm|nvidia-caps/.+|dxg")
_UNMEASURED = re.compile(r"kfd|neuron\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What NVML says of one GPU. None is: it can't be told.

    Attributes:
        index: NVML's number of it.
        minor: N of its device node /dev/nvidiaN; the index where NVML does not say.
        mig: Whether it is divided (multi-instance GPU): then utilisation means nothing.
        utilisation: The highest percentage of time in which anything ran on it, over the window
            and now.
        working: Highest utilisation of each process that ran on it in the window, by pid.
        holders: Pids of the processes that have a context on it, at work or not.
        error: What NVML answered instead, if the GPU can't be asked (lost, say).
    """

    index: int
    minor: int
    mig: bool = False
    utilisation: int | None = None
    working: Mapping[int, int] | None = None
    holders: frozenset[int] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLook:
    """What NVML says of this host's GPUs.

    Attributes:
        gpus: Each GPU; empty where there is none.
        error: Why NVML as a whole can't be asked; None where it answered.
        absent: Whether there is no driver on this host (no `libnvidia-ml.so.1`).
    """

    gpus: tuple[Gpu, ...] = ()
    error: str | None = None
    absent: bool = False

    @property
    def utilisation(self) -> int | None:
        """The highest percentage of any GPU, 0 without one; None where one can't be told."""
        if self.error is not None and not self.absent:
            return None
        highest = 0
        for gpu in self.gpus:
            if gpu.mig or gpu.utilisation is None:
                return None
            highest = max(highest, gpu.utilisation)
        return highest


class GpuReader:
    """Asks NVML, and stays connected to it between looks. One look at a time may use it."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._nvml: Any = None  # the module, while it is connected; it has no types

    def look(self, *, since: datetime) -> GpuLook:
        """Ask for every GPU.

        Args:
            since: Begin of the window, aware: the previous look. The driver remembers its samples
                for some seconds to minutes.
        """
        import pynvml as nvml  # 10 MB that only GPU hosts pay for

        try:
            if self._nvml is None:
                nvml.nvmlInit()
                self._nvml = nvml
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self.close()
            return GpuLook(error=str(error), absent=error.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND)
        window = int(since.timestamp() * 1_000_000)
        gpus = tuple(_read_gpu(nvml, index, window) for index in range(count))
        if any(gpu.error is not None for gpu in gpus):
            self.close()  # the driver may have been loaded anew
        return GpuLook(gpus=gpus)

    def close(self) -> None:
        """Let go of the driver; the next look connects again."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError:
                return  # it had let go of us already


def _read_gpu(nvml: Any, index: int, window: int) -> Gpu:
    """Ask for one GPU; what one question can't tell does not spoil the others."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        minor = _ask(nvml, nvml.nvmlDeviceGetMinorNumber, handle)
        minor = index if minor is None else minor
        mig = _ask(nvml, nvml.nvmlDeviceGetMigMode, handle)
        rates = _ask(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
        return Gpu(
            index=index,
            minor=minor,
            mig=mig is not None and mig[0] == nvml.NVML_DEVICE_MIG_ENABLE,
            utilisation=None if rates is None else max(rates.gpu, _peak(nvml, handle, window)),
            working=_working(nvml, handle, window),
            holders=_holders(nvml, handle),
        )
    except nvml.NVMLError as error:
        return Gpu(index=index, minor=index, error=str(error))


def _ask(nvml: Any, question: Callable[..., Any], *arguments: Any) -> Any:
    """Ask NVML one thing: None where this GPU, driver or platform can't tell.

    Raises:
        NVMLError: The GPU as a whole can't be asked.
    """
    try:
        return question(*arguments)
    except nvml.NVMLError as error:
        if error.value in (
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_NO_PERMISSION,
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        ):
            return None
        raise


def _peak(nvml: Any, handle: Any, window: int) -> int:
    """Give the highest utilisation that the driver remembers of the window, 0 for none."""
    try:
        samples = _ask(nvml, nvml.nvmlDeviceGetSamples, handle, nvml.NVML_GPU_UTILIZATION_SAMPLES, window)
    except nvml.NVMLError as error:
        if error.value == nvml.NVML_ERROR_NOT_FOUND:
            return 0
        raise
    return max((sample.sampleValue.uiVal for sample in samples[1]), default=0) if samples else 0


def _working(nvml: Any, handle: Any, window: int) -> dict[int, int] | None:
    """Give the highest utilisation of each process in the window, in percent of any engine."""
    try:
        samples = _ask(nvml, nvml.nvmlDeviceGetProcessUtilization, handle, window)
    except nvml.NVMLError as error:
        if error.value == nvml.NVML_ERROR_NOT_FOUND:
            return {}  # nothing ran
        raise
    if samples is None:
        return None
    working: dict[int, int] = {}
    for sample in samples:
        percent = max(sample.smUtil, sample.memUtil, sample.encUtil, sample.decUtil)
        if percent > 0:
            working[sample.pid] = max(percent, working.get(sample.pid, 0))
    return working


def _holders(nvml: Any, handle: Any) -> frozenset[int] | None:
    compute = _ask(nvml, nvml.nvmlDeviceGetComputeRunningProcesses_v3, handle)
    graphics = _ask(nvml, nvml.nvmlDeviceGetGraphicsRunningProcesses_v3, handle)
    if compute is None:
        return None
    return frozenset(process.pid for process in [*compute, *(graphics or ())])


def gpu_evidence(table: ProcessTable, root: ProcessKey, *, look: Callable[[], GpuLook]) -> Evidence:
    """Say whether a tree computes on a GPU.

    Args:
        table: The processes at this instant.
        root: The top of the tree.
        look: Gives NVML's answer; asked only if the tree has a GPU open. Let it ask NVML once a look.

    Returns:
        `idle` where it has no GPU open, or none of those that it has open is at work, or others are;
        `active` where one of its processes is at work; `unknown` where that can't be told.
    """
    if not table.files.accelerators:
        return _say("idle", "no GPU on this host", "none")
    tree = table.tree(root)
    opened: set[str] = set()
    unreadable = []
    for key in tree:
        files = table.files.open_files(key.pid)
        if files is None:
            unreadable.append(key.pid)
        else:
            opened |= files.devices
    minors = {int(match[1]) for device in opened if (match := _ONE_GPU.fullmatch(device))}
    every = any(_ALL_GPUS.fullmatch(device) for device in opened)
    unmeasured = sorted(device for device in opened if _UNMEASURED.fullmatch(device))
    seen = []
    if minors or every:
        seen.append(_by_nvml(table, {key.pid for key in tree}, minors, look()))
    if unmeasured:
        seen.append(
            _say("unknown", f"it has {unmeasured[0]} open, whose use can't be measured", "unmeasured")
        )
    if unreadable:
        text = f"the open files of pid {unreadable[0]} can't be read: it could use a GPU"
        seen.append(_say("unknown", text, "unreadable"))
    return strongest(seen) if seen else _say("idle", "it has no GPU open", "closed")


def _by_nvml(table: ProcessTable, pids: set[int], minors: set[int], look: GpuLook) -> Evidence:
    """Judge a tree that has GPUs open: these minors, or any where only a common node is open."""
    if look.error is not None:
        return _say("unknown", f"it has a GPU open, and NVML can't be asked: {look.error}", "no answer")
    gpus = [gpu for gpu in look.gpus if not minors or gpu.minor in minors]
    seen = [_by_gpu(table, pids, gpu) for gpu in gpus]
    missing = sorted(minors - {gpu.minor for gpu in gpus})
    if missing or not seen:
        which = f"/dev/nvidia{missing[0]}" if missing else "a GPU"
        seen.append(_say("unknown", f"it has {which} open, which NVML does not list", "not listed"))
    return strongest(seen)


def _by_gpu(table: ProcessTable, pids: set[int], gpu: Gpu) -> Evidence:
    """Judge a tree by one GPU that it has open."""
    name = f"GPU {gpu.index}"
    if gpu.error is not None:
        return _say("unknown", f"{name} is open, and can't be asked: {gpu.error}", "no answer")
    if gpu.mig:
        return _say("unknown", f"{name} is open and divided (MIG): its use can't be measured", "mig")
    ours = {pid: percent for pid, percent in (gpu.working or {}).items() if pid in pids}
    if ours:
        percent = quantise(max(ours.values()), least=1)
        return _say("active", f"pid {min(ours)} is at work on {name} ({percent:g} %)", "busy", percent)
    workers = frozenset(gpu.working or ())
    if not workers:
        if gpu.utilisation == 0 or (gpu.utilisation is None and gpu.working is not None):
            return _say("idle", f"{name} is open and at rest", "idle")
        if gpu.utilisation is None:
            return _say("unknown", f"{name} is open, and its use can't be measured", "no answer")
        workers = gpu.holders or frozenset()  # busy, and not told by whom: one of those with a context
        if workers and workers <= pids:
            percent = quantise(gpu.utilisation, least=1)
            return _say("active", f"{name} is busy ({percent:g} %) and no one else has it", "busy", percent)
    strangers = sorted(pid for pid in workers if not _is_here(table, pid))
    if not workers or strangers or not pids.isdisjoint(workers):
        who = (
            f"pid {strangers[0]}, which is not of this host (a container's view?)"
            if strangers
            else "somebody"
        )
        return _say("unknown", f"{name} is open and busy with {who}: it could be this", "unmatched")
    return _say("idle", f"{name} is open, and others are at work on it", "others")


def _is_here(table: ProcessTable, pid: int) -> bool:
    """Say whether a driver's pid surely is the process of that number here."""
    if table.stat(pid) is None:
        return False
    if table.files.host_pids:
        return True
    files = table.files.open_files(pid)
    return files is not None and any(
        _ONE_GPU.fullmatch(device) or _ALL_GPUS.fullmatch(device) for device in files.devices
    )


def _say(activity: ActivityName, text: str, reason: str, percent: float | None = None) -> Evidence:
    value: Value = {"gpu": reason} if percent is None else {"gpu": reason, "gpu_percent": percent}
    return Evidence(activity=activity, text=text, value=value)
