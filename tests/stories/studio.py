"""One JupyterServer of Studio Classic, and on it everything at which the original auto-shutdown extension failed.

First two daemons look at it in dry run, in New York, while nobody does anything: a strict one, which wants process
evidence, and one that keeps terminals. Then one in Tokyo acts; it is restarted in the middle, and nobody ever tells
it to begin. Apps and notebooks are named after the failure, fault or story that they play.
"""

import asyncio
import contextlib
import json
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reaper.core.facts import ActionState, LedgerEntry
from reaper.errors import ReaperError
from reaper.testing.studio import App, Studio, StudioServer, running_studio, running_studio_server
from tests.stories.daemons import asked, command, daemon_process, journaled
from tests.stories.studio_cast import Cast, prepare
from tests.stories.waiting import patiently, utc_now

__all__ = ["SOON", "TIMEOUT", "Classic", "asked", "play_classic", "row", "studio_environment"]

TIMEOUT = timedelta(seconds=8)
SOON = timedelta(seconds=3)
"""The idle timeout of the daemon that looks beforehand."""
POLL_S = 2
NEVER = datetime.min.replace(tzinfo=UTC)

STAYING = {"ten", "f02-unlisted", "f03-refused"}
"""Apps that are in service in the end: one kernel at work, another, and one that can't be deleted."""


@dataclass(slots=True)
class Classic:
    """What the play shows.

    Attributes:
        kernels: Kernel ids, by the notebook that was opened; `f08` has none.
        terminal: Name of an image terminal.
        last_activity: When the server last saw something of each of these kernels, before anybody looked.
        fractions: Whether the server gave any of those instants with a fraction of a second.
        states: What the server said of these kernels' states then.
        sessions: How many sessions there were on each kernel then.
        server_last_activity: Of the server itself, before and after it was looked at for a while.
        strict: Status of the strict daemon that looked beforehand.
        strict_w20: How that explains w20.
        keeping: Status of the one that keeps terminals.
        limit: How the acting daemon explains w20, without the strict switch.
        closed_at: When the person closed the notebook of f01; None: its kernel was gone before.
        restarted_at: When the acting daemon was started for the second time.
        made_again_at: When an app was made under the name that f11 had.
        ledger: What was done, oldest first.
        status: Of the acting daemon, in the end.
        explained: Its `explain` of what is left, by name.
        apps: State of every app in the end, by name; the newest of a name.
        listed: Ids of kernels and names of terminals in the end.
        deletes: Names of the apps for which the server got a DELETE, in order.
        log: What the acting daemon wrote.
    """

    kernels: dict[str, str] = field(default_factory=dict)
    terminal: str = ""
    last_activity: dict[str, datetime] = field(default_factory=dict)
    fractions: bool = True
    states: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    server_last_activity: list[str] = field(default_factory=list)
    strict: dict[str, Any] = field(default_factory=dict)
    strict_w20: dict[str, Any] = field(default_factory=dict)
    keeping: dict[str, Any] = field(default_factory=dict)
    limit: dict[str, Any] = field(default_factory=dict)
    closed_at: datetime | None = None
    restarted_at: datetime = NEVER
    made_again_at: datetime = NEVER
    ledger: list[LedgerEntry] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    explained: dict[str, Any] = field(default_factory=dict)
    apps: dict[str, str] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    deletes: list[str] = field(default_factory=list)
    log: str = ""

    def entries(self, name: str, state: ActionState) -> list[LedgerEntry]:
        """Give what the ledger has of one resource, by name, or of a kernel by the notebook it was opened for."""
        wanted = self.kernels.get(name, name)
        return [
            entry
            for entry in self.ledger
            if wanted in {entry.ref.id, entry.name, entry.ref.id.rpartition("/")[2]} and entry.state is state
        ]

    def started(self, name: str) -> list[LedgerEntry]:
        """Give each act on it, as it began."""
        return self.entries(name, ActionState.STARTED)

    def reaped(self, name: str) -> bool:
        """Say whether it was reaped, just once, and the server knows nothing of it any more."""
        gone = self.kernels.get(name, name) not in self.listed and self.apps.get(name, "Deleted") == "Deleted"
        return gone and len(self.started(name)) == len(self.entries(name, ActionState.SUCCEEDED)) == 1

    def survived(self, name: str) -> bool:
        """Say whether it is still there, and nothing was tried."""
        there = self.kernels.get(name, name) in self.listed or self.apps.get(name) == "InService"
        return there and not self.started(name)

    def row(self, name: str) -> dict[str, Any]:
        """Give its line in the status at the end."""
        return row(self.status, self.kernels.get(name, name))


