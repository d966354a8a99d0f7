"""What a kernel's or terminal's own word means: the table of docs/explanation/idleness.md. Pure."""

from datetime import datetime, timedelta
from typing import NamedTuple

from reaper.clients.jupyter import KernelModel, TerminalModel
from reaper.core.model import Activity

__all__ = ["KNOWN_STATES", "Said", "kernel_state", "saved", "terminal_activity"]

KNOWN_STATES = frozenset({"busy", "idle", "starting", "restarting", "autorestarting", "dead", None})
_BEGAN_AFTER = timedelta(seconds=2)
"""How much later than its last activity a busy kernel's process must have begun to be another life of it."""
_OUTPUT_ALONE = timedelta(seconds=15)
"""Output this long after the last key pressed is nobody's typing (the kernel dates both to 8 s)."""
_INPUT_STEP = timedelta(seconds=8)
"""How much later than its date the last key may have been pressed."""
_AHEAD = timedelta(minutes=5)
"""How far ahead of our clock a time may lie: the clocks of network file systems differ, and so do servers' without a
`Date`. Any more is no time at which anything happened."""


class Said(NamedTuple):
    """What a signal says, before it becomes an observation."""

    activity: Activity
    evidence_at: datetime | None
    value: str


def kernel_state(
    kernel: KernelModel,
    *,
    now: datetime,
    process_began: datetime | None,
    work: Activity | None,
) -> Said:
    """Say what a kernel's execution_state and last_activity mean. Pure.

    Args:
        kernel: As the server lists it, its times corrected to our clock.
        now: The look's instant.
        process_began: When its process began, where that is known.
        work: What its processes show together; None: nothing is known of them.
    """
    state, last = kernel.execution_state, kernel.last_activity
    if kernel.problem is not None:
        return Said(Activity.UNKNOWN, None, f"not understood: {kernel.problem}")
    if state == "dead":
        return Said(Activity.IDLE, last, "dead")
    if state in ("restarting", "autorestarting"):
        return Said(Activity.ACTIVE, None, state)
    if state == "busy":
        reborn = process_began is not None and last is not None and process_began > last + _BEGAN_AFTER
        if reborn and work is Activity.IDLE:
            return Said(
                Activity.IDLE,
                process_began,
                "busy, but its process began after its last activity: it died in mid-cell",
            )
        return Said(Activity.ACTIVE, None, "busy")
    if state not in KNOWN_STATES:
        return Said(Activity.UNKNOWN, None, f"unknown state {state!r}")
    if last is None:
        return Said(Activity.UNKNOWN, None, "last_activity is missing")
    if last - now > _AHEAD:
        return _in_the_future("last_activity", last)
    if state == "idle" or process_began is None:
        return Said(Activity.IDLE, last, state or "no state: starting")
    # One that died in the middle of a cell and was restarted was at work until then.
    return Said(Activity.IDLE, max(last, process_began), state or "no state: starting")


def terminal_activity(
    terminal: TerminalModel,
    *,
    now: datetime,
    last_input: datetime | None,
    command: str,
    output_counts: bool,
) -> Said | None:
    """Say what a terminal's last_activity means. Pure.

    Args:
        terminal: As the server lists it, its time corrected to our clock.
        now: The look's instant.
        last_input: When a key was last pressed, where its device is known.
        command: What runs in it, for people.
        output_counts: Whether output is activity (`REAPER_JUPYTER__TERMINAL_OUTPUT`).

    Returns:
        What it says; None where output is ignored and its input is not known: then only its processes speak.
    """
    last = terminal.last_activity
    if terminal.problem is not None or last is None:
        return Said(
            Activity.UNKNOWN, None, f"not understood: {terminal.problem or 'last_activity is missing'}"
        )
    if last - now > _AHEAD:
        return _in_the_future("last_activity", last)
    if not output_counts:
        if last_input is None:
            return None
        return Said(Activity.IDLE, min(last, last_input + _INPUT_STEP), "last input; output is ignored")
    output_alone = last_input is not None and last - last_input > _OUTPUT_ALONE
    if output_alone and now - last < _OUTPUT_ALONE:
        return Said(
            Activity.ACTIVE,
            None,
            f"kept by output alone ({command}); REAPER_JUPYTER__TERMINAL_OUTPUT=ignore lets it go",
        )
    return Said(Activity.IDLE, last, "last output" if output_alone else "last input or output")


def saved(path: str, at: datetime | str, *, now: datetime) -> Said:
    """Say what the time at which a notebook was saved means; a text is why that is not known. Pure."""
    if isinstance(at, str):
        return Said(Activity.UNKNOWN, None, f"{path}: {at}")
    if at - now > _AHEAD:  # else it would be activity now, at every look until that day
        return _in_the_future(f"when {path} was saved", at)
    return Said(Activity.IDLE, min(at, now), f"{path} was saved")


def _in_the_future(what: str, at: datetime) -> Said:
    return Said(Activity.UNKNOWN, None, f"{what} lies in the future: {at:%F %T}Z")
