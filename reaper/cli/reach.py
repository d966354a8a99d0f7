"""Reach the daemon, or the journal it leaves: one place for every command that asks or changes something.

`Reach` has the daemon's own verbs (`plugins.Control`). With a daemon they are HTTP requests; without one,
reading commands read the journal, and writing ones write their facts there, for the next start to see.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from reaper.cli.client import NO_SOCKET, Client, UnknownResource, ambiguous, find, path_segment
from reaper.cli.output import clean
from reaper.config.places import journal_candidates
from reaper.errors import ControlError, ReaperError, UsageError

__all__ = [
    "DaemonReach",
    "Reach",
    "forms",
    "label",
    "named",
    "names_of",
    "naming",
    "open_reach",
    "own_name",
    "plainly",
]

Document = dict[str, Any]

_PATHS = ("/", "./", "../", "~/")
"""How a path begins that no server would tell."""
_MOST_NAMED = 12
"""How many existing names an error lists."""


class Reach(Protocol):
    """What a command may ask; every answer is a JSON document."""

    def status(self) -> Document:
        """Give the status document."""

    def explain(self, resource: str) -> Document:
        """Give the explain document of a RESOURCE, also of one that is gone."""

    def plan(self) -> Document:
        """Give the plan document."""

    def apply(self, document: Mapping[str, Any]) -> Document:
        """Do what a plan says."""

    def report(self, since_s: float, by: str | None) -> Document:
        """Give what was saved in the last `since_s` seconds, put together by something."""

    def holds(self) -> Document:
        """Give the holds in force."""

    def place_hold(self, request: Mapping[str, Any]) -> Document:
        """Place a hold, or renew the one with the `id` given."""

    def release_hold(self, hold_or_resource: str) -> Document:
        """Release a hold by its id, or all on one RESOURCE."""

    def paused(self) -> Document:
        """Give the kill switch's state."""

    def pause(self, request: Mapping[str, Any]) -> Document:
        """Pause."""

    def resume(self) -> Document:
        """Resume."""

    def change_setting(self, request: Mapping[str, Any]) -> Document:
        """Set or unset a setting."""


class DaemonReach:
    """Asks the daemon."""

    def __init__(self, client: Client) -> None:
        """Take the connection."""
        self.client = client

    def status(self) -> Document:
        """Give the status document."""
        return _by_daemon(self.client.get("/api/v1/status"))

    def explain(self, resource: str) -> Document:
        """Give the explain document of a RESOURCE, also of one that is gone."""
        return _by_daemon(self.client.get("/api/v1/explain", resource=resource))

    def plan(self) -> Document:
        """Give the plan document."""
        return _by_daemon(self.client.get("/api/v1/plan"))

    def apply(self, document: Mapping[str, Any]) -> Document:
        """Do what a plan says."""
        return _by_daemon(self.client.send("POST", "/api/v1/apply", document))

    def report(self, since_s: float, by: str | None) -> Document:
        """Give what was saved in the last `since_s` seconds, put together by something."""
        query = {"since_s": f"{since_s:.0f}"} | ({} if by is None else {"by": by})
        return _by_daemon(self.client.get("/api/v1/report", **query))

    def holds(self) -> Document:
        """Give the holds in force."""
        return _by_daemon(self.client.get("/api/v1/holds"))

    def place_hold(self, request: Mapping[str, Any]) -> Document:
        """Place a hold, or renew the one with the `id` given."""
        return _by_daemon(self.client.send("POST", "/api/v1/holds", request))

    def release_hold(self, hold_or_resource: str) -> Document:
        """Release a hold by its id, or all on one RESOURCE."""
        return _by_daemon(self.client.send("DELETE", f"/api/v1/holds/{path_segment(hold_or_resource)}"))

    def paused(self) -> Document:
        """Give the kill switch's state."""
        return _by_daemon(self.client.get("/api/v1/pause"))

    def pause(self, request: Mapping[str, Any]) -> Document:
        """Pause."""
        return _by_daemon(self.client.send("PUT", "/api/v1/pause", request))

    def resume(self) -> Document:
        """Resume."""
        return _by_daemon(self.client.send("DELETE", "/api/v1/pause"))

    def settings(self) -> Document:
        """Give every effective setting."""
        return _by_daemon(self.client.get("/api/v1/settings"))

    def change_setting(self, request: Mapping[str, Any]) -> Document:
        """Set or unset a setting."""
        return _by_daemon(self.client.send("PATCH", "/api/v1/settings", request))


def _by_daemon(document: Document) -> Document:
    document["daemon"] = True
    return document


