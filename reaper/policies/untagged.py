"""The rule `untagged`: nobody is named as its owner."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.core.history import History
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.policies import params as read
from reaper.policies.rest import Term

__all__ = ["UntaggedRule"]

OWNER_TAGS = ("reaper:owner", "Owner", "owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class UntaggedRule:
    """Reap what has no owner `timeout` after it was started.

    Its source knows no owner, and none of `tags` is on it. A tag without a value names nobody.

    Attributes:
        timeout: How long there is to tag it, counted from the start of this life (from its first sighting
            where no source knows).
        tags: Keys of tags that name an owner, whatever their case: a text or a list. By default
            `reaper:owner`, `Owner`, `owner`.

    Example:
        ```toml
        [[policies]]
        name = "nobodys"
        kind = "ec2.instance"
        rule = "untagged"
        timeout = "4h"
        tags = ["reaper:owner", "Owner", "Team"]
        action = "stop"
        ```
    """

    timeout: timedelta
    tags: tuple[str, ...] = OWNER_TAGS

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> "UntaggedRule":
        """Build the rule from its parameters `timeout` and `tags`.

        Raises:
            ConfigError: A parameter is missing, unknown or of the wrong type.
        """
        read.only("untagged", params, ("timeout", "tags"))
        return cls(
            timeout=read.duration("untagged", params, "timeout"),
            tags=read.texts("untagged", params, "tags") or OWNER_TAGS,
        )

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say whether nobody owns it, and for how long. Pure."""
        named = self._named(history)
        if named:
            return Finding(policy=policy, verdict=Verdict.WAIT, reason=Reason.HAS_OWNER, detail=named)
        started = history.started_at()
        term = Term(
            due=started + self.timeout,
            since=started,
            reaped=Reason.NO_OWNER,
            waits=Reason.YOUNG_ENOUGH,
            detail=f"none of the tags {', '.join(self.tags)}",
        )
        return term.find(now, policy)

    def _named(self, history: History) -> str:
        if history.resource.owner:
            return f"owner {history.resource.owner}"
        wanted = {key.lower() for key in self.tags}
        found = [
            f"{key}={value}"
            for key, value in history.resource.tags.items()
            if key.lower() in wanted and value.strip()
        ]
        return min(found, default="")
