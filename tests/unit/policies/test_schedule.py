"""The rule `schedule`, by reason code; over the changes of clocks, and against a calendar worked out by hand."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, strategies as st

from reaper.core.decide import decide_one
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.errors import ConfigError
from reaper.policies.crontimes import CronTimes
from reaper.policies.schedule import ScheduleRule
from reaper.testing import Scene, WorldBuilder, active, days, hours, idle, minutes, policy, rules, unknown

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = ScheduleRule(off=("0 19 * * MON-FRI",), on=("0 8 * * MON-FRI",), zone="Europe/Berlin")
"""Off in the evening, at night and at weekends."""


def local(text: str, fold: int = 0) -> datetime:
    """Give an instant by Berlin's clocks."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


def found(rule, now, *, started, signals=None, kind="ec2.instance") -> Finding:
    scene = Scene(kind=kind).add("i", signals or {}, started_at=started)
    builder = WorldBuilder(scene).look(now - minutes(1)).look(now)
    finding: Finding = rule.evaluate(builder.world.live[builder.ref("i").key], now, "nights")
    assert finding.verdict is Verdict.REAP or finding.due_at is None or finding.due_at > now
    return finding


# 2026-11-26 is a Thursday
WEEK = {
    "on in the day": (
        "2026-11-26T12:00",
        "2026-11-25T09:00",
        (Verdict.WAIT, Reason.ON_HOURS, "2026-11-26T19:00"),
    ),
    "off in the evening": (
        "2026-11-26T19:00",
        "2026-11-25T09:00",
        (Verdict.REAP, Reason.OFF_HOURS, "2026-11-26T19:00"),
    ),
    "off since the evening": (
        "2026-11-27T07:59",
        "2026-11-25T09:00",
        (Verdict.REAP, Reason.OFF_HOURS, "2026-11-26T19:00"),
    ),
    "on in the morning": (
        "2026-11-27T08:00",
        "2026-11-25T09:00",
        (Verdict.WAIT, Reason.ON_HOURS, "2026-11-27T19:00"),
    ),
    "off since Friday, at the weekend": (
        "2026-11-29T12:00",
        "2026-11-25T09:00",
        (Verdict.REAP, Reason.OFF_HOURS, "2026-11-27T19:00"),
    ),
    "started right when it was to be off": (
        "2026-11-26T20:00",
        "2026-11-26T19:00",
        (Verdict.REAP, Reason.OFF_HOURS, "2026-11-26T19:00"),
    ),
    "started in the evening": (
        "2026-11-26T21:00",
        "2026-11-26T20:00",
        (Verdict.WAIT, Reason.STARTED_OFF_HOURS, "2026-11-27T19:00"),
    ),
    "started at the weekend": (
        "2026-11-29T12:00",
        "2026-11-28T10:00",
        (Verdict.WAIT, Reason.STARTED_OFF_HOURS, "2026-11-30T19:00"),
    ),
    "started in the evening before, and it is day": (
        "2026-11-27T12:00",
        "2026-11-26T20:00",
        (Verdict.WAIT, Reason.ON_HOURS, "2026-11-27T19:00"),
    ),
    "started in the evening before, and it is evening again": (
        "2026-11-27T19:30",
        "2026-11-26T20:00",
        (Verdict.REAP, Reason.OFF_HOURS, "2026-11-27T19:00"),
    ),
}


@pytest.mark.parametrize("case", WEEK)
def test_says(case):
    now, started, (verdict, reason, due) = WEEK[case]
    finding = found(OFFICE, local(now), started=local(started))
    assert (finding.verdict, finding.reason, finding.due_at) == (verdict, reason, local(due))


def test_names_the_time_as_people_wrote_it():
    finding = found(OFFICE, local("2026-11-26T22:00"), started=local("2026-11-25T09:00"))
    assert finding.detail == "off since 2026-11-26 19:00 Europe/Berlin"
    finding = found(OFFICE, local("2026-11-26T12:00"), started=local("2026-11-25T09:00"))
    assert finding.detail == "off from 2026-11-26 19:00 Europe/Berlin"


