"""The Jupyter provider: finds servers, by address or by the runtime files they leave on this host."""

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from reaper.clients.aside import Aside
from reaper.clients.jupyter import (
    Discovery,
    ServerAddress,
    discover,
    other_homes,
    parse_address,
    runtime_dirs,
)
from reaper.clock import Clock
from reaper.plugins import Sources
from reaper.providers.jupyter.options import JupyterOptions
from reaper.providers.jupyter.processes import HostShare
from reaper.providers.jupyter.source import JupyterSource

__all__ = ["JupyterProvider"]

_SEARCH_DEADLINE_S = 8.0
_DEFAULT_PORTS = {"http": 80, "https": 443}


class JupyterProvider:
    """Jupyter servers: those named by address, else those of this host."""

    name = "jupyter"
    kinds: Mapping[str, tuple[str, ...]] = {
        "jupyter.kernel": ("shutdown",),
        "jupyter.terminal": ("shutdown",),
    }

    def __init__(self, options: JupyterOptions, clock: Clock) -> None:
        """Take the settings.

        Raises:
            ConfigError: An address can't be used.
        """
        self._options = options
        self._clock = clock
        self._host = HostShare(clock)
        self._aside = Aside("the search for Jupyter's runtime files")
        self._sources: dict[str, JupyterSource] = {}
        self._named = tuple(
            parse_address(url, token=options.token, ca_file=options.ca_file, verify=options.verify)
            for url in options.urls
        )

    async def discover(self, now: datetime, memos: Mapping[str, Mapping[str, object]]) -> Sources:
        """Find the servers that exist now."""
        local = not self._named or any(address.local for address in self._named)
        found = (
            await self._aside.call(self._search, _SEARCH_DEADLINE_S)
            if local
            else Discovery(servers=(), problems=(), complete=True)
        )
        addresses = (
            [_completed(address, found) for address in self._named] if self._named else list(found.servers)
        )
        sources = [self._source(address, memos) for address in addresses]
        self._sources = {source.name: source for source in sources}
        return Sources(
            sources=tuple(sources),
            complete=True if self._named else found.complete,
            required=tuple(source.name for source in sources),
            problems=() if self._named else found.problems,
        )

    async def close(self) -> None:
        """Close all sources."""
        for source in self._sources.values():
            await source.close()
        self._host.gpus.close()

    def _search(self) -> Discovery:
        directories = self._options.runtime_dirs or runtime_dirs(os.environ, homes=other_homes())
        return discover(directories, os.environ, ca_file=self._options.ca_file)

    def _source(self, address: ServerAddress, memos: Mapping[str, Mapping[str, object]]) -> JupyterSource:
        """Give the source of a server, the same as before while its address is: a new token or pid makes it new."""
        name = f"jupyter:{address.url}"
        known = self._sources.get(name)
        if known is not None and known.address == address:
            return known
        return JupyterSource(address, self._options, self._host, self._clock, memos.get(name))


def _completed(address: ServerAddress, found: Discovery) -> ServerAddress:
    """Add what a runtime file of the same server knows: its process, its root, its token where none was given."""
    if not address.local:
        return address
    same = [server for server in found.servers if _place(server) == _place(address)]
    if len(same) != 1:
        return address
    token = address.token if address.token.get_secret_value() else same[0].token
    return replace(address, pid=same[0].pid, root_dir=same[0].root_dir, token=token)


def _place(address: ServerAddress) -> tuple[object, ...]:
    if address.socket_path is not None:
        return address.socket_path, None
    parts = urlsplit(address.url)
    return None, parts.port or _DEFAULT_PORTS[parts.scheme]
