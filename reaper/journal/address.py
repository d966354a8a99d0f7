"""From `REAPER_STATE` to a journal."""

import re
from typing import cast

from reaper import plugins
from reaper.errors import ConfigError

__all__ = ["journal_at"]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(//)?", re.IGNORECASE)


def journal_at(address: str) -> plugins.Journal:
    """Make the journal that an address names: a path, `sqlite:///path`, `memory:`, or a plugin's scheme.

    A path that looks like a scheme (`c:journal.db`) is written `./c:journal.db`.

    Raises:
        ConfigError: No journal has that scheme (the message lists those that exist), or the address is no good.
    """
    found = _SCHEME.match(address)
    scheme = found.group(1).lower() if found else "sqlite"
    if not address.strip() or "\0" in address:
        raise ConfigError(f"{address!r} is no address of a journal: write a path or a URL")
    existing = plugins.names("reaper.journals")
    if scheme not in existing:
        raise ConfigError(
            f"{address!r}: no journal is kept by {scheme!r}; there are: a file's path, {', '.join(existing)}"
        )
    return cast(plugins.Journal, plugins.load("reaper.journals", scheme).from_address(address))
