"""The shipped fakes keep the Protocols, virtual time included; and the clock tells sleep from time that passed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import looptime
import pytest

from reaper.clock import Clock
from reaper.core.model import Activity, Hold, HoldMatcher
from reaper.errors import (
    ActionDenied,
    ActionUnavailable,
    NotifyError,
    OutcomeUnknown,
    ReaperError,
    SourceUnavailable,
)
from reaper.plugins import ActOutcome, Look, Notice, Notifier, Provider, Source
from reaper.testing import (
    T0,
    FakeClock,
    FakeNotifier,
    FakeProvider,
    FakeSource,
    Scene,
    WorldBuilder,
    active,
    hours,
    idle,
    minutes,
    sampled,
    seconds,
    unknown,
)


class TestClock:
    def test_time_that_passes_moves_both_clocks(self):
        clock: Clock = FakeClock()
        assert (clock.now(), clock.monotonic(), clock.boot_id()) == (T0, 0.0, "fake-boot")
        fake = FakeClock()
        assert fake.advance(minutes(1)) == T0 + minutes(1)
        assert (fake.now(), fake.monotonic()) == (T0 + minutes(1), 60.0)
        assert fake.advance_to(T0 + hours(1)) == T0 + hours(1)

    def test_sleep_and_jump_move_the_wall_clock_alone(self):
        clock = FakeClock()
        clock.sleep(hours(9))
        assert (clock.now(), clock.monotonic()) == (T0 + hours(9), 0.0)
        clock.jump(-hours(10))
        assert (clock.now(), clock.monotonic()) == (T0 - hours(1), 0.0)

    def test_refuses_what_can_not_be(self):
        clock = FakeClock()
        for impossible in (lambda: clock.advance(-seconds(1)), lambda: clock.sleep(-seconds(1))):
            with pytest.raises(ValueError, match=r"backwards|sleeps"):
                impossible()
        with pytest.raises(ValueError, match="no time zone"):
            FakeClock(T0.replace(tzinfo=None))

    def test_another_boot_counts_from_zero(self):
        clock = FakeClock()
        clock.advance(hours(1))
        clock.reboot("second")
        assert (clock.now(), clock.monotonic(), clock.boot_id()) == (T0 + hours(1), 0.0, "second")

    def test_follows_a_loop(self):
        with virtual_time() as loop:

            async def an_hour() -> None:
                clock = FakeClock(loop_time=loop.time)
                await asyncio.sleep(3600)
                assert clock.now() == T0 + hours(1)
                clock.advance(seconds(1))
                assert (clock.now(), clock.monotonic()) == (T0 + hours(1) + seconds(1), 3601.0)

            loop.run_until_complete(an_hour())


@contextmanager
def virtual_time() -> Iterator[asyncio.AbstractEventLoop]:
    loop = looptime.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


def look(at=T0, refs=None, poll_id: int = 1) -> Look:
    return Look(poll_id=poll_id, at=at, deadline=10.0, refs=refs)


@pytest.fixture
async def source() -> AsyncIterator[FakeSource]:
    scene = Scene().add("a", {"execution_state": idle(T0)}).add("t", kind="jupyter.terminal")
    made = FakeSource(scene)
    yield made
    await made.close()
    assert made.closed


class TestSource:
    async def test_shows_the_scene(self, source):
        honest: Source = source
        collected = await honest.collect(look(poll_id=7))
        assert (collected.poll.id, collected.poll.source, collected.poll.started_at) == (7, "fake:one", T0)
        assert collected.poll.complete
        assert [resource.ref.id for resource in collected.resources] == ["a", "t"]
        assert [one.signal for one in collected.observations] == ["execution_state"]

    async def test_looks_at_some(self, source):
        collected = await source.collect(look(refs=(source.scene.ref("a"),)))
        assert collected.poll.targets == ("a",)
        assert [resource.ref.id for resource in collected.resources] == ["a"]
        assert len(source.looks) == 1

    async def test_fails_as_told(self, source):
        source.failure = SourceUnavailable("connection refused")
        collected = await source.collect(look())
        assert (collected.poll.complete, collected.poll.error, collected.resources) == (
            False,
            "connection refused",
            (),
        )
        source.failed_kinds = ("jupyter.terminal",)
        collected = await source.collect(look())
        assert [resource.ref.id for resource in collected.resources] == ["a"]

    async def test_holds_and_memo(self, source):
        hold = Hold(id="fake:one#h", matcher=HoldMatcher(), who="k", why="", starts_at=T0, expires_at=None)
        source.scene.holds, source.scene.memo = [hold], {"counters": 1}
        collected = await source.collect(look())
        assert (collected.holds, collected.memo) == ((hold,), {"counters": 1})

    def test_hangs_until_the_deadline_in_virtual_time(self):
        source = FakeSource(Scene().add("a"), hanging=True)
        with virtual_time() as loop:
            collected = loop.run_until_complete(source.collect(look()))
            assert loop.time() == 10
        assert (collected.poll.complete, collected.poll.finished_at) == (False, T0 + seconds(10))

    def test_slower_than_the_deadline_is_incomplete(self):
        source = FakeSource(Scene().add("a"), takes_s=11)
        with virtual_time() as loop:
            assert not loop.run_until_complete(source.collect(look())).poll.complete
            source.takes_s = 9
            assert loop.run_until_complete(source.collect(look())).poll.complete

    def test_stuck_needs_somebody_to_stop_it(self):
        source = FakeSource(Scene().add("a"), stuck=True)
        with virtual_time() as loop, pytest.raises(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(source.collect(look()), 100))

    async def test_acts_and_remembers(self, source):
        (a, _) = (await source.collect(look())).resources
        assert await source.act(a, "shutdown") == ActOutcome(gone=True, detail="204")
        assert not source.scene.has(a.ref)
        assert (await source.act(a, "shutdown")).detail == "was gone already (404)"
        assert [act.had_effect for act in source.acts] == [True, False]
        assert [act.action for act in source.effective()] == ["shutdown"]

    async def test_never_hits_another_life(self, source):
        (old, _) = (await source.collect(look())).resources
        source.scene.add("a", incarnation="life-2")
        await source.act(old, "shutdown")
        assert source.scene.has(source.scene.ref("a"))
        assert source.effective() == []

    async def test_outcomes_as_scripted(self, source):
        (a, _) = (await source.collect(look())).resources
        taken = ActOutcome(gone=False, detail="202")
        lost: tuple[ReaperError, bool] = (OutcomeUnknown("connection reset"), True)
        source.outcomes.extend([ActionUnavailable("HTTP 500"), ActionDenied("HTTP 403"), lost, taken])
        with pytest.raises(ActionUnavailable):
            await source.act(a, "shutdown")
        with pytest.raises(ActionDenied):
            await source.act(a, "shutdown")
        assert source.scene.has(a.ref)
        with pytest.raises(OutcomeUnknown):
            await source.act(a, "shutdown")
        assert not source.scene.has(a.ref)
        assert await source.act(a, "shutdown") == taken

    async def test_refuses_what_is_protected(self, source):
        (a, _) = (await source.collect(look())).resources
        source.protected.add("a")
        with pytest.raises(ActionDenied, match="protected"):
            await source.act(a, "shutdown")
        assert source.scene.has(a.ref)

    async def test_lingers(self, source):
        (a, _) = (await source.collect(look())).resources
        source.lingering = True
        await source.act(a, "shutdown")
        assert source.scene.has(a.ref)


async def test_provider():
    source = FakeSource()
    fake = FakeProvider([source])
    provider: Provider = fake
    assert (provider.name, provider.kinds) == ("fake", {"jupyter.kernel": ("shutdown",)})
    found = await provider.discover(T0, {"fake:one": {"n": 1}})
    assert (found.sources, found.required, found.complete) == ((source,), ("fake:one",), True)
    assert fake.memos == {"fake:one": {"n": 1}}
    fake.failure = SourceUnavailable("no runtime directory")
    with pytest.raises(SourceUnavailable):
        await provider.discover(T0, {})
    await provider.close()
    assert source.closed


async def test_notifier():
    fake = FakeNotifier()
    notifier: Notifier = fake
    notice = Notice(topic="warning", at=T0, subject="s", text="t", mode="enforce")
    await notifier.notify(notice)
    fake.failing = "HTTP 500"
    with pytest.raises(NotifyError, match="HTTP 500"):
        await notifier.notify(notice)
    assert (fake.delivered, fake.refused) == ([notice], [notice])
    await notifier.close()
    assert fake.closed


class TestScene:
    def test_sampled_signals_need_an_interval(self):
        builder = WorldBuilder(Scene().add("k", {"process": sampled()})).look(T0)
        history = builder.world.live[builder.ref("k").key]
        assert history.latest("process") is None
        builder.look(T0 + minutes(1))
        run = history.latest("process")
        assert run is not None
        assert (run.activity, run.covers_from) == (Activity.IDLE, T0)

    def test_signals_by_instant(self):
        scene = Scene().add("k", {"s": lambda at: active() if at < T0 + minutes(1) else None})
        builder = WorldBuilder(scene).look(T0)
        history = builder.world.live[builder.ref("k").key]
        assert [run.signal for run in history.current()] == ["s"]
        builder.look(T0 + minutes(1))
        assert history.current() == []

    def test_changes(self):
        scene = Scene().add("k", {"s": unknown()}, tags={"a": "b"})
        scene.change("k", tags={}, name="notebook.ipynb")
        builder = WorldBuilder(scene).look(T0)
        assert builder.world.live[scene.key("k")].resource.name == "notebook.ipynb"
        scene.clear()
        assert builder.look(T0 + minutes(1)).world.live == {}
        assert len(builder.batches) == 2

    def test_look_every(self):
        builder = WorldBuilder(Scene().add("k")).look_every(minutes(1), start=T0, end=T0 + minutes(3))
        assert builder.world.polls == 4
