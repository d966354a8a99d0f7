"""`reaper hold -- COMMAND`: a short hold, renewed while a command runs, and the command's signals and status."""

import os
import signal
import threading
from contextlib import suppress
from typing import Any

from reaper.cli.client import UnknownResource
from reaper.cli.output import note
from reaper.errors import ReaperError

__all__ = ["NOT_EXECUTABLE", "NOT_FOUND", "run_held"]

HOLD_FOR = 300.0
"""Seconds a hold lasts without a renewal: if we are killed, it ends by itself this soon."""
RENEW_EVERY = 60.0
"""Seconds between renewals: four may fail in a row before the hold ends."""
_RETRY_EVERY = 10.0
"""Seconds until a renewal that failed is tried again."""

NOT_EXECUTABLE, NOT_FOUND, SIGNALLED = 126, 127, 128
_LONGEST_WHY = 200

_WATCHED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these; a command expects their defaults."""
_BY_KERNEL = 0x80
"""`si_code` SI_KERNEL: Ctrl-C of the terminal, which the whole foreground group got, the command too."""


def run_held(resource: str | None, command: list[str], why: str) -> int:
    """Hold, run a command, release; give the command's exit status.

    The command runs in our process group, so that a terminal's Ctrl-C and Ctrl-Z reach it as ever; what is sent to
    us alone (SIGTERM, SIGHUP ...) is passed on.

    Args:
        resource: RESOURCE; None: what this runs in, or everything where that is neither kernel nor terminal.
        command: argv.
        why: For whoever sees the hold; names the command where it is empty (not its arguments: they may be secret).

    Raises:
        ReaperError: There was no hold to be had, so the command was not started.
    """
    from reaper.cli.reach import naming, open_reach

    target = _target(resource)
    hold = _Hold(target, why or f"while {command[0]} runs"[:_LONGEST_WHY])
    with naming(open_reach()):
        hold.place()
    note(f"holding {target or 'everything'} while {command[0]} runs")
    # Blocked, signals wait for sigwait() below; nothing can interrupt us between start and wait.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_WATCHED, signal.SIGCHLD})
    try:
        try:
            pid = os.posix_spawnp(command[0], command, os.environ, setsigmask=before, setsigdef=_RESTORED)
        except OSError as error:
            note(f"{command[0]}: {error.strerror}")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        renewing = threading.Thread(target=hold.keep, name="renew", daemon=True)
        renewing.start()
        return _wait_for(pid)
    finally:
        hold.ended.set()
        hold.release()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for(pid: int) -> int:
    """Wait for the command and pass signals on to it; give its exit status as a shell would."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else SIGNALLED - code
        got = signal.sigwaitinfo({*_WATCHED, signal.SIGCHLD})
        if got.si_signo != signal.SIGCHLD and got.si_code != _BY_KERNEL:
            with suppress(ProcessLookupError):
                os.kill(pid, got.si_signo)


def _target(resource: str | None) -> str | None:
    """Find what to hold; None is everything."""
    from reaper.cli.reach import named, open_reach

    if resource is not None:
        return named(open_reach(), resource)
    try:
        return named(open_reach(), "self")
    except UnknownResource:
        return None


class _Hold:
    """One hold, placed and renewed by whoever writes the journal just then: the daemon, or we ourselves."""

    def __init__(self, resource: str | None, why: str) -> None:
        self.ended = threading.Event()
        self._resource = resource
        self._why = why
        self._id: str | None = None
        self._failing = False
        self._one_at_a_time = threading.Lock()

    def place(self) -> None:
        """Place it, or renew it.

        Raises:
            ReaperError: It was not placed.
        """
        from reaper.cli.reach import open_reach

        request: dict[str, Any] = {"resource": self._resource, "for_s": HOLD_FOR, "why": self._why}
        if self._id is not None:
            request["id"] = self._id
        with self._one_at_a_time:
            if not self.ended.is_set():
                self._id = str(open_reach().place_hold(request)["hold"]["id"])

    def keep(self) -> None:
        """Renew it until the command has ended; failures are told when they begin, and tried again soon."""
        while not self.ended.wait(_RETRY_EVERY if self._failing else RENEW_EVERY):
            try:
                self.place()
            except ReaperError as error:
                if not self._failing:
                    note(f"the hold could not be renewed, it ends within {HOLD_FOR / 60:g} minutes: {error}")
                self._failing = True
                continue
            if self._failing:
                note("the hold is renewed again")
            self._failing = False

    def release(self) -> None:
        """End it; if that fails it ends by itself."""
        from reaper.cli.reach import open_reach

        with self._one_at_a_time:
            if self._id is None:
                return
            try:
                open_reach().release_hold(self._id)
            except ReaperError as error:
                note(
                    f"the hold could not be released, it ends by itself within {HOLD_FOR / 60:g} minutes: {error}"
                )
