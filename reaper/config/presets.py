"""Presets: which policies hold where the file has none, and what each may touch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reaper.errors import ConfigError

__all__ = ["PRESETS", "PresetInfo", "detect", "policy_tables", "require"]

_KERNELS = {"name": "idle-kernels", "kind": "jupyter.kernel", "rule": "idle", "action": "shutdown"}
_TERMINALS = {"name": "idle-terminals", "kind": "jupyter.terminal", "rule": "idle", "action": "shutdown"}
_INSTANCE = {
    "name": "idle-instance",
    "kind": "sagemaker.notebook_instance",
    "rule": "idle",
    "action": "stop",
}
_IDLE_GPUS = {
    "name": "idle-gpu-instances",
    "kind": "ec2.instance",
    "rule": "idle",
    "match": {"gpus": ["[1-9]*"]},
    "action": "stop",
}
_OLD_GPUS = {
    "name": "old-gpu-instances",
    "kind": "ec2.instance",
    "rule": "age",
    "timeout": "72h",
    "match": {"gpus": ["[1-9]*"]},
    "action": "stop",
    "mode": "dry-run",
}
_APPS = {"name": "idle-apps", "kind": "studio.app", "rule": "idle", "action": "delete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetInfo:
    """A preset.

    Attributes:
        meaning: Where it is at home.
        available: Whether this version has it.
        metadata: Whether it needs SageMaker's metadata file.
        tables: Its policies, as they would stand in the file.
    """

    meaning: str
    available: bool = True
    metadata: bool = False
    tables: tuple[Mapping[str, Any], ...] = ()


PRESETS: dict[str, PresetInfo] = {
    "jupyter": PresetInfo(meaning="Jupyter servers on any host", tables=(_KERNELS, _TERMINALS)),
    "studio": PresetInfo(
        meaning="a SageMaker Studio app: kernels, then image terminals, then the apps that they lived in",
        metadata=True,
        tables=(_KERNELS, _TERMINALS, _APPS),
    ),
    "notebook-instance": PresetInfo(
        meaning="a SageMaker notebook instance: kernels, then terminals, then the instance itself, which is stopped",
        metadata=True,
        tables=(_KERNELS, _TERMINALS, _INSTANCE),
    ),
    "training": PresetInfo(meaning="a box that trains and then ends", available=False),
    "fleet": PresetInfo(
        meaning="EC2 instances with GPUs, across regions and accounts: idle ones are stopped, never terminated; those "
        "older than 72 hours are only shown (that policy is a dry run), for some work longer than that",
        tables=(_IDLE_GPUS, _OLD_GPUS),
    ),
}


def policy_tables(preset: str, *, keep_terminals: bool) -> tuple[Mapping[str, Any], ...]:
    """Give a preset's policies as data. Pure."""
    tables = PRESETS[preset].tables
    return tuple(table for table in tables if not (keep_terminals and table["kind"] == "jupyter.terminal"))


def detect(metadata_file: Path) -> tuple[str, str | None]:
    """Pick a preset for this host: what SageMaker's metadata file says, else `jupyter`.

    Never `training` or `fleet`: what owns a power switch is named.

    Returns:
        The preset, and a warning where the file is there but says nothing that is understood.
    """
    try:
        content = metadata_file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return "jupyter", None
    except (OSError, UnicodeDecodeError) as error:
        return "jupyter", f"{metadata_file} can't be read ({error}): the preset is jupyter"
    try:
        found = json.loads(content)
        arn = str(found.get("ResourceArn", ""))
        if ":notebook-instance/" in arn:
            return "notebook-instance", None
        if found.get("AppType") or ":app/" in arn or ":space/" in arn:
            return "studio", None
    except (ValueError, AttributeError):
        pass
    return (
        "jupyter",
        f"{metadata_file} names neither a Studio app nor a notebook instance: the preset is jupyter",
    )


def require(preset: str, metadata_file: Path) -> None:
    """Check that a preset that was named can be used here.

    Raises:
        ConfigError: This version has not got it, or something that it needs is missing.
    """
    info = PRESETS[preset]
    if not info.available:
        usable = ", ".join(name for name, other in PRESETS.items() if other.available)
        raise ConfigError(f"{preset!r} is not in this version; there are: auto, {usable}")
    if info.metadata and not metadata_file.is_file():
        raise ConfigError(
            f"{preset!r} needs {metadata_file}, which is not there: use it inside SageMaker, name another file "
            "in REAPER_STUDIO__METADATA_FILE, or set the preset to jupyter"
        )
