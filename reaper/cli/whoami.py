"""Find the RESOURCE `self`: the kernel or terminal that this very process runs in."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reaper.cli.client import UnknownResource, ambiguous

__all__ = ["ancestors", "by_notebook", "find_self", "named"]

_CONNECTION_FILE = re.compile(r"(?:^|[/=])kernel-([^/]+)\.json$")
"""A kernel's command line names its connection file: the id stands in it (jupyter_client)."""
_MOST = 100
"""Ancestors to look at; a chain is never that long, and a loop in /proc ends here."""


def ancestors(proc: Path = Path("/proc")) -> Iterator[tuple[int, list[str]]]:
    """Give pid and command line of this process and what it descends from, nearest first."""
    pid = os.getpid()
    for _ in range(_MOST):
        if pid <= 0:
            return
        yield pid, _command_line(proc / str(pid) / "cmdline")
        pid = _parent(proc / str(pid) / "stat")


def find_self(resources: Sequence[Mapping[str, Any]], proc: Path = Path("/proc")) -> str:
    """Give the qualified RESOURCE of the kernel or terminal this process runs in.

    The nearest ancestor that is a kernel (its command line names it) or the shell of a watched terminal counts;
    with neither, the notebook that `JPY_SESSION_NAME` names.

    Args:
        resources: The resources of a status document.
        proc: Where /proc is.

    Raises:
        UnknownResource: It runs in neither, or in a kernel that is not watched.
        UsageError: The notebook's path fits several kernels; `candidates` has them.
    """
    kernels = {str(one["id"]): one for one in resources if one["kind"] == "jupyter.kernel"}
    terminals = {
        (one.get("attributes") or {}).get("pid"): one
        for one in resources
        if one["kind"] == "jupyter.terminal"
    }
    unwatched = None
    for pid, arguments in ancestors(proc):
        # our own command line may name a file that only looks like a connection file
        for argument in arguments if pid != os.getpid() else ():
            match = _CONNECTION_FILE.search(argument)
            if match and match[1] in kernels:
                return named(kernels[match[1]])
            if match:
                unwatched = unwatched or match[1]
        if pid in terminals:
            return named(terminals[pid])
    session = os.environ.get("JPY_SESSION_NAME", "")
    if session and unwatched is None:
        found = by_notebook(session, list(kernels.values()))
        if len(found) > 1:
            raise ambiguous(f"'self' ({session}) could be any of", [named(one) for one in found])
        if found:
            return named(found[0])
    if unwatched is not None:
        msg = f"'self' is kernel {unwatched}, which is not watched; 'reaper status' lists what is"
    elif session:
        msg = f"'self' is {session} (JPY_SESSION_NAME), which is no notebook of a watched kernel"
    else:
        msg = (
            "'self' is only known inside a watched notebook's kernel or terminal; this shell runs in neither"
        )
    raise UnknownResource(msg)


def named(resource: Mapping[str, Any]) -> str:
    """Write the RESOURCE that names just this one."""
    return f"{resource['kind']}/{resource['id']}@{resource['scope']}"


def by_notebook(session: str, kernels: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Find kernels whose notebook a whole path is: the server tells paths below its root only."""
    best: list[Mapping[str, Any]] = []
    longest = 0
    for kernel in kernels:
        names = {str(kernel["name"]), *map(str, kernel.get("aliases") or ())}
        # the last part of a path stands beside it, and would fit every notebook of that name
        for path in {one for one in names if not any(other.endswith(f"/{one}") for other in names)}:
            fits = path == session or session.endswith("/" + path.lstrip("/"))
            if not fits or not path or len(path) < longest:
                continue
            if len(path) > longest:
                best, longest = [], len(path)
            if kernel not in best:
                best.append(kernel)
    return best


def _command_line(path: Path) -> list[str]:
    try:
        return [part.decode(errors="replace") for part in path.read_bytes().split(b"\0") if part]
    except OSError:
        return []  # gone, or not ours to read


def _parent(path: Path) -> int:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # "pid (command) state ppid ...": a command may hold spaces and parentheses
    return int(text.rpartition(")")[2].split()[1])