def test_what_was_started_before_off_came_again_goes_then():
    """A second time in the same night: what somebody started in the evening is over by then."""
    rule = ScheduleRule(off=("0 19 * * *", "0 23 * * *"), on=("0 8 * * *",), zone="Europe/Berlin")
    at = {"now": local("2026-11-26T23:30"), "rule": rule}
    assert found(**at, started=local("2026-11-26T10:00")).due_at == local("2026-11-26T19:00")
    finding = found(**at, started=local("2026-11-26T20:00"))
    assert (finding.verdict, finding.due_at) == (Verdict.REAP, local("2026-11-26T23:00"))
    finding = found(**at, started=local("2026-11-26T23:10"))
    assert (finding.reason, finding.due_at) == (Reason.STARTED_OFF_HOURS, local("2026-11-27T19:00"))


def test_where_both_name_the_same_instant_it_is_on():
    rule = ScheduleRule(off=("0 19 * * *",), on=("0 19 * * SAT", "0 8 * * *"), zone="Europe/Berlin")
    finding = found(rule, local("2026-11-28T20:00"), started=local("2026-11-25T09:00"))
    assert (finding.verdict, finding.due_at) == (Verdict.WAIT, local("2026-11-29T19:00"))
    finding = found(rule, local("2026-11-28T12:00"), started=local("2026-11-25T09:00"))
    assert (finding.verdict, finding.due_at) == (Verdict.WAIT, local("2026-11-29T19:00"))


# Holidays

WEEKENDS = ScheduleRule(
    off=("0 19 * * FRI",), on=("0 8 * * MON",), zone="Europe/Berlin", holidays=("12-24", "2026-12-31")
)


@pytest.mark.parametrize(
    ("now", "verdict", "due"),
    [
        ("2026-12-23T23:59", Verdict.WAIT, "2026-12-24T00:00"),
        ("2026-12-24T00:00", Verdict.REAP, "2026-12-24T00:00"),
        ("2026-12-24T23:59", Verdict.REAP, "2026-12-24T00:00"),
        ("2026-12-25T00:00", Verdict.WAIT, "2026-12-25T19:00"),
        ("2026-12-25T19:00", Verdict.REAP, "2026-12-25T19:00"),
        ("2026-12-30T12:00", Verdict.WAIT, "2026-12-31T00:00"),
        ("2026-12-31T12:00", Verdict.REAP, "2026-12-31T00:00"),
        ("2027-12-20T12:00", Verdict.WAIT, "2027-12-24T00:00"),
        ("2027-12-30T12:00", Verdict.WAIT, "2027-12-31T19:00"),
    ],
)
def test_a_holiday_is_off_from_midnight_to_midnight(now, verdict, due):
    finding = found(WEEKENDS, local(now), started=local("2026-12-01T09:00"))
    assert (finding.verdict, finding.due_at) == (verdict, local(due))


def test_a_holiday_between_two_off_times_makes_one_of_them():
    rule = ScheduleRule(off=OFFICE.off, on=OFFICE.on, zone=OFFICE.zone, holidays=("12-25", "12-28"))
    started = local("2026-12-21T09:00")
    for now in ("2026-12-25T12:00", "2026-12-26T12:00", "2026-12-28T12:00", "2026-12-29T07:00"):
        assert found(rule, local(now), started=started).due_at == local("2026-12-24T19:00")
    assert found(rule, local("2026-12-29T08:00"), started=started).verdict is Verdict.WAIT


def test_a_holiday_that_follows_an_off_time_does_not_begin_anew():
    """Somebody who works late before a holiday is not cut off at midnight."""
    rule = ScheduleRule(off=OFFICE.off, on=OFFICE.on, zone=OFFICE.zone, holidays=("12-25",))
    finding = found(rule, local("2026-12-25T00:30"), started=local("2026-12-24T20:00"))
    assert (finding.reason, finding.due_at) == (Reason.STARTED_OFF_HOURS, local("2026-12-25T19:00"))


def test_the_29th_of_february_is_a_day_of_some_years():
    rule = ScheduleRule(off=("0 0 1 1 *",), on=("0 1 1 1 *",), zone="Europe/Berlin", holidays=("02-29",))
    finding = found(rule, local("2027-06-01T00:00"), started=local("2027-05-01T00:00"))
    assert finding.due_at == local("2028-01-01T00:00")
    finding = found(rule, local("2028-02-01T00:00"), started=local("2028-01-15T00:00"))
    assert finding.due_at == local("2028-02-29T00:00")


