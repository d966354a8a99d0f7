"""The eleven failures of the original Studio auto-shutdown extension: each a test that it would have failed.

On a real jupyter_server in which real kernels live in apps of the Studio fake; `studio.py` plays it once. What the
original does at each of them was read in its source, and in what its users reported.
"""

import pytest

from reaper.core.facts import ActionState
from reaper.core.verdict import Reason
from tests.stories.studio import TIMEOUT, Classic, row

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("stories-studio")]

OTHERS = ("f04-app", "f10-app", "kept-terminal", "w20-app")
"""Idle apps in which nothing goes wrong: what goes wrong elsewhere must not keep them."""


def test_failure_01_an_apps_timer_is_reset_while_it_has_sessions(classic: Classic):
    """There the timer runs from when an app was first seen empty, whatever opened since: closing is its end."""
    assert classic.closed_at is not None, "its kernel was at work until then"
    (act,) = classic.started("f01-app")
    assert act.at >= classic.closed_at + TIMEOUT, "its last notebook was closed, so somebody was there"
    assert classic.reaped("f01-app"), "left alone, it goes"


def test_failure_02_a_session_whose_app_is_not_listed_stops_nothing(classic: Classic):
    """There it is a KeyError, and the pass is over. Two apps are not listed: one that runs, and one that boots."""
    assert classic.survived("f02"), "its kernel is at work"
    assert classic.apps["f02-unlisted"] == "InService"
    assert classic.apps["f02-boots"] == "Pending"
    assert "f02-waits" not in str(classic.ledger), "a session that waits for its app is nothing to act on"
    for name in OTHERS:
        assert classic.reaped(name), name
    source = next(one for one in classic.status["sources"] if one["name"].startswith("jupyter:"))
    assert (source["complete"], source["error"]) == (True, None)


def test_failure_03_one_app_that_can_not_be_deleted_blocks_no_other(classic: Classic):
    """There the first answer that is no success ends the pass, and so does every pass after it."""
    assert classic.apps["f03-refused"] == "InService"
    first = classic.deletes.index("f03-refused")
    assert classic.deletes[first + 1 :], "others were deleted after it was refused"
    for name in OTHERS:
        assert classic.reaped(name), name


def test_failure_04_two_sessions_on_one_kernel_are_one_delete(classic: Classic):
    """There the second session's DELETE meets a 404, and the pass is over."""
    assert classic.sessions["f04"] == 2
    assert classic.reaped("f04")
    (entry,) = classic.entries("f04", ActionState.SUCCEEDED)
    assert entry.outcome == "shut down", "it was not gone already"
    assert classic.reaped("f04-app")


def test_failure_05_the_local_zone_does_not_matter(classic: Classic):
    """There `datetime.now()` is compared with UTC: nine hours too old in Tokyo, five too young in New York."""
    used_at = classic.last_activity["f05"]
    (act,) = classic.started("f05")
    assert act.due_at == used_at + TIMEOUT, "TZ=Asia/Tokyo"
    assert act.at >= used_at + TIMEOUT
    seen = row(classic.strict, "f05.ipynb")
    assert seen["verdict"] == "reap", "TZ=America/New_York, a timeout that is over"
    assert seen["idle_since"].removesuffix("Z") == used_at.strftime("%Y-%m-%dT%H:%M:%S.%f")


def test_failure_06_timestamps_without_microseconds_are_read(classic: Classic):
    """There `%S.%fz` is demanded, and the ValueError is the end of the pass."""
    assert not classic.fractions, "the server writes whole seconds without a fraction"
    (act,) = classic.started("f06")
    assert act.due_at == classic.last_activity["f06"] + TIMEOUT
    assert classic.reaped("f06")


@pytest.mark.parametrize(
    ("name", "state"),
    [("f07-starting-0", "starting"), ("f07-starting-4", "starting"), ("f07-restarted", "idle")],
)
def test_failure_07_a_kernel_that_starts_for_ever_goes(classic: Classic, name: str, state: str):
    """There only "idle" is ever shut down: kernels that were "starting" for weeks, on GPUs."""
    assert classic.states[name] == state
    assert classic.reaped(name)


def test_failure_07_a_dead_kernel_goes_at_once(classic: Classic):
    assert classic.states["f07-dead"] == "dead"
    assert classic.reaped("f07-dead")
    (act,) = classic.started("f07-dead")
    assert all(act.at <= other.at for other in classic.ledger), "it waits for nothing"
    assert act.outcome == Reason.DEAD.prose


def test_failure_07_a_state_that_nobody_knows_is_no_secret(classic: Classic):
    """It is kept, since unknown is never idle; but status and log say so, and after a day it counts as blind."""
    assert classic.states["f07-unknown"] == "unknown"
    assert classic.survived("f07-unknown")
    shown = classic.row("f07-unknown")
    assert (shown["verdict"], shown["reason"]) == ("unknown", "evidence_unknown")
    assert "unknown state 'unknown'" in shown["reason_text"]
    assert any("kernel state 'unknown'" in note for note in classic.status["notes"])


def test_failure_08_a_kernel_without_a_session_goes(classic: Classic):
    """There kernels are seen only through sessions."""
    assert classic.sessions["f08"] == 0
    assert classic.reaped("f08")


def test_failure_09_looking_is_no_activity(classic: Classic):
    """There every GET and DELETE counts as somebody's use of the server."""
    before, after = classic.server_last_activity
    assert before == after
    assert all(status["polls"] >= 4 for status in (classic.strict, classic.keeping)), "it was looked at"


def test_failure_10_nothing_is_forgotten_at_a_restart_and_nobody_has_to_begin(classic: Classic):
    """There all timers live in memory, and the loop starts with the first POST."""
    (act,) = classic.started("f10-app")
    assert act.at >= classic.restarted_at, "by the second daemon"
    assert act.due_at is not None
    assert act.due_at - TIMEOUT < classic.restarted_at, "by the first one's timer"
    assert classic.reaped("f10-app")


def test_failure_11_a_reused_name_has_a_life_of_its_own(classic: Classic):
    """There an app inherits the timer of the one that had its name, and is deleted at creation."""
    first, second = classic.started("f11-app")
    assert first.at < classic.made_again_at
    assert second.at >= classic.made_again_at + TIMEOUT
    assert first.ref.key == second.ref.key
    assert first.ref != second.ref, "another incarnation"
    assert len(classic.entries("f11-app", ActionState.SUCCEEDED)) == 2