def open_reach(journal: str | None = None) -> Reach:
    """Reach the daemon; without one, the first journal there is.

    Args:
        journal: Read this journal, whatever daemon there is.

    Raises:
        ControlError: There is neither; the message names every place that was tried.
        ConfigError: `REAPER_LISTEN` or the token's file can't be read.
    """
    tried: list[str] = []
    if journal is None:
        client, tried = find()
        if client is not None:
            return DaemonReach(client)
        places = journal_candidates(os.environ)
    else:
        places = [journal if ":" in journal else str(Path(journal).expanduser().absolute())]
    from reaper.cli.offline import JournalReach, missing

    for place in places:
        reason = missing(place)
        if reason is None:
            return JournalReach(place, tried)
        tried.append(f"journal {place}: {reason}")
    lines = [
        "no daemon answers, and there is no journal to read; tried:"
        if journal is None
        else "no such journal:"
    ]
    lines.extend(f"  {clean(one)}" for one in tried)
    if journal is None:
        lines.append("start one with 'reaper run', or say where it is with REAPER_LISTEN or REAPER_STATE")
    raise ControlError("\n".join(lines))


def named(reach: Reach, resource: str) -> str:
    """Turn `self`, and a notebook's path as a shell has it, into a qualified RESOURCE; others stay as they are.

    Raises:
        UnknownResource: `self` means nothing here.
        UsageError: It is empty; or the path fits several kernels: `candidates` has them.
    """
    if not resource.strip():  # an unset variable of a script: it must not hold everything
        raise UsageError("RESOURCE is empty: name one, or 'host' for everything on this machine")
    if resource.startswith(_PATHS):
        return _by_path(reach, resource)
    if resource != "self":
        return resource
    from reaper.cli.whoami import find_self

    try:
        return find_self(reach.status()["resources"])
    except (
        UnknownResource
    ):  # a kernel younger than the latest look: an unknown name makes the daemon look at once
        with suppress(ControlError, UsageError):
            reach.explain(resource)
        return find_self(reach.status()["resources"])


def _by_path(reach: Reach, text: str) -> str:
    """Find the kernel of a notebook by `./x.ipynb`, `../x.ipynb`, `~/x.ipynb`, `/home/ana/x.ipynb`."""
    from reaper.cli.whoami import by_notebook, named as qualified

    path = os.path.normpath(Path(text).expanduser().absolute())
    kernels = [one for one in reach.status()["resources"] if one["kind"] == "jupyter.kernel"]
    found = [qualified(one) for one in by_notebook(path, kernels)]
    if len(found) > 1:
        raise ambiguous(f"{text!r} could be any of", found)
    return found[0] if found else text  # it may be gone: the journal remembers paths too


def label(name: object, kind: object, id_: object) -> str:
    """Write what a person calls a resource, with as much of the id as tells it from others of that name."""
    if name in (None, "", id_):
        return f"{kind} {id_}"
    return f"{name} ({kind} {str(id_)[:8]})"


def names_of(reach: Reach) -> dict[tuple[str, str, str], str]:
    """Give the names of what is watched, by kind, scope and id; nothing where that can't be told."""
    try:
        resources = reach.status()["resources"]
    except ReaperError:
        return {}
    return {(one["kind"], one["scope"], one["id"]): str(one["name"]) for one in resources}


def plainly(tried: Sequence[str]) -> str:
    """Say that no daemon answers, and what was odd about it: that there is no socket is not."""
    odd = [one for one in tried if not one.endswith(NO_SOCKET)]
    return f"no daemon answers ({'; '.join(odd)})" if odd else "no daemon answers"


@contextmanager
def naming(reach: Reach) -> Iterator[None]:
    """Add to an error about a RESOURCE what there is: everything for an unknown one, names for an ambiguous one."""
    try:
        yield
    except UnknownResource as error:
        resources = reach.status()["resources"]
        lines = [f"  {one['kind']}/{one['id']}  {clean(str(one['name']))}" for one in resources[:_MOST_NAMED]]
        if len(resources) > len(lines):
            lines.append(f"  and {len(resources) - len(lines)} more")
        heading = "watched now:" if lines else "nothing is watched now"
        raise UnknownResource("\n".join([str(error), heading, *lines])) from error
    except UsageError as error:
        if not error.candidates:
            raise
        names = {form: str(one["name"]) for one in reach.status()["resources"] for form in forms(one)}
        first = str(error).splitlines()[0]
        lines = [f"  {one}  {clean(names.get(one, ''))}".rstrip() for one in error.candidates]
        told = UsageError("\n".join([first, *lines]))
        told.candidates = error.candidates
        raise told from error


def forms(resource: Mapping[str, Any]) -> tuple[str, str, str]:
    """Give the RESOURCEs that `core.naming.qualified` may write for one."""
    kind, id_, scope = resource["kind"], resource["id"], resource["scope"]
    return id_, f"{kind}/{id_}", f"{kind}/{id_}@{scope}"


def own_name() -> str:
    """Give who asks, for the journal: this user's name."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
