"""Find what a person means by RESOURCE. Pure."""

from collections.abc import Sequence

from reaper.core.history import History
from reaper.core.model import ResourceKey

__all__ = ["qualified", "resolve"]


def resolve(text: str, lives: Sequence[History]) -> list[History]:
    """Give the resources that a RESOURCE names: none, the one, or all it could be.

    In this order, the first that finds any counts: the qualified form (`kind/id`, `kind/id@scope`), a full id,
    a name or alias (a notebook's path), the last part of a path, a prefix of an id. `host` is the id of this
    machine.
    """
    wanted = text.strip()
    for matches in (_is_qualified, _is_id, _is_named, _ends_with, _starts_with):
        found = [history for history in lives if matches(wanted, history)]
        if found:
            return found
    return []


def qualified(key: ResourceKey, lives: Sequence[History]) -> str:
    """Write the shortest RESOURCE that names just this one among `lives`. Pure."""
    for text in (key.id, f"{key.kind}/{key.id}"):
        if [history.ref.key for history in resolve(text, lives)] == [key]:
            return text
    return f"{key.kind}/{key.id}@{key.scope}"


def _is_qualified(text: str, history: History) -> bool:
    ref = history.ref
    return text in (f"{ref.kind}/{ref.id}", f"{ref.kind}/{ref.id}@{ref.scope}")


def _is_id(text: str, history: History) -> bool:
    return text == history.ref.id


def _is_named(text: str, history: History) -> bool:
    return text == history.resource.name or text in history.resource.aliases


def _ends_with(text: str, history: History) -> bool:
    names = (history.resource.name, *history.resource.aliases)
    return bool(text) and any(name.endswith(f"/{text}") for name in names)


def _starts_with(text: str, history: History) -> bool:
    return bool(text) and history.ref.id.startswith(text)
