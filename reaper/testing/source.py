"""A source and a provider whose world is a script, and which remember what they were told to do."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reaper.clock import Clock
from reaper.core.model import Collected, Poll, Resource, Stopped
from reaper.errors import ActionDenied, ReaperError
from reaper.plugins import ActOutcome, Look, Source, Sources
from reaper.testing.scene import Scene

__all__ = ["Act", "FakeProvider", "FakeSource"]


_STOPS = ("stop", "hibernate")
"""Actions after which a thing is still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One action that a `FakeSource` was told to carry out.

    Attributes:
        resource: On what.
        action: What.
        had_effect: It ended the life that it was meant for.
    """

    resource: Resource
    action: str
    had_effect: bool


@dataclass(slots=True)
class FakeSource:
    """Honours `reaper.plugins.Source`: shows a `Scene`, and takes things out of it when told to.

    Waits with `asyncio.sleep` alone, so that looptime's virtual time applies.

    Attributes:
        scene: What there is to see.
        interval: As in `Source`.
        takes_s: How long each look takes, in seconds.
        acting_takes_s: How long each action takes, in seconds.
        failure: While set, every look fails with it: wholly, or for `failed_kinds`.
        failed_kinds: The kinds that fail with `failure`; none: all.
        hanging: While set, looks don't end before their deadline, and are incomplete.
        stuck: While set, looks don't even end at their deadline, as those of a bad plugin.
        outcomes: What the next actions do: `ActOutcome` (the thing goes), an `ActionError` raised before
            any effect, or `(error, True)`: raised after it. With nothing left each one succeeds.
        lingering: What is acted on stays visible, however well the action went.
        protected: Ids that refuse every action.
        clock: Tells when something was stopped; with it, `stop` and `hibernate` leave the thing there, stopped.
        looks: Every look it was asked for.
        acts: Every action it was told to carry out.
        closed: It was closed.
    """

    scene: Scene = field(default_factory=Scene)
    interval: timedelta | None = None
    takes_s: float = 0.0
    acting_takes_s: float = 0.0
    failure: ReaperError | None = None
    failed_kinds: tuple[str, ...] = ()
    hanging: bool = False
    stuck: bool = False
    outcomes: deque[ActOutcome | ReaperError | tuple[ReaperError, bool]] = field(default_factory=deque)
    lingering: bool = False
    protected: set[str] = field(default_factory=set)
    clock: Clock | None = None
    looks: list[Look] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    closed: bool = False

    @property
    def name(self) -> str:
        """The scene's source."""
        return self.scene.source

    async def collect(self, look: Look) -> Collected:
        """Look at the scene; a scripted failure is an incomplete poll."""
        self.looks.append(look)
        if self.stuck:
            await asyncio.Event().wait()
        if self.hanging or self.takes_s > look.deadline:
            await asyncio.sleep(look.deadline)
            return Collected(poll=self._poll(look, look.deadline, f"no answer within {look.deadline:g} s"))
        await asyncio.sleep(self.takes_s)
        error = None if self.failure is None else str(self.failure)
        return self.scene.collected(self._poll(look, self.takes_s, error))

    async def act(self, resource: Resource, action: str) -> ActOutcome:
        """Carry out an action as scripted: the life it is meant for leaves the scene."""
        await asyncio.sleep(self.acting_takes_s)
        scripted = self.outcomes.popleft() if self.outcomes else None
        if resource.ref.id in self.protected:
            scripted = ActionDenied(f"{resource.ref.id} is protected")
        error, effect = _read(scripted)
        there = self.scene.has(resource.ref)
        self.acts.append(Act(resource=resource, action=action, had_effect=effect and there))
        stops = self.clock is not None and action in _STOPS
        if effect and there and not self.lingering and not stops:
            self.scene.remove(resource.ref.id, resource.ref.kind)
        if effect and there and self.clock is not None and stops:
            how = Stopped(at=self.clock.now(), why="User initiated")
            self.scene.change(resource.ref.id, resource.ref.kind, stopped=how)
        if error is not None:
            raise error
        if isinstance(scripted, ActOutcome):
            return scripted
        if stops:
            return ActOutcome(gone=False, detail="its stop has begun")
        return ActOutcome(gone=True, detail="204" if there else "was gone already (404)")

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def effective(self) -> list[Act]:
        """Give the actions that had an effect: at most one a life, whatever happened in between."""
        return [act for act in self.acts if act.had_effect]

    def _poll(self, look: Look, took_s: float, error: str | None) -> Poll:
        targets = None if look.refs is None else tuple(ref.id for ref in look.refs)
        return Poll(
            id=look.poll_id,
            source=self.name,
            started_at=look.at,
            finished_at=look.at + timedelta(seconds=took_s),
            complete=error is None,
            error=error,
            targets=targets,
            failed_kinds=self.failed_kinds if error is not None else (),
        )


@dataclass(slots=True)
class FakeProvider:
    """Honours `reaper.plugins.Provider`: its sources are the list a test keeps.

    Attributes:
        sources: What exists now.
        name: As in `Provider`; the names of its sources start with it.
        kinds: As in `Provider`.
        complete: Discovery could look through everything.
        required: Names that readiness waits for; None: all sources.
        problems: What discovery reports.
        failure: While set, discovery raises it.
        memos: The memos that the latest discovery was given.
        closed: It was closed.
    """

    sources: list[FakeSource] = field(default_factory=list)
    name: str = "fake"
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"jupyter.kernel": ("shutdown",)})
    complete: bool = True
    required: tuple[str, ...] | None = None
    problems: tuple[str, ...] = ()
    failure: ReaperError | None = None
    memos: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    closed: bool = False

    async def discover(self, now: datetime, memos: Mapping[str, Mapping[str, object]]) -> Sources:
        """Give the sources of the list."""
        self.memos = dict(memos)
        if self.failure is not None:
            raise self.failure
        found: tuple[Source, ...] = tuple(self.sources)
        required = tuple(source.name for source in self.sources) if self.required is None else self.required
        return Sources(sources=found, complete=self.complete, required=required, problems=self.problems)

    async def close(self) -> None:
        """Close all sources, and remember it."""
        self.closed = True
        for source in self.sources:
            await source.close()


def _read(
    scripted: ActOutcome | ReaperError | tuple[ReaperError, bool] | None,
) -> tuple[ReaperError | None, bool]:
    if isinstance(scripted, tuple):
        return scripted
    if isinstance(scripted, ReaperError):
        return scripted, False
    return None, True
