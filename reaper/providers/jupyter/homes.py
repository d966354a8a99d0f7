"""What a server's kernels and terminals live in: apps of Studio Classic, or the app or instance it runs in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reaper.clients.jupyter import JupyterClient, SessionModel
from reaper.clients.studio import (
    AppModel,
    Identity,
    ServerDoor,
    app_key,
    app_of_terminal,
    image_terminal,
    own_identity,
    own_key,
)
from reaper.core.model import ResourceKey
from reaper.errors import CollectError

__all__ = ["Homes", "app_name_of", "find_homes"]

_WHOLE = ("CodeEditor", "JupyterLab")
"""Apps in which a server's kernels run beside it, so that all of them live in that one app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Homes:
    """What lives where, at one look. The default: nothing lives in anything that we know.

    Attributes:
        identity: The Studio app or notebook instance that the server runs in.
        classic: It is the JupyterServer of Studio Classic, whose kernels and image terminals live in other apps.
        apps: Those apps, as far as the server lists them: terminals are told by their images.
        server_url: The server's base URL, which names apps where nothing better does.
    """

    identity: Identity | None = None
    classic: bool = False
    apps: tuple[AppModel, ...] = ()
    server_url: str = ""

    def of_kernel(self, app_name: str | None) -> ResourceKey | None:
        """Give what a kernel lives in; None: nothing, or nobody knows: then it may live in any app. Pure."""
        if self.classic:
            known = app_name is not None
            return app_key(self.identity, app_name or "", server_url=self.server_url) if known else None
        return own_key(self.identity) if self.identity is not None else None

    def of_terminal(self, name: str) -> ResourceKey | None:
        """Give what a terminal lives in, likewise. Pure."""
        if self.classic:
            app = app_of_terminal(name, self.apps)
            return None if app is None else app_key(self.identity, app.name, server_url=self.server_url)
        return own_key(self.identity) if self.identity is not None else None

    def belongs_to_system(self, terminal: str) -> bool:
        """Tell whether a terminal is Studio's own: those are never touched. Pure."""
        return self.classic and image_terminal(terminal) is None


async def find_homes(client: JupyterClient, metadata_file: Path | None, server_url: str) -> Homes:
    """Find out where a server runs, and which apps it has.

    What can't be read leaves a home unknown; the Studio provider says what is wrong with it.

    Args:
        client: Of the server, open.
        metadata_file: Where SageMaker says in what we run; None: this is not SageMaker.
        server_url: The server's base URL.
    """
    if metadata_file is None:
        return Homes()
    try:
        identity = own_identity(metadata_file)
    except CollectError:
        identity = None
    if identity is not None and (identity.notebook_instance or identity.app_type in _WHOLE):
        return Homes(identity=identity)
    try:
        apps = await ServerDoor(client).apps()
    except CollectError:
        apps = ()
    if apps is None and identity is None:
        return Homes()
    return Homes(identity=identity, classic=True, apps=apps or (), server_url=server_url)


def app_name_of(sessions: Sequence[SessionModel]) -> str | None:
    """Give the app that a kernel's sessions name; None: none does. Pure."""
    return next((session.app_name for session in sessions if session.app_name), None)
