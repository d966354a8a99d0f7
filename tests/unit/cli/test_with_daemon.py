"""Every command against a real control behind a real socket; every JSON output against its schema."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from reaper.cli.schemas import SCHEMAS, schema
from reaper.core.codec import to_json
from tests.unit.cli.stage import BUSY, FAR, GONE, NEW, OLD, SERVER


def valid(name, document):
    jsonschema.Draft202012Validator(schema(name), format_checker=jsonschema.FormatChecker()).validate(
        document
    )
    return document


def test_status_shows_every_resource_with_its_reason(reaper, daemon):
    ran = reaper("status")
    assert ran.status == 0
    assert ran.err == ""
    header, *rest = ran.out.splitlines()
    assert header.startswith("mode dry-run, idle timeout 2h, 4 polls, last look ")
    assert "1 of 2 sources failing:" in rest
    assert any("no answer within 5 s" in line for line in rest)
    [old] = [line for line in rest if OLD in line]
    assert old.startswith("jupyter.kernel ")
    assert "reap" in old
    assert "dry run: nothing is done" in old
    assert "3h" in old
    assert SERVER in old
    [busy] = [line for line in rest if BUSY in line]
    assert "execution_state: busy" in busy
    [far] = [line for line in rest if FAR in line]
    assert "unknown" in far


def test_status_json(reaper, daemon):
    document = valid("status", reaper("status", "--output", "json").json)
    assert document["daemon"] is True
    assert document["idle_timeout_s"] == 7200
    assert {one["id"] for one in document["resources"]} == {BUSY, OLD, NEW, FAR, "1"}


def test_explain_says_every_part(reaper, daemon):
    ran = reaper("explain", "work/old.ipynb")
    assert ran.status == 0
    for said in (
        f"jupyter.kernel {OLD} (work/old.ipynb) at {SERVER}",
        "It is due: no signal has shown activity for the whole timeout",
        "policy kernels, action shutdown (dry run)",
        "idle for 3h",
        "execution_state",
        "Vetoes\n  - none",
        "REAPER_MODE=enforce",
        "Past actions\n  none",
    ):
        assert said in ran.out
    assert re.search(r"execution_state +idle +idle +3h( \d+m)? ago", ran.out)
    assert re.search(r"due in 1h 3\dm", reaper("explain", "new.ipynb").out)
    busy = reaper("explain", BUSY).out
    assert "It is waited for: a signal shows work right now" in busy
    assert "execution_state  active  busy" in busy
    assert "now" in busy
    far = reaper("explain", "far.ipynb").out
    assert "It is unknown, so it is left alone" in far
    assert "a complete look" in far


def test_explain_json_also_of_what_is_gone(reaper, daemon):
    valid("explain", reaper("explain", OLD, "-o", "json").json)
    gone = valid("explain", reaper("explain", GONE[:6], "--output=json").json)
    assert gone["gone"] is True
    assert [one["state"] for one in gone["ledger"]] == ["STARTED", "SUCCEEDED"]
    said = reaper("explain", GONE).out
    assert "it is gone; this is what the journal kept" in said
    assert "succeeded  kernels  204" in said


@pytest.mark.parametrize("command", [("explain",), ("hold",), ("release",)])
def test_ambiguous_and_unknown_names(reaper, daemon, command):
    ran = reaper(*command, "6f1c")
    assert ran.status == 2
    assert ran.out == ""
    assert BUSY in ran.err
    assert f"  {OLD}  work/old.ipynb\n" in ran.err
    error = valid("error", json.loads(reaper(*command, "6f1c", "--output", "json").err))
    assert error["candidates"] == [BUSY, OLD]
    assert error["exit_status"] == 2
    ran = reaper(*command, "nothing-like-it")
    assert ran.status == 1
    assert "'nothing-like-it'" in ran.err
    assert "work/train.ipynb" in ran.err, "says what there is"


def test_plan_is_shown_written_and_applied(reaper, daemon, tmp_path):
    ran = reaper("plan")
    assert "mode dry-run: 1 action to do now; good for 24h" in ran.out or "1d" in ran.out
    assert "work/old.ipynb" in ran.out
    assert "dry run" in ran.out
    file = tmp_path / "plan.json"
    ran = reaper("plan", "--out", str(file), "--output", "json")
    written = json.loads(file.read_text())
    assert valid("plan", written) == ran.json
    assert f"reaper apply {file}" in ran.err
    assert [one["id"] for one in written["items"]] == [OLD]
    assert list(tmp_path.iterdir()) == [file], "nothing is left beside it"
    done = reaper("apply", str(file), "--output", "json")
    assert done.status == 1, "the stage has no server to act on: not done, so not 0"
    [item] = valid("apply", done.json)["items"]
    assert item["outcome"] == "abandoned"
    ran = reaper("apply", str(file))
    assert ran.status == 1
    assert "abandoned" in ran.out
    assert "0 done, 1 not done" in ran.out


def test_a_plan_of_nothing_is_applied_at_once(reaper, daemon, tmp_path):
    file = tmp_path / "plan.json"
    reaper("plan", "--out", str(file))
    document = json.loads(file.read_text())
    document["items"] = []
    file.write_text(json.dumps(document))
    ran = reaper("apply", str(file))
    assert ran.status == 0
    assert "nothing was to be done" in ran.out


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"expires_at": "2026-01-01T00:00:00.000000Z"}, 1, "expired"),
        ({"at": "2026-01-01T00:00:00.000000Z"}, 1, "expired"),
        ({"schema": 2}, 2, "schema is 2"),
        ({"items": None}, 2, "no list of items"),
        ({"items": [{"kind": "x"}]}, 2, "item 1 has no 'scope'"),
        ({"items": ["x"]}, 2, "item 1 has no"),
        ({"at": "yesterday"}, 2, "'at' is no instant"),
        ({"expires_at": "2026-01-01T00:00:00"}, 2, "'expires_at' is no instant"),
    ],
)
def test_plans_that_are_refused(reaper, daemon, tmp_path, change, status, said):
    file = tmp_path / "plan.json"
    reaper("plan", "--out", str(file))
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    ran = reaper("apply", str(file))
    assert ran.status == status
    assert said in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no JSON"), ("[]", "no JSON object"), ("\xff\xfe", "no JSON"), ('{"cut": ', "no JSON")],
)
def test_files_that_are_no_plan(reaper, daemon, tmp_path, text, said):
    (tmp_path / "p").write_text(text)
    ran = reaper("apply", str(tmp_path / "p"))
    assert ran.status == 2
    assert said in ran.err
    assert reaper("apply", str(tmp_path / "none")).status == 2


def test_a_plan_that_can_not_be_written_is_an_error(reaper, daemon, tmp_path):
    ran = reaper("plan", "--out", str(tmp_path / "no/such/folder/plan.json"))
    assert ran.status == 1
    assert "can't be written" in ran.err


def test_hold_is_seen_everywhere_and_released(reaper, daemon):
    placed = valid("hold", reaper("hold", "old.ipynb", "--for", "2h", "--why", "a demo", "-o", "json").json)
    hold = placed["hold"]["id"]
    try:
        lasting = datetime.fromisoformat(placed["hold"]["expires_at"]) - datetime.fromisoformat(
            placed["hold"]["starts_at"]
        )
        assert lasting == timedelta(hours=2)
        listed = valid("holds", reaper("hold", "--list", "-o", "json").json)
        assert [one["id"] for one in listed["holds"]] == [hold]
        assert "a demo" in reaper("hold", "--list").out
        [shown] = [one for one in reaper("status", "-o", "json").json["resources"] if one["id"] == OLD]
        assert [one["id"] for one in shown["holds"]] == [hold]
        [line] = [line for line in reaper("status").out.splitlines() if OLD in line]
        assert "left" in line
        assert "held" in reaper("explain", OLD).out
    finally:
        released = valid("release", reaper("release", "work/old.ipynb", "-o", "json").json)
    assert released["released"] == [hold]
    assert "nothing is held" in reaper("hold", "--list").out


def test_hold_without_for_lasts_two_hours_and_says_how_to_end_it(reaper, daemon):
    ran = reaper("hold", NEW)
    assert "is held for 2h" in ran.out or "1h 59m" in ran.out
    hold = ran.out.split()[-1]
    assert reaper("release", hold).out == f"released {hold}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("hold",), "say what to hold"),
        (("hold", ""), "RESOURCE is empty"),
        (("hold", " ", "--", "true"), "RESOURCE is empty"),
        (("release", ""), "RESOURCE is empty"),
        (("explain", ""), "RESOURCE is empty"),
        (("hold", "new.ipynb", "--for", "90"), "no unit"),
        (("hold", "new.ipynb", "--for", "-1h"), "negative"),
        (("hold", "new.ipynb", "--for", "0s"), "no time at all"),
        (("hold", "--list", "new.ipynb"), "alone"),
        (("hold", "new.ipynb", "--"), "no command"),
        (("hold", "--for", "1h", "--", "true"), "--for does not go"),
        (("hold", "-o", "json", "--", "true"), "--output does not go"),
        (("pause", "--for", "soon"), "not a duration"),
        (("set", "idle-timeout"), "--unset"),
        (("set", "idle-timeout", "1h", "--unset"), "--unset"),
        (("set", "idle-timeout", "--unset", "--for", "1h"), "--for goes with a value"),
        (("set", "idle-timeout", "90"), "no unit"),
        (("set", "idle-timeout", "-5m"), "-5"),
        (("set", "idle-timeout", "48h"), "REAPER_IDLE_TIMEOUT_MAX"),
        (("set", "mode", "enforce"), "idle-timeout"),
        (("status", "--watch", "--every", "2"), "no unit"),
        (("schema", "nope"), "there are: status"),
    ],
)
def test_what_is_not_meant_so_is_a_usage_error(reaper, daemon, arguments, said):
    ran = reaper(*arguments)
    assert ran.status == 2
    assert said in ran.err
    assert ran.out == ""


def test_hold_self_in_a_kernel(reaper, daemon, monkeypatch):
    monkeypatch.setattr(
        "reaper.cli.whoami.ancestors", lambda _proc: iter([(7, ["python", f"/run/kernel-{NEW}.json"])])
    )
    placed = reaper("hold", "self", "-o", "json").json["hold"]
    assert placed["matcher"]["id"] == NEW
    assert reaper("explain", "self", "-o", "json").json["resource"]["id"] == NEW
    assert reaper("release", "self").status == 0


def test_self_outside_of_everything(reaper, daemon, monkeypatch):
    monkeypatch.setattr("reaper.cli.whoami.ancestors", lambda _proc: iter([(7, ["sh"])]))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    ran = reaper("hold", "self")
    assert ran.status == 1
    assert "runs in neither" in ran.err


def test_pause_is_shown_until_resume(reaper, daemon):
    try:
        state = valid("pause", reaper("pause", "--for", "2h", "--why", "board", "-o", "json").json)
        assert state["paused"] is True
        header = reaper("status").out
        assert "PAUSED for 2h more" in header or "PAUSED for 1h 59m more" in header
        assert "board" in header
        assert valid("status", reaper("status", "-o", "json").json)["paused"] is True
    finally:
        assert valid("pause", reaper("resume", "-o", "json").json)["paused"] is False
    assert "PAUSED" not in reaper("status").out
    try:
        assert "until 'reaper resume'" in reaper("pause").out
        assert "until 'reaper resume'" in reaper("status").out
    finally:
        assert "resumed" in reaper("resume").out


def test_set_is_shown_until_unset(reaper, daemon):
    try:
        document = valid("set", reaper("set", "idle-timeout", "90m", "--for", "8h", "-o", "json").json)
        assert document["value"] == "90m"
        status = valid("status", reaper("status", "-o", "json").json)
        assert status["idle_timeout_s"] == 5400
        assert "idle-timeout was set to 90m" in reaper("status").out
    finally:
        ran = reaper("set", "idle-timeout", "--unset")
    assert "(as configured); it was 90m" in ran.out
    assert reaper("status", "-o", "json").json["idle_timeout_s"] == 7200


def test_config_show_is_the_daemons(reaper, daemon, monkeypatch):
    monkeypatch.setenv("REAPER_MODE", "enforce")  # of this shell: the daemon knows nothing of it
    document = valid("config-show", reaper("config", "show", "-o", "json").json)
    assert document["daemon"] is True
    values = {one["variable"]: one for one in document["settings"]}
    assert values["REAPER_MODE"]["value"] == "dry-run"
    local = valid("config-show", reaper("config", "show", "--local", "-o", "json").json)
    values = {one["variable"]: one for one in local["settings"]}
    assert values["REAPER_MODE"] == {
        "name": "mode",
        "variable": "REAPER_MODE",
        "value": "enforce",
        "source": "env REAPER_MODE",
        "default": "dry-run",
    }
    assert "REAPER_MODE" in reaper("config", "show").out


def test_watch_shows_it_again(reaper, daemon, monkeypatch):
    waits = []

    def wait(pause):
        waits.append(pause)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("reaper.cli.status._wait", wait)
    ran = reaper("status", "--watch", "--every", "5s")
    assert ran.status == 130
    assert waits == [timedelta(seconds=5)] * 3
    assert ran.out.count("mode dry-run") == 3


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_and_printed(reaper, name):
    ran = reaper("schema", name)
    assert ran.status == 0
    jsonschema.Draft202012Validator.check_schema(ran.json)
    assert ran.json["properties"]["schema"] == {"const": 1}
    assert name in reaper("schema").out.splitlines()


def test_the_contracts_of_product_md_are_in_the_schemas():
    """Fields named there may never go."""
    resource = schema("status")["properties"]["resources"]["items"]
    assert set(resource["required"]) >= {
        "kind", "id", "scope", "name", "parent", "owner", "verdict", "reason", "idle_since", "due_at", "action",
        "policy", "hourly_cost", "holds",
    }  # fmt: skip
    assert set(schema("status")["required"]) >= {
        "schema",
        "mode",
        "paused",
        "polls",
        "idle_timeout_s",
        "resources",
    }
    checked = schema("check")["properties"]["resources"]["items"]
    assert set(checked["required"]) >= {
        "kind", "id", "scope", "name", "owner", "instance_type", "spot", "runtime_s", "hourly_cost", "cost",
        "currency", "price_source", "level", "exempt", "end_command",
    }  # fmt: skip
    document = {"schema": 1, "resources": [], "totals": {}, "errors": []}
    valid("check", document)
    one = dict.fromkeys(checked["required"])
    one.update(kind="ec2.instance", id="i-1", scope="1/eu-west-1", name="box", level="ok", exempt="held")
    valid("check", {**document, "resources": [one]})
    with pytest.raises(jsonschema.ValidationError):
        valid("check", {**document, "resources": [{**one, "level": "fine"}]})


def test_notices_fit_their_schema():
    from reaper.plugins import Notice

    at = datetime(2026, 11, 22, tzinfo=UTC)
    notice = Notice(
        topic="warning", at=at, subject="s", text="t", mode="enforce", due_at=at, actions=(("keep", "x"),)
    )
    assert valid("notice", notice.body())["due_at"] == to_json(at)


def test_completion_offers_what_is_watched(daemon):
    from reaper.cli.options import complete_resource

    offered = dict(complete_resource(""))
    assert {"self", "work/train.ipynb", NEW} <= offered.keys()
    assert dict(complete_resource("new")) == {"new.ipynb": f"jupyter.kernel {NEW}"}


def test_completion_is_silent_without_a_daemon(no_daemon: Path):
    from reaper.cli.options import complete_resource

    assert complete_resource("") == []
