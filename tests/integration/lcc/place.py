"""An app's container as a lifecycle script finds it: empty home, few commands, no environment, no network.

`Place` runs a script and looks at what comes of it: the log, the daemon, its socket.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import psutil
import pytest

from reaper.cli.lcc import Target, default_variables, render_script
from tests.support.jupyter_server import JupyterServer

__all__ = ["Built", "Place", "isolation"]

T = TypeVar("T")
DEADLINE_S = 90.0
"""For an install on a busy machine; only what is broken takes that long."""

QUICK = {
    "REAPER_MODE": "enforce",
    "REAPER_IDLE_TIMEOUT": "2s",
    "REAPER_APPLY_GRACE": "0s",
    "REAPER_START_GRACE": "0s",
    "REAPER_LOG_FORMAT": "json",
}


@dataclass(frozen=True)
class Built:
    """A bundle.

    Attributes:
        path: The archive.
        sha256: What its bytes add up to.
        packs: Whether a Python is in it.
    """

    path: Path
    sha256: str
    packs: bool = False


def isolation() -> list[str]:
    """Give the words in front of a command that take its network away; none where that is not allowed."""
    words = ["unshare", "--net", "--"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if subprocess.run([*words, "true"], capture_output=True, check=False, timeout=10).returncode == 0:
            return words
    return []


@dataclass(slots=True)
class Place:
    """Where a script runs.

    Attributes:
        home: The user's, and all there is: the folder everything is put in is below it, unless another is given.
        folder: `ROOT` of the script.
        path: `PATH` of the script, as in a fresh image.
    """

    home: Path
    folder: Path = field(init=False)
    path: str = "/usr/bin:/bin"

    def __post_init__(self) -> None:
        """Have a conda with a Python that fits, where those look that look."""
        self.folder = self.home / "idle-reaper"
        conda = self.home / "miniconda3/bin"
        conda.mkdir(parents=True)
        (conda / "python3").symlink_to(getattr(sys, "_base_executable", sys.executable))

    def watching(self, server: JupyterServer) -> None:
        """Have the user's runtime files be a server's, so that it is found as it is at home."""
        data = self.home / ".local/share/jupyter"
        data.mkdir(parents=True)
        (data / "runtime").symlink_to(server.runtime_dir)

    def script(
        self,
        target: Target,
        bundle: str | Path,
        sha256: str,
        *,
        python: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> Path:
        """Write a script that acts soon, and touches nothing outside its place."""
        metadata = self.home / "metadata.json"
        metadata.write_text(json.dumps({"AppType": "JupyterLab", "ResourceName": "default"}))
        variables = default_variables(target) | QUICK | {"REAPER_STUDIO__METADATA_FILE": str(metadata)}
        text = render_script(
            target,
            variables=variables | dict(settings or {}),
            bundle=str(bundle),
            sha256=sha256,
            python=python,
            folder=str(self.folder),
        )
        for old, new in (
            ("COMMAND=/usr/local/bin/reaper\n", f"COMMAND={self.home}/bin/reaper\n"),
            ("SYSTEMD=/run/systemd/system\n", f"SYSTEMD={self.home}/systemd\n"),
            ("UNIT=/etc/systemd/system/", f"UNIT={self.home}/"),
        ):
            text = text.replace(old, new)
        path = self.home / "on-start.sh"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def run(self, script: Path) -> str:
        """Run a script as an app's start does, with nothing around it; give what it printed.

        It must be back long before what it started is ready, and never fail.
        """
        began = time.monotonic()
        done = subprocess.run(
            [*isolation(), "env", "-i", f"HOME={self.home}", f"PATH={self.path}", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
            cwd="/",
        )
        assert done.returncode == 0, done.stdout
        assert time.monotonic() - began < 20, "an app's start must not wait for the install"
        return done.stdout

    @property
    def log(self) -> str:
        """What is written down of it."""
        path = self.folder / "reaper.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def says(self, text: str) -> str:
        """Wait until the log says something; give the log."""
        return until(lambda: self.log if text in self.log else None, what=f"{text!r} in the log", told=self)

    def ended(self) -> str:
        """Wait until nothing runs any more; give the log."""
        until(lambda: not self.processes(), what="the end of it", told=self)
        return self.log

    def processes(self, *words: str) -> list[psutil.Process]:
        """Find the processes that run from the folder, of those the ones with all words in their command line."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()
                if any(str(self.folder) in word for word in line) and set(words) <= set(line):
                    found.append(process)
        return found

    def command(self, *arguments: str) -> str:
        """Run the command that the script left for people; give what it printed."""
        done = subprocess.run(
            [self.home / ".local/bin/reaper", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"PATH": self.path},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def daemon(self) -> psutil.Process:
        """Wait for the daemon's process, and give it."""
        found = until(
            lambda: self.processes(str(self.folder / "venv/bin/reaper"), "run"), what="a daemon", told=self
        )
        assert len(found) == 1, found
        return found[0]

    async def status(self) -> dict[str, Any]:
        """Wait until the daemon's socket answers and it means to act, and give its status."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                connector = aiohttp.UnixConnector(str(self.folder / "run/reaper.sock"))
                async with (
                    aiohttp.ClientSession("http://localhost", connector=connector) as session,
                    session.get("/api/v1/status") as answer,
                ):
                    document: dict[str, Any] = await answer.json()
                    if document["mode"] == "enforce":  # not before it has read its settings
                        return document
            if "no daemon runs" in self.log:
                break
            await asyncio.sleep(0.1)
        pytest.fail(f"the daemon never answered:\n{self.log[-4000:]}")

    def end(self) -> None:
        """End what runs: the watcher, which ends the daemon; by force what is left."""
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        for process in psutil.wait_procs(left, timeout=15)[1]:
            with contextlib.suppress(psutil.Error):
                process.kill()


def until(condition: Callable[[], T | None], *, what: str, told: Place) -> T:
    """Ask until the answer is true; fail after the deadline with what the log says."""
    end = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {DEADLINE_S:g} s\n{told.log[-4000:]}")
        time.sleep(0.05)
    return answer
