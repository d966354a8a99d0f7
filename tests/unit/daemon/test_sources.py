"""Looking: sources that fail, hang, come and go never hold up the others. In virtual time."""

import asyncio
from dataclasses import replace

import pytest
import structlog.testing

from reaper.errors import SourceDenied, SourceUnavailable
from reaper.testing import FakeProvider, FakeSource, Scene, hours, idle, minutes, seconds
from tests.unit.daemon.rig import Rig, passing

pytestmark = pytest.mark.looptime

OTHER = "http://127.0.0.1:9999/"


def two_sources() -> Rig:
    """Two sources: each with a kernel that is due in two minutes."""
    rig = Rig(sources=[FakeSource(), FakeSource(scene=Scene("fake:two", scope=OTHER))])
    for source, name in zip(rig.sources, ("k1", "k2"), strict=True):
        source.scene.add(name, {"execution_state": idle(rig.now - hours(2) + minutes(2))})
    return rig


@pytest.mark.parametrize("how", ["hanging", "stuck"])
async def test_a_source_that_hangs_delays_no_other(how):
    rig = two_sources()
    due = rig.now + minutes(2)
    async with rig.running():
        await passing(30)
        setattr(rig.sources[0], how, True)
        await passing(95)
        started = [entry for entry in await rig.ledger() if entry.state.value == "STARTED"]
        reasons = rig.reasons()
    assert [entry.ref.id for entry in started] == ["k2"]
    assert started[0].at - due <= seconds(0.3)
    assert reasons["k1"] == "source_failing"


async def test_a_source_that_is_slow_is_believed_and_delays_no_other():
    rig = two_sources()
    due = rig.now + minutes(2)
    rig.sources[0].takes_s = 8
    async with rig.running():
        await passing(150)
        started = {e.ref.id: e.at - due for e in await rig.ledger() if e.state.value == "STARTED"}
    assert started["k2"] <= seconds(0.3)
    assert started["k1"] <= seconds(16.3), "a look that has begun at the deadline, and the fresh one"


class HangingProvider(FakeProvider):
    """Its discovery hangs, as on a dead network mount."""

    hanging = False

    async def discover(self, now, memos):
        if self.hanging:
            await asyncio.Event().wait()
        return await super().discover(now, memos)


async def test_discovery_that_hangs_delays_no_reap():
    rig = two_sources()
    rig.provider = HangingProvider(sources=rig.sources)
    due = rig.now + minutes(2)
    async with rig.running():
        await passing(30)
        rig.provider.hanging = True
        await passing(100)
        started = {e.ref.id: e.at - due for e in await rig.ledger() if e.state.value == "STARTED"}
        problems = rig.daemon.looking.problems
    assert set(started) == {"k1", "k2"}
    assert all(late <= seconds(0.3) for late in started.values())
    assert problems == {"fake": ("no answer within 10 s",)}


async def test_a_source_that_changes_while_it_hangs_delays_no_other():
    rig = two_sources()
    rig.sources[1].scene.say("k2", execution_state=idle(rig.now - hours(2) + seconds(131)))
    due = rig.now + seconds(131)
    async with rig.running():
        await passing(100)
        rig.sources[0].stuck = True
        await passing(22)  # a look that does not end has begun at 120 s, and lasts until 135 s
        anew = FakeSource(scene=rig.sources[0].scene)
        rig.provider.sources[0] = anew
        await passing(40)
        started = {e.ref.id: e.at - due for e in await rig.ledger() if e.state.value == "STARTED"}
    assert started["k2"] <= seconds(0.3)
    assert [act.resource.ref.id for act in anew.acts] == ["k1"]


@pytest.mark.parametrize(
    "failure", [SourceUnavailable("connection refused"), SourceDenied("403: the token was refused")]
)
async def test_what_a_failing_source_holds_is_unknown_and_never_reaped(failure):
    rig = two_sources()
    async with rig.running() as daemon:
        await passing(30)
        rig.source.failure = failure
        await passing(3 * 3600)
        decision = next(d for k, d in daemon.decisions.items() if k.id == "k1")
        assert (decision.verdict.value, decision.reason.value) == ("unknown", "source_failing")
        assert any(str(failure) in finding.detail for finding in decision.findings)
        assert not rig.source.acts
        rig.source.failure = None  # it recovers: what was idle all along goes at once
        await passing(62)
        assert [act.resource.ref.id for act in rig.source.acts] == ["k1"]


async def test_failing_and_recovering_are_logged_once():
    rig = two_sources()
    with structlog.testing.capture_logs() as logs:
        async with rig.running():
            await passing(5)
            rig.source.failure = SourceUnavailable("connection refused")
            await passing(1800)
            rig.source.failure = None
            await passing(1800)
    events = [entry["event"] for entry in logs if entry.get("source") == "fake:one"]
    assert events == ["source found", "source failed", "source recovered"]


async def test_a_source_that_ended_takes_what_was_in_it_along():
    rig = two_sources()
    async with rig.running() as daemon:
        await passing(30)
        gone = rig.sources.pop(0)
        await passing(11)
        assert [key.id for key in daemon.world.live] == ["k2"]
        assert gone.closed
        assert "fake:one" not in daemon.metrics.render().decode()


async def test_a_source_missing_from_a_discovery_that_is_not_complete_stays():
    rig = two_sources()
    async with rig.running() as daemon:
        await passing(30)
        rig.sources.pop(0)
        rig.provider.complete = False
        rig.provider.problems = ("/home/eve: permission denied",)
        await passing(60)
        assert {key.id for key in daemon.world.live} == {"k1", "k2"}
        assert daemon.looking.problems == {"fake": ("/home/eve: permission denied",)}


async def test_a_source_that_comes_later_is_found():
    rig = two_sources()
    late = rig.sources.pop()
    async with rig.running() as daemon:
        await passing(30)
        rig.sources.append(late)
        await passing(11)
        assert {key.id for key in daemon.world.live} == {"k1", "k2"}


async def test_it_is_ready_when_every_required_source_was_seen_once():
    rig = two_sources()
    rig.sources[1].failure = SourceUnavailable("connection refused")
    async with rig.running() as daemon:
        assert daemon.ready() == (False, "the first round of looks is not complete")
        await passing(30)
        assert daemon.ready() == (False, "no complete look yet at fake:two")
        rig.sources[1].failure = None
        await passing(60)
        assert daemon.ready() == (True, "")


class BrokenSource(FakeSource):
    """Raises what no source should."""

    async def collect(self, look):
        raise ZeroDivisionError


async def test_a_bug_in_a_source_ends_the_daemon():
    rig = two_sources()
    rig.sources[0] = BrokenSource()
    with pytest.raises(ExceptionGroup) as caught:
        async with rig.running():
            await passing(1)
    assert caught.group_contains(ZeroDivisionError, depth=1)


async def test_a_note_is_told_once_and_gone_when_the_source_says_it_no_more():
    class Noting(FakeSource):
        notes: tuple[str, ...] = ("another reaper polls this server",)

        async def collect(self, look):
            return replace(await super().collect(look), notes=self.notes)

    rig = Rig(sources=[source := Noting()])
    rig.scene.add("k1", {"execution_state": idle(rig.now)})
    with structlog.testing.capture_logs() as logs:
        async with rig.running() as daemon:
            await passing(150)
            (watch,) = daemon.looking.watches.values()
            assert watch.notes == {"another reaper polls this server"}
            source.notes = ()
            await passing(70)
            assert watch.notes == set()
    assert [entry["event"] for entry in logs].count("source noted") == 1