# Clocks that change: in Berlin from 02:00 to 03:00 on 2026-03-29, from 03:00 to 02:00 on 2026-10-25


def at_night(off="30 2 * * *", on="0 6 * * *") -> ScheduleRule:
    return ScheduleRule(off=(off,), on=(on,), zone="Europe/Berlin")


def test_a_time_that_spring_skips_comes_after_the_gap():
    begin = local("2026-03-29T03:00")
    started = local("2026-03-20T09:00")
    finding = found(at_night(), local("2026-03-29T01:59"), started=started)
    assert (finding.verdict, finding.due_at) == (Verdict.WAIT, begin)
    finding = found(at_night(), begin, started=started)
    assert (finding.verdict, finding.due_at) == (Verdict.REAP, begin)


@pytest.mark.parametrize(
    ("now", "verdict", "due"),
    [
        (local("2026-10-25T02:29"), Verdict.WAIT, local("2026-10-25T02:30")),
        (local("2026-10-25T02:30"), Verdict.REAP, local("2026-10-25T02:30")),
        (local("2026-10-25T02:10", fold=1), Verdict.REAP, local("2026-10-25T02:30")),
        (local("2026-10-25T02:30", fold=1), Verdict.REAP, local("2026-10-25T02:30")),
        (local("2026-10-25T06:00"), Verdict.WAIT, local("2026-10-26T02:30")),
    ],
)
def test_a_time_that_autumn_shows_twice_comes_once(now, verdict, due):
    finding = found(at_night(), now, started=local("2026-10-20T09:00"))
    assert (finding.verdict, finding.due_at) == (verdict, due)


def test_on_twice_in_autumn_is_on_once():
    rule = at_night(off="0 1 * * *", on="30 2 * * *")
    started = local("2026-10-20T09:00")
    assert found(rule, local("2026-10-25T02:29"), started=started).verdict is Verdict.REAP
    for fold in (0, 1):
        finding = found(rule, local("2026-10-25T02:40", fold=fold), started=started)
        assert (finding.verdict, finding.due_at) == (Verdict.WAIT, local("2026-10-26T01:00"))
    # what is started in the hour that comes twice was started in the day
    finding = found(rule, local("2026-10-26T01:00"), started=local("2026-10-25T02:40", fold=1))
    assert finding.verdict is Verdict.REAP


def test_started_between_the_two_readings_of_an_hour():
    """It was started after 02:30 had come, though its clock says 02:10."""
    finding = found(at_night(), local("2026-10-25T02:20", fold=1), started=local("2026-10-25T02:10", fold=1))
    assert (finding.reason, finding.due_at) == (Reason.STARTED_OFF_HOURS, local("2026-10-26T02:30"))


# Properties

ZONES = sorted(available_timezones())


def named(
    hour: int, minute: int, weekdays: frozenset[int], zone: ZoneInfo, about: datetime
) -> list[datetime]:
    """Give the instants that a time of day names around another, by looking at every day's clock."""
    first = about.astimezone(zone).date() - timedelta(days=9)
    found = []
    for ahead in range(19):
        day = first + timedelta(days=ahead)
        if day.isoweekday() % 7 in weekdays:
            found.append(reading(day, time(hour, minute), zone))
    return found


