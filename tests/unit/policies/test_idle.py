"""The rule `idle`, by reason code; and `busy_timeout`, which never fires without process evidence."""

import pytest

from reaper.core.history import History
from reaper.core.model import Activity
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.policies.idle import IdleRule
from reaper.testing import (
    T0,
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
from reaper.testing.scene import ResourceFields

RULE = IdleRule(timeout=hours(2))
STUCK = IdleRule(timeout=hours(2), busy_timeout=hours(4))
AGO = {h: idle(T0 - hours(h)) for h in (1, 2, 3)}


def seen(signals, *, before=None, at=T0, **fields) -> History:
    """A kernel as a look at T0 sees it, after one a minute before that saw `before` (by default the same)."""
    builder = WorldBuilder(Scene().add("k", before or signals, started_at=T0 - hours(9), **fields))
    builder.look(at - minutes(1))
    builder.scene.add("k", signals, started_at=T0 - hours(9), **fields)
    for name, said in signals.items():
        builder.scene.say("k", **{name: said})
    builder.scene._things[builder.ref("k").key].looked_at = at - minutes(1)
    return builder.look(at).world.live[builder.ref("k").key]


def found(signals, *, now=T0, rule=RULE, **fields) -> Finding:
    finding: Finding = rule.evaluate(seen(signals, **fields), now, "quiet")
    assert finding.policy == "quiet"
    assert finding.verdict is Verdict.REAP or finding.due_at is None or finding.due_at > now
    return finding


TABLE = {
    # signals of the latest look: verdict, reason, since, due
    "idle for the timeout": (
        {"execution_state": AGO[2]},
        (Verdict.REAP, Reason.IDLE, T0 - hours(2), T0),
    ),
    "idle a second less": (
        {"execution_state": idle(T0 - hours(2) + seconds(1))},
        (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH, T0 - hours(2) + seconds(1), T0 + seconds(1)),
    ),
    "the latest activity counts": (
        {"execution_state": AGO[3], "notebook": AGO[1]},
        (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH, T0 - hours(1), T0 + hours(1)),
    ),
    "idle in the future": (
        {"execution_state": idle(T0 + hours(1))},
        (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH, T0 + hours(1), T0 + hours(3)),
    ),
    "at work": ({"execution_state": active()}, (Verdict.WAIT, Reason.ACTIVE, None, T0 + hours(2))),
    "at work, whatever else is unknown": (
        {"execution_state": unknown(), "process": active("2 core")},
        (Verdict.WAIT, Reason.ACTIVE, None, T0 + hours(2)),
    ),
    "one unknown": (
        {"execution_state": AGO[3], "gpu": unknown("another's pids")},
        (Verdict.UNKNOWN, Reason.EVIDENCE_UNKNOWN, T0 - minutes(1), None),
    ),
    "nothing at all": ({}, (Verdict.UNKNOWN, Reason.NO_EVIDENCE, T0 - minutes(1), None)),
    "sampled alone: idle since it is watched": (
        {"process": sampled()},
        (Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH, T0 - minutes(1), T0 + hours(2) - minutes(1)),
    ),
    "sampled beside a dated one claims nothing of the time before": (
        {"execution_state": AGO[3], "process": sampled()},
        (Verdict.REAP, Reason.IDLE, T0 - hours(3), T0 - hours(1)),
    ),
    "busy, and nothing speaks against it": (
        {"execution_state": active()},
        (Verdict.WAIT, Reason.ACTIVE, None, T0 + hours(2)),
    ),
    "busy, and its processes rest": (
        {"execution_state": active(), "process": sampled()},
        (Verdict.WAIT, Reason.BUSY_WITHOUT_WORK, None, T0 + hours(2)),
    ),
    "busy, and its processes rest, and its GPU can't be read": (
        {"execution_state": active(), "process": sampled(), "gpu": unknown()},
        (Verdict.WAIT, Reason.ACTIVE, None, T0 + hours(2)),
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_says(case):
    signals, wanted = TABLE[case]
    finding = found(signals)
    assert (finding.verdict, finding.reason, finding.since, finding.due_at) == wanted


def test_names_the_signals_and_what_they_said():
    finding = found({"b": unknown("no access"), "a": unknown("HTTP 500"), "c": AGO[3]})
    assert (finding.evidence, finding.detail) == (("a", "b"), "a: HTTP 500; b: no access")


def test_source_failing_is_unknown_since_it_fails():
    for signals in ({"execution_state": AGO[3]}, {"execution_state": active(), "process": sampled()}):
        builder = WorldBuilder(Scene().add("k", signals)).look(T0 - minutes(2)).look(T0 - minutes(1))
        builder.fail(T0, "HTTP 502").fail(T0 + minutes(1), "HTTP 503")
        history = builder.world.live[builder.ref("k").key]
        finding = STUCK.evaluate(history, T0 + minutes(1), "quiet")
        assert (finding.verdict, finding.reason, finding.since) == (
            Verdict.UNKNOWN,
            Reason.SOURCE_FAILING,
            T0,
        )
        assert finding.detail == "HTTP 503"


def test_a_look_without_any_signal_is_unknown_whatever_was_seen_before():
    finding = found({}, before={"execution_state": AGO[3]})
    assert (finding.verdict, finding.reason, finding.since) == (
        Verdict.UNKNOWN,
        Reason.EVIDENCE_LOST,
        T0 - minutes(1),
    )


REQUIRED: ResourceFields = {"required_signals": ("process",), "sample_interval_s": 5.0}


class TestRequired:
    def at(self, now, *looks, **signals) -> Finding:
        builder = WorldBuilder(Scene().add("k", {"execution_state": AGO[3], **signals}, **REQUIRED))
        for look in looks:
            builder.look(look)
        return RULE.evaluate(builder.world.live[builder.ref("k").key], now, "quiet")

    def test_its_first_interval_is_waited_for(self):
        finding = self.at(T0, T0, process=sampled())
        assert (finding.verdict, finding.reason, finding.due_at) == (
            Verdict.WAIT,
            Reason.SAMPLING,
            T0 + seconds(5),
        )

    def test_not_for_ever(self):
        assert self.at(T0 + seconds(9), T0, process=sampled()).due_at is None
        finding = self.at(T0 + seconds(5), T0, T0 + seconds(5))
        assert (finding.verdict, finding.reason, finding.since) == (Verdict.UNKNOWN, Reason.EVIDENCE_LOST, T0)

    def test_an_idle_interval_that_ends_in_the_look_is_enough(self):
        assert self.at(T0 + seconds(5), T0, T0 + seconds(5), process=sampled()).verdict is Verdict.REAP

    def test_losing_it_is_unknown_from_the_first_look_without_it(self):
        builder = WorldBuilder(
            Scene().add("k", {"execution_state": AGO[3], "process": sampled()}, **REQUIRED)
        )
        builder.look(T0).look(T0 + seconds(5))
        builder.scene.say("k", process=None)
        history = builder.look(T0 + minutes(1)).world.live[builder.ref("k").key]
        finding = RULE.evaluate(history, T0 + minutes(1), "quiet")
        assert (finding.reason, finding.since, finding.evidence) == (
            Reason.EVIDENCE_LOST,
            T0 + seconds(5),
            ("process",),
        )


class TestSampledAlone:
    """A host, an instance: no source dates its last activity, so idleness is what was watched."""

    def test_a_gap_in_what_is_covered_starts_it_over(self):
        builder = WorldBuilder(Scene().add("k", {"process": sampled()})).look(T0).look(T0 + minutes(1))
        builder.scene.say("k", process=sampled(since=T0 + hours(3) - seconds(5)))
        history = builder.look(T0 + hours(3)).world.live[builder.ref("k").key]
        assert RULE.evaluate(history, T0 + hours(3), "q").since == T0 + hours(3) - seconds(5)

    def test_counters_that_bridge_the_gap_do_not(self):
        builder = WorldBuilder(Scene().add("k", {"process": sampled()})).look(T0).look(T0 + minutes(1))
        builder.scene.say("k", process=sampled(since=T0 + minutes(1)))
        history = builder.look(T0 + hours(3)).world.live[builder.ref("k").key]
        assert RULE.evaluate(history, T0 + hours(3), "q").since == T0

    def test_time_that_could_not_be_read_was_not_idle(self):
        builder = (
            WorldBuilder(Scene().add("k", {"process": sampled(Activity.ACTIVE)}))
            .look(T0)
            .look(T0 + minutes(1))
        )
        builder.scene.say("k", process=unknown())
        builder.look_every(minutes(1), start=T0 + minutes(2), end=T0 + hours(3))
        builder.scene.say("k", process=sampled())
        now = T0 + hours(3) + minutes(1)
        history = builder.look(now).world.live[builder.ref("k").key]
        assert RULE.evaluate(history, now, "q").verdict is Verdict.WAIT

    def test_texts_that_change_do_not_start_it_over(self):
        builder = WorldBuilder(Scene().add("k", {"cpu": lambda at: sampled(value=f"{at.minute % 3} %")}))
        builder.look_every(minutes(1), start=T0, end=T0 + hours(2))
        history = builder.world.live[builder.ref("k").key]
        finding = RULE.evaluate(history, T0 + hours(2), "q")
        assert (finding.verdict, finding.since) == (Verdict.REAP, T0)


MINUTE = minutes(1)


class TestBusyTimeout:
    def watched(self, until, process=None, every=MINUTE, **more) -> WorldBuilder:
        signals = {"execution_state": active(), "process": sampled() if process is None else process, **more}
        scene = Scene().add("k", signals, started_at=T0 - hours(9))
        return WorldBuilder(scene).look_every(every, start=T0, end=until)

    def says(self, builder: WorldBuilder, now, rule=STUCK) -> Finding:
        finding: Finding = rule.evaluate(builder.world.live[builder.ref("k").key], now, "q")
        return finding

    def test_fires_after_that_long_without_work(self):
        now = T0 + hours(4) + minutes(1)
        builder = self.watched(now)
        finding = self.says(builder, now - seconds(61))
        assert (finding.verdict, finding.reason, finding.due_at) == (
            Verdict.WAIT,
            Reason.BUSY_WITHOUT_WORK,
            T0 + hours(4),
        )
        finding = self.says(builder, now)
        assert (finding.verdict, finding.reason) == (Verdict.REAP, Reason.BUSY_TIMEOUT)
        assert finding.evidence == ("execution_state", "process")

    def test_is_off_by_default(self):
        now = T0 + hours(99)
        assert self.says(self.watched(now, every=hours(1)), now, RULE).verdict is Verdict.WAIT

    def test_never_without_process_evidence(self):
        scene = Scene().add("k", {"execution_state": active(), "peers": idle(value="none")})
        now = T0 + hours(99)
        builder = WorldBuilder(scene, max_gap=hours(2)).look_every(hours(1), start=T0, end=now)
        assert (self.says(builder, now).verdict, self.says(builder, now).reason) == (
            Verdict.WAIT,
            Reason.ACTIVE,
        )

    def test_never_over_process_evidence_that_was_lost_or_can_not_be_read(self):
        for lost in (None, unknown()):
            builder = self.watched(T0 + hours(6))
            builder.scene.say("k", process=lost)
            now = T0 + hours(6) + minutes(1)
            assert self.says(builder.look(now), now).verdict is Verdict.WAIT

    def test_a_child_that_works_keeps(self):
        now = T0 + hours(9)
        finding = self.says(self.watched(now, sampled(Activity.ACTIVE, "make uses 1 core")), now)
        assert (finding.verdict, finding.reason) == (Verdict.WAIT, Reason.ACTIVE)

    def test_runs_from_the_last_work_of_its_processes(self):
        worked_until = T0 + hours(3)
        process = lambda at: sampled(Activity.ACTIVE if at <= worked_until else Activity.IDLE)  # noqa: E731
        finding = self.says(self.watched(T0 + hours(6), process), T0 + hours(6))
        assert (finding.verdict, finding.due_at) == (Verdict.WAIT, worked_until + hours(4))

    def test_runs_from_the_first_process_evidence(self):
        """Five seconds of rest don't speak for the hours before, that nobody could see."""
        process = lambda at: sampled() if at >= T0 + hours(8) else None  # noqa: E731
        finding = self.says(self.watched(T0 + hours(8), process), T0 + hours(8))
        assert (finding.verdict, finding.reason) == (Verdict.WAIT, Reason.BUSY_WITHOUT_WORK)

    def test_somebody_who_saves_the_notebook_keeps_it(self):
        saved = T0 + hours(5)
        finding = self.says(self.watched(T0 + hours(6), notebook=idle(saved)), T0 + hours(6))
        assert (finding.verdict, finding.due_at) == (Verdict.WAIT, saved + hours(4))

    def test_output_of_the_cell_keeps_it(self):
        builder = self.watched(T0 + hours(6))
        builder.scene.say("k", execution_state=active(at=T0 + hours(6)))
        now = T0 + hours(6) + minutes(1)
        assert self.says(builder.look(now), now).verdict is Verdict.WAIT

    def test_looks_at_other_kernels_do_not_start_it_over(self):
        builder = self.watched(T0 + hours(2))
        builder.look(T0 + hours(2) + seconds(1), targets=("another",))
        now = T0 + hours(4) + minutes(1)
        builder.look_every(minutes(1), start=T0 + hours(2) + minutes(1), end=now)
        assert self.says(builder, now).reason is Reason.BUSY_TIMEOUT


class TestParameters:
    def test_reads(self):
        assert IdleRule.from_params({"timeout": "2h"}) == RULE
        assert IdleRule.from_params({"timeout": 7200.0, "busy_timeout": "4h"}) == STUCK
        assert IdleRule.from_params({"timeout": hours(2), "busy_timeout": 0.0}) == RULE

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({}, "rule 'idle' needs 'timeout'"),
            ({"timeout": 120}, "'120' has no unit"),
            ({"timeout": "120"}, "'120' has no unit"),
            ({"timeout": True}, "'True' is not a duration"),
            ({"timeout": "-2h"}, "is negative"),
            ({"timeout": -7200.0}, "-2h is negative"),
            ({"timeout": float("nan")}, "rule 'idle', timeout"),
            ({"timeout": float("inf")}, "rule 'idle', timeout"),
            (
                {"timeout": "2h", "busy_timout": "4h"},
                "no parameter 'busy_timout'; it has timeout, busy_timeout",
            ),
        ],
    )
    def test_refuses(self, params, message):
        with pytest.raises(ConfigError, match=message):
            IdleRule.from_params(params)
