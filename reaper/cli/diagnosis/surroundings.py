"""Checks of what reaper looks at and talks to: servers, processes, GPUs, notifiers."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from reaper.cli.diagnosis.patient import Finding, Patient
from reaper.cli.output import brief, instant
from reaper.errors import ConfigError

__all__ = ["blind", "gpu", "notifiers", "process_evidence", "sources", "two_reapers"]

_CONNECT_TIMEOUT = 3.0
_INCOMPLETE = "nothing of it is reaped until a look is complete; the error says what is in the way"
_OTHER_REAPER = "another reaper"
"""In a source's notes: what a provider says of a second reaper on its server."""


def sources(patient: Patient) -> Iterator[Finding]:
    """Whether every server could be looked at completely."""
    if patient.status is None:
        yield from _first_look(patient)
        return
    sources = patient.status["sources"]
    if not sources:
        advice = "is a Jupyter server running as the daemon's user, or named in REAPER_JUPYTER__URL?"
        if patient.settings is not None:
            from reaper.cli.diagnosis.first_look import places

            advice += f" A daemon of this shell would look in {', '.join(places(patient.settings))}"
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
            advice=_INCOMPLETE,
        )
    for problem in patient.status.get("problems") or ():
        yield Finding(name="sources", level="warn", text=str(problem))


def _first_look(patient: Patient) -> Iterator[Finding]:
    """Look ourselves: this is when people ask why nothing is found."""
    if patient.settings is None:
        yield Finding(name="sources", level="skip", text="the configuration can't be used")
        return
    from reaper.cli.diagnosis.first_look import counted, look, places

    found, problems = look(patient.settings)
    for name, collected in found:
        if collected.poll.complete:
            yield Finding(name="sources", level="ok", text=f"{name}, complete: {counted(collected)}")
        else:
            yield Finding(
                name="sources", level="fail", text=f"{name}: {collected.poll.error}", advice=_INCOMPLETE
            )
    if not found:
        text = f"no Jupyter server was found in {', '.join(places(patient.settings))}"
        advice = "start one as this user, or name it in REAPER_JUPYTER__URL"
        yield Finding(name="sources", level="warn", text=text, advice=advice)
    for problem in problems:
        yield Finding(name="sources", level="warn", text=problem)


def blind(patient: Patient) -> Iterator[Finding]:
    """What has been unknown or vetoed for long."""
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


def two_reapers(patient: Patient) -> Iterator[Finding]:
    """Whether another reaper works on the same server."""
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


def process_evidence(patient: Patient) -> Iterator[Finding]:
    """Whether processes can be seen."""
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


def gpu(patient: Patient) -> Iterator[Finding]:
    """Whether NVML answers."""
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


def notifiers(patient: Patient) -> Iterator[Finding]:
    """Whether notices can be delivered."""
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