def reading(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Give the first minute at which a clock shows that time, or has passed it where it skips it."""
    wall = datetime.combine(day, at)
    while True:
        instant = wall.replace(tzinfo=zone).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == wall:
            return instant
        wall += timedelta(minutes=1)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[ScheduleRule, tuple[int, int, frozenset[int]]]:
    weekdays = draw(st.frozensets(st.integers(0, 6), min_size=1))
    hour, minute = draw(st.integers(0, 23)), draw(st.integers(0, 59))
    names = ",".join(map(str, sorted(weekdays)))
    on = f"{draw(st.integers(0, 59))} {draw(st.integers(0, 23))} * * {draw(st.integers(0, 6))}"
    zone = draw(st.sampled_from(ZONES))
    rule = ScheduleRule(off=(f"{minute} {hour} * * {names}",), on=(on,), zone=zone)
    return rule, (hour, minute, weekdays)


INSTANTS = st.timedeltas(timedelta(0), days(365 * 47)).map(datetime(1990, 1, 1, tzinfo=UTC).__add__)


@given(drawn=schedules(), now=INSTANTS)
def test_due_at_is_the_next_beginning_and_never_past(drawn, now):
    rule, (hour, minute, weekdays) = drawn
    zone = ZoneInfo(rule.zone)
    coming = named(hour, minute, weekdays, zone, now)
    assert CronTimes(expressions=rule.off, zone=rule.zone).after(now) == min(at for at in coming if at > now)
    assert CronTimes(expressions=rule.off, zone=rule.zone).until(now) == max(at for at in coming if at <= now)
    finding = found(rule, now, started=now - days(400))
    if finding.verdict is Verdict.REAP:
        assert finding.due_at is not None
        assert finding.due_at in coming or finding.due_at < min(coming)
        return
    assert finding.verdict is Verdict.WAIT
    turns = CronTimes(expressions=rule.on, zone=rule.zone)
    begins = [at for at in coming if at > now and turns.until(at) != at]
    if not begins:  # each of them is an instant of `on` as well
        return
    assert finding.due_at is not None
    assert finding.due_at == min(begins) > now
    before = found(rule, finding.due_at - minutes(2), started=now - days(400))
    assert found(rule, finding.due_at, started=now - days(400)).verdict is Verdict.REAP
    assert before.verdict is Verdict.WAIT or before.due_at != finding.due_at


@given(drawn=schedules(), now=INSTANTS, ago=st.timedeltas(timedelta(0), days(20)))
def test_what_was_started_in_an_off_time_is_left_alone_until_the_next(drawn, now, ago):
    rule, (hour, minute, weekdays) = drawn
    started = now - ago
    coming = named(hour, minute, weekdays, ZoneInfo(rule.zone), now)
    finding = found(rule, now, started=started)
    if finding.verdict is Verdict.REAP:
        assert finding.due_at is not None
        assert started <= finding.due_at <= now
    elif finding.reason is Reason.STARTED_OFF_HOURS:
        assert not [at for at in coming if started <= at <= now]


@given(drawn=schedules(), now=INSTANTS, steps=st.lists(st.timedeltas(-days(3), days(3)), max_size=3))
def test_what_is_kept_between_two_calls_changes_nothing(drawn, now, steps):
    rule, _ = drawn
    for step in steps:
        now += step
        fresh = ScheduleRule(off=rule.off, on=rule.on, zone=rule.zone)
        assert found(rule, now, started=now - days(1)) == found(fresh, now, started=now - days(1))


# At rest


@pytest.mark.parametrize(
    ("signals", "verdict", "reason"),
    [
        ({"cpu": idle(local("2026-11-26T18:00"))}, Verdict.REAP, Reason.OFF_HOURS),
        ({"cpu": idle(local("2026-11-26T21:57"))}, Verdict.WAIT, Reason.IDLE_NOT_LONG_ENOUGH),
        ({"cpu": active()}, Verdict.WAIT, Reason.ACTIVE),
        ({"cpu": unknown()}, Verdict.UNKNOWN, Reason.EVIDENCE_UNKNOWN),
        ({}, Verdict.UNKNOWN, Reason.NO_EVIDENCE),
    ],
)
def test_only_if_idle(signals, verdict, reason):
    now, started = local("2026-11-26T22:00"), local("2026-11-25T09:00")
    rule = ScheduleRule(off=OFFICE.off, on=OFFICE.on, zone=OFFICE.zone, only_if_idle=True)
    finding = found(rule, now, started=started, signals=signals)
    assert (finding.verdict, finding.reason) == (verdict, reason)
    kernels = found(OFFICE, now, started=started, signals=signals, kind="jupyter.kernel")
    assert (kernels.verdict, kernels.reason) == (verdict, reason)
    assert found(OFFICE, now, started=started, signals=signals).verdict is Verdict.REAP


def test_idle_for():
    rule = ScheduleRule(off=OFFICE.off, on=OFFICE.on, zone=OFFICE.zone, only_if_idle=True, idle_for=hours(2))
    now, started = local("2026-11-26T22:00"), local("2026-11-25T09:00")
    signals = {"cpu": idle(local("2026-11-26T20:30"))}
    assert found(rule, now, started=started, signals=signals).due_at == local("2026-11-26T22:30")


def test_a_warning_before_the_off_time_counts_when_it_has_come():
    """What the finding speaks of does not move when its term comes, so the warning stays good."""
    ruleset = rules(
        policy("nights", kind="ec2.instance", rule=OFFICE, action="stop", warn_before=minutes(30))
    )
    off = local("2026-11-26T19:00")
    builder = WorldBuilder(Scene(kind="ec2.instance").add("i", {}, started_at=local("2026-11-25T09:00")))
    builder.look(off - days(1)).apply(ruleset, off - days(1)).look(off - minutes(30))
    told = decide_one(builder.world, ruleset, off - minutes(30), builder.ref("i"))
    assert told is not None
    assert (told.verdict, told.notify, told.due_at) == (Verdict.WAIT, True, off)
    builder.warn("i", off - minutes(30), policy="nights").look(off)
    decision = decide_one(builder.world, ruleset, off, builder.ref("i"))
    assert decision is not None
    assert (decision.to_act, decision.reason) == (True, Reason.OFF_HOURS)


class TestParameters:
    def test_reads(self):
        read = ScheduleRule.from_params(
            {"off": "0 19 * * MON-FRI", "on": ["0 8 * * MON-FRI"], "zone": "Europe/Berlin"}
        )
        assert read == OFFICE
        assert ScheduleRule.from_params({"off": "0 19 * * *", "on": "0 8 * * *"}).zone == "UTC"
        given = {"off": "0 19 * * *", "on": "0 8 * * *", "only_if_idle": True, "idle_for": "10m"}
        assert ScheduleRule.from_params({**given, "idle_for": 600.0}) == ScheduleRule.from_params(given)

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"on": "0 8 * * *"}, "rule 'schedule' needs 'off', such as off = \"0 19 "),
            ({"off": "0 19 * * *"}, "rule 'schedule' needs 'on', such as on = \"0 8 "),
            ({"off": 19}, "off: 19 is no text in quotes"),
            ({"off": ["0 19 * * *", ""]}, "off: '' is no text in quotes"),
            ({"off": "19:00"}, "off: '19:00' has not five fields: write minute, hour"),
            ({"off": "0 0 19 * * *"}, "has not five fields"),
            ({"off": "0 25 * * *"}, r"off: '0 25 \* \* \*' is no cron expression \(Bad hour\)"),
            ({"off": "0 0 30 2 *"}, "is no cron expression"),
            ({"off": "0 8 * * *"}, r"on: '0 8 \* \* \*' is in 'off' too: it would never be off"),
            ({"zone": "Europe"}, "there is no zone 'Europe': write an IANA name"),
            ({"zone": "../etc/passwd"}, "there is no zone"),
            ({"zone": 2}, "zone: 2 is no text in quotes"),
            ({"holidays": "13-25"}, "holidays: '13-25' is no day: write"),
            ({"holidays": ["2026-02-29"]}, "holidays: '2026-02-29' is no day"),
            ({"holidays": ["20261225"]}, "holidays: '20261225' is no day"),
            ({"idle_for": 5}, "'5' has no unit"),
            ({"timeout": "1h"}, "no parameter 'timeout'; it has off, on, zone"),
        ],
    )
    def test_refuses(self, params, message):
        given = {"off": "0 19 * * *", "on": "0 8 * * *"} if len(params) == 1 and "on" not in params else {}
        if params == {"off": "0 19 * * *"}:
            given = {}
        with pytest.raises(ConfigError, match=message):
            ScheduleRule.from_params({**given, **params})

    def test_days_of_every_year_and_of_one(self):
        given = {"off": "0 19 * * *", "on": "0 8 * * *"}
        read = ScheduleRule.from_params({**given, "holidays": ["02-29", "2026-12-25"]})
        assert read.holidays == ("02-29", "2026-12-25")