def row(status: dict[str, Any], name: str) -> dict[str, Any]:
    """Give the line of one resource in a status; empty where there is none."""
    rows = (one for one in status.get("resources", []) if name in {one["name"], one["id"]})
    return next(rows, {})


def studio_environment(home: Path, server: StudioServer, **settings: str) -> dict[str, str]:
    """Give the environment of a daemon in the same app as a server."""
    given = {
        "MODE": "enforce",
        "PRESET": "studio",
        "STUDIO__METADATA_FILE": str(server.metadata_file),
        "IDLE_TIMEOUT": f"{TIMEOUT.total_seconds():g}s",
        "APPLY_GRACE": "1s",
        "START_GRACE": "0s",
        "POLL_INTERVAL": f"{POLL_S}s",
        "LOG_FORMAT": "json",
        "STATE": str(home / "journal.db"),
        "LISTEN": f"unix:{home}/reaper.sock",
        "JUPYTER__RUNTIME_DIRS": str(server.runtime_dir),
        **settings,
    }
    passed_on = (
        *("PATH", "PYTHONPATH", "HOME", "XDG_CACHE_HOME"),
        *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    )
    kept = {name: os.environ[name] for name in passed_on if name in os.environ}
    return kept | server.environment | {f"REAPER_{name}": value for name, value in given.items()}


async def play_classic(folder: Path, home: Path) -> Classic:
    """Play it.

    Args:
        folder: For the server and its notebooks.
        home: A short path, for sockets and journals.
    """
    play = Classic()
    prepare(folder)
    async with AsyncExitStack() as stack:
        studio = await stack.enter_async_context(
            running_studio(boots_in=timedelta(0), deletes_in=timedelta(0))
        )
        server = await stack.enter_async_context(running_studio_server(studio, folder, "ann"))
        cast = Cast(studio, server, play.kernels)
        play.terminal = await cast.enter()
        studio.fail("DELETE app", "400", "an error of ours", when={"app_name": "f03-refused"}, times=None)
        await _note(play, server)
        await _look_beforehand(play, server, home)
        try:
            await _reap(play, cast, server, home)
        finally:
            await _conclude(play, studio, server, home)
    return play


async def _note(play: Classic, server: StudioServer) -> None:
    """Write down what the server says before anybody looks."""
    listed = {kernel["id"]: kernel for kernel in await server.get("api/kernels")}
    told = {name: listed[kernel_id] for name, kernel_id in play.kernels.items() if kernel_id in listed}
    play.fractions = any("." in kernel["last_activity"] for kernel in told.values())
    play.last_activity = {
        name: datetime.fromisoformat(kernel["last_activity"]) for name, kernel in told.items()
    }
    play.states = {name: kernel["execution_state"] for name, kernel in told.items()}
    on = [session["kernel"]["id"] for session in await server.get("api/sessions")]
    play.sessions = {name: on.count(kernel_id) for name, kernel_id in play.kernels.items()}


async def _look_beforehand(play: Classic, server: StudioServer, home: Path) -> None:
    """Let daemons look that do nothing, and see whether the server takes that for somebody's activity."""
    await _server_activity(play, server)
    strict = _beforehand(home / "strict", server, JUPYTER__REQUIRE_PROCESS_EVIDENCE="true")
    keeping = _beforehand(home / "keeping", server, KEEP_TERMINALS="true")

    async def all_said() -> bool:
        play.strict, play.keeping = await asked(strict, "status"), await asked(keeping, "status")
        kept, due = row(play.keeping, "kept-terminal"), row(play.strict, "f05.ipynb")
        w20 = row(play.strict, "w20.ipynb")
        return kept.get("reason") == "active_child" and {due.get("verdict"), w20.get("verdict")} == {
            "reap",
            "unknown",
        }

    async with daemon_process(strict, home / "strict.log"), daemon_process(keeping, home / "keeping.log"):
        await patiently(all_said, deadline_s=60)
        _, shown = await command(strict, "explain", "w20.ipynb", "--output", "json")
        play.strict_w20 = json.loads(shown)
    await _server_activity(play, server)


