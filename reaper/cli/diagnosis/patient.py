"""What is examined, and what a check finds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from reaper.cli.client import Client, find
from reaper.config.places import journal_candidates
from reaper.errors import ConfigError, ReaperError

__all__ = ["Check", "Finding", "Patient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        name: The check.
        level: `ok`, `warn`, `fail`, or `skip` where there is nothing to check.
        text: What was found.
        advice: What to do about it.
    """

    name: str
    level: str
    text: str
    advice: str | None = None


@dataclass(kw_only=True)
class Patient:
    """What is examined; each part is looked at once, when a check first asks.

    Attributes:
        environ: The environment.
        now: When.
    """

    environ: Mapping[str, str]
    now: datetime
    notes: list[str] = field(default_factory=list)

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What `config check` says."""
        from reaper.config import check

        return check(self.environ)

    @cached_property
    def settings(self) -> Any:
        """The settings of this shell; None where they can't be used."""
        from reaper.config import load_settings

        try:
            return load_settings(self.environ)
        except ConfigError:
            return None

    @cached_property
    def reached(self) -> tuple[Client | None, list[str]]:
        """The daemon, and where none answered."""
        return find()

    @cached_property
    def journals(self) -> list[str]:
        """Where journals may be, those that are there first."""
        from reaper.cli.offline import missing

        return sorted(journal_candidates(self.environ), key=lambda place: missing(place) is not None)

    @cached_property
    def status(self) -> dict[str, Any] | None:
        """The status document, of the daemon or the journal; None: of neither."""
        from reaper.cli.offline import JournalReach, missing

        client, _ = self.reached
        try:
            if client is not None:
                return client.get("/api/v1/status")
            return (
                JournalReach(self.journals[0], quiet=True).status()
                if missing(self.journals[0]) is None
                else None
            )
        except ReaperError:
            return None

    @property
    def resources(self) -> Sequence[Mapping[str, Any]]:
        """What is watched, as far as that is known."""
        return self.status["resources"] if self.status is not None else ()


Check = Callable[[Patient], Iterator[Finding]]
"""One check: it looks at the patient and says what it found."""
