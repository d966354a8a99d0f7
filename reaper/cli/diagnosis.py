"""What `reaper doctor` looks at: one function a check, in the order in which one thing rests on another."""

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reaper import __version__
from reaper.cli.client import Client, find
from reaper.cli.output import brief, instant
from reaper.config.places import default_listen, journal_candidates, parse_listen
from reaper.errors import ConfigError, JournalError, JournalLocked, ReaperError

__all__ = ["CHECKS", "Finding", "Patient", "examine", "holder"]

_CONNECT_TIMEOUT = 3.0
_BIG_JOURNAL = 500 * 1024 * 1024
"""Bytes: what 200 resources a minute for 30 days stay under."""
_SYSTEMD = Path("/run/systemd/system")
"""Is there where systemd is the init system (sd_booted(3))."""
_OTHER_REAPER = "another reaper"
"""In a source's notes: what a provider says of a second reaper on its server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        name: The check.
        level: `ok`, `warn`, `fail`, or `skip` where there is nothing to check.
        text: What was found.
        advice: What to do about it.
    """

    name: str
    level: str
    text: str
    advice: str | None = None


@dataclass(kw_only=True)
class Patient:
    """What is examined; each part is looked at once, when a check first asks.

    Attributes:
        environ: The environment.
        now: When.
    """

    environ: Mapping[str, str]
    now: datetime
    notes: list[str] = field(default_factory=list)

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What `config check` says."""
        from reaper.config import check

        return check(self.environ)

    @cached_property
    def settings(self) -> Any:
        """The settings of this shell; None where they can't be used."""
        from reaper.config import load_settings

        try:
            return load_settings(self.environ)
        except ConfigError:
            return None

    @cached_property
    def reached(self) -> tuple[Client | None, list[str]]:
        """The daemon, and where none answered."""
        return find()

    @cached_property
    def journals(self) -> list[str]:
        """Where journals may be, those that are there first."""
        from reaper.cli.offline import missing

        return sorted(journal_candidates(self.environ), key=lambda place: missing(place) is not None)

    @cached_property
    def status(self) -> dict[str, Any] | None:
        """The status document, of the daemon or the journal; None: of neither."""
        from reaper.cli.offline import JournalReach, missing

        client, _ = self.reached
        try:
            if client is not None:
                return client.get("/api/v1/status")
            return (
                JournalReach(self.journals[0], quiet=True).status()
                if missing(self.journals[0]) is None
                else None
            )
        except ReaperError:
            return None

    @property
    def resources(self) -> Sequence[Mapping[str, Any]]:
        """What is watched, as far as that is known."""
        return self.status["resources"] if self.status is not None else ()


Check = Callable[[Patient], Iterator[Finding]]


def examine(patient: Patient) -> Iterator[Finding]:
    """Carry out every check; one that breaks is a finding, and the others go on."""
    for check in CHECKS:
        name = check.__name__.strip("_").replace("_", " ")
        try:
            yield from check(patient)
        except (ReaperError, OSError) as error:
            yield Finding(name=name, level="fail", text=f"could not be checked: {error}")


def _configuration(patient: Patient) -> Iterator[Finding]:
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


def _journal(patient: Patient) -> Iterator[Finding]:
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


def _daemon(patient: Patient) -> Iterator[Finding]:
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


def _sources(patient: Patient) -> Iterator[Finding]:
    if patient.status is None:
        yield Finding(name="sources", level="skip", text="neither daemon nor journal tells of any")
        return
    sources = patient.status["sources"]
    if not sources:
        advice = "is a Jupyter server running, as this user or in REAPER_JUPYTER__URL?"
        yield Finding(name="sources", level="warn", text="none was ever found", advice=advice)
    for one in sources:
        if one["complete"]:
            yield Finding(name="sources", level="ok", text=f"{one['name']}, complete")
            continue
        since = instant(one["failing_since"])
        lasting = f" for {brief(patient.now - since)}" if since else ""
        yield Finding(
            name="sources",
            level="fail",
            text=f"{one['name']} failing{lasting}: {one['error']}",
            advice="nothing of it is reaped until a look is complete; the error says what is in the way",
        )
    for problem in patient.status.get("problems") or ():
        yield Finding(name="sources", level="warn", text=str(problem))


def _blind(patient: Patient) -> Iterator[Finding]:
    blind = [one for one in patient.resources if one.get("blind")]
    for one in blind:
        text = f"{one['kind']} {one['name']}: {one.get('reason_text') or one['reason']}"
        yield Finding(
            name="blind",
            level="warn",
            text=text,
            advice=f"reaper explain {one['kind']}/{one['id']}@{one['scope']}",
        )
    if patient.status is not None and not blind:
        yield Finding(name="blind", level="ok", text="nothing has been unknown or vetoed for more than a day")


def _two_reapers(patient: Patient) -> Iterator[Finding]:
    if patient.status is None:
        return
    notes = [str(one) for one in patient.status.get("notes") or ()]
    others = [one for one in notes if _OTHER_REAPER in one]
    for one in others:
        yield Finding(name="two reapers", level="warn", text=one, advice="stop one of the two")
    if not others:
        yield Finding(name="two reapers", level="ok", text="no other reaper was seen on any server")
    for one in notes:
        if one not in others:
            yield Finding(name="notes", level="warn", text=one)


