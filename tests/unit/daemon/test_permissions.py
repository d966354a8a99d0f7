"""A plan says what its source would not let be done. In virtual time."""

import asyncio
from dataclasses import dataclass

import pytest

from reaper.core.model import Resource
from reaper.core.ruleset import Mode
from reaper.daemon.control import DaemonControl
from reaper.errors import SourceUnavailable
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
        lambda: FakeSource(),
        lambda: Guarded(),
        lambda: Guarded(answer=SourceUnavailable("no route")),
        lambda: Guarded(answer="too late", slow_s=99),
    ],
    ids=["can't tell", "may", "unreachable", "slow"],
)
async def test_what_cannot_be_told_is_null(source):
    assert await planned(source()) == [None]
