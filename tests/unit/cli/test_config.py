"""`reaper config`."""

import tomllib

from reaper.cli.config import local_settings, settings_page
from reaper.cli.output import Page, Screen
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


CONDITIONS = """
[[policies]]
name = "nested"
kind = "jupyter.kernel"
rule = "any"
rules = [
  { rule = "idle", timeout = "2h" },
  { rule = "not", of = { rule = "all", rules = [{ rule = "deadline" }, { rule = "age", timeout = "3d" }] } },
]
[[policies]]
name = "conditional"
kind = "jupyter.kernel"
where = '''
resource.name != "a\\u202e" // whose is it?
&& resource.owner == null
'''
rule = "spend"
limit = 2.5
"""


def test_conditions_and_rules_within_rules_are_written_as_they_were(reaper, no_daemon, tmp_path, monkeypatch):
    path = tmp_path / "reaper.toml"
    monkeypatch.setenv("REAPER_CONFIG", str(path))
    path.write_text(CONDITIONS)
    before = reaper("config", "show", "--local", "-o", "json")
    assert before.status == 0, before.err
    valid("config-show", before.json)
    nested, conditional = before.json["policies"]
    assert conditional["where"].count("\n") == 2
    assert nested["where"] is None
    written = reaper("config", "show", "--policies", "--local").out
    assert '  { rule = "idle", timeout = "2h" },\n' in written
    path.write_text(written)
    assert reaper("config", "show", "--local", "-o", "json").json["policies"] == before.json["policies"]


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
    """Without a file it does not speak of one."""
    ran = reaper("config", "check")
    assert ran.out == "no configuration file: environment and defaults can be used\n"
    assert valid("config-check", reaper("config", "check", "-o", "json").json)["ok"] is True


def test_what_is_not_set_is_shown_by_the_name_of_its_default(reaper, no_daemon):
    """An empty list may mean all, none, or "go and find out": the page of settings says which."""
    ran = reaper("config", "show", "--local")
    shown = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line.startswith("REAPER_")}
    assert shown["REAPER_JUPYTER__URL"] == ["discovered", "default"]
    assert shown["REAPER_CHECK__MATCH"] == ["all", "default"]
    assert shown["REAPER_QUIET_HOURS"] == ["none", "default"]
    assert shown["REAPER_API_TOKEN"] == ["unset", "default"]
    assert shown["REAPER_IDLE_TIMEOUT"] == ["120m", "default"]
    document = valid("config-show", reaper("config", "show", "--local", "-o", "json").json)
    entries = {one["variable"]: one for one in document["settings"]}
    assert entries["REAPER_JUPYTER__URL"]["default"] == "discovered"
    assert entries["REAPER_JUPYTER__URL"]["value"] == []
    assert shown["REAPER_STATE"][0] == entries["REAPER_STATE"]["value"], "where it is, not how that is found"


def test_on_a_terminal_the_source_does_not_repeat_the_line(reaper, no_daemon, tmp_path, monkeypatch):
    path = tmp_path / "reaper.toml"
    path.write_text('start_grace = "1m"\n')
    monkeypatch.setenv("REAPER_CONFIG", str(path))
    monkeypatch.setenv("REAPER_IDLE_TIMEOUT", "90m")
    document = local_settings()
    lines = settings_page(document, Page(Screen(width=80, color=False))).lines
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("REAPER_")}
    assert rows["REAPER_IDLE_TIMEOUT"] == ["90m", "env"]
    assert rows["REAPER_START_GRACE"] == ["1m", "file"]
    whole = settings_page(document, Page(Screen(width=None, color=False))).text()
    assert "env REAPER_IDLE_TIMEOUT" in whole
    assert f"file {path}:start_grace" in whole


def test_policies_have_a_schema_of_their_own(reaper, no_daemon):
    ran = reaper("config", "show", "--policies", "--local", "-o", "json")
    assert valid("config-policies", ran.json)["policies"]


def test_schema_of_the_file(reaper):
    document = reaper("config", "schema").json
    assert document["properties"]["idle_timeout"]["x-variable"] == "REAPER_IDLE_TIMEOUT"
