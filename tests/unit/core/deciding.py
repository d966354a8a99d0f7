"""A kernel and a rule that says what it is told to, for the tests of decisions."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reaper.core.decide import Decision, decide_one
from reaper.core.history import History
from reaper.core.ruleset import Ruleset
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.testing import T0, Scene, WorldBuilder, days, hours, idle

__all__ = ["Says", "decided", "finds", "kernel"]


@dataclass(frozen=True, kw_only=True)
class Says:
    """A rule that gives what it was given."""

    answer: object
    timeout: timedelta = timedelta(hours=2)

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        if isinstance(self.answer, Exception):
            raise self.answer
        answer = self.answer
        return replace(answer, policy=policy) if isinstance(answer, Finding) and not answer.policy else answer  # type: ignore[return-value]


def finds(
    verdict: Verdict, due_at: datetime | None = None, since: datetime | None = None, policy: str = ""
) -> Says:
    reason = Reason.IDLE if verdict is Verdict.REAP else Reason.IDLE_NOT_LONG_ENOUGH
    return Says(answer=Finding(policy=policy, verdict=verdict, reason=reason, since=since, due_at=due_at))


def kernel(ruleset: Ruleset, signals=None, **fields) -> WorldBuilder:
    scene = Scene().add(
        "k", signals or {"execution_state": idle(T0 - hours(3))}, started_at=T0 - days(3), **fields
    )
    return WorldBuilder(scene).look(T0 - days(1)).apply(ruleset, T0 - days(1)).look(T0)


def decided(builder: WorldBuilder, ruleset: Ruleset, now: datetime = T0) -> Decision:
    decision = decide_one(builder.world, ruleset, now, builder.ref("k"))
    assert decision is not None
    return decision
