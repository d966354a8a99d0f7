"""The rule `deadline`, by reason code."""

import pytest

from reaper.core.codec import instant_to_text
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.policies.deadline import DeadlineRule
from reaper.testing import T0, Scene, WorldBuilder, hours, minutes

RULE = DeadlineRule()


def found(**tags) -> Finding:
    scene = Scene(kind="ec2.instance").add("i", {}, started_at=T0 - hours(9), **tags)
    builder = WorldBuilder(scene).look(T0 - minutes(1)).look(T0)
    finding: Finding = RULE.evaluate(builder.world.live[builder.ref("i").key], T0, "booked")
    assert finding.verdict is Verdict.REAP or finding.due_at is None or finding.due_at > T0
    return finding


def tagged(*values: str) -> Finding:
    keys = ("reaper:deadline", "Reaper:Deadline")
    return found(tags=dict(zip(keys, values, strict=False)))


@pytest.mark.parametrize("at", [T0, T0 - hours(1)])
def test_past_deadline(at):
    finding = tagged(instant_to_text(at))
    assert (finding.verdict, finding.reason, finding.due_at) == (Verdict.REAP, Reason.PAST_DEADLINE, at)


def test_before_deadline():
    finding = tagged(instant_to_text(T0 + hours(1)))
    assert (finding.verdict, finding.reason) == (Verdict.WAIT, Reason.BEFORE_DEADLINE)
    assert (finding.since, finding.due_at) == (T0 - hours(9), T0 + hours(1))


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00+02:00", " 2026-01-01t00:00:00z "])
def test_the_ways_to_write_an_instant(text):
    assert tagged(text).reason in (Reason.PAST_DEADLINE, Reason.BEFORE_DEADLINE)


def test_no_deadline():
    finding = found(tags={"deadline": "2020-01-01T00:00:00Z"})
    assert (finding.verdict, finding.reason, finding.due_at) == (Verdict.WAIT, Reason.NO_DEADLINE, None)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-11-26", "2026-11-26T18:00:00", "2026-13-01T00:00:00Z"]
)
def test_deadline_unreadable(text):
    finding = tagged(text)
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.DEADLINE_UNREADABLE)
    assert f"reaper:deadline={text}: write an instant with a zone" in finding.detail


def test_of_two_the_earlier_counts_and_both_must_be_read():
    past, ahead = instant_to_text(T0 - hours(1)), instant_to_text(T0 + hours(1))
    assert tagged(ahead, past).reason is Reason.PAST_DEADLINE
    assert tagged(past, "soon").reason is Reason.DEADLINE_UNREADABLE


def test_it_has_no_parameters():
    assert DeadlineRule.from_params({}) == RULE
    with pytest.raises(ConfigError, match="no parameter 'timeout'; it has none"):
        DeadlineRule.from_params({"timeout": "1h"})
