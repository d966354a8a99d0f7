"""How fast the journal is, and how big: `python -m tests.bench.journal`.

Real looks, folded into a real world, decided, written to a real file (in `$TMPDIR`), synced as ever. What is
scaled down says so in its figures.
"""

import asyncio
import random
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from reaper.core.batch import Batch, fold_facts, fold_look
from reaper.core.decide import decide, newly_applied
from reaper.core.facts import ConfigLoaded, Fact
from reaper.core.model import Activity, Collected, Observation, Poll, Resource, ResourceRef
from reaper.core.ruleset import Mode, PolicySpec, Ruleset, Step
from reaper.core.world import World
from reaper.daemon.memory import settle
from reaper.journal import SqliteJournal
from reaper.journal.rows import micros
from reaper.policies.idle import IdleRule

__all__ = ["Fleet", "rebuild_state", "thirty_days", "write_tick"]

START = datetime(2026, 11, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MAX_GAP = timedelta(minutes=3)
_Said = dict[str, tuple[Activity, datetime | None, str]]

SOURCE = "jupyter:http://127.0.0.1:8888/"


class Fleet:
    """So many kernels with five signals each, a part of them at work, looked at every minute.

    The evidence of an idle one stays equal. A working one shows another `last_activity` and another process
    load at each look, changes between busy and idle now and then, and saves its notebook every ten minutes.
    With `worst`, all five signals of a working one change at each look.
    """

    def __init__(self, size: int = 200, share: float = 0.2, *, worst: bool = False, seed: int = 1) -> None:
        self.world = World(max_gap=MAX_GAP)
        self.now = START
        self._random = random.Random(seed)
        self._worst = worst
        self._polls = 0
        self._at_work = set(range(int(size * share)))
        self._resources = [_kernel(number) for number in range(size)]
        self._said = [self._say(number, {}) for number in range(size)]
        self.ruleset = Ruleset(
            mode=Mode.ENFORCE,
            policies=(
                PolicySpec(
                    name="idle-kernels",
                    kind="jupyter.kernel",
                    rule_name="idle",
                    rule=IdleRule(timeout=timedelta(days=365)),  # nothing goes: the size stays
                    steps=(Step(action="shutdown"),),
                ),
            ),
        )
        self._kept: dict[ResourceRef, object] = {}

    def look(self) -> Batch:
        """Look once, a minute after the last time."""
        self.now += MINUTE
        self._polls += 1
        for number in self._at_work:
            self._said[number] = self._say(number, self._said[number])
        observations = []
        for resource, said in zip(self._resources, self._said, strict=True):
            for signal, (activity, at, value) in said.items():
                since = self.now - MINUTE if signal in {"process", "gpu"} else None
                observations.append(
                    Observation(
                        ref=resource.ref,
                        signal=signal,
                        activity=activity,
                        evidence_at=at,
                        value=value,
                        covers_from=since,
                    )
                )
        poll = Poll(id=self._polls, source=SOURCE, started_at=self.now, finished_at=self.now, complete=True)
        memo = {"cpu": {resource.ref.id: [1234.5, 17, self._polls] for resource in self._resources}}
        looked = Collected(
            poll=poll, resources=tuple(self._resources), observations=tuple(observations), memo=memo
        )
        return fold_look(self.world, looked)

    def decide(self) -> Batch | None:
        """Decide, as a tick of the daemon does: what to journal of it, if anything."""
        facts: tuple[Fact, ...] = tuple(newly_applied(self.world, self.ruleset, self.now))
        if not self._kept:
            facts += (ConfigLoaded(at=self.now, digest=self.ruleset.digest(), body=self.ruleset.body()),)
        fresh = []
        for decision in decide(self.world, self.ruleset, self.now):
            essence = decision.essence()
            if self._kept.get(decision.ref) != essence:
                self._kept[decision.ref] = essence
                fresh.append(decision)
        return fold_facts(self.world, facts, tuple(fresh)) if facts or fresh else None

    def _say(self, number: int, before: _Said) -> _Said:
        chance, now, working = self._random.random, self.now, number in self._at_work
        busy = bool(before) and before["execution_state"][0] is Activity.ACTIVE
        if working and (self._worst or chance() < 0.1):
            busy = not busy
        saved = before["notebook_saved"][1] if before and not self._worst and chance() > 0.1 else now
        load = f"{self._random.randrange(1, 400) / 100:.2f} core" if working else "0.00 core"
        used = f"{self._random.randrange(100)} %" if working and self._worst else "no GPU open"
        return {
            "execution_state": (Activity.ACTIVE, None, "busy") if busy else (Activity.IDLE, None, "idle"),
            "last_activity": (Activity.IDLE, now - timedelta(seconds=chance() * 60), ""),
            "process": (Activity.ACTIVE if working else Activity.IDLE, None, load),
            "gpu": (Activity.IDLE, None, used),
            "notebook_saved": (Activity.IDLE, saved, "work/train.ipynb"),
        }


def _kernel(number: int) -> Resource:
    ref = ResourceRef(
        kind="jupyter.kernel",
        scope="http://127.0.0.1:8888/user/ana/",
        id=f"6f1c2b54-{number:04x}-4a53-9a53-2f5a0c3b1d11",
        incarnation=f"2026-11-01T00:00:00Z {number}",
    )
    return Resource(
        ref=ref, name=f"work/notebook-{number}.ipynb", started_at=START, attributes={"spec": "python3"}
    )


@contextmanager
def _place() -> Iterator[Path]:
    with TemporaryDirectory(prefix="reaper-bench-") as folder:
        yield Path(folder, "journal.db")


def _megabytes(path: Path) -> float:
    """Give the size of the tables: the file's, once its log is worked in (the log itself is 4 to 16 MB)."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    (size,) = connection.execute(
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    ).fetchone()
    connection.close()
    return float(size) / 1e6


def write_tick(ticks: int = 500) -> dict[str, object]:
    """Time the write of one look at 200 resources with 5 signals each, 20 % of them at work."""
    return asyncio.run(_write_tick(ticks))


async def _write_tick(ticks: int) -> dict[str, object]:
    figures: dict[str, object] = {}
    settle()  # the garbage collector runs as seldom as in the daemon
    fleets = {"": Fleet(), ", nothing changes": Fleet(share=0), ", all signals change": Fleet(worst=True)}
    for name, fleet in fleets.items():
        with _place() as path:
            journal, took, cpu = SqliteJournal(path), [], []
            await journal.open(write=True)
            for _ in range(ticks):
                batch = fleet.look()
                began, used = time.perf_counter(), time.process_time()
                await journal.write(batch)
                took.append((time.perf_counter() - began) * 1000)
                cpu.append((time.process_time() - used) * 1000)
            await journal.close()
        took = sorted(took[10:])
        figures[f"write of a look{name}: median, ms (limit 5)"] = round(statistics.median(took), 2)
        figures[f"write of a look{name}: p99, ms"] = round(took[int(len(took) * 0.99)], 2)
        figures[f"write of a look{name}: median of its CPU time, ms"] = round(statistics.median(cpu), 2)
    return figures


def rebuild_state(resources: int = 10_000, minutes: int = 1440) -> dict[str, object]:
    """Time the start on a journal of 10,000 resources with a day of minute-by-minute changes each."""
    return asyncio.run(_rebuild_state(resources, minutes))


async def _rebuild_state(resources: int, minutes: int) -> dict[str, object]:
    with _place() as path:
        fleet, journal = Fleet(resources, share=0), SqliteJournal(path)
        await journal.open(write=True)
        for _ in range(2):
            await journal.write(fleet.look())
            if (batch := fleet.decide()) is not None:
                await journal.write(batch)
        await journal.close()
        runs = _fill(path, fleet, minutes)
        size = _megabytes(path)
        await journal.open(write=True)
        began = time.perf_counter()
        image = await journal.load()
        loaded = time.perf_counter() - began
        world = World.restore(image, MAX_GAP)
        restored = time.perf_counter() - began
        fleet.now += minutes * MINUTE
        fleet.world = world
        began = time.perf_counter()
        await journal.write(fleet.look())  # the first one learns what is open
        first = time.perf_counter() - began
        began = time.perf_counter()
        past = await journal.load(seq=image.seq - minutes // 2)
        back = time.perf_counter() - began
        await journal.close()
    return {
        "rebuild: resources": len(world.live),
        "rebuild: runs of evidence in the journal": runs,
        "rebuild: journal, MB": round(size),
        "rebuild: load, s": round(loaded, 2),
        "rebuild: load and restore, s (limit 15)": round(restored, 2),
        "rebuild: first write after it, s": round(first, 2),
        f"rebuild: load of the state {minutes // 2} minutes ago ({len(past.lives)} resources), s": round(
            back, 2
        ),
    }


def _fill(path: Path, fleet: Fleet, minutes: int) -> int:
    """Add looks in which `last_activity` of everything changed, as the writer would have written them."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    (seq,) = connection.execute("SELECT max(seq) FROM batches").fetchone()
    poll = connection.execute("SELECT * FROM polls ORDER BY seq DESC LIMIT 1").fetchone()
    connection.execute("BEGIN")
    for number in range(1, minutes + 1):
        at = micros(fleet.now + number * MINUTE)
        connection.execute("INSERT INTO batches VALUES (?, ?)", (seq + number, at))
        row = (seq + number, poll[1] + number, poll[2], at, 0, 1, None, None, None, None)
        counts = (poll[10] + number, poll[11] + number, poll[12] + number)
        connection.execute(
            "INSERT INTO polls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, *counts)
        )
    connection.execute(
        """WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < :last)
        INSERT INTO runs SELECT life, nr, CASE WHEN n THEN :seq + n ELSE first_seq END, :seq + n, activity,
            30000000 + n, covers_ago, 90000000 + n, value, 0
        FROM heads, n WHERE signal = 'last_activity' ORDER BY life, nr, n""",
        {"seq": seq, "last": minutes - 1},
    )
    connection.execute(
        """UPDATE heads SET first_seq = ?, evidence_ago = 30000000, active_ago = 90000000
        WHERE signal = 'last_activity'""",
        (seq + minutes,),
    )
    connection.execute("COMMIT")
    (runs,) = connection.execute(
        "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM heads)"
    ).fetchone()
    connection.close()
    return int(runs)


def thirty_days(days: float = 1.0) -> dict[str, object]:
    """Measure what 200 resources looked at every minute leave in 30 days, decisions and memos included.

    Args:
        days: How many to play; the figure for 30 is a projection from the growth of the second half.
    """
    return asyncio.run(_thirty_days(days))


async def _thirty_days(days: float) -> dict[str, object]:
    figures: dict[str, object] = {"thirty days: days played": days}
    for name, fleet in (("", Fleet()), (", all signals change", Fleet(worst=True))):
        with _place() as path:
            journal, half = SqliteJournal(path), 0.0
            await journal.open(write=True)
            ticks = int(days * 1440)
            for tick in range(ticks):
                if tick == ticks // 2:
                    half = _megabytes(path)
                await journal.write(fleet.look())
                if (batch := fleet.decide()) is not None:
                    await journal.write(batch)
            await journal.close()
            size = _megabytes(path)
            per_day = (size - half) / (days / 2)
            figures[f"thirty days{name}: MB after {days:g} days"] = round(size, 1)
            figures[f"thirty days{name}: MB after 30 days (limit 500)"] = round(size + per_day * (30 - days))
            await journal.open(write=True)
            began = time.perf_counter()
            gone = await journal.prune(fleet.now - timedelta(days=days / 2))
            figures[f"thirty days{name}: prune of half: s"] = round(time.perf_counter() - began, 2)
            figures[f"thirty days{name}: prune of half: rows"] = gone
            await journal.close()
            figures[f"thirty days{name}: prune of half: MB left"] = round(_megabytes(path), 1)
    return figures


def main() -> None:
    """Print all figures."""
    for measure in (write_tick, rebuild_state, thirty_days):
        for name, figure in measure().items():
            print(f"{name:<75} {figure}")


if __name__ == "__main__":
    main()
