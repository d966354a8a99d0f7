"""What commands say to people: names instead of ids, what stands in the way, and nothing that is not so."""

import json
import re
from pathlib import Path

import pytest

from reaper.cli.explain import page as explain_page
from reaper.cli.output import Page, Screen
from reaper.cli.plan import page as plan_page
from reaper.cli.status import page as status_page
from tests.unit.cli.stage import GONE, NEW, OLD, SERVER
from tests.unit.cli.test_with_daemon import valid

PLAIN = Screen(width=None, color=False)


def test_a_hold_is_told_by_the_name_of_what_it_is_on(reaper, daemon):
    try:
        ran = reaper("hold", "old.ipynb", "--for", "3h")
        assert ran.out.startswith(f"work/old.ipynb (jupyter.kernel {OLD[:8]}) at {SERVER} is held for ")
        assert reaper("hold", "1").out.startswith(f"jupyter.terminal 1 at {SERVER} is held for ")
        listed = reaper("hold", "--list").out
        assert f"work/old.ipynb (jupyter.kernel {OLD[:8]}) at {SERVER}" in listed
        assert f"jupyter.terminal 1 at {SERVER}" in listed
    finally:
        reaper("release", "old.ipynb")
        reaper("release", "1")


def test_a_hold_that_is_cut_says_so(reaper, daemon):
    try:
        ran = reaper("hold", NEW, "--for", "40d")
        assert "is held for 30d" in ran.out
        assert "no hold is longer" in ran.err
        reaper("release", NEW)
        assert reaper("hold", NEW, "--for", "30d").err == ""
    finally:
        reaper("release", NEW)


def test_release_of_what_is_not_held_says_what_is(reaper, daemon):
    ran = reaper("release", "new.ipynb")
    assert ran.status == 1
    assert ran.err.endswith("nothing is held\n")
    try:
        hold = reaper("hold", "old.ipynb", "-o", "json").json["hold"]["id"]
        ran = reaper("release", "new.ipynb")
        assert f"held now:\n  {hold}  work/old.ipynb" in ran.err
        assert "watched now" not in ran.err
    finally:
        reaper("release", "old.ipynb")


@pytest.mark.parametrize("name", ["idle_timeout", "REAPER_IDLE_TIMEOUT", "Idle-Timeout"])
def test_a_setting_may_be_written_as_config_show_does(reaper, daemon, name):
    try:
        assert reaper("set", name, "90m").out.startswith("idle-timeout is 90m; it was ")
    finally:
        reaper("set", name, "--unset")


def test_resume_of_what_is_not_paused_says_so(reaper, daemon):
    assert reaper("resume").out == "it was not paused\n"
    reaper("pause")
    assert reaper("resume").out == "resumed: actions are allowed again\n"


def test_plan_says_what_stands_in_the_way(reaper, daemon):
    """An empty plan beside a status full of `reap` is a riddle."""
    try:
        reaper("hold", "old.ipynb")
        out = reaper("plan").out
        assert out.startswith("mode dry-run: nothing is to be done now\n")
        assert "1 would go but for a veto (held): 'reaper status' shows it" in out
        assert "  shutdown of jupyter.kernel work/old.ipynb: held: " in out
        reaper("pause", "--why", "board")
        assert "PAUSED until 'reaper resume', by " in reaper("plan").out
        assert valid("plan", reaper("plan", "-o", "json").json)["paused"] is True
    finally:
        reaper("resume")
        reaper("release", "old.ipynb")
    assert "veto" not in reaper("plan").out


def test_plan_says_what_would_be_denied():
    item = {
        "action": "stop",
        "kind": "ec2.instance",
        "name": "train",
        "resource": "i-1",
        "policy": "gpus",
        "idle_since": None,
        "dry_run": True,
        "would_be_denied": "ec2:StopInstances is missing",
    }
    head = {"at": "2026-11-26T06:00:00Z", "expires_at": "2026-11-27T06:00:00Z", "mode": "dry-run"}
    totals = {"items": 1, "hourly_cost": 1.006, "unknown_costs": 0}
    text = plan_page({**head, "items": [item], "totals": totals}, Page(screen=PLAIN)).text()
    assert "would be denied: ec2:StopInstances is missing" in text
    assert "$1.006 an hour" in text


def test_apply_tells_names(reaper, daemon, tmp_path):
    reaper("plan", "--out", str(tmp_path / "plan.json"))
    ran = reaper("apply", str(tmp_path / "plan.json"))
    assert "work/old.ipynb" in ran.out


