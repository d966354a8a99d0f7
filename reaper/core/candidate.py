"""What guards are asked about: a resource, a policy that would reap it, and everything around them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reaper.core.family import Families
from reaper.core.history import History
from reaper.core.model import ResourceKey
from reaper.core.ruleset import PolicySpec, Ruleset
from reaper.core.verdict import Finding, Reason
from reaper.core.world import World

__all__ = ["ONLY_SHOWN", "Candidate"]

ONLY_SHOWN = "dry-run"
"""In `Candidate.kept`: it would be reaped, but is only shown; it outlives a dry run, not its parent's end."""


@dataclass(slots=True, kw_only=True)  # made and dropped for each resource of a tick: frozen costs twice
class Candidate:
    """A resource that a policy would reap, now or at `finding.due_at`.

    Attributes:
        history: The resource.
        policy: The policy.
        finding: What its rule found.
        ruleset: The rules in force.
        world: Everything known.
        families: Who lives in whom.
        kept: Keys of resources decided so far that are not to be reaped now (children come first);
            `ONLY_SHOWN` where that is because their policy is a dry run.
        now: The tick's instant.
        applied_at: Since when the policy applies to it in its present form; None: that is not journaled yet.
    """

    history: History
    policy: PolicySpec
    finding: Finding
    ruleset: Ruleset
    world: World
    families: Families
    kept: Mapping[ResourceKey, object]
    now: datetime
    applied_at: datetime | None

    @property
    def dead(self) -> bool:
        """It holds nothing: no grace, no notice."""
        return self.finding.reason is Reason.DEAD

    @property
    def enforced(self) -> bool:
        """Whether the policy's verdicts are acted on."""
        return self.ruleset.enforced(self.policy)
