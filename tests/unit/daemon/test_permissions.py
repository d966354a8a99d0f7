"""A plan says what its source would not let be done. In virtual time."""

import asyncio
from dataclasses import dataclass, field

import pytest

from reaper.core.model import Resource
from reaper.core.ruleset import Mode
from reaper.daemon.control import DaemonControl
from reaper.errors import SourceUnavailable
from reaper.plugins import UNDER_WAY, ActOutcome
from reaper.testing import FakeSource, hours, idle, rules
from tests.unit.daemon.rig import Rig, passing

pytestmark = pytest.mark.looptime


@dataclass(slots=True)
class Guarded(FakeSource):
    """A source that knows what it would be let do."""

    answer: str | Exception | None = None
    slow_s: float = 0.0

    async def may(self, resource: Resource, action: str) -> str | None:
        await asyncio.sleep(self.slow_s)
        if isinstance(self.answer, Exception):
            raise self.answer
        return None if self.answer is None else f"{action} of {resource.name}: {self.answer}"


@dataclass(slots=True)
class Telling(FakeSource):
    """A source that keeps what it is told of the act under way."""

    told: list[tuple[str, str]] = field(default_factory=list)

    async def act(self, resource: Resource, action: str) -> ActOutcome:
        await asyncio.sleep(0)
        entry = UNDER_WAY.get()
        assert entry is not None
        self.told.append((entry.ref.id, entry.policy))
        return await FakeSource.act(self, resource, action)


async def test_a_source_can_say_which_act_it_carries_out():
    source = Telling(acting_takes_s=1.0)
    one = Rig(sources=[source])
    for name in ("k1", "k2"):
        one.scene.add(name, {"execution_state": idle(one.now - hours(9))})
    async with one.running():
        await passing(30)
    assert sorted(source.told) == [("k1", "quiet"), ("k2", "quiet")]
    assert UNDER_WAY.get() is None


async def planned(source: FakeSource) -> list[object]:
    one = Rig(sources=[source], ruleset=rules(mode=Mode.DRY_RUN))
    one.scene.add("k1", {"execution_state": idle(one.now - hours(9))})
    async with one.running() as daemon:
        await passing(5)
        plan = await DaemonControl(daemon).plan()
    return [item["would_be_denied"] for item in plan["items"]]  # type: ignore[attr-defined]


async def test_what_would_be_denied_is_said():
    assert await planned(Guarded(answer="ec2:StopInstances is missing")) == [
        "shutdown of k1: ec2:StopInstances is missing"
    ]


@pytest.mark.parametrize(
    "source",
    [
        FakeSource,
        Guarded,
        lambda: Guarded(answer=SourceUnavailable("no route")),
        lambda: Guarded(answer="too late", slow_s=99),
    ],
    ids=["can't tell", "may", "unreachable", "slow"],
)
async def test_what_cannot_be_told_is_null(source):
    assert await planned(source()) == [None]
