"""Which providers a fleet's configuration loads, and when an instance's activity matters."""

from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from reaper.cli.fleets import Activity, Moment, reads_activity, scope_options
from reaper.cli.wiring import loaded
from reaper.config.rules import build_ruleset
from reaper.core.model import Resource, ResourceRef
from reaper.core.ruleset import Mode, Step
from reaper.policies.age import AgeRule
from reaper.policies.idle import IdleRule
from reaper.policies.schedule import ScheduleRule
from reaper.policies.where import WhereRule
from reaper.testing import FakeClock, hours, minutes
from tests.support.configuration import Given

POLICIES = """
[[policies]]
name = "idle"
kind = "ec2.instance"
rule = "idle"
match = { gpus = ["[1-9]*"] }
action = "stop"

[[policies]]
name = "old"
kind = "ec2.instance"
rule = "age"
timeout = "72h"
action = "stop"
"""


@pytest.fixture
def given(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Given:
    monkeypatch.setattr("reaper.config.places.ETC_FILE", tmp_path / "none.toml")
    return Given(tmp_path)


async def names(given: Given, toml: str | None = None, **variables: str) -> list[str]:
    _, providers, _ = loaded(given.load(toml, **variables), FakeClock())
    async with AsyncExitStack() as stack:
        for provider in providers:
            stack.push_async_callback(provider.close)
    return [provider.name for provider in providers]


def box(gpus: int) -> Resource:
    ref = ResourceRef(kind="ec2.instance", scope="1/us-east-1", id="i-1", incarnation="")
    return Resource(ref=ref, name="box", attributes={"gpus": gpus})


async def test_a_fleet_looks_for_no_jupyter_servers(given: Given) -> None:
    assert await names(given, PRESET="fleet") == ["ec2", "prices"]


async def test_policies_for_instances_load_the_provider(given: Given) -> None:
    assert await names(given, POLICIES) == ["jupyter", "ec2", "prices"]
    assert await names(given, 'state = "memory:"') == ["jupyter"]


async def test_a_look_at_a_fleet_may_take_longer(given: Given) -> None:
    fleet, _, _ = loaded(given.load(PRESET="fleet"), FakeClock())
    plain, _, _ = loaded(given.load(PRESET="jupyter"), FakeClock())
    assert (fleet.look_deadline, plain.look_deadline) == (60.0, 10.0)


def test_the_preset_stops_idle_gpus_and_only_shows_old_ones(given: Given) -> None:
    idle, old = build_ruleset(given.load(PRESET="fleet", MODE="enforce")).policies
    assert (idle.rule, idle.steps, idle.mode) == (
        IdleRule(timeout=hours(2)),
        (Step(action="stop"),),
        Mode.ENFORCE,
    )
    assert (old.rule_name, old.steps, old.mode) == ("age", (Step(action="stop"),), Mode.DRY_RUN)
    assert [policy.applies_to(box(gpus=0)) for policy in (idle, old)] == [False, False]
    assert [policy.applies_to(box(gpus=8)) for policy in (idle, old)] == [True, True]


@pytest.mark.parametrize(
    ("name", "rule", "after"),
    [
        ("idle", IdleRule(timeout=hours(1)), hours(1)),
        ("age", AgeRule(timeout=hours(72)), None),
        ("age", AgeRule(timeout=hours(72), only_if_idle=True), minutes(5)),
        ("age", AgeRule(timeout=hours(72), only_if_idle=True, idle_for=hours(1)), hours(1)),
        ("untagged", SimpleNamespace(timeout=hours(1)), None),
        ("spend", SimpleNamespace(timeout=timedelta(0)), None),
        ("where", SimpleNamespace(timeout=timedelta(0)), None),
        ("somebodys", SimpleNamespace(timeout=hours(1)), timedelta(0)),
        ("not", SimpleNamespace(timeout=hours(1)), timedelta(0)),
    ],
)
def test_when_a_rule_wants_to_know(name: str, rule: Any, after: timedelta | None) -> None:
    assert reads_activity(name, rule) == after


def test_combined_rules_want_to_know_as_soon_as_one_of_them_does() -> None:
    old, idle = (
        SimpleNamespace(name="age", rule=AgeRule(timeout=hours(72))),
        SimpleNamespace(name="idle", rule=IdleRule(timeout=hours(3))),
    )
    assert reads_activity("all", SimpleNamespace(rules=(old, idle))) == hours(3)
    assert reads_activity("any", SimpleNamespace(rules=(old,))) is None


def test_a_condition_asks_for_nothing_by_itself() -> None:
    """The key `where` of a policy makes its rule one of two: were it asked at once, everything would be, always."""
    where = WhereRule(expression="resource.age > 60.0")
    parts = (
        SimpleNamespace(name="where", rule=where),
        SimpleNamespace(name="idle", rule=IdleRule(timeout=hours(2))),
    )
    assert reads_activity("all", SimpleNamespace(rules=parts)) == hours(2)


def test_only_policies_that_apply_count(given: Given) -> None:
    activity = Activity(FakeClock(), minutes(5))
    activity.heed(build_ruleset(given.load(POLICIES, IDLE_TIMEOUT="30h")))
    timeouts = activity.timeouts(box(gpus=1))
    assert timeouts is not None
    assert (timeouts.ask_after, timeouts.look_back) == (hours(30), hours(60))
    assert activity.timeouts(box(gpus=0)) is None


RESTING = """
[[policies]]
name = "old"
kind = "ec2.instance"
rule = "age"
timeout = "72h"
only_if_idle = true
idle_for = "1h"
warn_before = "30m"
action = "stop"
"""


def test_a_rule_of_time_asks_only_when_its_term_is_near(given: Given) -> None:
    clock = FakeClock()
    activity = Activity(clock, minutes(5))
    activity.heed(build_ruleset(given.load(RESTING)))
    resource = replace(box(gpus=1), started_at=clock.now())
    asks = []
    for after in (hours(0), hours(72) - minutes(96), minutes(1), hours(48)):
        clock.advance(after)
        timeouts = activity.timeouts(resource)
        assert timeouts is not None
        assert timeouts.ask_after == hours(1)
        asks.append(timeouts.asks)
    assert asks == [False, False, True, True]


def test_rules_in_others_and_schedules_know_their_terms() -> None:
    at = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
    schedule = ScheduleRule(off=("0 19 * * *",), on=("0 8 * * *",), only_if_idle=True)
    idle = IdleRule(timeout=hours(3))
    age = AgeRule(timeout=hours(72), only_if_idle=True)

    def wants(name: str, rule: Any, now: datetime) -> timedelta | None:
        return reads_activity(name, rule, Moment(at - hours(24), now, minutes(5)))

    assert wants("schedule", schedule, at + minutes(49)) is None
    assert wants("schedule", schedule, at + minutes(55)) is not None
    assert wants("schedule", schedule, at + hours(13)) is not None
    assert wants("schedule", schedule, at + hours(15)) is None
    parts = (SimpleNamespace(name="age", rule=age), SimpleNamespace(name="idle", rule=idle))
    assert wants("all", SimpleNamespace(rules=parts), at) == hours(3)
    assert wants("all", SimpleNamespace(rules=parts), at + hours(48)) == minutes(5)


def test_a_limit_that_is_changed_at_run_time_counts_at_once(given: Given) -> None:
    settings = given.load(PRESET="fleet")
    setup, providers, _ = loaded(settings, FakeClock())
    (ec2,) = [provider for provider in providers if provider.name == "ec2"]
    options: Any = ec2._options  # type: ignore[attr-defined]
    assert options.timeouts(box(gpus=1)).ask_after == hours(2)
    setup.build_ruleset({"idle-timeout": "20m"})
    assert options.timeouts(box(gpus=1)).ask_after == minutes(20)


def test_sessions_are_named_after_this_host(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "my host/1")
    assert scope_options(given.load()).session_name == "reaper-my-host-1"
    assert scope_options(given.load(AWS__SESSION_NAME="ops")).session_name == "ops"
