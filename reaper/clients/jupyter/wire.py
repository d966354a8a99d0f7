"""What a Jupyter server answers, read without trusting it. Pure.

One bad field makes its item carry a `problem`, and the other items stay readable: a malformed
kernel must not hide the rest. What makes the whole answer worthless raises `SourceMalformed`.

Shapes are those of Jupyter Server's REST API (its `services/api/api.yaml`), seen live on 2.14 and
2.21; SageMaker Studio Classic adds `app_name` to a session's kernel.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from reaper.clients.jupyter.models import KernelModel, ServerStatus, SessionModel, TerminalModel
from reaper.errors import SourceMalformed

__all__ = [
    "clip",
    "decode",
    "error_message",
    "parse_kernel",
    "parse_kernels",
    "parse_remaining",
    "parse_saved_at",
    "parse_sessions",
    "parse_status",
    "parse_terminals",
    "parse_timestamp",
]

_FIRST_YEAR, _LAST_YEAR = 1970, 9000
"""Within these, adding and subtracting a clock's offset can't fail."""

FUTURE_TOLERANCE = timedelta(minutes=5)
"""How far an activity may lie ahead of the `Date` of the answer that tells of it. Both come from
the server's clock, so any more is garbage; a proxy's or a remote kernel's clock explains less."""


def decode(body: bytes, content_type: str, where: str) -> object:
    """Read a body as JSON. Pure.

    Raises:
        SourceMalformed: It is not JSON; the message says what came instead.
    """
    try:
        payload: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        kind = content_type.partition(";")[0].strip().lower() or "no content type"
        what = "an empty body" if not body.strip() else f"{len(body)} bytes of {kind}"
        raise SourceMalformed(
            f"{where}: expected JSON, got {what}: {type(error).__name__}: {clip(str(error))}"
        ) from None
    return payload


def error_message(body: bytes) -> str | None:
    """Give the `message` of one of Jupyter's JSON errors; None if the body is none. Pure."""
    try:
        payload: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(payload, dict):
        return None
    message = payload.get("message")
    return message if isinstance(message, str) else None


def clip(text: str, *, limit: int = 60) -> str:
    """Shorten a server's text and make it printable, for a message. Pure."""
    shown = "".join(c if c.isprintable() else " " for c in text[:limit])
    return shown if len(text) <= limit else f"{shown}..."


def parse_timestamp(value: object, *, server_now: datetime | None = None) -> datetime:
    """Read one of Jupyter's timestamps: ISO 8601 with a zone, with or without microseconds. Pure.

    Args:
        value: What was sent.
        server_now: The `Date` of the answer; later than that by `FUTURE_TOLERANCE` is refused.

    Returns:
        The instant, in UTC.

    Raises:
        ValueError: It is no such timestamp; says why.
    """
    if not isinstance(value, str):
        raise ValueError("is missing" if value is None else f"is {_kind(value)}, not a timestamp")
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"is no timestamp: {clip(value)!r}") from None
    if instant.tzinfo is None:
        # Guessing a zone could be wrong by hours, either way.
        raise ValueError(f"has no time zone: {clip(value)!r}")
    try:
        instant = instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"is out of range: {clip(value)!r}") from None
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise ValueError(f"is out of range: {clip(value)!r}")
    if server_now is not None and instant - server_now > FUTURE_TOLERANCE:
        raise ValueError(f"is in the server's own future: {clip(value)!r} at {server_now.isoformat()}")
    return instant


def parse_status(payload: object, where: str, *, server_now: datetime | None = None) -> ServerStatus:
    """Read the answer to `GET api/status`. Pure.

    Raises:
        SourceMalformed: It is no such answer.
    """
    read = _Reader(_mapping(payload, where), server_now)
    started = read.instant("started")
    last_activity = read.instant("last_activity")
    if started is None or last_activity is None:
        raise SourceMalformed(f"{where}: {'; '.join(read.problems)}")
    return ServerStatus(
        started=started,
        last_activity=last_activity,
        kernels=read.count("kernels"),
        connections=read.count("connections"),
    )


