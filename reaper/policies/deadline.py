"""The rule `deadline`: the tag `reaper:deadline` says until when it is needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.core.codec import instant_from_text
from reaper.core.history import History
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.policies import params as read
from reaper.policies.rest import Term

__all__ = ["DeadlineRule"]

TAG = "reaper:deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineRule:
    """Reap what has reached the instant in its tag `reaper:deadline`.

    The tag (its key in any case) holds an RFC 3339 instant with a zone: `2026-12-01T18:00:00Z`. One that can't
    be read is unknown and never acts; `explain` quotes it. Without the tag it waits. The rule has no parameters.

    Example:
        ```toml
        [[policies]]
        name = "booked-until"
        kind = "ec2.instance"
        rule = "deadline"
        action = "stop"
        ```
    """

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> "DeadlineRule":
        """Build the rule.

        Raises:
            ConfigError: There is a parameter: it has none.
        """
        read.only("deadline", params, ())
        return cls()

    @property
    def timeout(self) -> timedelta:
        """It waits for no length of time."""
        return read.UNTIMED

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say whether its deadline has come. Pure."""
        tags = sorted((key, value) for key, value in history.resource.tags.items() if key.lower() == TAG)
        if not tags:
            return Finding(policy=policy, verdict=Verdict.WAIT, reason=Reason.NO_DEADLINE)
        written = ", ".join(f"{key}={value}" for key, value in tags)
        try:
            due = min(instant_from_text(value.strip().upper()) for _, value in tags)
        except ValueError:
            return Finding(
                policy=policy,
                verdict=Verdict.UNKNOWN,
                reason=Reason.DEADLINE_UNREADABLE,
                since=history.first_seen_at,
                detail=f"{written}: write an instant with a zone, such as {TAG}=2026-12-01T18:00:00Z",
            )
        term = Term(
            due=due,
            since=history.started_at(),
            reaped=Reason.PAST_DEADLINE,
            waits=Reason.BEFORE_DEADLINE,
            detail=written,
        )
        return term.find(now, policy)
