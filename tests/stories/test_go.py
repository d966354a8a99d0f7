"""Forgotten things that must go: the stories f1 to f20 of the first issue, with real processes.

What happens is played once for each group (`house.py`, `night.py`, `travel.py`, `restarts.py`, `gpus.py`); here is
what must have come of it. Whether something is gone is asked of the server and of the process table, not of reaper.
"""

import pytest

from reaper.core.verdict import Reason, Verdict
from tests.stories.cluster import Cluster
from tests.stories.gpus import Gpus
from tests.stories.house import House
from tests.stories.night import KERNELS, Night
from tests.stories.restarts import Restarts
from tests.stories.travel import Travel

pytestmark = pytest.mark.timeout(600)  # the first test of a group pays for its play, maybe on a busy machine

in_house = pytest.mark.xdist_group("stories-house")
elsewhere = pytest.mark.xdist_group("stories-elsewhere")


@in_house
def test_f1_an_idle_kernel_goes(house: House):
    kernel = house.accounts["f1"]
    assert kernel.reaped
    assert house.cores["f1"] < 0.05, "it used next to nothing, but not nothing"


@elsewhere
def test_f2_an_idle_local_cluster_of_six_workers_goes(cluster: Cluster):
    """At the default thresholds: a scheduler and six workers, each a process of its own."""
    kernel = cluster.accounts["f2"]
    assert kernel.reaped, (cluster.busiest, cluster.together, kernel.decisions[-1:])
    assert cluster.processes >= 9, "the kernel, the scheduler, six workers, their nanny"
    assert cluster.together > 0.05, "it is a real cluster, and it chatters"


@in_house
@pytest.mark.parametrize("part", ["f3 watch", "f3 tail"])
def test_f3_output_alone_keeps_a_terminal_and_status_names_it(house: House, part: str):
    terminal = house.accounts[part]
    assert terminal.survived
    command = part.removeprefix("f3 ")
    assert f"kept by output alone ({command})" in terminal.status["reason_text"]
    code, shown = house.command_status
    assert code == 0
    assert f"kept by output alone ({command})" in " ".join(shown.split())


@elsewhere
@pytest.mark.parametrize("name", ["watch", "tail"])
def test_f3_output_alone_keeps_nothing_where_it_is_ignored(night: Night, name: str):
    assert night.accounts[name].reaped


@in_house
def test_f4_a_kernel_that_died_in_mid_cell_and_says_busy_for_ever_goes(house: House):
    assert house.reborn == "busy"
    assert house.accounts["f4"].reaped


@in_house
def test_f6_a_kernel_under_idle_and_age_goes_at_the_earlier(house: House):
    by_idle, by_age = house.accounts["f6-idle"], house.accounts["f6-age"]
    assert (by_idle.reaped, by_age.reaped) == (True, True)
    assert (by_idle.reaped_by, by_age.reaped_by) == ("idle", "old")


@in_house
def test_f7_a_dead_kernel_under_an_age_policy_goes_at_once(house: House):
    kernel = house.accounts["f7"]
    assert not kernel.listed
    assert kernel.states == ["STARTED", "SUCCEEDED"]
    assert kernel.reaped_by == "a-day-old"
    first = kernel.decisions[0]
    assert (first.verdict, first.reason, first.vetoes) == (Verdict.REAP, Reason.DEAD, ()), "it never waited"


@elsewhere
def test_f8_beside_a_divided_gpu_a_kernel_that_has_none_open_goes(gpus: Gpus):
    assert gpus.accounts["f8"].reaped
    divided = gpus.accounts["f8 divided"]
    assert divided.survived
    assert divided.status["verdict"] == "unknown"
    assert "MIG" in gpus.gpu["f8 divided"][1]


@elsewhere
def test_f9_a_kernel_that_only_holds_gpu_memory_goes_while_another_trains(gpus: Gpus):
    assert gpus.accounts["f9"].reaped
    trains = gpus.accounts["f9 trains"]
    assert trains.survived
    assert gpus.gpu["f9 trains"][0] == "active"


