"""A new configuration while running: other rules, other providers, the same histories. In virtual time."""

import asyncio

import pytest
import structlog.testing

from reaper.core.facts import PolicyApplied, SettingChanged
from reaper.errors import ConfigError, SourceUnavailable
from reaper.plugins import LedgerQuery
from reaper.testing import (
    FakeNotifier,
    FakeProvider,
    FakeSource,
    Scene,
    hours,
    idle,
    minutes,
    policy,
    rules,
    seconds,
)
from tests.unit.daemon.rig import Rig, make_setup, passing

pytestmark = pytest.mark.looptime


class SlowProvider(FakeProvider):
    """Its discovery takes time, or fails."""

    takes_s = 0.0

    async def discover(self, now, memos):
        await asyncio.sleep(self.takes_s)
        return await super().discover(now, memos)


def anew(rig: Rig) -> SlowProvider:
    """The same sources by name, as another provider's objects."""
    return SlowProvider(sources=[FakeSource(scene=source.scene) for source in rig.sources])


async def test_new_rules_take_effect_and_the_history_stays():
    rig = Rig()
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(1))})
    async with rig.running() as daemon:
        await passing(30)
        life = daemon.world.live[rig.scene.key("k1")]
        provider, notifier = anew(rig), FakeNotifier()
        rig.ruleset = rules(policy(timeout=minutes(45)))
        await daemon.reload(make_setup(rig.ruleset), (provider,), (notifier,))
        await passing(2)
        assert daemon.world.live.get(rig.scene.key("k1")) in (life, None)
        assert rig.provider.closed
        assert rig.source.closed
        assert not rig.source.acts, "the old source is not used any more"
        assert [act.resource.ref for act in provider.sources[0].acts] == [life.ref]
        assert [notice.topic for notice in notifier.delivered] == ["reaped"]


async def test_a_new_limit_never_reaps_before_the_apply_grace():
    rig = Rig(ruleset=rules(apply_grace=minutes(10)))
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(1))})
    async with rig.running() as daemon:
        await passing(30)
        at = rig.now
        rig.ruleset = rules(policy(timeout=minutes(45)), apply_grace=minutes(10))
        await daemon.reload(make_setup(rig.ruleset), (anew(rig),), ())
        await passing(700)
        (started, _) = await rig.ledger()
        applied = await rig.facts("PolicyApplied")
    assert seconds(600) <= started.at - at <= seconds(600.5)
    assert len(applied) == 2
    assert all(isinstance(fact, PolicyApplied) for fact in applied)


@pytest.mark.parametrize("moment", [9.5, 10.0, 10.5, 12.9])
async def test_a_reload_during_discovery_keeps_every_life(moment):
    rig = Rig()
    rig.provider = SlowProvider(sources=rig.sources)
    rig.provider.takes_s = 3
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(1))})
    with structlog.testing.capture_logs() as logs:
        async with rig.running() as daemon:
            await passing(3 + moment)
            life = daemon.world.live[rig.scene.key("k1")]
            await daemon.reload(make_setup(rig.ruleset), (anew(rig),), ())
            await passing(30)
            assert daemon.world.live[rig.scene.key("k1")] is life
    assert "source ended" not in [entry["event"] for entry in logs]


@pytest.mark.parametrize("how", ["fails", "incomplete"])
async def test_a_new_provider_that_can_not_look_ends_no_life(how):
    rig = Rig()
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(1))})
    async with rig.running() as daemon:
        await passing(30)
        life = daemon.world.live[rig.scene.key("k1")]
        provider = anew(rig)
        kept = provider.sources
        if how == "fails":
            provider.failure = SourceUnavailable("no network")
        else:
            provider.sources, provider.complete = [], False
        await daemon.reload(make_setup(rig.ruleset), (provider,), ())
        await passing(120)
        assert daemon.world.live[rig.scene.key("k1")] is life
        if how == "fails":
            provider.failure = None
        else:
            provider.sources, provider.complete = kept, True
        await passing(30)
        assert daemon.world.live[rig.scene.key("k1")] is life
        assert daemon.looking.watches["fake:one"].source is provider.sources[0]


