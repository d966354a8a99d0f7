"""When the notebooks of a server were saved: somebody who types and saves runs no cell."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from reaper.clients.aside import Aside
from reaper.clients.jupyter import JupyterClient, ServerAddress, saved_on_disk
from reaper.errors import CollectError, SourceUnavailable

__all__ = ["Saved", "Saves"]

_AT_ONCE = 4
_DISK_DEADLINE_S = 3.0

Saved = dict[str, datetime | str | None]
"""By path: when it was saved; a text is why that is not known; None: there is no such file."""


class Saves:
    """Asks when notebooks were saved: the disk where the server is here, else the server.

    The server is asked too where the disk knows no such file: contents may be kept elsewhere.
    """

    def __init__(self, address: ServerAddress, client: JupyterClient) -> None:
        """Take the server and who talks to it."""
        self._address = address
        self._client = client
        self._disk = Aside(f"the file system of {address.root_dir}")

    async def when(self, paths: Sequence[str], offset: timedelta) -> Saved:
        """Ask for notebooks by their sessions' paths.

        Args:
            paths: Each once.
            offset: The server's clock minus ours.
        """
        known = await self._on_disk(paths)
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def ask(path: str) -> datetime | str | None:
            async with at_once:
                try:
                    answer = await self._client.notebook_saved_at(path)
                except CollectError as error:
                    return str(error)
            return None if answer is None else answer - offset

        unknown = [path for path in paths if known.get(path) is None]
        return {**known, **dict(zip(unknown, await asyncio.gather(*map(ask, unknown)), strict=True))}

    async def _on_disk(self, paths: Sequence[str]) -> Saved:
        if not self._address.local or self._address.root_dir is None or not paths:
            return {}
        try:
            return await self._disk.call(partial(_stat_all, self._address, paths), _DISK_DEADLINE_S)
        except SourceUnavailable as error:
            return dict.fromkeys(paths, str(error))


def _stat_all(address: ServerAddress, paths: Sequence[str]) -> Saved:
    saved: Saved = {}
    for path in paths:
        try:
            saved[path] = saved_on_disk(address, path)
        except (SourceUnavailable, ValueError) as error:
            saved[path] = str(error)
    return saved