@elsewhere
def test_f13_a_webhook_that_has_been_dead_for_a_day_blocks_and_alerts(travel: Travel):
    late, blocked = travel.webhook["past its time"], travel.webhook["a day later"]
    assert (late["verdict"], late["reason"]) == ("reap", "notice_undelivered")
    assert (blocked["verdict"], blocked["reason"]) == ("reap", "blocked")
    failed = [notice for notice in travel.notices if notice.topic == "warning" and not notice.delivered]
    assert len(failed) >= 2
    assert all("410" in notice.error for notice in failed)
    assert any(notice.topic == "blocked" for notice in travel.notices)
    assert travel.alive_unwarned


@elsewhere
def test_f13_another_notifier_suffices(travel: Travel):
    assert travel.alive_warned, "a warning that has just been given is not the end"
    assert travel.webhook_account.reaped
    warned = [notice for notice in travel.notices if notice.topic == "warning" and notice.delivered]
    assert len(warned) == 1
    act = next(entry for entry in travel.webhook_account.ledger if entry.state.value == "STARTED")
    assert (act.at - warned[0].at).total_seconds() >= 600, "the whole of WARN_BEFORE after the delivery"
    assert [notice["topic"] for notice in travel.told][:1] == ["warning"]


@elsewhere
def test_f14_twenty_of_twenty_kernels_idle_at_two_in_the_morning_go(night: Night):
    kernels = [night.accounts[f"kernel {number}"] for number in range(KERNELS)]
    assert sum(kernel.reaped for kernel in kernels) == KERNELS


@elsewhere
def test_f15_after_a_kill_between_started_and_the_request_it_is_looked_at_again_then_reaped(
    restarts: Restarts,
):
    assert "f15" not in restarts.broken, restarts.broken
    kernel = restarts.accounts["f15"]
    assert [entry.state.value for entry in restarts.at_death.ledger] == ["STARTED"]
    assert kernel.states == ["STARTED", "UNKNOWN", "STARTED", "SUCCEEDED"], restarts.log["f15"]
    first, doubt, second, _ = kernel.ledger
    assert doubt.action_id == first.action_id != second.action_id, "a new act, decided anew"
    second_life = [request for daemon, request in restarts.requests if daemon == 2]
    delete = second_life.index(f"DELETE /api/kernels/{kernel.id}")
    assert "GET /api/kernels" in second_life[:delete]
    assert restarts.deletes == 1, "one DELETE reached the server"
    assert kernel.reaped


@elsewhere
def test_f16_a_daemon_that_is_restarted_again_and_again_reaps_on_time(restarts: Restarts):
    assert restarts.lives_before_due("f16") >= 2
    _gone_on_time(restarts, "f16")


@in_house
def test_f17_a_cell_that_only_sleeps_is_kept_and_named(house: House):
    cell = house.accounts["f17"]
    assert cell.survived
    assert cell.status["reason"] == "busy_without_work"
    assert Reason.BUSY_WITHOUT_WORK.prose in " ".join(house.command_status[1].split())


@elsewhere
def test_f18_rounds_by_cron_reap_on_time(restarts: Restarts):
    assert restarts.lives_before_due("f18") >= 2
    assert set(restarts.codes) == {0}
    _gone_on_time(restarts, "f18")


@in_house
def test_f19_one_whose_rule_raises_is_unknown_and_the_others_go_on(house: House):
    kernel = house.accounts["f19"]
    assert kernel.survived
    assert (kernel.status["verdict"], kernel.status["reason"]) == ("unknown", "rule_failed")
    assert "LookupError: this one is beyond me" in kernel.status["reason_text"]
    assert house.accounts["f19-other"].reaped, "under the same policy"
    assert house.accounts["f1"].reaped


@in_house
def test_f20_a_zombie_child_keeps_nothing(house: House):
    assert house.zombies, "there was one"
    assert house.accounts["f20"].reaped


def _gone_on_time(play: Restarts, name: str) -> None:
    """As if there had been one daemon all along: due at the same instant, and reaped in that life or the next."""
    assert name not in play.broken, play.broken
    account, log = play.accounts[name], play.log[name]
    assert account.reaped, log
    assert account.states == ["STARTED", "SUCCEEDED"], log
    assert account.started.due_at == play.due[name]
    assert account.started.at >= play.due[name]
    assert play.lives_after_due(name) <= 1, log
    assert len(play.journals[name].applied) == 1, "no restart applies the policy anew"
