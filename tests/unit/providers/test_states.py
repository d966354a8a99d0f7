"""What a kernel's or terminal's own word means, row by row."""

from datetime import UTC, datetime, timedelta

import pytest

from reaper.clients.jupyter import KernelModel, TerminalModel
from reaper.core.model import Activity
from reaper.providers.jupyter.states import Said, kernel_state, saved, terminal_activity

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LAST = NOW - timedelta(hours=1)
ACTIVE, IDLE, UNKNOWN = Activity.ACTIVE, Activity.IDLE, Activity.UNKNOWN


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def kernel(
    state: str | None,
    *,
    last: datetime | None = LAST,
    problem: str | None = None,
    began: datetime | None = None,
    work: Activity | None = None,
) -> Said:
    model = KernelModel(id="k", execution_state=state, last_activity=last, problem=problem)
    return kernel_state(model, now=NOW, process_began=began, work=work)


def terminal(
    last: datetime | None = LAST, *, last_input: datetime | None = None, output_counts: bool = True
) -> Said | None:
    return terminal_activity(
        TerminalModel(name="1", last_activity=last),
        now=NOW,
        last_input=last_input,
        command="watch",
        output_counts=output_counts,
    )


@pytest.mark.parametrize(
    ("state", "activity", "since"),
    [
        ("busy", ACTIVE, None),
        ("idle", IDLE, LAST),
        ("starting", IDLE, LAST),
        (None, IDLE, LAST),
        ("restarting", ACTIVE, None),
        ("autorestarting", ACTIVE, None),
        ("dead", IDLE, LAST),
        ("hibernating", UNKNOWN, None),
        ("", UNKNOWN, None),
        ("Idle", UNKNOWN, None),
    ],
)
def test_each_state(state: str | None, activity: Activity, since: datetime | None) -> None:
    assert kernel(state)[:2] == (activity, since)


def test_a_kernel_that_nobody_joins_is_idle_since_its_start_and_not_since_the_end_of_the_start_grace() -> (
    None
):
    """The start grace is a guard; what it lets pass afterwards is not late for its sake."""
    assert kernel("starting", last=NOW - seconds(1)) == (IDLE, NOW - seconds(1), "starting")


@pytest.mark.parametrize("state", ["starting", None])
def test_a_kernel_that_starts_again_is_idle_since_its_new_process_began(state: str | None) -> None:
    """It was at work until the old one died: what it says of itself is as old as the cell's begin."""
    assert kernel(state, began=NOW - seconds(60)).evidence_at == NOW - seconds(60)
    assert kernel(state, began=LAST - seconds(1)).evidence_at == LAST
    assert kernel("idle", began=NOW - seconds(60)).evidence_at == LAST


@pytest.mark.parametrize("state", ["idle", "starting", None])
def test_without_a_last_activity_nothing_is_known(state: str | None) -> None:
    assert kernel(state, last=None).activity is UNKNOWN


@pytest.mark.parametrize("state", ["idle", "dead", "busy", "restarting"])
def test_what_was_not_understood_is_unknown_whatever_its_state(state: str) -> None:
    assert kernel(state, problem="id is missing").activity is UNKNOWN


@pytest.mark.parametrize(
    ("began", "work", "activity"),
    [
        (LAST + seconds(60), IDLE, IDLE),
        (LAST + seconds(60), ACTIVE, ACTIVE),
        (LAST + seconds(60), UNKNOWN, ACTIVE),
        (LAST + seconds(60), None, ACTIVE),
        (LAST + seconds(1), IDLE, ACTIVE),
        (LAST - seconds(60), IDLE, ACTIVE),
        (None, None, ACTIVE),
    ],
)
def test_a_kernel_that_died_in_mid_cell_says_busy_for_ever(
    began: datetime | None, work: Activity | None, activity: Activity
) -> None:
    """f4."""
    said = kernel("busy", began=began, work=work)
    assert (said.activity, said.evidence_at) == (activity, began if activity is IDLE else None)


@pytest.mark.parametrize(
    ("ahead", "activity"), [(seconds(0), IDLE), (seconds(300), IDLE), (seconds(301), UNKNOWN)]
)
def test_an_activity_in_the_future_is_unknown(ahead: timedelta, activity: Activity) -> None:
    """Else it would keep a kernel until that day, and nobody would be told."""
    assert kernel("idle", last=NOW + ahead).activity is activity
    at_terminal = terminal(NOW + ahead)
    assert at_terminal is not None
    assert at_terminal.activity is activity
    of_notebook = saved("a.ipynb", NOW + ahead, now=NOW)
    assert of_notebook.activity is activity
    assert of_notebook.evidence_at == (NOW if activity is IDLE else None)


def test_a_save_whose_time_is_not_known_is_unknown() -> None:
    assert saved("a.ipynb", "hung", now=NOW) == (UNKNOWN, None, "a.ipynb: hung")


@pytest.mark.parametrize(
    ("last", "typed", "activity"),
    [
        (LAST, None, IDLE),
        (NOW - seconds(5), None, IDLE),
        (NOW - seconds(5), NOW - seconds(10), IDLE),
        (NOW - seconds(5), NOW - seconds(60), ACTIVE),
        (NOW - seconds(20), NOW - seconds(60), IDLE),
    ],
)
def test_output_that_goes_on_without_anybody_typing_is_named(
    last: datetime, typed: datetime | None, activity: Activity
) -> None:
    """f3."""
    said = terminal(last, last_input=typed)
    assert said is not None
    assert said.activity is activity
    assert ("kept by output alone (watch)" in said.value) is (activity is ACTIVE)


def test_where_output_is_ignored_the_last_key_counts_and_is_not_dated_too_early() -> None:
    """Linux dates a device by its input once in eight seconds."""
    said = terminal(NOW, last_input=LAST, output_counts=False)
    assert said is not None
    assert (said.activity, said.evidence_at) == (IDLE, LAST + seconds(8))
    both = terminal(LAST + seconds(3), last_input=LAST, output_counts=False)
    assert both is not None
    assert both.evidence_at == LAST + seconds(3)
    assert terminal(NOW, last_input=None, output_counts=False) is None


def test_a_terminal_without_a_last_activity_is_unknown() -> None:
    said = terminal(None)
    assert said is not None
    assert said.activity is UNKNOWN
