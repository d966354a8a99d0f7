"""The lists of tables in the file: policies with what they match and their steps, and disruption budgets."""

from typing import Any

from pydantic import ConfigDict, Field

from reaper.config.sections import Section
from reaper.config.values import Duration, Globs, PositiveDuration, TagGlobs
from reaper.core.durations import parse_duration
from reaper.core.ruleset import Mode

__all__ = ["BudgetTable", "MatchTable", "PolicyTable", "StepTable"]


class StepTable(Section):
    """A rung of a policy's ladder."""

    action: str = Field(description="`notify`, or an action of the kind")
    after: Duration = Field(
        default=parse_duration("0s"), description="How long after the previous step's success"
    )


class MatchTable(Section):
    """Which resources of the kind a policy is about: all that is set must match. Any other key is an attribute."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Globs]

    scope: Globs = Field(default=(), description="Globs on the scope: a server's URL, `account/region`")
    name: Globs = Field(default=(), description="Globs on the name, another name, or the id")
    owner: Globs = Field(default=(), description="Globs on the owner")
    tags: dict[str, TagGlobs] = Field(
        default_factory=dict, description="By key: globs on the value, `true` for present, `false` for absent"
    )


class PolicyTable(Section):
    """A policy. Any other key is a parameter of the rule."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="Unique", min_length=1, max_length=64)
    kind: str = Field(description="The kind of resource")
    rule: str = Field(
        description="The rule: `idle`, `age`, `schedule`, `untagged`, `spend`, `deadline`, `where`; `all`, `any`, "
        "`not` of others; or a plugin's"
    )
    where: str | None = Field(default=None, description="A condition in CEL that must hold besides the rule")
    match: MatchTable = Field(
        default_factory=lambda: MatchTable.model_validate({}),
        description="Which resources of that kind; all without it",
    )
    action: str | None = Field(default=None, description="What to do, where there are no `steps`")
    steps: tuple[StepTable, ...] | None = Field(
        default=None, description="The ladder; the last step is the act"
    )
    mode: Mode = Field(default=Mode.ENFORCE, description="`dry-run` is stricter than an enforcing daemon")
    warn_before: Duration | None = Field(default=None, description="Instead of `REAPER_WARN_BEFORE`")
    minimum_age: Duration = Field(default=parse_duration("0s"), description="Nothing younger is reaped")

    @property
    def parameters(self) -> dict[str, Any]:
        """The rule's parameters as written."""
        return dict(self.model_extra or {})


class BudgetTable(Section):
    """A disruption budget: at most so much in a window, in each scope that matches."""

    name: str = Field(description="For people", min_length=1)
    kind: str = Field(default="*", description="Glob on the kind")
    scope: str = Field(default="*", description="Glob on the scope; each scope has a budget of its own")
    actions: int | None = Field(default=None, ge=1, description="Most actions in the window")
    dollars_per_hour: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Most hourly cost ended in the window"
    )
    window: PositiveDuration = Field(default=parse_duration("1h"), description="The window")
