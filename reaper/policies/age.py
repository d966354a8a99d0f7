"""The rule `age`: older than a limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.core.assess import Assessment, assess
from reaper.core.history import History
from reaper.core.model import Activity
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.policies import params as read

__all__ = ["AgeRule"]

_LONGEST_IDLE_FOR = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeRule:
    """Reap what is older than `timeout`.

    Reads no activity unless `only_if_idle`: a forgotten instance without any metrics still goes by age.

    Attributes:
        timeout: The greatest age, counted from the start of this life (from its first sighting where no
            source knows).
        only_if_idle: Wait while a signal shows activity. By default true for `jupyter.*`, false elsewhere.
        idle_for: With `only_if_idle`, how long nothing must have shown activity. By default a tenth of
            `timeout`, 5 minutes at most: nobody wants a kernel to go between two cells.

    Example:
        ```toml
        [[policies]]
        name = "yesterdays-kernels"
        kind = "jupyter.kernel"
        rule = "age"
        timeout = "24h"
        only_if_idle = true
        ```
    """

    timeout: timedelta
    only_if_idle: bool | None = None
    idle_for: timedelta | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> "AgeRule":
        """Build the rule from its parameters `timeout` (or `max_age`), `only_if_idle` and `idle_for`.

        Raises:
            ConfigError: A parameter is missing, unknown or of the wrong type.
        """
        given = dict(params)
        max_age = given.pop("max_age", None)
        if max_age is not None and given.get("timeout") is not None:
            msg = "rule 'age': timeout and max_age are two names of one parameter: give one of them"
            raise ConfigError(msg)
        if max_age is not None:
            given["timeout"] = max_age
        read.only("age", given, ("timeout", "only_if_idle", "idle_for"))
        return cls(
            timeout=read.duration("age", given, "timeout"),
            only_if_idle=None
            if given.get("only_if_idle") is None
            else read.flag("age", given, "only_if_idle", default=False),
            idle_for=None if given.get("idle_for") is None else read.duration("age", given, "idle_for"),
        )

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say whether it is too old, and idle where that is asked for. Pure."""
        started = history.started_at()
        due = started + self.timeout
        wants_idle = (
            history.ref.kind.startswith("jupyter.") if self.only_if_idle is None else self.only_if_idle
        )
        if not wants_idle:
            return _by(due, now, policy, Reason.YOUNG_ENOUGH, started)
        idle_for = min(_LONGEST_IDLE_FOR, self.timeout / 10) if self.idle_for is None else self.idle_for
        found = assess(history)
        if found.activity is Activity.IDLE and found.since is not None:
            waits = Reason.YOUNG_ENOUGH if now < due else Reason.IDLE_NOT_LONG_ENOUGH
            since = max(started, found.since)
            return _by(max(due, found.since + idle_for), now, policy, waits, since, found)
        if found.reason is Reason.ACTIVE:
            due = max(due, history.last_seen_at + idle_for)
        young = now < started + self.timeout
        waits_for = found.until if found.reason is Reason.SAMPLING and not young else due
        decided = found.reason in (Reason.ACTIVE, Reason.SAMPLING)
        return Finding(
            policy=policy,
            verdict=Verdict.WAIT if young or decided else Verdict.UNKNOWN,
            reason=Reason.YOUNG_ENOUGH if young else found.reason,
            since=None if young else found.since,
            due_at=waits_for if waits_for is not None and waits_for > now else None,
            evidence=found.signals,
            detail=found.detail,
        )


def _by(
    due: datetime,
    now: datetime,
    policy: str,
    waits: Reason,
    since: datetime,
    found: Assessment | None = None,
) -> Finding:
    """Reap from an instant on, and wait for it before."""
    return Finding(
        policy=policy,
        verdict=Verdict.REAP if now >= due else Verdict.WAIT,
        reason=Reason.TOO_OLD if now >= due else waits,
        since=since,
        due_at=due,
        evidence=found.signals if found else (),
        detail=found.detail if found else "",
    )
