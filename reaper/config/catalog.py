"""Every setting by name: what a variable, a key of the file and a credential are called. Made from the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reaper.config.model import Settings

__all__ = [
    "FILE_ONLY",
    "PREFIX",
    "SettingInfo",
    "sections",
    "setting",
    "settings",
    "suggest",
]

PREFIX = "REAPER_"

FILE_ONLY = frozenset({"policies"})
"""What no variable can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingInfo:
    """One setting.

    Attributes:
        name: Dotted, as in the file: `jupyter.token`.
        field: Its declaration.
    """

    name: str
    field: FieldInfo

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that lead to it in the file."""
        return tuple(self.name.split("."))

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper().replace(".", "__")

    @property
    def credential(self) -> str | None:
        """Its systemd credential, and with `_file` after it, the key of a file that holds it; None: it is no secret."""
        return self.name if self._extra.get("x-credential") else None

    @property
    def meaning(self) -> str:
        """What it means."""
        return self.field.description or ""

    @property
    def shown_default(self) -> str:
        """What its default is called, where the value says too little; else empty."""
        return str(self._extra.get("x-default", ""))

    @property
    def example(self) -> str:
        """A value, where the default is none; else empty."""
        return str(self._extra.get("x-example", ""))

    @property
    def _extra(self) -> dict[str, Any]:
        extra = self.field.json_schema_extra
        return extra if isinstance(extra, dict) else {}


def _walk(model: type[BaseModel], prefix: str) -> Iterator[SettingInfo]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, f"{prefix}{name}.")
        elif f"{prefix}{name}" not in FILE_ONLY:
            yield SettingInfo(name=f"{prefix}{name}", field=field)


@cache
def settings() -> dict[str, SettingInfo]:
    """Give every setting by its dotted name, in the order of the reference."""
    return {info.name: info for info in _walk(Settings, "")}


def setting(name: str) -> SettingInfo:
    """Give one setting by its dotted name."""
    return settings()[name]


@cache
def sections() -> dict[str, str]:
    """Give each section of the file (`jupyter`, `jupyter.process`) with its first line of prose; `""` is the top."""

    def walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield prefix + name, " ".join((field.annotation.__doc__ or "").split())
                yield from walk(field.annotation, f"{prefix}{name}.")

    return {"": "", **dict(walk(Settings, ""))}


def suggest(name: str, known: list[str]) -> str | None:
    """Give the known name that is nearest to a wrong one, if any is near. Pure."""

    def bare(text: str) -> str:
        return text.lower().replace("-", "_").replace("__", "_").replace(".", "_").removeprefix("reaper_")

    by_bare = {bare(one): one for one in reversed(known)}
    stem = bare(name).removesuffix("_file")  # of a setting that is not secret, and so has no _FILE
    if stem in by_bare:
        return by_bare[stem]
    near = get_close_matches(bare(name), list(by_bare), n=1, cutoff=0.6)
    return by_bare[near[0]] if near else None
