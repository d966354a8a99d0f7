"""The configuration: read once, turned into the core's values, and forgotten.

    settings = load_settings()                  # environment, credentials, file; ConfigError names all that is wrong
    ruleset = build_ruleset(settings, {"idle-timeout": "90m"})

What is named here is imported when it is first used: `reaper.config.places` alone, which finds the daemon and the
journal, costs no pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reaper.config.documents import schema, show, show_policies_toml
    from reaper.config.load import check, load_settings
    from reaper.config.model import Settings
    from reaper.config.places import (
        ListenAddress,
        client_addresses,
        config_file,
        journal_candidates,
        parse_listen,
    )
    from reaper.config.rules import build_ruleset, check_override, underlying

__all__ = [
    "ListenAddress",
    "Settings",
    "build_ruleset",
    "check",
    "check_override",
    "client_addresses",
    "config_file",
    "journal_candidates",
    "load_settings",
    "parse_listen",
    "schema",
    "show",
    "show_policies_toml",
    "underlying",
]

_HOME = {
    "ListenAddress": "places",
    "Settings": "model",
    "build_ruleset": "rules",
    "check": "load",
    "check_override": "rules",
    "client_addresses": "places",
    "config_file": "places",
    "journal_candidates": "places",
    "load_settings": "load",
    "parse_listen": "places",
    "schema": "documents",
    "show": "documents",
    "show_policies_toml": "documents",
    "underlying": "rules",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
