"""What a Jupyter server holds, as its REST API tells it. Pure values: instants are aware UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["KernelModel", "ServerStatus", "SessionModel", "TerminalModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What `GET api/status` tells.

    Attributes:
        started: When this life of the server began, by its own clock.
        last_activity: The last activity of anything in it, requests included.
        kernels: How many kernels it counts.
        connections: How many websockets to kernels it counts.
    """

    started: datetime
    last_activity: datetime
    kernels: int | None = None
    connections: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelModel:
    """One kernel, as the server lists it.

    Attributes:
        id: The server's id for it; empty if it sent none (then `problem` says so).
        name: The kernel spec's name.
        execution_state: As sent. None is what the server calls a kernel that it has not heard of
            yet; text that is no state stands for a field that could not be read.
        last_activity: None if it could not be read: nothing is known, it is not "never".
        connections: Open websockets; None if unknown.
        reason: Why it is in that state, where the server says.
        extras: What else was sent with it.
        problem: What could not be read; None when all could.
    """

    id: str
    name: str = ""
    execution_state: str | None = None
    last_activity: datetime | None = None
    connections: int | None = None
    reason: str | None = None
    extras: Mapping[str, object] = field(default_factory=dict, compare=False)
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionModel:
    """One session: a notebook or console joined to a kernel. Two may share one kernel.

    Attributes:
        id: The server's id for it; empty if it sent none.
        path: The notebook's path from the server's root; of a console, a made-up name.
        name: What the client called it; empty for most notebooks.
        type: `notebook`, `console`, `file`, or Studio's `pending`.
        kernel_id: Its kernel; None if it has none, or none that could be read (see `problem`).
        kernel_name: That kernel's spec name; in Studio Classic it holds the image's ARN.
        app_name: The SageMaker app that the kernel runs in (Studio Classic only).
        problem: What could not be read.
    """

    id: str
    path: str = ""
    name: str = ""
    type: str = ""
    kernel_id: str | None = None
    kernel_name: str | None = None
    app_name: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalModel:
    """One terminal. Its name is used again once it is gone.

    Attributes:
        name: The server's name for it; empty if it sent none.
        last_activity: Opening it and output count; None if it could not be read.
        problem: What could not be read.
    """

    name: str
    last_activity: datetime | None = None
    problem: str | None = None
