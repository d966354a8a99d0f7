"""The rule `age`: older than a limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.core.history import History
from reaper.core.verdict import Finding, Reason
from reaper.errors import ConfigError
from reaper.policies import params as read
from reaper.policies.rest import IDLE_FOR, Term, wants_rest

__all__ = ["AgeRule"]


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
            only_if_idle=read.optional_flag("age", given, "only_if_idle"),
            idle_for=read.optional_duration("age", given, "idle_for"),
        )

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        """Say whether it is too old, and idle where that is asked for. Pure."""
        started = history.started_at()
        term = Term(
            due=started + self.timeout, since=started, reaped=Reason.TOO_OLD, waits=Reason.YOUNG_ENOUGH
        )
        if not wants_rest(history.ref.kind, only_if_idle=self.only_if_idle):
            return term.find(now, policy)
        idle_for = min(IDLE_FOR, self.timeout / 10) if self.idle_for is None else self.idle_for
        return term.find_at_rest(history, now, policy, idle_for)