async def test_a_source_that_the_new_configuration_does_not_name_ends():
    rig = Rig(sources=[FakeSource(), FakeSource(scene=Scene("fake:two", scope="http://b/"))])
    for source, name in zip(rig.sources, ("k1", "k2"), strict=True):
        source.scene.add(name, {"execution_state": idle(rig.now)})
    async with rig.running() as daemon:
        await passing(30)
        provider = anew(rig)
        del provider.sources[1]
        await daemon.reload(make_setup(rig.ruleset), (provider,), ())
        assert [key.id for key in daemon.world.live] == ["k1"]
        assert rig.sources[1].closed


async def test_an_override_that_the_new_configuration_refuses_is_left_out_and_said_once():
    rig = Rig(setup={"underlying": {"idle-timeout": "2h"}})
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(1))})
    async with rig.running() as daemon:
        await passing(5)
        override = SettingChanged(
            at=rig.now,
            name="idle-timeout",
            value="9h",
            previous="2h",
            underlying="2h",
            until=None,
            who="ada",
        )
        daemon.recorder.facts(override)
        daemon.poke()
        await passing(5)

        def build(overrides):
            if overrides:
                msg = "idle-timeout 9h is above REAPER_IDLE_TIMEOUT_MAX"
                raise ConfigError(msg)
            return rules(policy(timeout=minutes(90)))

        setup = make_setup(rig.ruleset, underlying={"idle-timeout": "2h"})
        object.__setattr__(setup, "build_ruleset", build)
        with structlog.testing.capture_logs() as logs:
            await daemon.reload(setup, (rig.provider,), ())
            await passing(3600)
        assert [entry["event"] for entry in logs].count("override left out") == 1
        assert daemon.ticks < 80
    assert [act.resource.ref.id for act in rig.source.acts] == ["k1"]


async def test_an_override_ends_for_good_when_the_configuration_under_it_changes():
    """It hides one configured value; when that comes back, somebody decided so, and not the one who overrode it."""
    rig = Rig(setup={"underlying": {"idle-timeout": "2h"}})
    async with rig.running() as daemon:
        override = SettingChanged(
            at=rig.now,
            name="idle-timeout",
            value="9h",
            previous="2h",
            underlying="2h",
            until=None,
            who="ada",
        )
        daemon.recorder.facts(override)
        daemon.poke()
        await passing(5)
        assert daemon.world.settings == {"idle-timeout": override}
        for configured in ("3h", "2h"):
            setup = make_setup(rig.ruleset, underlying={"idle-timeout": configured})
            await daemon.reload(setup, (rig.provider,), ())
            await passing(5)
        assert daemon.world.settings == {}
        (*_, ended) = await rig.journal.facts(LedgerQuery(types=("SettingChanged",)))
        assert isinstance(ended, SettingChanged)
        assert (ended.value, ended.previous, ended.underlying, ended.who) == (
            None,
            "9h",
            "3h",
            "configuration",
        )


async def test_a_source_is_not_closed_under_a_look_or_an_act():
    class Watched(FakeSource):
        used = 0
        closed_in_use = False

        async def collect(self, look):
            self.used += 1
            try:
                return await super().collect(look)
            finally:
                self.used -= 1

        async def act(self, resource, action):
            self.used += 1
            try:
                return await super().act(resource, action)
            finally:
                self.used -= 1

        async def close(self):
            self.closed_in_use = self.closed_in_use or self.used > 0
            await super().close()

    source = Watched(takes_s=2, acting_takes_s=12)
    rig = Rig(sources=[source])
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(2) + seconds(30))})
    rig.scene.add("k2", {"execution_state": idle(rig.now)})
    async with rig.running() as daemon:
        await passing(33)  # the act has begun
        assert daemon.acting.under_way
        rig.sources.clear()
        await passing(60)
        assert source.closed
        assert not source.closed_in_use
        assert [entry.state.value for entry in await rig.ledger()] == ["STARTED", "SUCCEEDED"]
