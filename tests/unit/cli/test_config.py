"""`reaper config`."""

import tomllib

from tests.unit.cli.test_with_daemon import valid

FILE = """
mode = "enforce"
[[policies]]
name = "old ones"
kind = "jupyter.kernel"
match = { name = ["exp-*"], kernel_name = ["python*"], tags = { Keep = false, team = ["a"] } }
rule = "idle"
timeout = "1h30m"
busy_timeout = "12h"
mode = "dry-run"
warn_before = "0s"
minimum_age = "10m"
[[policies.steps]]
action = "notify"
[[policies.steps]]
after = "10m"
action = "shutdown"
[[policies]]
name = "older"
kind = "jupyter.terminal"
rule = "age"
limit = "3d"
"""


def test_policies_as_toml_load_back_equal(reaper, no_daemon, tmp_path, monkeypatch):
    path = tmp_path / "reaper.toml"
    monkeypatch.setenv("REAPER_CONFIG", str(path))
    path.write_text("")
    preset = reaper("config", "show", "--policies", "--local")
    assert preset.status == 0
    assert [one["kind"] for one in tomllib.loads(preset.out)["policies"]] == [
        "jupyter.kernel",
        "jupyter.terminal",
    ]
    path.write_text(preset.out)
    assert reaper("config", "check").status == 0
    before = reaper("config", "show", "--policies", "--local", "-o", "json").json["policies"]
    path.write_text(reaper("config", "show", "--policies", "--local").out)
    assert reaper("config", "show", "--policies", "--local", "-o", "json").json["policies"] == before


def test_every_part_of_a_policy_is_written(reaper, no_daemon, tmp_path, monkeypatch):
    path = tmp_path / "reaper.toml"
    monkeypatch.setenv("REAPER_CONFIG", str(path))
    monkeypatch.setenv("REAPER_NOTIFY", "command:/bin/true")
    text = FILE.replace('limit = "3d"', 'max_age = "3d"')
    path.write_text(text)
    ran = reaper("config", "check")
    if ran.status:
        path.write_text(FILE)
    before = reaper("config", "show", "--local", "-o", "json")
    assert before.status == 0, before.err
    written = reaper("config", "show", "--policies", "--local").out
    path.write_text('mode = "enforce"\n' + written)
    after = reaper("config", "show", "--local", "-o", "json")
    assert after.json["policies"] == before.json["policies"]


def test_check_names_everything_that_is_wrong_and_is_78(reaper, no_daemon, monkeypatch):
    monkeypatch.setenv("REAPER_IDLE_TIMEOUT", "90")
    monkeypatch.setenv("REAPER_MODUS", "enforce")
    ran = reaper("config", "check")
    assert ran.status == 78
    assert "REAPER_IDLE_TIMEOUT" in ran.out
    assert "REAPER_MODE" in ran.out, "suggests the nearest"
    document = valid("config-check", reaper("config", "check", "-o", "json").json)
    assert document["ok"] is False
    assert len(document["errors"]) == 2
    ran = reaper("config", "show", "--local")
    assert ran.status == 78
    assert "REAPER_IDLE_TIMEOUT" in ran.err
    assert ran.out == ""


def test_check_of_a_good_one(reaper, no_daemon):
    assert "can be used" in reaper("config", "check").out
    assert valid("config-check", reaper("config", "check", "-o", "json").json)["ok"] is True


def test_schema_of_the_file(reaper):
    document = reaper("config", "schema").json
    assert document["properties"]["idle_timeout"]["x-variable"] == "REAPER_IDLE_TIMEOUT"
