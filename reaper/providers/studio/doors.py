"""Which door an owner's apps are reached by, and what goes through it."""

from collections.abc import Sequence
from dataclasses import dataclass

from reaper.clients.aws import Aws
from reaper.clients.jupyter import Deletion, JupyterClient, ServerAddress
from reaper.clients.studio import ApiDoor, AppModel, Identity, ServerDoor, known_identity
from reaper.clock import Clock
from reaper.errors import CollectError, SourceUnavailable
from reaper.providers.studio.options import StudioOptions

__all__ = ["Doors", "Listing"]

_BOOT_S = 300.0
"""So long after the first look a JupyterServer may still be starting, and reaper starts before it in the same app."""


class _NoEndpoint(SourceUnavailable):
    """The server answers, and has no endpoint for apps: it will never be a door."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What one door lists.

    Attributes:
        door: `server` or `api`.
        apps: The apps.
        server_url: The JupyterServer's address; empty for the API.
    """

    door: str
    apps: tuple[AppModel, ...]
    server_url: str = ""


class Doors:
    """The doors to one owner's apps. The first that answers is used from then on: lives look different by the other.

    Args:
        identity: Whose apps; None where that is not known. Without account and region there is no API to ask.
        servers: Jupyter servers that may have the endpoint.
        options: Which doors may be tried.
        aws: For the API.
        clock: For the clients' measure of the servers' clocks, and to tell a server that has yet to start.
        before: The door that was used before a restart.
    """

    def __init__(
        self,
        identity: Identity | None,
        servers: Sequence[ServerAddress],
        options: StudioOptions,
        aws: Aws,
        clock: Clock,
        before: str = "",
    ) -> None:
        self.chosen = ""
        self._identity = identity
        self._clients = [JupyterClient(server, clock=clock.now) for server in servers]
        self._open = False
        self._monotonic = clock.monotonic
        self._first_look: float | None = None
        self._api = ApiDoor(aws, identity) if identity is not None and identity.account else None
        self._wanted = options.apps
        self._metadata_file = options.metadata_file
        self._before = before
        self._server: JupyterClient | None = None

    @property
    def api(self) -> ApiDoor | None:
        """The API, where it is the door that is used."""
        return self._api if self.chosen == "api" else None

    async def look(self) -> Listing:
        """List the apps by the door in use, or by the first that answers.

        Raises:
            CollectError: None answers; the message says of each why. Or the server's does not yet.
        """
        if self._first_look is None:
            self._first_look = self._monotonic()
        if not self._open:
            self._open = True
            for client in self._clients:
                await client.__aenter__()
        failures: list[CollectError] = []
        for door in self._order():
            try:
                found = await (self._by_server() if door == "server" else self._by_api())
            except CollectError as error:
                if door == "server" and self._may_be_starting(error):
                    raise SourceUnavailable(
                        f"{error}; the server may be starting: where it still fails {_BOOT_S / 60:g} minutes "
                        "after the first look, SageMaker's API is asked instead, from then on"
                    ) from error
                failures.append(error)
                continue
            self.chosen = door
            return found
        if len(failures) == 1:
            raise failures[0]
        said = "; ".join(map(str, failures)) or "no ResourceArn in a metadata file says whose apps these are"
        raise SourceUnavailable(f"the apps can't be listed: {said}")

    async def listed_by_server(self, name: str) -> bool:
        """Tell whether the JupyterServer still lists an app.

        Raises:
            CollectError: It does not say.
        """
        listing = await self._by_server()
        return any(app.name == name for app in listing.apps)

    async def delete_by_server(self, name: str) -> Deletion:
        """Delete an app by the JupyterServer's endpoint.

        Raises:
            ActionError: As `ServerDoor.delete`.
        """
        if self._server is None:
            raise RuntimeError("no server has listed the apps")
        return await ServerDoor(self._server).delete(name)

    async def close(self) -> None:
        """Close connections."""
        for client in self._clients:
            await client.aclose()

    def _may_be_starting(self, error: CollectError) -> bool:
        """Tell whether a failure says nothing yet of which door there is: the other one would be used for good."""
        here = self._identity
        if here is None or here.app_type != "JupyterServer" or self._api is None or self._wanted != "auto":
            return False
        if self._before == "api" or isinstance(error, _NoEndpoint) or self._first_look is None:
            return False
        is_early = self._monotonic() - self._first_look < _BOOT_S
        return is_early and not self.chosen and isinstance(error, SourceUnavailable)

    def _order(self) -> list[str]:
        if self.chosen:
            return [self.chosen]
        classic = self._identity is None or self._identity.app_type == "JupyterServer"
        usable = {"server": classic or self._wanted == "server", "api": self._api is not None}
        wanted = ["server", "api"] if self._wanted == "auto" else [self._wanted]
        return sorted((door for door in wanted if usable[door]), key=lambda door: door != self._before)

    async def _by_server(self) -> Listing:
        """Ask the servers for their endpoint, the one that has it first.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: None has it; or why it can't be read.
        """
        self._check_names()
        clients = [self._server] if self._server is not None else self._clients
        failure: CollectError | None = None
        for client in clients:
            try:
                apps = await ServerDoor(client).apps()
            except CollectError as error:
                failure = failure or error
                continue
            if apps is not None:
                self._server = client
                return Listing(door="server", apps=apps, server_url=client.address.url)
        if failure is not None:
            raise failure
        where = ", ".join(client.address.url for client in clients)
        if where:
            raise _NoEndpoint(f"no endpoint for apps at {where} (404): no JupyterServer of Studio Classic")
        raise SourceUnavailable("no Jupyter server is found here")

    def _check_names(self) -> None:
        """Stop where the apps have got other names than ours: their kernels name those, and ours would look empty.

        Raises:
            SourceUnavailable: The metadata file has been read since this source was made without it.
        """
        known = known_identity(self._metadata_file) if self._identity is None else None
        if known is not None and known.account:
            raise SourceUnavailable(
                f"{self._metadata_file} has been read since and says whose apps these are: "
                "they are looked at under its names from the next discovery on"
            )

    async def _by_api(self) -> Listing:
        if self._api is None:
            raise RuntimeError("nobody knows whose apps to ask the API for")
        return Listing(door="api", apps=await self._api.apps())
