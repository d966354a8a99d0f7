"""The rule `age`: older than a limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.core.history import History
from reaper.core.model import Activity
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.policies import params as read

__all__ = ["AgeRule"]

_LONGEST_IDLE_FOR = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeRule:
    """Reap what is older than `timeout`.

    Reads no activity unless `only_if_idle`: a forgotten instance without any metrics still goes by age.

    Attributes:
        timeout: The greatest age, counted from the start of this life (its first sighting where no source knows).
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
        if "max_age" in given and given.get("timeout") is None:
            given["timeout"] = given["max_age"]
        given.pop("max_age", None)
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
        if now < due:
            return Finding(
                policy=policy, verdict=Verdict.WAIT, reason=Reason.YOUNG_ENOUGH, since=started, due_at=due
            )
        old = Finding(policy=policy, verdict=Verdict.REAP, reason=Reason.TOO_OLD, since=started, due_at=due)
        wants_idle = (
            history.ref.kind.startswith("jupyter.") if self.only_if_idle is None else self.only_if_idle
        )
        return self._unless_active(history, now, old) if wants_idle else old

    def _unless_active(self, history: History, now: datetime, old: Finding) -> Finding:
        def instead(
            verdict: Verdict, reason: Reason, since: datetime | None, due: datetime | None, detail: str
        ) -> Finding:
            future = due if due is not None and due > now else None
            return Finding(
                policy=old.policy, verdict=verdict, reason=reason, since=since, due_at=future, detail=detail
            )

        if history.failing_since is not None:
            return instead(
                Verdict.UNKNOWN, Reason.SOURCE_FAILING, history.failing_since, None, history.failure
            )
        idle_for = min(_LONGEST_IDLE_FOR, self.timeout / 10) if self.idle_for is None else self.idle_for
        seen = history.current()
        active = [run for run in seen if run.activity is Activity.ACTIVE]
        if active:
            what = "; ".join(f"{run.signal}: {run.value}" for run in active)
            return instead(Verdict.WAIT, Reason.ACTIVE, None, history.last_seen_at + idle_for, what)
        unknown = [run for run in seen if run.activity is Activity.UNKNOWN]
        if unknown:
            what = "; ".join(f"{run.signal}: {run.value}" for run in unknown)
            return instead(
                Verdict.UNKNOWN, Reason.EVIDENCE_UNKNOWN, min(run.first_at for run in unknown), None, what
            )
        missing = history.missing()
        if missing:
            first = history.first_seen_at + timedelta(seconds=history.resource.sample_interval_s)
            if history.last_seen_at < first and not any(history.latest(name) for name in missing):
                return instead(Verdict.WAIT, Reason.SAMPLING, None, first, ", ".join(missing))
            return instead(
                Verdict.UNKNOWN, Reason.EVIDENCE_LOST, history.last_seen_at, None, ", ".join(missing)
            )
        since = history.idle_since()
        if since is not None and now < since + idle_for:
            return instead(Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH, since, since + idle_for, "")
        return old
