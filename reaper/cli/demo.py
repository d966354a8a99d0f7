"""`reaper demo`: a real Jupyter server, the real daemon in enforce mode, and a look at what it does.

It ends with a table of what was reaped and what was kept and why. Its exit status is 1 if anything
that was working died or anything idle stayed.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reaper.cli.client import Client, DaemonUnreachable
from reaper.cli.demo_stage import ACTORS, Cast, Stage, stage
from reaper.cli.output import left
from reaper.clock import SystemClock
from reaper.config.places import ListenAddress
from reaper.errors import ReaperError

__all__ = ["play"]

IDLE_TIMEOUT_S = 20
AT_MOST_S = 70.0
"""For the play itself; what is idle goes after about 25 s of it."""
_WIDE = 120
"""Columns from which on there is room for what each of them does."""
STAYING_S = 8.0
"""How long to go on watching once everything idle is gone: what works must still be there."""

Key = tuple[str, str]

_clock = SystemClock()


@dataclass(slots=True, kw_only=True)
class Course:
    """How the play went so far.

    Attributes:
        began: By the monotonic clock.
        seen: The newest row of status of each kernel and terminal, by kind and id.
        gone_at: Seconds into the play at which the server no longer had it.
    """

    began: float
    seen: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    gone_at: dict[Key, float] = field(default_factory=dict)

    def elapsed(self) -> float:
        """Give the seconds since it began."""
        return _clock.monotonic() - self.began


def play(journal: Path) -> int:
    """Play the demo and leave its journal behind.

    Args:
        journal: Where the daemon's journal goes; an earlier demo's is replaced.

    Returns:
        Exit status: 0, or 1 if anything that worked died or anything idle stayed; 128+n after SIGTERM or SIGHUP.

    Raises:
        ReaperError: The Jupyter server or the daemon did not start.
    """
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        for old in journal.parent.glob(f"{journal.name}*"):
            old.unlink()
    except OSError as error:
        msg = f"the demo's journal {journal} can't be written: {error.strerror or error}"
        raise ReaperError(msg) from error
    console = Console()
    told: list[signal.Signals] = []
    with tempfile.TemporaryDirectory(prefix="reaper-demo-", ignore_cleanup_errors=True) as directory:
        try:
            right = asyncio.run(_play(Path(directory), journal.resolve(), console, told))
        except asyncio.CancelledError:
            if not told:
                raise
            return 128 + told[0]
    console.print()
    console.print(f"The journal is left in {journal}. Look at it:")
    for command in ("status", "explain idle.ipynb", "explain thread.ipynb"):
        console.print(f"  REAPER_STATE={journal} {_program()} {command}", highlight=False)
    return 0 if right else 1


def _end_in_order(told: list[signal.Signals]) -> None:
    """Take SIGTERM, and SIGHUP of a terminal that is closed, as Ctrl-C is taken: nothing of the demo stays behind.

    A second one does what it does by default.
    """
    loop, playing = asyncio.get_running_loop(), asyncio.current_task()
    numbers = (signal.SIGTERM, signal.SIGHUP)

    def end(number: signal.Signals) -> None:
        told.append(number)
        for one in numbers:
            loop.remove_signal_handler(one)
        if playing is not None:
            playing.cancel()

    for number in numbers:
        loop.add_signal_handler(number, end, number)


def _program() -> str:
    program = Path(sys.argv[0])
    with contextlib.suppress(ValueError):
        return str(program.resolve().relative_to(Path.cwd()))
    return program.name


async def _play(directory: Path, journal: Path, console: Console, told: list[signal.Signals]) -> bool:
    """Play it; `told` gets the signal that ended it early."""
    _end_in_order(told)
    console.print("Starting a Jupyter server of its own with five kernels and five terminals ...")
    async with stage(directory) as set_up:
        await asyncio.gather(*(set_up.enter(actor) for actor in ACTORS if actor.kind == "jupyter.kernel"))
        for actor in ACTORS:
            if actor.kind == "jupyter.terminal":
                await set_up.enter(actor)
        set_up.cast.sort(key=lambda cast: ACTORS.index(cast.actor))
        console.print(f"Starting reaper: enforce mode, idle timeout {IDLE_TIMEOUT_S} s.\n")
        async with _daemon(set_up, directory, journal) as client:
            course = Course(began=_clock.monotonic())
            await _watch(set_up, client, course, console)
            alive = await set_up.alive()
            await _look(set_up, client, course)
    return _tell(set_up, course, alive, console)


@asynccontextmanager
async def _daemon(set_up: Stage, directory: Path, journal: Path) -> AsyncIterator[Client]:
    """Run the real daemon as a process of its own, as a user would."""
    socket = directory / "reaper.sock"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REAPER_")}
    environment |= {
        "REAPER_CONFIG": "",
        "XDG_CONFIG_HOME": str(directory / "config"),
        "REAPER_MODE": "enforce",
        "REAPER_PRESET": "jupyter",
        "REAPER_IDLE_TIMEOUT": f"{IDLE_TIMEOUT_S}s",
        "REAPER_APPLY_GRACE": "5s",
        "REAPER_START_GRACE": "0s",
        "REAPER_POLL_INTERVAL": "10s",
        "REAPER_STATE": str(journal),
        "REAPER_LISTEN": f"unix:{socket}",
        "REAPER_JUPYTER__RUNTIME_DIRS": str(set_up.runtime_dir),
        "REAPER_LOG_FORMAT": "json",
    }
    log = directory / "reaper.log"
    with log.open("wb") as output:
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reaper", "run", env=environment, stdout=output, stderr=output
        )
    try:
        client = Client(ListenAddress(path=socket))
        await _answers(client, daemon, log)
        yield client
    finally:
        if daemon.returncode is None:
            daemon.terminate()
        await daemon.wait()


async def _answers(client: Client, daemon: asyncio.subprocess.Process, log: Path) -> None:
    for _ in range(200):
        if daemon.returncode is not None:
            break
        try:
            await asyncio.to_thread(client.probe)
        except DaemonUnreachable:
            await asyncio.sleep(0.1)
        else:
            return
    said = await asyncio.to_thread(log.read_text, errors="replace")
    msg = f"the daemon did not come up: {said[-800:]}"
    raise ReaperError(msg)


async def _watch(set_up: Stage, client: Client, course: Course, console: Console) -> None:
    """Watch until everything idle is gone and a little longer, showing what is due when."""
    live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
    done_at: float | None = None
    with live or contextlib.nullcontext():
        while (now := course.elapsed()) < AT_MOST_S:
            before = dict(course.gone_at)
            await _look(set_up, client, course)
            if live is not None:
                live.update(_scene(set_up, course, console.width))
            for key in course.gone_at.keys() - before.keys():
                name = next(cast.actor.name for cast in set_up.cast if (cast.actor.kind, cast.id) == key)
                (live.console if live else console).print(f"{now:5.1f} s  reaped  {name}", highlight=False)
            idle = [_key(cast) for cast in set_up.cast if not cast.actor.survives]
            if done_at is None and all(key in course.gone_at for key in idle):
                done_at = now
            if done_at is not None and now - done_at > STAYING_S:
                return
            await asyncio.sleep(0.5)


async def _look(set_up: Stage, client: Client, course: Course) -> None:
    status = await asyncio.to_thread(client.get, "/api/v1/status")
    there = {(row["kind"], row["id"]): row for row in status["resources"]}
    course.seen.update(there)
    alive = await set_up.alive()
    for cast in set_up.cast:
        if cast.id not in alive and _key(cast) not in course.gone_at:
            course.gone_at[_key(cast)] = course.elapsed()


def _key(cast: Cast) -> Key:
    return cast.actor.kind, cast.id


def _scene(set_up: Stage, course: Course, width: int) -> Group:
    """Draw what is watched, one line each: what is higher than the terminal would be cut."""
    wide = width >= _WIDE
    table = Table(box=None, pad_edge=False, expand=True)  # or a long reason would squeeze the names
    for heading in ("what", *(["what it does"] if wide else []), "verdict", "due in"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
    now = _clock.now()
    for cast in set_up.cast:
        row = course.seen.get(_key(cast))
        named = [cast.actor.name, *([cast.actor.plays] if wide else [])]
        if _key(cast) in course.gone_at:
            table.add_row(*(Text(one, style="dim") for one in (*named, "reaped")))
        elif row is None:
            table.add_row(*named, "not seen yet")
        else:
            due = left(row["due_at"], now) if row["due_at"] and row["reason"] != "active" else ""
            table.add_row(*named, row["verdict"], due, _briefly(row["reason_text"]))
    return Group(Text(f"{course.elapsed():.0f} s into the demo", style="bold"), table)


def _briefly(why: str) -> str:
    """Give what is in a reason's parentheses, where it has some: the half that differs from line to line."""
    _, _, detail = why.partition(" (")
    return detail.removesuffix(")") or why


