"""`reaper demo`: real Jupyter servers, the real daemon in enforce mode, and a look at what it does.

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
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reaper.cli.client import Client, DaemonUnreachable
from reaper.cli.demo_stage import Cast, stage
from reaper.cli.demo_studio import studio_stage
from reaper.cli.output import left
from reaper.clock import SystemClock
from reaper.config.places import ListenAddress
from reaper.errors import ReaperError

__all__ = ["play"]

IDLE_TIMEOUT_S = 20
AT_MOST_S = 150.0
"""For the play itself: what is idle goes after about 25 s of it, on a machine that does much else far later."""
_COMING_UP_S = 40.0
_WIDE = 120
"""Columns from which on there is room for what each of them does."""
STAYING_S = 8.0
"""How long to go on watching once everything idle is gone: what works must still be there."""

Key = tuple[str, str]

_clock = SystemClock()


class Stage(Protocol):
    """Where a part of the demo plays.

    Attributes:
        title: What it is, for people.
        environment: Variables of the daemon that watches it.
        cast: Who is on it.
    """

    title: str
    environment: dict[str, str]
    cast: list[Cast]

    async def fill(self) -> None:
        """Let everybody enter and begin."""

    async def alive(self) -> set[str]:
        """Give the ids of those who are still there, by the server's word."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stage, and the daemon that watches it."""

    stage: Stage
    client: Client


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that was started, and its log."""

    client: Client
    process: asyncio.subprocess.Process
    log: Path

    async def answers(self) -> None:
        """Wait until it does.

        Raises:
            ReaperError: It ended, or takes too long; the message quotes its log.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_COMING_UP_S):
                while self.process.returncode is None:
                    with contextlib.suppress(DaemonUnreachable):
                        await asyncio.to_thread(self.client.probe)
                        return
                    await asyncio.sleep(0.1)
        said = await asyncio.to_thread(self.log.read_text, errors="replace")
        msg = f"the daemon did not come up: {said[-800:]}"
        raise ReaperError(msg)


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
        for kept in (journal, _of_studio(journal)):
            for old in journal.parent.glob(f"{kept.name}*"):
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
    console.print("The daemons' journals are left. Look at them:")
    for state, command in (
        (journal, "status"),
        (journal, "explain idle.ipynb"),
        (journal, "explain thread.ipynb"),
        (_of_studio(journal), "explain forgotten"),
    ):
        console.print(f"  REAPER_STATE={state} {_program()} {command}", highlight=False)
    return 0 if right else 1


def _of_studio(journal: Path) -> Path:
    return journal.with_stem(f"{journal.stem}-studio")


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
    console.print("Starting a Jupyter server with five kernels and five terminals,")
    console.print("and a SageMaker Studio user with two apps (on a fake of AWS) ...")
    async with AsyncExitStack() as stack:
        stages: list[Stage] = [
            await stack.enter_async_context(stage(directory / "host")),
            await stack.enter_async_context(studio_stage(directory / "studio")),
        ]
        await asyncio.gather(*(one.fill() for one in stages))
        console.print(f"Starting reaper for each: enforce mode, idle timeout {IDLE_TIMEOUT_S} s.\n")
        course = Course(began=_clock.monotonic())
        daemons = [
            await stack.enter_async_context(_daemon(one.environment, directory / state.stem, state))
            for one, state in zip(stages, (journal, _of_studio(journal)), strict=True)
        ]
        await asyncio.gather(*(daemon.answers() for daemon in daemons))
        parts = [Part(one, daemon.client) for one, daemon in zip(stages, daemons, strict=True)]
        await _watch(parts, course, console)
        alive = await _alive(stages)
        await _look(parts, course)
    return _tell(stages, course, alive, console)


