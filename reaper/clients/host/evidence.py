"""What a tree of processes is seen to do: active, idle, or unknown. Pure.

Evidence goes into a journal, one row for each run of equal evidence. So texts and values are coarse
on purpose: one significant digit (1, 2, 5, 10 ...), no counts that flicker.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from reaper.clients.host.samples import ProcessUse, TreeUsage

__all__ = ["ActivityName", "Evidence", "Thresholds", "Value", "classify", "quantise", "strongest"]

ActivityName = Literal["active", "idle", "unknown"]
Value = Mapping[str, str | float | list[int]]
_Seen = dict[str, str | float | list[int]]

_STRONGEST_FIRST: tuple[ActivityName, ...] = ("active", "unknown", "idle")
_KIB = 1024
_LEAST_CORES = 0.01
_LEAST_KIB = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From when on use is work.

    Measured: an idle kernel uses 0.01 s of CPU a minute (0.0002 core); an idle Dask cluster of six
    workers 0.26 core in all and 0.073 in one process; an upload at 2 MB/s 0.001 core.

    Attributes:
        core_per_process: Cores in one process, with the children that it waited for.
        core_per_tree: Cores in all of a tree.
        io_bytes_per_second: Characters a second read and written by one process.
        min_interval: Seconds between two looks below which rates say nothing: CPU time comes in
            10 ms steps, and a single burst weighs too much.
    """

    core_per_process: float = 0.10
    core_per_tree: float = 0.5
    io_bytes_per_second: float = 64 * _KIB
    min_interval: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one way of looking at a tree says.

    Attributes:
        activity: `active`, `idle` or `unknown`.
        text: What was seen, for a person.
        value: The same for a machine: small, coarse, equal as long as the evidence is.
    """

    activity: ActivityName
    text: str
    value: Value = field(default_factory=dict)


def quantise(amount: float, *, least: float, down: bool = False) -> float:
    """Round to 1, 2 or 5 times a power of ten, so that equal evidence stays equal.

    Args:
        amount: What was measured.
        least: Anything below is 0.
        down: Never round up, so that what is below a threshold does not look as if it reached it.
    """
    if amount < least:
        return 0.0
    power = 10.0 ** math.floor(math.log10(amount))
    steps = (1.0, 2.0, 5.0, 10.0)
    if down:
        step = max(s for s in steps if s <= amount / power * (1 + 1e-9))
    else:
        step = min(steps, key=lambda s: abs(math.log(amount / power / s)))
    return float(f"{step * power:.6g}")


def strongest(parts: Iterable[Evidence]) -> Evidence:
    """Pick what decides: work seen, else what can't be seen, else rest; the first of several. Pure."""
    return min(parts, key=lambda part: _STRONGEST_FIRST.index(part.activity))


def classify(
    use: TreeUsage | None,
    *,
    gpu: Evidence | None = None,
    peers: Evidence | None = None,
    thresholds: Thresholds | None = None,
) -> Evidence:
    """Say what a tree did between two looks. Pure.

    One sign of work is enough for `active`; without one, anything that can't be seen makes it
    `unknown`; only a tree that was wholly seen and quiet is `idle`.

    Args:
        use: What it used, None where there is no earlier look to compare with.
        gpu: What it does on GPUs, None to leave that out.
        peers: Whom it serves, None to leave that out.
        thresholds: From when on use is work.
    """
    parts = [_classify_use(use, thresholds or Thresholds())]
    parts += [part for part in (gpu, peers) if part is not None]
    value: _Seen = {}
    for part in parts:
        value.update(part.value)
    activity = strongest(parts).activity
    text = "; ".join(part.text for part in parts if part.activity == activity)
    return Evidence(activity=activity, text=text, value=value)


def _classify_use(use: TreeUsage | None, limits: Thresholds) -> Evidence:
    if use is None:
        return Evidence(activity="unknown", text="no earlier look to compare its processes with")
    if use.seconds < limits.min_interval:
        text = f"its processes were looked at less than {limits.min_interval:g} s apart"
        return Evidence(activity="unknown", text=text)
    seen = _work(use, limits)
    if seen is not None:
        return seen
    unseen = _doubt(use, limits)
    if unseen is not None:
        return Evidence(activity="unknown", text=unseen, value=_value(use, down=True))
    value = _value(use, down=True)
    text = (
        f"its processes are quiet: {value['cores'] or 'under 0.01'} core, "
        f"{value['kib_per_second'] or 'under 1'} KiB/s"
    )
    return Evidence(activity="idle", text=text, value=value)


def _work(use: TreeUsage, limits: Thresholds) -> Evidence | None:
    """Find what reaches a threshold, and name the process."""
    value = _value(use, down=False)
    texts = []
    if use.max_core >= limits.core_per_process or use.tree_core >= limits.core_per_tree:
        busiest = _first_of_the_most(use.uses, lambda u: quantise(u.cores, least=_LEAST_CORES))
        value |= {"busiest": busiest.command, "busiest_pid": busiest.pid}
        if use.max_core >= limits.core_per_process:
            texts.append(f"{busiest.command} (pid {busiest.pid}) uses {value['cores']} core")
        else:
            texts.append(f"its processes use {value['tree_cores']} core together")
    if use.io_bytes_per_second >= limits.io_bytes_per_second:
        busiest = _first_of_the_most(
            use.uses,
            lambda u: quantise(u.characters_per_second / _KIB, least=_LEAST_KIB),
        )
        value |= {"busiest_io": busiest.command, "busiest_io_pid": busiest.pid}
        rate = f"{value['kib_per_second']} KiB/s"
        texts.append(f"{busiest.command} (pid {busiest.pid}) reads and writes {rate}")
    return Evidence(activity="active", text=", ".join(texts), value=value) if texts else None


def _doubt(use: TreeUsage, limits: Thresholds) -> str | None:
    """Say what can't be seen and could be work."""
    if use.unreadable:
        names = _names(use.unreadable)
        return f"{names} can't be read (another user's): only the CPU time is known"
    cores = [u.cores_at_most for u in use.uses]
    characters = max((u.characters_per_second_at_most for u in use.uses), default=0.0)
    if (
        max(cores, default=0.0) >= limits.core_per_process
        or sum(cores) >= limits.core_per_tree
        or characters >= limits.io_bytes_per_second
    ):
        return (
            "processes ended between the looks, and what is new of their use can't be told; the next look can"
        )
    return None


def _value(use: TreeUsage, *, down: bool) -> _Seen:
    return {
        "cores": quantise(use.max_core, least=_LEAST_CORES, down=down),
        "tree_cores": quantise(use.tree_core, least=_LEAST_CORES, down=down),
        "kib_per_second": quantise(use.io_bytes_per_second / _KIB, least=_LEAST_KIB, down=down),
    }


def _first_of_the_most(uses: Iterable[ProcessUse], size: Callable[[ProcessUse], float]) -> ProcessUse:
    """Pick one of the largest, always the same while their order of magnitude is."""
    uses = tuple(uses)
    most = max(map(size, uses))
    return next(use for use in uses if size(use) == most)


def _names(processes: Iterable[tuple[int, str]]) -> str:
    named = [f"{command} (pid {pid})" for pid, command in processes]
    return named[0] if len(named) == 1 else f"{named[0]} and {len(named) - 1} more"