def test_without_a_daemon_only_what_is_odd_is_told(reaper, journal, own_home, monkeypatch):
    """That there is no socket is no news; that one is there and can not be used is."""
    assert reaper("status").err.startswith(
        f"reaper: no daemon answers; this is what the journal {journal} says"
    )
    monkeypatch.setenv("REAPER_LISTEN", f"unix:{own_home}/none.sock,127.0.0.1:9")
    assert reaper("status").err.startswith(
        "reaper: no daemon answers (tcp:127.0.0.1:9: nobody listens); this is"
    )
    assert reaper("config", "show").err.startswith(
        "reaper: no daemon answers (tcp:127.0.0.1:9: nobody listens)"
    )


def test_where_nothing_is_watched_status_says_what_to_do():
    document = {
        "at": "2026-11-22T12:00:00Z",
        "mode": "dry-run",
        "polls": 0,
        "idle_timeout_s": 60,
        "resources": [],
    }
    shown = status_page({**document, "sources": []}, PLAIN).text()
    assert "no server was found: 'reaper doctor' says where it looks" in shown
    source = {"name": "jupyter:http://a/", "complete": True, "last_poll_at": "2026-11-22T11:59:00Z"}
    shown = status_page({**document, "polls": 3, "sources": [source]}, PLAIN).text()
    assert "nothing to watch" in shown


def test_one_poll_is_one():
    document = {
        "at": "2026-11-22T12:00:00Z",
        "mode": "dry-run",
        "polls": 1,
        "idle_timeout_s": 60,
        "resources": [],
    }
    assert "1 poll\n" in status_page(document, PLAIN).text()
    assert "2 polls\n" in status_page({**document, "polls": 2}, PLAIN).text()


def test_what_is_gone_is_told_in_the_past(reaper, daemon):
    document = reaper("explain", OLD, "-o", "json").json
    document["gone"] = True
    assert "  It was due: no signal" in explain_page(document, Page(PLAIN)).text()
    ledger = reaper("explain", GONE, "-o", "json").json["ledger"]
    assert "  It was reaped: no signal" in explain_page({**document, "ledger": ledger}, Page(PLAIN)).text()


def test_on_a_narrow_terminal_the_signals_keep_room_for_their_values(reaper, daemon):
    document = reaper("explain", OLD, "-o", "json").json
    for one in document["decision"]["evidence"]:
        one["covers_from"], one["value"] = document["at"], "its processes are quiet: under 0.01 core"
    narrow = explain_page(document, Page(Screen(width=80, color=False))).text()
    assert "OF THE TIME" not in narrow.upper()
    assert re.search(r"its processes are quiet: \w+", narrow)
    assert "sampled since 0s ago" in " ".join(narrow.split())
    wide = explain_page(document, Page(Screen(width=140, color=False))).text()
    assert "of the time" in wide


def test_a_finding_does_not_repeat_the_signals_above_it(reaper, daemon):
    out = reaper("explain", OLD).out
    policies = out[out.index("Policies") : out.index("Vetoes")]
    assert re.search(r"no signal has shown activity for the whole timeout \(since 3h( \d+m)? ago\)", policies)
    assert "execution_state" not in policies
    busy = reaper("explain", "train.ipynb").out
    assert "execution_state: busy" in busy[busy.index("Policies") :], "which one it is that shows work"


def test_a_notebook_may_be_named_as_a_shell_names_files(reaper, daemon, tmp_path, monkeypatch):
    """The server tells paths below its root, which is somewhere above."""
    (tmp_path / "home/work").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home/work")
    for text in ("./old.ipynb", "../work/old.ipynb", str(tmp_path / "home/work/old.ipynb")):
        assert reaper("explain", text, "-o", "json").json["resource"]["id"] == OLD
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert reaper("explain", "~/work/old.ipynb", "-o", "json").json["resource"]["id"] == OLD
    ran = reaper("explain", "./nope.ipynb")
    assert ran.status == 1
    assert "'./nope.ipynb'" in ran.err
    hold = reaper("hold", "./old.ipynb", "-o", "json").json["hold"]
    assert hold["matcher"]["id"] == OLD
    assert json.loads(reaper("release", str(Path.cwd() / "old.ipynb"), "-o", "json").out)["released"] == [
        hold["id"]
    ]