def _beforehand(place: Path, server: StudioServer, **settings: str) -> dict[str, str]:
    place.mkdir()
    timeout = f"{SOON.total_seconds():g}s"
    environ = studio_environment(place, server, MODE="dry-run", IDLE_TIMEOUT=timeout, **settings)
    return environ | {"TZ": "America/New_York"}


async def _server_activity(play: Classic, server: StudioServer) -> None:
    play.server_last_activity.append((await server.get("api/status"))["last_activity"])


async def _reap(play: Classic, cast: Cast, server: StudioServer, home: Path) -> None:
    """Run the daemon that acts; restart it in the middle; let the person of f01 come and go meanwhile."""
    environ = studio_environment(home, server) | {"TZ": "Asia/Tokyo"}
    log = home / "log"

    async def seen() -> bool:
        play.status = await asked(environ, "status")
        return all(row(play.status, app.name) for app in cast.listed)

    async with asyncio.TaskGroup() as others:
        async with daemon_process(environ, log):
            await patiently(seen)
            seen_at = utc_now()
            play.limit = await asked(environ, "explain?resource=w20.ipynb")
            others.create_task(_work_in_f01(play, cast, seen_at + TIMEOUT * 1.2))
            await _sleep_until(seen_at + TIMEOUT / 2)
        play.restarted_at = utc_now()
        async with daemon_process(environ, log):
            await _make_f11_again(play, cast)
            await patiently(lambda: _all_gone(play, cast, server))
            await _explain(play, environ)


async def _sleep_until(instant: datetime) -> None:
    await asyncio.sleep(max((instant - utc_now()).total_seconds(), 0))


async def _work_in_f01(play: Classic, cast: Cast, until: datetime) -> None:
    """Run cells for longer than the timeout since the app was first seen, empty; then close the notebook."""
    session = await cast.open_f01()
    with contextlib.suppress(ReaperError):  # it was reaped: the test will say so
        while utc_now() < until:
            await cast.server.execute(session["kernel"]["id"], "1 + 1")
            await asyncio.sleep(1)
        play.closed_at = utc_now()
        await cast.server.send("DELETE", f"api/sessions/{session['id']}")


async def _make_f11_again(play: Classic, cast: Cast) -> None:
    """Make an app under the name of the one that reaper has just deleted."""

    async def deleted() -> bool:
        return cast.status("f11-app") == "Deleted"

    await patiently(deleted)
    if await deleted():  # else its test will say so
        cast.app("f11-app")
        play.made_again_at = utc_now()


async def _all_gone(play: Classic, cast: Cast, server: StudioServer) -> bool:
    """Say whether all that has to go is gone."""
    kernels = {kernel["id"] for kernel in await server.get("api/kernels")}
    staying = {play.kernels[name] for name in cast.busy}
    apps = {app.name for app in cast.studio.apps if app.type == "KernelGateway" and _serves(app, cast.studio)}
    return kernels == staying and apps == STAYING


def _serves(app: App, studio: Studio) -> bool:
    return app.status(studio.now()) == "InService"


async def _explain(play: Classic, environ: dict[str, str]) -> None:
    play.status = await asked(environ, "status")
    for name in STAYING - {"f02-unlisted"}:
        play.explained[name] = await asked(environ, f"explain?resource={name}")


async def _conclude(play: Classic, studio: Studio, server: StudioServer, home: Path) -> None:
    now = studio.now()
    play.apps = {app.name: app.status(now) for app in studio.apps if app.type == "KernelGateway"}
    play.listed = {kernel["id"] for kernel in await server.get("api/kernels")}
    play.listed |= {terminal["name"] for terminal in await server.get("api/terminals")}
    play.deletes = [call["app_name"] for call in studio.calls("DELETE app")]
    play.ledger = (await journaled(home / "journal.db")).ledger
    play.log = (home / "log").read_text()
    left = [kernel["id"] for kernel in await server.get("api/kernels")]
    await asyncio.gather(
        *(server.send("DELETE", f"api/kernels/{one}") for one in left)
    )  # else its end takes long
