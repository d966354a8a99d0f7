"""What can be reaped, and how: the kinds and actions of the contract, and those of plugins."""

from collections.abc import Mapping

from reaper.core.ruleset import NOTIFY
from reaper.errors import ConfigError

__all__ = ["FORCE", "KINDS", "NOTIFY", "actions_of", "families", "kinds", "served"]

KINDS: dict[str, tuple[str, ...]] = {
    "jupyter.kernel": ("shutdown",),
    "jupyter.terminal": ("shutdown",),
    "studio.app": ("delete",),
    "sagemaker.notebook_instance": ("stop",),
    "sagemaker.endpoint": ("delete",),
    "sagemaker.job": ("stop",),
    "ec2.instance": ("stop", "hibernate", "terminate", "tag"),
    "host": ("shutdown", "stop", "terminate"),
}
"""Each kind with what can be done to it (product.md). A policy for one that this version does not look at is
kept, with a warning."""


FORCE = {"tag": 0, "stop": 1, "hibernate": 1, "shutdown": 2, "delete": 2, "terminate": 2}
"""How far an action goes: a ladder's later one must go further than the one before."""


def kinds() -> dict[str, tuple[str, ...]]:
    """Give every kind with its actions, those of installed plugins too.

    A plugin's class says them in an attribute `kinds`, as its instances do (`plugins.Provider`). Only providers
    of families that are not ours are loaded: ours are known.

    Raises:
        ConfigError: A plugin can't be loaded.
    """
    from reaper.plugins import load, names

    found = dict(KINDS)
    ours = {kind.partition(".")[0] for kind in KINDS}
    for name in names("reaper.providers"):
        if name not in ours:
            declared = getattr(load("reaper.providers", name), "kinds", None)
            if isinstance(declared, Mapping):
                found |= {str(kind): tuple(map(str, actions)) for kind, actions in declared.items()}
    return found


def families(known: Mapping[str, tuple[str, ...]]) -> dict[str, set[str]]:
    """Give the actions of each family: what `REAPER_ACTIONS` names as `family.action`. Pure."""
    found: dict[str, set[str]] = {}
    for kind, actions in known.items():
        found.setdefault(kind.partition(".")[0], set()).update(actions)
    return found


def served(kind: str) -> bool:
    """Tell whether an installed provider may look at a kind: one is named after its family."""
    from reaper.plugins import names

    family = kind.partition(".")[0]
    return kind not in KINDS or family in names("reaper.providers")


def actions_of(kind: str) -> tuple[str, ...]:
    """Give what can be done to a kind.

    Raises:
        ConfigError: There is no such kind; the message suggests the nearest.
    """
    from reaper.config.catalog import suggest

    known = KINDS if kind in KINDS else kinds()
    if kind not in known:
        near = suggest(kind, list(known))
        hint = f"did you mean {near}?" if near else f"there are: {', '.join(known)}"
        raise ConfigError(f"{kind!r} is no kind of resource; {hint}")
    return known[kind]