def parse_kernels(
    payload: object, where: str, *, server_now: datetime | None = None
) -> tuple[KernelModel, ...]:
    """Read the answer to `GET api/kernels`, in the server's order. Pure.

    Raises:
        SourceMalformed: It is no list.
    """
    kernels = [parse_kernel(item, server_now=server_now) for item in _items(payload, where)]
    twice = _twice([kernel.id for kernel in kernels])
    return tuple(
        replace(kernel, last_activity=None, problem="this id is listed twice")
        if kernel.id in twice
        else kernel
        for kernel in kernels
    )


def parse_kernel(item: object, *, server_now: datetime | None = None) -> KernelModel:
    """Read one kernel; what can't be read ends up in its `problem`. Pure."""
    if not isinstance(item, dict):
        return KernelModel(
            id="", execution_state=f"<{_kind(item)}>", problem=f"is {_kind(item)}, not an object"
        )
    read = _Reader(item, server_now)
    state = item.get("execution_state")
    if not (state is None or isinstance(state, str)) or "execution_state" not in item:
        # Not None: that means "starting" and could count as idle. This text is no state at all.
        read.problems.append(f"execution_state is {_kind(state)}, not text")
        state = f"<{_kind(state)}>"
    return KernelModel(
        id=read.key("id"),
        name=read.text("name") or "",
        execution_state=state if state is None else clip(state),
        last_activity=read.instant("last_activity"),
        connections=read.count("connections"),
        reason=read.text("reason"),
        extras={key: value for key, value in item.items() if key not in _KERNEL_FIELDS},
        problem=read.problem,
    )


_KERNEL_FIELDS = frozenset({"id", "name", "execution_state", "last_activity", "connections", "reason"})


def parse_sessions(payload: object, where: str) -> tuple[SessionModel, ...]:
    """Read the answer to `GET api/sessions`, in the server's order. Pure.

    Raises:
        SourceMalformed: It is no list.
    """
    return tuple(_session(item) for item in _items(payload, where))


def _session(item: object) -> SessionModel:
    if not isinstance(item, dict):
        return SessionModel(id="", problem=f"is {_kind(item)}, not an object")
    read = _Reader(item)
    notebook = item.get("notebook")
    if "path" not in item and isinstance(notebook, dict):  # Notebook 4 nested it
        item = {"type": "notebook", **item, "path": notebook.get("path"), "name": notebook.get("name", "")}
        read = _Reader(item)
    kernel = item.get("kernel")
    if not (kernel is None or isinstance(kernel, dict)):
        read.problems.append(f"kernel is {_kind(kernel)}, not an object")
    read_kernel = _Reader(kernel if isinstance(kernel, dict) else {})
    session = SessionModel(
        id=read.key("id"),
        path=read.text("path") or "",
        name=read.text("name") or "",
        type=read.text("type") or "",
        kernel_id=read_kernel.key("id") or None if isinstance(kernel, dict) else None,
        kernel_name=read_kernel.text("name"),
        app_name=read_kernel.text("app_name"),
    )
    problems = [*read.problems, *(f"kernel: {problem}" for problem in read_kernel.problems)]
    return replace(session, problem="; ".join(problems)) if problems else session


def parse_terminals(
    payload: object, where: str, *, server_now: datetime | None = None
) -> tuple[TerminalModel, ...]:
    """Read the answer to `GET api/terminals`, in the server's order, which is that of creation. Pure.

    Raises:
        SourceMalformed: It is no list.
    """
    terminals = []
    for item in _items(payload, where):
        if isinstance(item, dict):
            read = _Reader(item, server_now)
            terminals.append(
                TerminalModel(
                    name=read.key("name"), last_activity=read.instant("last_activity"), problem=read.problem
                )
            )
        else:
            terminals.append(TerminalModel(name="", problem=f"is {_kind(item)}, not an object"))
    twice = _twice([terminal.name for terminal in terminals])
    return tuple(
        replace(terminal, last_activity=None, problem="this name is listed twice")
        if terminal.name in twice
        else terminal
        for terminal in terminals
    )


