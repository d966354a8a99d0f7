"""Notices: a warning before a reap, its repetition, and what is told once. In virtual time."""

import asyncio
import itertools

import pytest

from reaper.core.facts import NoticeGiven
from reaper.core.ruleset import Mode
from reaper.daemon import looking
from reaper.errors import NotifyError, OutcomeUnknown
from reaper.testing import FakeNotifier, hours, idle, minutes, policy, rules, seconds, unknown
from tests.unit.daemon.rig import Rig, passing

pytestmark = pytest.mark.looptime

WARNED = rules(policy(warn_before=minutes(10)))


def warned_rig() -> tuple[Rig, FakeNotifier]:
    """A kernel that is due in twenty minutes, and is warned of ten minutes before."""
    notifier = FakeNotifier()
    rig = Rig(ruleset=WARNED, notifiers=[FakeNotifier("log:", counts_as_delivery=False), notifier])
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(2) + minutes(20))})
    return rig, notifier


def topics(notifier: FakeNotifier) -> list[str]:
    return [notice.topic for notice in notifier.delivered]


async def test_a_warning_then_the_reap_then_the_outcome():
    rig, notifier = warned_rig()
    due = rig.now + minutes(20)
    async with rig.running():
        await passing(1300)
        (started, _) = await rig.ledger()
    assert topics(notifier) == ["warning", "reaped"]
    warning = notifier.delivered[0]
    assert seconds(0) <= warning.at - (due - minutes(10)) <= seconds(1)
    assert warning.due_at == due
    assert ("keep it for 2 hours", "reaper hold k1 --for 2h") in warning.actions
    assert seconds(0) <= started.at - due <= seconds(1)


async def test_a_warning_that_fails_is_repeated_and_moves_the_deadline():
    rig, notifier = warned_rig()
    due = rig.now + minutes(20)
    notifier.failing = "503"
    async with rig.running() as daemon:
        await passing(1260)  # a minute after the deadline
        assert rig.reasons() == {"k1": "notice_undelivered"}
        assert not rig.source.acts
        moved = next(iter(daemon.decisions.values())).due_at
        assert moved is not None
        assert moved >= rig.now + minutes(10)
        tries = [n.at for n in await rig.facts("NoticeGiven")]
        gaps = [round((later - earlier).total_seconds()) for earlier, later in itertools.pairwise(tries)]
        assert gaps[:3] == [30, 60, 120]
        notifier.failing = ""
        await passing(1800)
        (started, _) = await rig.ledger()
    warning = notifier.delivered[0]
    assert topics(notifier) == ["warning", "reaped"]
    assert warning.subject.endswith("(shutdown) in 10m"), "not now: the act moves to the delivery + 10 m"
    assert warning.due_at is not None
    assert seconds(0) <= started.at - warning.due_at <= seconds(1)
    assert started.at > due
    assert seconds(0) <= started.at - (warning.at + minutes(10)) <= seconds(1)


async def test_the_log_alone_is_no_delivery():
    rig, notifier = warned_rig()
    rig.notifiers.remove(notifier)
    async with rig.running():
        await passing(3600)
        assert not rig.source.acts
        assert rig.reasons() == {"k1": "notice_undelivered"}


def seldom(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look, and look for sources, four times an hour: days pass faster."""
    monkeypatch.setattr(looking, "_DISCOVERY", minutes(15))
    rig.setup["poll_interval"] = minutes(15)
    rig.ruleset = rules(policy(warn_before=minutes(10)), max_gap=minutes(45))


async def test_after_a_day_without_delivery_it_is_blocked_and_told_once(monkeypatch):
    rig, notifier = warned_rig()
    seldom(rig, monkeypatch)
    log = rig.notifiers[0]
    notifier.failing = "503"
    async with rig.running():
        await passing(26 * 3600)
        assert rig.reasons() == {"k1": "blocked"}
        await passing(30 * 3600)
        assert rig.reasons() == {"k1": "blocked"}
        given = [fact for fact in await rig.facts("NoticeGiven") if isinstance(fact, NoticeGiven)]
    assert topics(log).count("blocked") == 1
    assert [fact.topic for fact in given].count("blocked") == 1
    assert not rig.source.acts


async def test_what_is_unknown_for_a_day_is_told_once(monkeypatch):
    rig, notifier = warned_rig()
    seldom(rig, monkeypatch)
    rig.scene.say("k1", execution_state=unknown("hibernating"))
    async with rig.running() as daemon:
        await passing(23 * 3600)
        assert not topics(notifier)
        await passing(30 * 3600)
        assert topics(notifier) == ["blind"]
        assert next(iter(daemon.decisions.values())).blind
        assert "reaper_blind_resources 1.0" in daemon.metrics.render().decode()
    async with rig.running():
        await passing(3600)
        assert topics(notifier) == ["blind"], "also after a restart"


async def test_in_a_dry_run_the_log_alone_is_told():
    rig, notifier = warned_rig()
    rig.ruleset = rules(policy(warn_before=minutes(10)), mode=Mode.DRY_RUN)
    log = rig.notifiers[0]
    async with rig.running():
        await passing(3600)
    assert topics(log) == ["warning"]
    assert not notifier.delivered
    assert not rig.source.acts


async def test_activity_makes_a_warning_void():
    rig, notifier = warned_rig()
    async with rig.running():
        await passing(700)
        assert topics(notifier) == ["warning"]
        again = rig.now
        rig.scene.say("k1", execution_state=idle(again))
        await passing(6000)
        assert topics(notifier) == ["warning"]
        await passing(1300)
        (started, _) = [e for e in await rig.ledger() if e.state.value != "ABANDONED"]
    assert topics(notifier) == ["warning", "warning", "reaped"]
    assert started.at - again >= hours(2)


async def test_an_act_whose_answer_got_lost_is_not_told_as_failed():
    notifier = FakeNotifier()
    rig = Rig(notifiers=[notifier])
    rig.scene.add("k1", {"execution_state": idle(rig.now - hours(3))})
    rig.source.outcomes.append((OutcomeUnknown("the connection broke"), True))
    async with rig.running():
        await passing(700)
    assert topics(notifier)[0] == "unclear"
    assert "no clear outcome" in notifier.delivered[0].subject


class HangingNotifier(FakeNotifier):
    """Gives up after ten seconds."""

    async def notify(self, notice):
        await asyncio.sleep(10)
        raise NotifyError("no answer within 10 s")


async def test_a_notifier_that_hangs_holds_up_nothing_else():
    rig, _ = warned_rig()
    rig.ruleset = rules(policy(warn_before=minutes(10)), policy("terminals", kind="jupyter.terminal"))
    rig.notifiers = [HangingNotifier("slow:")]
    rig.scene.add("t1", {"last_activity": idle(rig.now - hours(2) + seconds(605))}, kind="jupyter.terminal")
    due = rig.now + seconds(605)
    async with rig.running():
        await passing(700)
        (started, _) = await rig.ledger()
    assert started.ref.id == "t1"
    assert started.at - due <= seconds(0.3)
