"""Studio: the stories w3, w4 and w20, and what else must hold on the play of the eleven failures.

`studio.py` plays Studio Classic, `workplaces.py` a JupyterLab app of the new Studio and a notebook instance.
"""

import shutil
from datetime import timedelta

import pytest

from reaper.core.facts import ActionState
from tests.stories.studio import SOON, TIMEOUT, Classic, row
from tests.stories.workplaces import PLACES, WAYS, Workplace

pytestmark = pytest.mark.timeout(600)

in_classic = pytest.mark.xdist_group("stories-studio")
at_work = pytest.mark.xdist_group("stories-workplaces")


@at_work
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS)
def test_w3_training_outside_every_tree_keeps_its_app_and_its_notebook_instance(
    workplaces: dict[str, Workplace], place: str, way: str
):
    """Its terminal was closed, there is no kernel, and the timeout is over: nothing else keeps it."""
    if way == "tmux" and not shutil.which("tmux"):
        pytest.skip("needs tmux")
    shown = workplaces[place]
    training = shown.trained[way]
    assert training["explained"], "its process was not seen at work"
    decision = training["explained"]["decision"]
    assert (decision["verdict"], decision["reason"]) == ("wait", "active")
    assert f"(pid {training['pid']})" in decision["reason_text"]
    active = [one["signal"] for one in decision["evidence"] if one["activity"] == "active"]
    assert active == ["process"]
    assert shown.state_then[way] == "InService"


@at_work
@pytest.mark.parametrize("place", PLACES)
def test_w4_a_notebook_that_is_edited_and_saved_keeps_its_kernel_its_app_and_its_notebook_instance(
    workplaces: dict[str, Workplace], place: str
):
    shown = workplaces[place]
    assert shown.edited > 5
    assert shown.kernel_then
    assert shown.state_then["editing"] == "InService"
    for name in ("kernel", "place"):
        assert shown.editing[name], f"nothing was said of the {name}"
        decision = shown.editing[name]["decision"]
        assert (decision["verdict"], decision["reason"]) == ("wait", "idle_not_long_enough"), name
        evidence = {one["signal"]: one for one in decision["evidence"]}
        assert evidence["saved"]["value"].endswith("w4.ipynb was saved"), name
        assert "active" not in {one["activity"] for one in evidence.values()}, "nothing computes"
        assert decision["since"] >= evidence["saved"]["evidence_at"], "it is a save that counts"


@at_work
@pytest.mark.parametrize(("place", "state"), list(zip(PLACES, ("Deleting", "Stopping"), strict=True)))
def test_when_the_work_is_over_and_nobody_edits_the_kernel_goes_and_then_the_place_just_once(
    workplaces: dict[str, Workplace], place: str, state: str
):
    shown = workplaces[place]
    assert shown.requests_then == 0, "not before"
    assert not shown.kernel_after
    assert (shown.state_after, shown.requests) == (state, 1)


@in_classic
def test_w20_explain_says_that_a_kernel_elsewhere_has_processes_that_can_not_be_seen(classic: Classic):
    """The documented limit: its thread shows nowhere, so without the strict switch it goes."""
    assert classic.limit["resource"]["attributes"]["process_evidence"] == (
        "not applicable: its process is not visible here"
    )
    assert "process" not in {one["signal"] for one in classic.limit["decision"]["evidence"]}
    assert classic.reaped("w20")


@in_classic
def test_w20_the_strict_switch_keeps_it(classic: Classic):
    """REAPER_JUPYTER__REQUIRE_PROCESS_EVIDENCE=true: with the same kernel idle for longer than the timeout."""
    shown = row(classic.strict, "w20.ipynb")
    assert row(classic.strict, "f05.ipynb")["verdict"] == "reap", "one whose process is seen is due"
    assert (shown["verdict"], shown["reason"]) == ("unknown", "evidence_lost")
    explained = classic.strict_w20
    assert explained["resource"]["attributes"]["process_evidence"] == (
        "not applicable: its process is not visible here"
    )
    assert "process: required, but not there" in explained["decision"]["reason_text"]
    assert explained["next"] == ["a complete look at every required signal; until then it is never reaped"]
    assert row(classic.strict, "w20-app")["verdict"] == "unknown", "and its app with it"


@in_classic
def test_one_kernel_of_ten_at_work_keeps_the_app_and_the_others_go(classic: Classic):
    others = ["f05", "f06", "f07-restarted", "f07-dead", *(f"f07-starting-{number}" for number in range(5))]
    assert len(others) == 9
    assert all(classic.reaped(name) for name in others)
    assert classic.survived("ten-busy")
    assert classic.survived("ten")
    assert "ten" not in classic.deletes
    decision = classic.explained["ten"]["decision"]
    assert (decision["verdict"], decision["reason"]) == ("wait", "active")
    assert "ten-busy.ipynb" in decision["reason_text"]


@in_classic
def test_an_app_that_is_refused_backs_off_and_is_reported(classic: Classic):
    """The waits are 30 s, 1 min and so on, up to an hour."""
    failed, again = classic.entries("f03-refused", ActionState.FAILED), classic.started("f03-refused")[1:]
    assert len(failed) == classic.deletes.count("f03-refused") > 0
    for number, (before, after) in enumerate(zip(failed, again, strict=False)):
        assert after.at - before.at >= timedelta(seconds=30 * 2**number)
    assert "400 (an error of ours)" in failed[0].outcome
    shown = classic.row("f03-refused")
    assert (shown["verdict"], shown["reason"]) == ("reap", "cooldown")
    assert "400 (an error of ours)" in shown["reason_text"]
    explained = classic.explained["f03-refused"]
    assert any("400 (an error of ours)" in str(entry) for entry in explained["ledger"])
    assert any("cooldown" in one for one in explained["next"])


@in_classic
def test_kernels_then_terminals_then_the_app(classic: Classic):
    (terminal,), (app,) = classic.started(classic.terminal), classic.started("kept-terminal")
    assert terminal.at < app.at
    (kernel,), (its_app,) = classic.started("f04"), classic.started("f04-app")
    assert kernel.at < its_app.at


@in_classic
def test_the_systems_terminal_stays(classic: Classic):
    assert "1" in classic.listed
    assert not classic.started("1")
    assert classic.row("1") == {}


@in_classic
def test_terminals_that_are_kept_keep_their_app(classic: Classic):
    """REAPER_KEEP_TERMINALS: one that has been idle for longer than the timeout is no reason to delete its app."""
    terminal, app = row(classic.keeping, classic.terminal), row(classic.keeping, "kept-terminal")
    assert (terminal["verdict"], terminal["reason_text"]) == ("keep", "no policy applies to it")
    assert app["reason"] == "active_child"
    assert [veto["guard"] for veto in app["vetoes"]] == ["active_child"]
    assert classic.keeping["idle_timeout_s"] == SOON.total_seconds()
    assert classic.reaped("kept-terminal"), "without the setting it goes"


@in_classic
def test_an_app_goes_right_after_what_it_held(classic: Classic):
    """What we reaped ourselves is nobody's activity: no second timeout."""
    (kernel,) = classic.entries("w20", ActionState.SUCCEEDED)
    (app,) = classic.started("w20-app")
    assert app.due_at is not None
    assert app.due_at < kernel.at + TIMEOUT
