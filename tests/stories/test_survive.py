"""Work that must survive: the stories w1 to w18 of the first issue, with real processes.

What happens is played once for each group (`house.py`, `night.py`, `travel.py`, `gpus.py`); here is what must have
come of it. Whether something survived is asked of the server and of the process table, not of reaper.
"""

import pytest

from reaper.core.verdict import Reason
from tests.stories.gpus import Gpus
from tests.stories.house import TIMEOUT, House
from tests.stories.night import KERNELS, Night
from tests.stories.travel import Travel

pytestmark = pytest.mark.timeout(600)  # the first test of a group pays for its play, maybe on a busy machine

in_house = pytest.mark.xdist_group("stories-house")
elsewhere = pytest.mark.xdist_group("stories-elsewhere")


@in_house
def test_a_long_silent_cell_that_computes_in_the_kernel_itself_survives(house: House):
    """Plain Python, no output, no child. All the while last_activity stands still: it is the state that counts."""
    cell = house.accounts["silent-cell"]
    assert house.silent_for > 2 * TIMEOUT, "nothing was seen of it, far past the timeout"
    assert cell.survived
    assert cell.evidence("execution_state")["activity"] == "active"
    assert cell.evidence("execution_state")["value"] == "busy"


@in_house
def test_w1_a_threads_upload_after_its_cell_ended_survives(house: House):
    upload = house.accounts["w1"]
    assert upload.survived
    assert house.cores["w1"] < 0.10, "kept by what it reads, not by its CPU time"
    assert "reads and writes" in upload.evidence("process")["value"]
    assert upload.evidence("execution_state")["activity"] == "idle"


@in_house
def test_w2_of_terminals_that_share_a_name_only_the_quiet_ones_go(house: House):
    """1 was closed and opened again: the list is 2, 3, 1, and so are the shells by age."""
    job, second, third = (house.accounts[f"w2 {name}"] for name in ("first", "second", "third"))
    assert (job.id, second.id, third.id) == ("1", "2", "3")
    assert job.survived
    assert second.reaped
    assert third.reaped
    assert job.evidence("process")["activity"] == "active"


@in_house
def test_w4_a_notebook_that_is_edited_and_saved_keeps_its_kernel(house: House):
    editor = house.accounts["w4"]
    assert house.kept_saving > 10
    assert editor.survived
    assert editor.evidence("execution_state")["activity"] == "idle"
    assert "was saved" in editor.evidence("saved")["value"]


@in_house
def test_w5_a_page_with_a_browser_on_it_keeps_the_kernel_that_serves_it(house: House):
    assert house.accounts["w5"].survived
    assert house.accounts["w5"].evidence("peers")["activity"] == "active"
    assert house.accounts["w5-nobody"].reaped, "a page that nobody looks at keeps nothing"


@in_house
def test_w6_a_future_on_a_remote_cluster_is_held_or_goes(house: House):
    """The documented limit: nothing of it can be seen here. A hold covers it."""
    assert house.accounts["w6-bare"].reaped
    for part in ("w6-self", "w6-command"):
        held = house.accounts[part]
        assert held.survived, part
        assert held.status["reason"] == "held", part
        assert held.status["holds"], part
    assert "a future" in house.accounts["w6-self"].status["reason_text"]
    assert "sleep" in house.accounts["w6-command"].status["reason_text"]


@in_house
def test_w7_a_busy_cell_is_never_reaped_while_a_child_of_it_works(house: House):
    """With `busy_timeout`. A cell that waits for another host can't be told from a deadlock: documented."""
    assert house.accounts["w7-child"].survived
    remote = house.accounts["w7-remote"]
    assert remote.reaped
    assert remote.reaped_because is Reason.BUSY_TIMEOUT
    assert remote.started.outcome == Reason.BUSY_TIMEOUT.prose, "and the ledger says so"
    assert house.accounts["f17"].survived, "without the setting it stays"


@elsewhere
def test_w14_a_laptop_that_wakes_after_nine_hours_reaps_nothing(travel: Travel):
    assert travel.laptop["before"]["verdict"] == "wait"
    for when in ("opened", "nine minutes later"):
        woken = travel.laptop[when]
        assert (woken["verdict"], woken["reason"]) == ("reap", "clock_jump"), when
    assert travel.laptop_alive
    assert travel.laptop_account.reaped, "ten minutes awake and unused, it goes"


@in_house
@pytest.mark.parametrize(
    ("when", "ledger", "outcome"),
    [
        ("w16look", ["ABANDONED"], "it is gone, or lives another life"),
        ("w16act", ["STARTED", "SUCCEEDED"], "it was gone already"),
    ],
)
def test_w16_a_terminal_of_the_same_name_is_not_taken_for_the_one_that_was_meant(
    house: House, when: str, ledger: list[str], outcome: str
):
    """Closed and opened again before the fresh look, and even between that and the DELETE."""
    old, new = house.accounts[when], house.accounts[f"{when} swapped"]
    assert old.states == ledger, old.ledger
    assert old.ledger[-1].outcome == outcome
    assert not old.lived
    assert new.listed
    assert new.lived


@elsewhere
def test_w17_two_reapers_on_one_server_say_so(night: Night):
    assert any("another reaper" in note for note in night.notes), night.notes
    assert night.doctor["level"] == "warn"
    assert "another reaper" in night.doctor["text"]
    assert any("another reaper" in str(line.get("note")) for line in night.log)


@elsewhere
def test_w17_a_hold_made_on_the_servers_side_is_seen_by_both(night: Night):
    assert night.held_by_one >= KERNELS
    assert night.held_by_other >= KERNELS
    assert night.reaped_while_held == 0


@elsewhere
def test_w18_a_gpu_busy_with_pids_of_another_namespace_leaves_doubt(gpus: Gpus):
    kernel = gpus.accounts["w18"]
    assert kernel.survived
    assert kernel.status["verdict"] == "unknown"
    assert gpus.gpu["w18"][0] == "unknown"
    assert "not of this host" in gpus.gpu["w18"][1]
