"""Where settings came from: what `config show` says, and what an error about a value begins with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Origin", "Provenance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value came from.

    Attributes:
        source: `default`, `env REAPER_MODE`, `file /etc/reaper/reaper.toml:mode`, `credential api_token`.
        where: What an error about the value begins with: the variable, `PATH:LINE: key`, the credential.
        written: The text itself, where it is no secret: a length of time is shown as its author wrote it.
    """

    source: str
    where: str
    written: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How settings came to be.

    Attributes:
        file: The configuration file, if there is one.
        origins: Where each setting that is not a default came from, by dotted name.
        lines: Line of each key of the file, by path (`("policies", 0, "rule")`), where it is known.
        policy_numbers: Which of the file's policies each of `Settings.policies` is: those that can't be used are
            left out while errors are looked for.
        preset: The preset in force: `auto` is resolved.
        warnings: What can be used, but a person should know.
    """

    file: Path | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)
    policy_numbers: tuple[int, ...] = ()
    preset: str = "jupyter"
    warnings: tuple[str, ...] = ()
