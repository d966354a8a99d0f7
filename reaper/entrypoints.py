"""How a named plugin is found and loaded.

Built-ins go through the same entry points as anybody's plugin: `reaper.providers`, `reaper.policies`,
`reaper.notifiers`, `reaper.journals`. Only the names that the configuration uses are loaded; a named
but broken plugin is an error at start, never skipped.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from reaper.errors import ConfigError

__all__ = ["load", "names"]

_GROUPS = ("reaper.providers", "reaper.policies", "reaper.notifiers", "reaper.journals")


@cache
def _points() -> dict[str, dict[str, str]]:
    """Find the entry points of our groups, `module:object` by name; what is first on `sys.path` counts.

    From the files themselves: `importlib.metadata` reads them no better, and takes a quarter of `reaper status`.
    """
    points: dict[str, dict[str, str]] = {group: {} for group in _GROUPS}
    for text in _entry_point_files():
        group: dict[str, str] = {}
        for line in map(str.strip, text.splitlines() if "[reaper." in text else ()):
            name, told, value = line.partition("=")
            if line.startswith("["):
                group = points.get(line.strip("[] "), {})
            elif told and not line.startswith("#"):
                group.setdefault(name.strip(), value.partition("[")[0].strip())  # [extras]: of old
    return points


def _entry_point_files() -> Iterator[str]:
    seen = set()
    for place in filter(os.path.isdir, [place or "." for place in sys.path]):
        for folder in os.scandir(place):
            package = folder.name.partition("-")[0].lower().replace(".", "_")
            if folder.name.endswith((".dist-info", ".egg-info")) and package not in seen:
                seen.add(package)
                with suppress(OSError):
                    yield Path(folder.path, "entry_points.txt").read_text("utf-8", "replace")


def names(group: str) -> list[str]:
    """Give the names that exist in an entry-point group, sorted."""
    return sorted(_points().get(group, ()))


def load(group: str, name: str) -> Any:
    """Load a plugin's object.

    Raises:
        ConfigError: No such name (the message lists those that exist), or it can't be imported.
    """
    found = _points().get(group, {}).get(name)
    if found is None:
        msg = f"no plugin {name!r} in {group}; there are: {', '.join(names(group)) or 'none'}"
        raise ConfigError(msg)
    try:
        module, _, path = map(str.strip, found.partition(":"))
        return attrgetter(path)(import_module(module)) if path else import_module(module)
    except (ImportError, AttributeError, SyntaxError) as error:
        msg = f"plugin {name!r} of {group} ({found}) can't be loaded: {error}"
        raise ConfigError(msg) from error
