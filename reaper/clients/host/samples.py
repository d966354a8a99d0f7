"""What a tree of processes has used so far, and from two such samples what it used in between.

CPU time and characters are cumulative, so two samples bridge any gap: a restart of ours, a cron
job's ten minutes. Children that came and went between two looks are seen through their parents,
whose counters take them over when they are waited for. Two traps follow:

- A child that was there at the first look and has been waited for since brings *all* its time into
  its parent's counter: what it had used before the first look must be taken off again.
- Not every child is taken over: one that was adopted by process 1, or whose parent ignores SIGCHLD,
  just vanishes. A child whose earlier time is greater than all that came in was surely not taken
  over, the others are taken to have been; where they can't all have been, the result has two bounds.

Sources: getrusage(2), wait_task_zombie() in kernel/exit.c of Linux.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from reaper.clients.host.processes import ProcessKey, ProcessTable
from reaper.clients.host.procfs import TICKS_PER_SECOND, ProcessStat

__all__ = ["ProcessCounters", "ProcessUse", "TreeSample", "TreeUsage", "sample_tree", "usage"]

_FORMAT = 1

_SAME_INSTANT = TICKS_PER_SECOND // 10
"""A snapshot takes some milliseconds: a child born meanwhile may miss it though younger ones are in."""


class ProcessCounters(NamedTuple):
    """What one process has used so far.

    Attributes:
        pid: Its process id.
        start_ticks: When it began, in ticks since boot.
        parent: Pid of its parent.
        command: The short name of what it runs.
        own_ticks: CPU time of its threads.
        waited_ticks: CPU time of the children that it has waited for.
        characters: Read and written, by it and those children; None where not known.
        readable: False where we may not read its characters and open files.
    """

    pid: int
    start_ticks: int
    parent: int
    command: str
    own_ticks: int
    waited_ticks: int
    characters: int | None
    readable: bool = True

    @property
    def ticks(self) -> int:
        """All CPU time that its parent takes over when it waits for it."""
        return self.own_ticks + self.waited_ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSample:
    """Cumulative counters of a tree of processes at one instant.

    Attributes:
        at: When, aware UTC.
        monotonic: The same in seconds of CLOCK_MONOTONIC, if known; comparable within a boot.
        root: The process at the top.
        newest_ticks: Start of the youngest process of the whole host at that instant.
        processes: Its processes, the root first, defunct ones too.
    """

    at: datetime
    monotonic: float | None
    root: ProcessKey
    newest_ticks: int
    processes: tuple[ProcessCounters, ...]

    def to_json(self) -> str:
        """Write it as one line of JSON, to be kept until the next look (100 bytes a process)."""
        root = self.root
        return json.dumps(
            {
                "format": _FORMAT,
                "at": self.at.isoformat(),
                "monotonic": self.monotonic,
                "root": [root.pid, root.start_ticks, root.boot_id, root.created_at.isoformat()],
                "newest_ticks": self.newest_ticks,
                "processes": self.processes,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Self | None:
        """Read what `to_json` wrote; None for anything else: then there is no earlier look."""
        try:
            content = json.loads(text)
            if content["format"] != _FORMAT:
                return None
            pid, start_ticks, boot_id, created_at = content["root"]
            monotonic = content["monotonic"]
            return cls(
                at=datetime.fromisoformat(content["at"]),
                monotonic=None if monotonic is None else float(monotonic),
                root=ProcessKey(
                    pid=int(pid),
                    start_ticks=int(start_ticks),
                    boot_id=str(boot_id),
                    created_at=datetime.fromisoformat(created_at),
                ),
                newest_ticks=int(content["newest_ticks"]),
                processes=tuple(_counters(*row) for row in content["processes"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


def _counters(
    pid: int,
    start_ticks: int,
    parent: int,
    command: str,
    own_ticks: int,
    waited_ticks: int,
    characters: int | None,
    readable: bool,  # noqa: FBT001
) -> ProcessCounters:
    return ProcessCounters(
        int(pid),
        int(start_ticks),
        int(parent),
        str(command),
        int(own_ticks),
        int(waited_ticks),
        None if characters is None else int(characters),
        bool(readable),
    )


def sample_tree(table: ProcessTable, root: ProcessKey) -> TreeSample | None:
    """Read the counters of a process and its descendants.

    CPU time is the snapshot's, characters are read now.

    Returns:
        The sample; None where the root is gone (`table.alive` says no), may not be read, or the
        table is incomplete: a process that is missing from it may be the one that works.
    """
    if not table.complete:
        return None
    rows = [_read(table, stat) for stat in table.members(root)]
    if not rows or rows[0].characters is None:
        return None
    return TreeSample(
        at=table.at,
        monotonic=table.monotonic,
        root=root,
        newest_ticks=table.newest_ticks,
        processes=tuple(rows),
    )


def _read(table: ProcessTable, stat: ProcessStat) -> ProcessCounters:
    characters, readable = None, True
    try:
        characters = table.files.characters(stat.pid)
    except (OSError, ValueError, IndexError):
        readable = stat.defunct  # one that has ended does nothing unseen
    return ProcessCounters(
        stat.pid,
        stat.start_ticks,
        stat.parent,
        stat.command,
        stat.own_ticks,
        stat.waited_ticks,
        characters,
        readable,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUse:
    """What one process used between two looks, with the children that it waited for.

    Attributes:
        pid: Its process id.
        command: The short name of what it runs.
        cores: CPU time over time passed: 1.0 is one core all the time.
        characters_per_second: Read and written, through calls that count (see `Procfs.characters`).
        cores_at_most: The same as `cores` where nothing is in doubt, else the upper bound.
        characters_per_second_at_most: Likewise.
    """

    pid: int
    command: str
    cores: float
    characters_per_second: float
    cores_at_most: float
    characters_per_second_at_most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeUsage:
    """What a tree of processes used between two looks.

    Attributes:
        seconds: Time between the looks in which the machine was awake.
        uses: Every process that was there at the second look, the root first.
        unreadable: Processes of which only the CPU time can be seen (other users'), as
            (pid, command).
    """

    seconds: float
    uses: tuple[ProcessUse, ...]
    unreadable: tuple[tuple[int, str], ...]

    @property
    def max_core(self) -> float:
        """Cores of the process that used most."""
        return max((use.cores for use in self.uses), default=0.0)

    @property
    def tree_core(self) -> float:
        """Cores of all together."""
        return sum(use.cores for use in self.uses)

    @property
    def io_bytes_per_second(self) -> float:
        """Characters a second of the process that read and wrote most."""
        return max((use.characters_per_second for use in self.uses), default=0.0)


def usage(before: TreeSample, after: TreeSample) -> TreeUsage | None:
    """Tell what a tree used between two looks. Pure.

    Nothing that was used before the first look is counted, and nothing is ever negative. A process
    that is new since the first look counts from its birth.

    Returns:
        The use; None where the two can't be compared: different roots or boots, or no time passed.
    """
    seconds = _elapsed(before, after)
    if before.root != after.root or seconds <= 0:
        return None
    then = {(row.pid, row.start_ticks): row for row in before.processes}
    now = {(row.pid, row.start_ticks) for row in after.processes}
    ended = _ended_by_heir(before.processes, now)
    uses = []
    for row in after.processes:
        earlier = then.get((row.pid, row.start_ticks))
        if earlier is not None:
            rise = _rise(earlier, row, ended.get(row.pid, ()))
        elif row.start_ticks >= before.newest_ticks - _SAME_INSTANT:
            rise = _Rise(row.ticks, row.ticks, row.characters or 0, row.characters or 0)
        else:  # older than the first look, and was not of the tree: what it used since, nobody knows
            rise = _Rise(0, row.ticks, 0, row.characters or 0)
        uses.append(rise.over(seconds, row))
    return TreeUsage(
        seconds=seconds,
        uses=tuple(uses),
        unreadable=tuple((row.pid, row.command) for row in after.processes if not row.readable),
    )


def _elapsed(before: TreeSample, after: TreeSample) -> float:
    """Give the seconds between two looks: awake time within a boot, else by the wall clock."""
    if before.monotonic is not None and after.monotonic is not None and after.monotonic > before.monotonic:
        return after.monotonic - before.monotonic
    return (after.at - before.at).total_seconds()


def _ended_by_heir(
    rows: Sequence[ProcessCounters],
    alive: set[tuple[int, int]],
) -> dict[int, list[ProcessCounters]]:
    """Group the processes that have ended by the nearest ancestor that is left: who may have waited."""
    by_pid = {row.pid: row for row in rows}
    heirs: dict[int, list[ProcessCounters]] = {}
    for row in rows:
        if (row.pid, row.start_ticks) in alive:
            continue
        heir = by_pid.get(row.parent)
        while heir is not None and (heir.pid, heir.start_ticks) not in alive:
            heir = by_pid.get(heir.parent)
        if heir is not None:
            heirs.setdefault(heir.pid, []).append(row)
    return heirs


class _Rise(NamedTuple):
    """By how much the counters of one process rose, at least and at most."""

    ticks: int
    ticks_at_most: int
    characters: int
    characters_at_most: int

    def over(self, seconds: float, row: ProcessCounters) -> ProcessUse:
        return ProcessUse(
            pid=row.pid,
            command=row.command,
            cores=self.ticks / TICKS_PER_SECOND / seconds,
            characters_per_second=self.characters / seconds,
            cores_at_most=self.ticks_at_most / TICKS_PER_SECOND / seconds,
            characters_per_second_at_most=self.characters_at_most / seconds,
        )


def _rise(then: ProcessCounters, now: ProcessCounters, ended: Sequence[ProcessCounters]) -> _Rise:
    """Compare one process with itself, less what its ended children had used at the first look.

    Its own time is exact. What it waited for is what rose, less the earlier time of each child that
    can have been taken over. If that is more than came in, not all were: then what rose may be
    anything from nothing to all of it new.
    """
    own = max(0, now.own_ticks - then.own_ticks)
    came_in = max(0, now.waited_ticks - then.waited_ticks)
    heirlooms = [child for child in ended if child.ticks <= came_in]
    waited, waited_at_most = _less(came_in, [child.ticks for child in heirlooms])
    if now.characters is None or then.characters is None:
        characters, characters_at_most = 0, now.characters or 0
    else:
        rose = max(0, now.characters - then.characters)
        characters, characters_at_most = _less(rose, [child.characters for child in heirlooms])
    return _Rise(own + waited, own + waited_at_most, characters, characters_at_most)


def _less(rose: int, earlier: Sequence[int | None]) -> tuple[int, int]:
    """Take earlier amounts off a rise: what is surely new, and the most that can be."""
    known = sum(amount for amount in earlier if amount is not None)
    if known > rose or None in earlier:
        return 0, rose
    return rose - known, rose - known
