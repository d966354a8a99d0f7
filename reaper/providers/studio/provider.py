"""The Studio provider: finds out whose apps these are, and which servers may list them."""

import os
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from reaper.clients.aside import Aside
from reaper.clients.aws import Aws
from reaper.clients.jupyter import (
    Discovery,
    ServerAddress,
    discover,
    other_homes,
    parse_address,
    runtime_dirs,
    servers_here,
)
from reaper.clients.studio import Identity, own_identity
from reaper.clock import Clock
from reaper.errors import CollectError
from reaper.plugins import Sources
from reaper.providers.studio.options import StudioOptions
from reaper.providers.studio.source import StudioSource, source_name

__all__ = ["StudioProvider"]

_SEARCH_DEADLINE_S = 8.0
_CLASSIC_BASE = "/jupyter/default/"
_CLASSIC_URL = f"http://127.0.0.1:8888{_CLASSIC_BASE}"
"""Where Studio Classic's JupyterServer is inside its app."""


class StudioProvider:
    """SageMaker Studio's apps, of the user profile or space that we run for."""

    name = "studio"
    kinds: Mapping[str, tuple[str, ...]] = {"studio.app": ("delete",)}

    def __init__(self, options: StudioOptions, clock: Clock) -> None:
        """Take the settings.

        Raises:
            ConfigError: An address can't be used.
        """
        self._options = options
        self._clock = clock
        self._aws = Aws(options.aws)
        self._aside = Aside(f"{options.metadata_file} or Jupyter's runtime files")
        self._identity: Identity | None = None
        self._sources: dict[str, StudioSource] = {}
        self._named = tuple(
            parse_address(url, token=options.token, ca_file=options.ca_file, verify=options.verify)
            for url in options.urls
        )

    async def discover(self, now: datetime, memos: Mapping[str, Mapping[str, object]]) -> Sources:
        """Find out where we run. What was once read holds: a container never becomes another app."""
        identity, found, problem = await self._aside.call(self._search, _SEARCH_DEADLINE_S)
        self._identity = self._identity or identity
        sources = [
            self._source(servers, memos)
            for servers in self._places(self._identity, servers_here(found, self._named))
        ]
        self._sources = {source.name: source for source in sources}
        complete = self._identity is not None or (problem is None and found.complete)
        if problem is None and self._identity is None and not sources:
            problem = (
                f"{self._options.metadata_file} is not there: this is no Studio app, or "
                "REAPER_STUDIO__METADATA_FILE names another file"
            )
        return Sources(
            sources=tuple(sources),
            complete=complete,
            required=tuple(self._sources) if self._identity is not None else (),
            problems=() if problem is None else (problem,),
        )

    async def close(self) -> None:
        """Close all sources, and AWS."""
        for source in self._sources.values():
            await source.close()
        await self._aws.close()

    def _search(self) -> tuple[Identity | None, Discovery, str | None]:
        problem = None
        try:
            identity = self._identity or own_identity(self._options.metadata_file)
        except CollectError as error:
            identity, problem = None, str(error)
        directories = self._options.runtime_dirs or runtime_dirs(os.environ, homes=other_homes())
        return identity, discover(directories, os.environ, ca_file=self._options.ca_file), problem

    def _places(
        self, identity: Identity | None, servers: list[ServerAddress]
    ) -> list[tuple[ServerAddress, ...]]:
        """Give the servers of each source: one source for the owner, else one for each server that may list apps."""
        if identity is not None:
            if identity.notebook_instance:
                return []
            if not servers and identity.app_type == "JupyterServer":
                servers = [parse_address(_CLASSIC_URL)]
            return [tuple(sorted(servers, key=lambda server: not _is_classic(server)))]
        if self._options.apps == "api":
            return []
        return [(server,) for server in servers if self._named or _is_classic(server)]

    def _source(
        self, servers: tuple[ServerAddress, ...], memos: Mapping[str, Mapping[str, object]]
    ) -> StudioSource:
        """Give a source, the same as before while its servers are."""
        name = source_name(self._identity, servers)
        known = self._sources.get(name)
        if known is not None and known.servers == servers:
            return known
        return StudioSource(self._identity, servers, self._options, self._aws, self._clock, memos.get(name))


def _is_classic(server: ServerAddress) -> bool:
    return urlsplit(server.url).path == _CLASSIC_BASE