def _tell(set_up: Stage, course: Course, alive: set[str], console: Console) -> bool:
    """Print what became of everything; false if anything went the wrong way."""
    console.print("What was reaped, what was kept, and why:\n", style="bold")
    wrong = 0
    for cast in set_up.cast:
        survived = cast.id in alive
        as_meant = survived is cast.actor.survives
        wrong += not as_meant
        outcome = "kept" if survived else f"reaped at {course.gone_at.get(_key(cast), 0):.0f} s"
        row = course.seen.get(_key(cast), {})
        why = row.get("reason_text", "never seen") if survived else f"no activity for {IDLE_TIMEOUT_S} s"
        mark = Text("ok   ", style="green") if as_meant else Text("WRONG", style="bold red")
        console.print(mark, Text(f"{outcome:15}{cast.actor.name:22}{cast.actor.plays}"), soft_wrap=True)
        told = Text(f"why: {why}", style="dim")
        if console.is_terminal:
            console.print(Padding(told, (0, 0, 0, 6), expand=False))
        else:
            console.print(Text("      ") + told, soft_wrap=True)
    reaped = sum(cast.id not in alive for cast in set_up.cast)
    console.print(f"\n{reaped} reaped, {len(set_up.cast) - reaped} kept, {wrong} wrong.", highlight=False)
    return wrong == 0