def _process_evidence(patient: Patient) -> Iterator[Finding]:
    told = [one for one in patient.resources if (one.get("attributes") or {}).get("process_evidence")]
    if not told:
        yield Finding(
            name="process evidence",
            level="skip",
            text="nothing is watched whose processes could be looked at",
        )
        return
    unreadable: dict[str, list[str]] = {}
    for one in told:
        said = str(one["attributes"]["process_evidence"])
        if said != "readable":
            unreadable.setdefault(said, []).append(str(one["name"]))
    readable = len(told) - sum(map(len, unreadable.values()))
    if readable:
        yield Finding(name="process evidence", level="ok", text=f"readable for {readable} of {len(told)}")
    for said, names in unreadable.items():
        advice = (
            "run the daemon as the kernels' user or as root (the host unit), where it may read their processes"
            if said.startswith("not readable")
            else "background work there can't be seen: 'reaper hold', or REAPER_JUPYTER__REQUIRE_PROCESS_EVIDENCE=true"
        )
        text = f"{said} ({len(names)}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''})"  # noqa: PLR2004 - a line
        yield Finding(name="process evidence", level="warn", text=text, advice=advice)


def _gpu(patient: Patient) -> Iterator[Finding]:
    from reaper.clients.host.gpu import GpuReader

    reader = GpuReader()
    try:
        look = reader.look(since=patient.now - timedelta(seconds=5))
    finally:
        reader.close()
    if look.absent:
        yield Finding(name="gpu", level="ok", text="no NVIDIA driver on this host")
    elif look.error is not None:
        advice = "'nvidia-smi' should say the same; trees that have a GPU open are unknown until it works"
        yield Finding(name="gpu", level="warn", text=f"NVML does not answer: {look.error}", advice=advice)
    else:
        yield Finding(name="gpu", level="ok", text=f"NVML answers for {len(look.gpus)} GPUs")
        for gpu in look.gpus:
            if gpu.error is not None or gpu.mig:
                text = f"GPU {gpu.index}: {gpu.error or 'divided (MIG): its utilisation can not be told'}"
                yield Finding(name="gpu", level="warn", text=text)


def _notifiers(patient: Patient) -> Iterator[Finding]:
    if patient.settings is None:
        yield Finding(name="notifiers", level="skip", text="the configuration can't be used")
        return
    if not patient.settings.notify:
        yield Finding(name="notifiers", level="ok", text="none is configured: only the log is told")
        return
    from reaper.plugins import load

    for address in patient.settings.notify:
        text = address.get_secret_value()
        scheme = text.partition(":")[0]
        try:
            shown = load("reaper.notifiers", scheme).from_address(address).address
        except ConfigError as error:
            yield Finding(name="notifiers", level="fail", text=str(error))
            continue
        problem = _unreachable(text) if scheme in ("http", "https") else None
        if problem:
            advice = "warnings can't be delivered, and without them nothing that is to be warned of is reaped"
            yield Finding(name="notifiers", level="fail", text=f"{shown}: {problem}", advice=advice)
        else:
            yield Finding(name="notifiers", level="ok", text=f"{shown} (nothing was sent)")


def _unreachable(url: str) -> str | None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_TIMEOUT).close()
    except OSError as error:
        return f"no connection to port {port}: {error.strerror or error}"
    return None


def _socket(patient: Patient) -> Iterator[Finding]:
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


def _clock(patient: Patient) -> Iterator[Finding]:
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


def _systemd(_patient: Patient) -> Iterator[Finding]:
    if not _SYSTEMD.is_dir() or shutil.which("systemctl") is None:
        return
    wanted = "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState"
    for scope in ([], ["--user"]):
        command = ["systemctl", *scope, "show", "reaper.service", f"--property={wanted}"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            continue
        unit = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        if unit.get("LoadState") != "loaded":
            continue
        state = f"{unit.get('ActiveState')} ({unit.get('SubState')}), {unit.get('UnitFileState') or 'not enabled'}"
        text = f"{'user unit ' if scope else ''}reaper.service is {state}"
        restarts = int(unit.get("NRestarts") or 0)
        if restarts:
            text += f", restarted {restarts} times"
        if unit.get("ActiveState") == "failed" or unit.get("Result") not in ("success", "", None):
            yield Finding(name="systemd", level="fail", text=text, advice="journalctl -u reaper -n 50")
        else:
            level = "ok" if unit.get("ActiveState") == "active" else "warn"
            yield Finding(
                name="systemd",
                level=level,
                text=text,
                advice=None if level == "ok" else "systemctl start reaper",
            )


CHECKS: tuple[Check, ...] = (
    _configuration,
    _journal,
    _daemon,
    _sources,
    _blind,
    _two_reapers,
    _process_evidence,
    _gpu,
    _notifiers,
    _socket,
    _clock,
    _systemd,
)
"""In this order: what comes later rests on what comes first."""
