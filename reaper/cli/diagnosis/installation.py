"""Checks of reaper itself: configuration, journal, daemon, socket, clock, unit."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path

from reaper import __version__
from reaper.cli.diagnosis.patient import Finding, Patient
from reaper.cli.output import brief, instant
from reaper.config.places import default_listen, parse_listen
from reaper.errors import JournalError, JournalLocked

__all__ = ["clock", "configuration", "daemon", "holder", "journal", "socket", "systemd"]

_BIG_JOURNAL = 500 * 1024 * 1024
"""Bytes: what 200 resources a minute for 30 days stay under."""
_UNITS = ("reaper", "reaper-host", "reaper-lifecycle")
"""Those that are shipped, and the one that a lifecycle script makes."""
_SYSTEMD = Path("/run/systemd/system")
"""Is there where systemd is the init system (sd_booted(3))."""


def configuration(patient: Patient) -> Iterator[Finding]:
    """Whether the configuration of this shell can be used."""
    document = patient.configuration
    for one in document["errors"]:
        text = f"{one['where']}: {one['message']}"
        yield Finding(
            name="configuration",
            level="fail",
            text=text,
            advice="'reaper config check' lists all that is wrong",
        )
    for warning in document["warnings"]:
        yield Finding(name="configuration", level="warn", text=str(warning))
    if document["ok"]:
        yield Finding(
            name="configuration", level="ok", text=document["file"] or "environment and defaults, no file"
        )


def journal(patient: Patient) -> Iterator[Finding]:
    """Whether there is a journal, whether it can be read and written, and whether there is room for it."""
    from reaper.cli.offline import JournalReach, journal_file, missing

    place = patient.journals[0]
    gone = missing(place)
    if gone is not None:
        tried = ", ".join(patient.journals)
        advice = "the first 'reaper run' makes it; REAPER_STATE says where it is if it is elsewhere"
        yield Finding(name="journal", level="warn", text=f"none yet ({tried}: {gone})", advice=advice)
        return
    try:
        JournalReach(place, quiet=True).paused()
    except JournalError as error:
        yield Finding(name="journal", level="fail", text=str(error), advice=_journal_advice(error))
        return
    except PermissionError as error:
        yield Finding(
            name="journal", level="warn", text=str(error), advice="run doctor as the daemon's user or as root"
        )
        return
    yield Finding(name="journal", level="ok", text=f"{place} can be read")
    file = journal_file(place)
    if file is not None:
        yield from _journal_file(patient, file)


def _journal_advice(error: JournalError) -> str:
    if isinstance(error, JournalLocked):
        return "stop the process it names, or ask it: set REAPER_LISTEN as it has it"
    return "keep the file, move it away, and start anew; a backup made by an upgrade may be beside it"


def _journal_file(patient: Patient, path: Path) -> Iterator[Finding]:
    files = [one for one in (path, path.with_name(f"{path.name}-wal")) if one.exists()]
    size = sum(one.stat().st_size for one in files)
    free = shutil.disk_usage(path.parent).free
    text = f"{size / 1e6:.1f} MB, {free / 1e9:.1f} GB free beside it"
    if free < max(size, 50_000_000):
        yield Finding(
            name="journal size",
            level="fail",
            text=text,
            advice="make room: without a journal nothing is reaped",
        )
    elif size > _BIG_JOURNAL:
        yield Finding(name="journal size", level="warn", text=text, advice="lower REAPER_RETENTION")
    else:
        yield Finding(name="journal size", level="ok", text=text)
    client, _ = patient.reached
    if client is not None:
        failure = (patient.status or {}).get("journal_error")
        if failure:
            yield Finding(name="journal writable", level="fail", text=f"the daemon can't write: {failure}")
        else:
            yield Finding(name="journal writable", level="ok", text="the daemon writes to it")
        return
    pid = holder(path)
    if pid is not None:
        advice = "wait if it is a 'run --once'; if it is a daemon, set REAPER_LISTEN as it has it"
        yield Finding(
            name="journal writable",
            level="warn",
            text=f"process {pid} holds it and does not answer",
            advice=advice,
        )
    elif os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK):
        yield Finding(name="journal writable", level="ok", text="by this user, and nobody holds it")
    else:
        advice = f"only its owner ({_owner(path)}) can write; run reaper as that user"
        yield Finding(
            name="journal writable",
            level="warn",
            text=f"not by this user (uid {os.geteuid()})",
            advice=advice,
        )


def holder(path: Path) -> int | None:
    """Give the living process whose pid is in the journal's lock. To try the lock would be to take it."""
    try:
        pid = int(path.with_name(f"{path.name}.lock").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return pid if Path(f"/proc/{pid}").exists() else None


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:
        return f"uid {path.stat().st_uid}"


def daemon(patient: Patient) -> Iterator[Finding]:
    """Whether a daemon answers, of which version, and whether it may act."""
    client, tried = patient.reached
    if client is None:
        text = "; ".join(tried) or "REAPER_LISTEN is none"
        advice = "start it: 'systemctl start reaper', 'reaper run'; with 'run --once' from cron there is none"
        yield Finding(name="daemon", level="warn", text=f"none answers ({text})", advice=advice)
        return
    if client.probe() != 200:  # noqa: PLR2004 - /healthz answers 200 or 503
        advice = "its log says what it waits for; systemd's watchdog restarts it"
        yield Finding(
            name="daemon",
            level="fail",
            text=f"{client.address} answers, but its loops stand still",
            advice=advice,
        )
        return
    yield Finding(name="daemon", level="ok", text=f"answers at {client.address}")
    status = patient.status or {}
    theirs = status.get("version")
    if theirs and theirs != __version__:
        yield Finding(
            name="version",
            level="warn",
            text=f"the daemon is {theirs}, this command is {__version__}",
            advice="restart the daemon after an upgrade",
        )
    elif theirs:
        yield Finding(name="version", level="ok", text=f"{theirs}, the daemon and this command")
    if status.get("ready") is False:
        yield Finding(
            name="daemon", level="warn", text="its first complete look at everything is not done yet"
        )
    if status.get("paused"):
        pause = status.get("pause") or {}
        text = f"paused by {pause.get('who')}: {pause.get('why') or 'no reason given'}"
        yield Finding(name="paused", level="warn", text=text, advice="'reaper resume' ends it")


def socket(patient: Patient) -> Iterator[Finding]:
    """Who may use its socket."""
    client, _ = patient.reached
    address = client.address if client is not None else None
    if address is None:
        try:
            address = parse_listen(default_listen(patient.environ))
        except ValueError:
            return
    if address.path is None or not address.path.exists():
        return
    found = address.path.stat()
    mode = stat.S_IMODE(found.st_mode)
    text = f"{address.path} is {mode:04o}, owned by {_owner(address.path)}"
    if mode & 0o007:
        advice = f"everybody on this machine can pause, hold and apply: chmod 0660 {address.path}"
        yield Finding(name="socket", level="fail", text=text, advice=advice)
    elif client is None:
        advice = "nobody listens there; a daemon that starts takes it over"
        yield Finding(name="socket", level="warn", text=text, advice=advice)
    else:
        yield Finding(name="socket", level="ok", text=text)


def clock(patient: Patient) -> Iterator[Finding]:
    """Whether the looks lie in the past."""
    looks = [instant(one["last_poll_at"]) for one in (patient.status or {}).get("sources", ())]
    ahead = max((at - patient.now for at in looks if at is not None), default=timedelta(0))
    if ahead > timedelta(seconds=5):
        advice = "the clock was set back: nothing is idle for long until it has caught up; check NTP"
        yield Finding(
            name="clock", level="fail", text=f"the last look lies {brief(ahead)} in the future", advice=advice
        )
        return
    synchronised = Path("/run/systemd/timesync/synchronized").exists() or Path("/run/chrony").exists()
    known = "; time synchronisation is on" if synchronised else ""
    yield Finding(name="clock", level="ok", text=f"{patient.now:%Y-%m-%d %H:%M:%S} UTC{known}")


def systemd(_patient: Patient) -> Iterator[Finding]:
    """How the unit does, where there is systemd."""
    if not _SYSTEMD.is_dir() or shutil.which("systemctl") is None:
        return
    wanted = "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState"
    for scope, name in product(([], ["--user"]), _UNITS):
        command = ["systemctl", *scope, "show", f"{name}.service", f"--property={wanted}"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            continue
        unit = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        if unit.get("LoadState") != "loaded":
            continue
        state = f"{unit.get('ActiveState')} ({unit.get('SubState')}), {unit.get('UnitFileState') or 'not enabled'}"
        text = f"{'user unit ' if scope else ''}{name}.service is {state}"
        restarts = int(unit.get("NRestarts") or 0)
        if restarts:
            text += f", restarted {restarts} times"
        if unit.get("ActiveState") == "failed" or unit.get("Result") not in ("success", "", None):
            yield Finding(name="systemd", level="fail", text=text, advice=f"journalctl -u {name} -n 50")
        else:
            level = "ok" if unit.get("ActiveState") == "active" else "warn"
            yield Finding(
                name="systemd",
                level=level,
                text=text,
                advice=None if level == "ok" else f"systemctl start {name}",
            )