@asynccontextmanager
async def _daemon(part: Mapping[str, str], directory: Path, journal: Path) -> AsyncIterator["Daemon"]:
    """Run the real daemon as a process of its own, as a user would."""
    await asyncio.to_thread(directory.mkdir)
    socket = directory / "reaper.sock"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REAPER_")}
    environment |= {
        "REAPER_CONFIG": "",
        "XDG_CONFIG_HOME": str(directory / "config"),
        "REAPER_MODE": "enforce",
        "REAPER_IDLE_TIMEOUT": f"{IDLE_TIMEOUT_S}s",
        "REAPER_APPLY_GRACE": "5s",
        "REAPER_START_GRACE": "0s",
        "REAPER_POLL_INTERVAL": "10s",
        "REAPER_STATE": str(journal),
        "REAPER_LISTEN": f"unix:{socket}",
        "REAPER_LOG_FORMAT": "json",
        **part,
    }
    log = directory / "reaper.log"
    with log.open("wb") as output:
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reaper", "run", env=environment, stdout=output, stderr=output
        )
    try:
        yield Daemon(Client(ListenAddress(path=socket)), daemon, log)
    finally:
        if daemon.returncode is None:
            daemon.terminate()
        await daemon.wait()


async def _watch(parts: list[Part], course: Course, console: Console) -> None:
    """Watch until everything idle is gone and a little longer, showing what is due when."""
    live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
    stages = [part.stage for part in parts]
    done_at: float | None = None
    with live or contextlib.nullcontext():
        while (now := course.elapsed()) < AT_MOST_S:
            before = dict(course.gone_at)
            await _look(parts, course)
            if live is not None:
                live.update(_scene(stages, course, console.width))
            for key in course.gone_at.keys() - before.keys():
                name = next(cast.actor.name for cast in _everybody(stages) if _key(cast) == key)
                (live.console if live else console).print(f"{now:5.1f} s  reaped  {name}", highlight=False)
            idle = [_key(cast) for cast in _everybody(stages) if not cast.actor.survives]
            if done_at is None and all(key in course.gone_at for key in idle):
                done_at = now
            if done_at is not None and now - done_at > STAYING_S:
                return
            await asyncio.sleep(0.5)


async def _look(parts: list[Part], course: Course) -> None:
    for part in parts:
        status = await asyncio.to_thread(part.client.get, "/api/v1/status")
        course.seen.update({(row["kind"], row["id"]): row for row in status["resources"]})
        alive = await part.stage.alive()
        for cast in part.stage.cast:
            if cast.id not in alive and _key(cast) not in course.gone_at:
                course.gone_at[_key(cast)] = course.elapsed()


async def _alive(stages: list[Stage]) -> set[str]:
    return {one for stage in stages for one in await stage.alive()}


def _everybody(stages: list[Stage]) -> list[Cast]:
    return [cast for stage in stages for cast in stage.cast]


def _key(cast: Cast) -> Key:
    return cast.actor.kind, cast.id


def _scene(stages: list[Stage], course: Course, width: int) -> Group:
    """Draw what is watched, one line each: what is higher than the terminal would be cut."""
    wide = width >= _WIDE
    table = Table(box=None, pad_edge=False, expand=True)  # or a long reason would squeeze the names
    for heading in ("what", *(["what it does"] if wide else []), "verdict", "due in"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
    now = _clock.now()
    for cast in _everybody(stages):
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


def _tell(stages: list[Stage], course: Course, alive: set[str], console: Console) -> bool:
    """Print what became of everything; false if anything went the wrong way."""
    console.print("What was reaped, what was kept, and why:", style="bold")
    wrong = 0
    for one in stages:
        console.print(f"\n{one.title}\n", style="bold", highlight=False)
        wrong += sum(not _tell_one(cast, course, cast.id in alive, console) for cast in one.cast)
    everybody = _everybody(stages)
    reaped = sum(cast.id not in alive for cast in everybody)
    console.print(f"\n{reaped} reaped, {len(everybody) - reaped} kept, {wrong} wrong.", highlight=False)
    return wrong == 0


def _tell_one(cast: Cast, course: Course, survived: bool, console: Console) -> bool:
    """Print what became of one; false if it is not what was meant."""
    as_meant = survived is cast.actor.survives
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
    return as_meant