def parse_saved_at(payload: object, where: str) -> datetime | None:
    """Read a contents model's `last_modified`; None for a directory or where it is unknown. Pure.

    A directory's moves with any file in it, so it tells nothing of a notebook.

    Raises:
        SourceMalformed: It is no contents model.
    """
    model = _mapping(payload, where)
    if model.get("type") == "directory" or ("last_modified" in model and model["last_modified"] is None):
        return None
    read = _Reader(model)
    saved_at = read.instant("last_modified")
    if saved_at is None:
        raise SourceMalformed(f"{where}: {read.problem}")
    return saved_at


def parse_remaining(payload: object, where: str) -> float:
    """Read jupyter-keepalive's answer: seconds left, 0 when it is not on. Pure.

    Raises:
        SourceMalformed: It is no number of seconds.
    """
    remaining = _mapping(payload, where).get("remaining")
    if isinstance(remaining, bool) or not isinstance(remaining, int | float):
        raise SourceMalformed(f"{where}: remaining is {_kind(remaining)}, not a number of seconds")
    try:
        seconds = float(remaining)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds) or seconds < 0:
        raise SourceMalformed(f"{where}: remaining is no number of seconds: {clip(repr(remaining))}")
    return seconds


class _Reader:
    """Reads the fields of one item and notes what could not be read."""

    __slots__ = ("item", "problems", "server_now")

    def __init__(self, item: Mapping[str, Any], server_now: datetime | None = None) -> None:
        self.item = item
        self.server_now = server_now
        self.problems: list[str] = []

    @property
    def problem(self) -> str | None:
        return "; ".join(self.problems) or None

    def key(self, key: str) -> str:
        """Read what names the item: without it nothing can be said or done about it."""
        value = self.item.get(key)
        if isinstance(value, str) and value:
            return self._legible(key, value)
        self.problems.append(f"{key} is {'missing' if value in (None, '') else _kind(value) + ', not text'}")
        return ""

    def text(self, key: str) -> str | None:
        """Read text that may be missing."""
        value = self.item.get(key)
        if value is None:
            return None
        if isinstance(value, str):
            return self._legible(key, value)
        self.problems.append(f"{key} is {_kind(value)}, not text")
        return None

    def _legible(self, key: str, value: str) -> str:
        """Write half a surrogate pair out: JSON can hold one, but no file, URL or journal can."""
        legible = value.encode("utf-8", "backslashreplace").decode("utf-8")
        if legible != value:
            self.problems.append(f"{key} is no Unicode text: {clip(legible)!r}")
        return legible

    def count(self, key: str) -> int | None:
        value = self.item.get(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.problems.append(f"{key} is no count: {clip(repr(value))}")
        return None

    def instant(self, key: str) -> datetime | None:
        try:
            return parse_timestamp(self.item.get(key), server_now=self.server_now)
        except ValueError as error:
            self.problems.append(f"{key} {error}")
            return None


def _mapping(payload: object, where: str) -> Mapping[str, Any]:
    if isinstance(payload, dict):
        return payload
    raise SourceMalformed(f"{where}: expected an object, got {_kind(payload)}")


def _items(payload: object, where: str) -> list[object]:
    if isinstance(payload, list):
        return payload
    message = payload.get("message") if isinstance(payload, dict) else None
    said = f" that says {clip(message)!r}" if isinstance(message, str) else ""
    raise SourceMalformed(f"{where}: expected a list, got {_kind(payload)}{said}")


def _twice(keys: list[str]) -> frozenset[str]:
    if len(set(keys)) == len(keys):
        return frozenset()
    return frozenset(key for key, times in Counter(keys).items() if times > 1 and key)


def _kind(value: object) -> str:
    """Name a JSON value's type in a person's words. Pure."""
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "a truth value"}
    if value is None:
        return "nothing"
    return names.get(type(value), "a number")
