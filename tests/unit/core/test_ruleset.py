"""What a policy is about, its ladder, quiet hours where clocks change, and rules as JSON and back."""

import json
from datetime import UTC, datetime, time, timedelta

import pytest

from reaper.core.ruleset import Budget, Guards, Match, Mode, QuietHours, Ruleset, Step
from reaper.plugins import build_rule
from reaper.testing import T0, Scene, hours, minutes, policy, rules

RESOURCE = Scene(scope="1234/eu-west-1", kind="ec2.instance").add(
    "i-0abc",
    name="train-7",
    aliases=("team/train-7",),
    owner="ada@example.org",
    tags={"Purpose": "exp-42", "Team": "vision"},
    attributes={"instance_type": "g5.xlarge", "spot": True, "vcpus": 4},
)


@pytest.mark.parametrize(
    ("match", "wanted"),
    [
        (Match(), True),
        (Match(scope=("1234*/eu-*",)), True),
        (Match(scope=("9*", "*/us-*")), False),
        (Match(scope=("9*", "*/eu-*")), True),
        (Match(name=("train-*",)), True),
        (Match(name=("team/*",)), True),
        (Match(name=("i-0*",)), True),
        (Match(name=("TRAIN-*",)), False),
        (Match(owner=("*@example.org",)), True),
        (Match(owner=("bob@*",)), False),
        (Match(tags={"purpose": ("training", "exp-*")}), True),
        (Match(tags={"purpose": ("training",)}), False),
        (Match(tags={"PURPOSE": True, "keep": False}), True),
        (Match(tags={"purpose": False}), False),
        (Match(tags={"keep": True}), False),
        (Match(tags={"keep": ("*",)}), False),
        (Match(attributes={"instance_type": ("g*", "p*")}), True),
        (Match(attributes={"instance_type": ("t*",)}), False),
        (Match(attributes={"spot": ("true",)}), True),
        (Match(attributes={"spot": ("false",)}), False),
        (Match(attributes={"vcpus": ("4",)}), True),
        (Match(attributes={"gpu": ("*",)}), False),
        (Match(scope=("1234*",), tags={"keep": True}), False),
    ],
)
def test_match(match, wanted):
    poll = next(iter(RESOURCE._things.values())).resource
    assert match.matches(poll) is wanted
    assert policy(kind="ec2.instance", match=match).applies_to(poll) is wanted
    assert not policy(kind="host", match=match).applies_to(poll)


NOTIFY, STOP = Step(action="notify"), Step(action="stop", after=minutes(10))


@pytest.mark.parametrize(
    ("steps", "warn_before", "lead", "gap"),
    [
        ((Step(action="stop"),), minutes(0), minutes(0), None),
        ((Step(action="stop"),), minutes(5), minutes(5), minutes(5)),
        ((NOTIFY, STOP), minutes(0), minutes(0), minutes(10)),
        ((NOTIFY, STOP), minutes(5), minutes(0), minutes(10)),
        ((NOTIFY, Step(action="notify", after=minutes(5)), STOP), minutes(0), minutes(0), minutes(15)),
    ],
)
def test_ladder(steps, warn_before, lead, gap):
    made = policy(steps=steps, warn_before=warn_before)
    assert (made.notice_lead, made.notice_gap, made.action) == (lead, gap, "stop")


@pytest.mark.parametrize(
    ("daemon", "own", "enforced"),
    [
        (Mode.ENFORCE, Mode.ENFORCE, True),
        (Mode.ENFORCE, Mode.DRY_RUN, False),
        (Mode.DRY_RUN, Mode.ENFORCE, False),
        (Mode.DRY_RUN, Mode.DRY_RUN, False),
    ],
)
def test_the_stricter_mode_holds(daemon, own, enforced):
    one = policy(mode=own)
    ruleset = rules(one, mode=daemon)
    assert ruleset.enforced(one) is enforced
    assert (one.digest(daemon) == policy().digest(Mode.ENFORCE)) is enforced


def test_policy_by_name():
    ruleset = rules(policy("a"), policy("b"))
    assert ruleset.policy("b") is ruleset.policies[1]
    assert ruleset.policy("c") is None


BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "zone", "now", "until"),
    [
        # within a day, both ends
        (time(9), time(17), "UTC", "2026-03-02T08:59:59", None),
        (time(9), time(17), "UTC", "2026-03-02T09:00:00", "2026-03-02T17:00:00"),
        (time(9), time(17), "UTC", "2026-03-02T17:00:00", None),
        # across midnight, from both sides of it
        (time(22), time(7), BERLIN, "2026-03-02T20:59:00", None),
        (time(22), time(7), BERLIN, "2026-03-02T21:00:00", "2026-03-03T06:00:00"),
        (time(22), time(7), BERLIN, "2026-03-03T05:59:00", "2026-03-03T06:00:00"),
        (time(22), time(7), BERLIN, "2026-03-03T06:00:00", None),
        (time(22), time(7), NEW_YORK, "2026-03-03T03:00:00", "2026-03-03T12:00:00"),
        # a night without an hour: clocks go forward at 01:00 UTC (Berlin), 07:00 UTC (New York)
        (time(22), time(7), BERLIN, "2026-03-28T21:00:00", "2026-03-29T05:00:00"),
        (time(22), time(7), BERLIN, "2026-03-29T04:59:00", "2026-03-29T05:00:00"),
        (time(22), time(7), NEW_YORK, "2026-03-08T10:59:00", "2026-03-08T11:00:00"),
        # an end that does not exist: the later reading
        (time(0), time(2, 30), BERLIN, "2026-03-29T01:10:00", "2026-03-29T01:30:00"),
        (time(0), time(2, 30), BERLIN, "2026-03-29T01:30:00", None),
        # a night with an hour twice: clocks go back at 01:00 UTC (Berlin), 06:00 UTC (New York)
        (time(22), time(7), BERLIN, "2026-10-24T20:00:00", "2026-10-25T06:00:00"),
        (time(22), time(7), NEW_YORK, "2026-11-01T06:30:00", "2026-11-01T12:00:00"),
        # an end that comes twice: quiet until the second, and never an end that is past
        (time(1), time(2, 15), BERLIN, "2026-10-25T00:10:00", "2026-10-25T01:15:00"),
        (time(1), time(2, 15), BERLIN, "2026-10-25T00:20:00", "2026-10-25T01:15:00"),
        (time(1), time(2, 15), BERLIN, "2026-10-25T01:10:00", "2026-10-25T01:15:00"),
        (time(1), time(2, 15), BERLIN, "2026-10-25T01:15:00", None),
        # a start that comes twice: from the first
        (time(2, 30), time(5), BERLIN, "2026-10-25T00:29:00", None),
        (time(2, 30), time(5), BERLIN, "2026-10-25T00:30:00", "2026-10-25T04:00:00"),
        (time(2, 30), time(5), BERLIN, "2026-10-25T01:10:00", "2026-10-25T04:00:00"),
        # all day
        (time(0), time(0), "UTC", "2026-03-02T12:00:00", "2026-03-03T00:00:00"),
    ],
)
def test_quiet_hours(start, end, zone, now, until):
    found = QuietHours(start=start, end=end, zone=zone).until(utc(now))
    assert found == (None if until is None else utc(until))


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
@pytest.mark.parametrize(
    ("start", "end"), [(time(22), time(7)), (time(1, 30), time(2, 30)), (time(2, 30), time(1, 30))]
)
def test_quiet_hours_always_end_later_and_are_over_then(zone, start, end):
    hours_ = QuietHours(start=start, end=end, zone=zone)
    for begin in ("2026-03-07T12:00:00", "2026-03-28T12:00:00", "2026-10-24T12:00:00", "2026-10-31T12:00:00"):
        now = utc(begin)
        for _ in range(36 * 12):
            until = hours_.until(now)
            assert until is None or until > now
            assert until is None or hours_.until(until) is None
            now += timedelta(minutes=5)


EVERYTHING = Ruleset(
    mode=Mode.ENFORCE,
    policies=(
        policy(
            "a",
            params={"busy_timeout": 43200.0},
            match=Match(
                scope=("http://*",),
                tags={"Keep": False, "Purpose": ("training", "exp-*")},
                attributes={"instance_type": ("g*",)},
            ),
            steps=(Step(action="notify"), Step(action="shutdown", after=minutes(10))),
            warn_before=minutes(5),
        ),
        policy("b", kind="ec2.instance", rule="age", params={"only_if_idle": False}, mode=Mode.DRY_RUN),
    ),
    guards=Guards(
        actions=("jupyter.*",),
        apply_grace=minutes(3),
        quiet_hours=(QuietHours(start=time(22, 30), end=time(7), zone=BERLIN),),
    ),
    budgets=(
        Budget(name="slow", kind="jupyter.*", actions=3, window=minutes(30)),
        Budget(name="dear", dollars_per_hour=12.5),
    ),
)


@pytest.mark.parametrize("ruleset", [Ruleset(), rules(), EVERYTHING])
def test_rules_survive_the_journal(ruleset):
    body = json.loads(json.dumps(ruleset.body()))
    again = Ruleset.from_body(body, build_rule)
    assert again == ruleset
    assert again.digest() == ruleset.digest()
    assert [one.digest(Mode.ENFORCE) for one in again.policies] == [
        one.digest(Mode.ENFORCE) for one in ruleset.policies
    ]


def test_different_rules_have_different_digests():
    others = [
        rules(),
        rules(mode=Mode.DRY_RUN),
        rules(policy(timeout=hours(3))),
        rules(policy(warn_before=minutes(1))),
        rules(policy(match=Match(tags={"keep": False}))),
        rules(apply_grace=minutes(1)),
        rules(quiet_hours=(QuietHours(start=time(22), end=time(7)),)),
        rules(budgets=(Budget(name="b", actions=1),)),
    ]
    assert len({one.digest() for one in others}) == len(others)


def test_quiet_hours_mean_the_same_whatever_zone_now_is_in():
    quiet = QuietHours(start=time(9), end=time(17), zone="UTC")
    tokyo = T0.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+09:00").tzinfo)
    assert quiet.until(tokyo) == quiet.until(T0) == T0.replace(hour=17)
