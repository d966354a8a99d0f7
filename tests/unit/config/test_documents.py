"""What people see: every setting with where it came from; the schema; a check."""

import json
import tomllib
from datetime import UTC, datetime

import jsonschema  # type: ignore[import-untyped]
import pytest

from reaper.config.catalog import settings as all_settings
from reaper.config.documents import schema, show, show_policies_toml
from reaper.config.load import check
from reaper.core.facts import SettingChanged
from reaper.errors import ConfigError
from tests.support.configuration import Given

POLICY = '[[policies]]\nname = "a"\nkind = "x"\nrule = "idle"\n'
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _shown(document: dict[str, object]) -> dict[str, tuple[object, object]]:
    settings = document["settings"]
    assert isinstance(settings, list)
    return {one["name"]: (one["value"], one["source"]) for one in settings}


def _override(until: datetime | None = None) -> SettingChanged:
    return SettingChanged(
        at=NOON, name="idle-timeout", value="90m", previous="2h", underlying="2h", until=until, who="ana"
    )


def test_every_setting_is_shown_once(given: Given) -> None:
    document = show(given.load())
    assert list(_shown(document)) == list(all_settings())
    assert [one["variable"] for one in document["settings"]] == [
        info.variable for info in all_settings().values()
    ]
    assert json.loads(json.dumps(document)) == document


def test_where_each_came_from(given: Given) -> None:
    given.secret("abc", "credentials/api_token")
    given.environ["CREDENTIALS_DIRECTORY"] = str(given.folder / "credentials")
    given.secret("xyz", "jupyter-token")
    jupyter = '[jupyter]\nurl = "http://a/"\ntoken_file = "jupyter-token"\n'
    toml = f'poll_interval = "30s"\n{jupyter}[[budgets]]\nname = "b"\nactions = 3'
    shown = _shown(
        show(given.load(toml, IDLE_TIMEOUT="3h", NOTIFY="log:,https://hooks.example.org/T0/B1?x=y"))
    )
    path = given.environ["REAPER_CONFIG"]
    assert shown["mode"] == ("dry-run", "default")
    assert shown["actions"] == (["all"], "default")
    assert shown["idle_timeout"] == ("3h", "env REAPER_IDLE_TIMEOUT")
    assert shown["poll_interval"] == ("30s", f"file {path}:poll_interval")
    assert shown["api_token"] == ("**********", "credential api_token")
    assert shown["jupyter.token"] == ("**********", f"file {path}:jupyter.token_file")
    assert shown["jupyter.url"] == (["http://a/"], f"file {path}:jupyter.url")
    assert shown["jupyter.busy_timeout"] == ("off", "default")
    assert shown["jupyter.ca_file"] == (None, "default")
    assert shown["notify"] == (["log:", "https://hooks.example.org/**********"], "env REAPER_NOTIFY")
    assert shown["state"] == (f"{given.folder}/state/reaper/journal.db", "default")
    budgets = shown["budgets"][0]
    assert isinstance(budgets, list)
    assert budgets[0]["window"] == "1h"


@pytest.mark.parametrize("written", ["90m", "1h 30m", "5400s", "PT90M", " 90m "])
def test_a_length_of_time_is_shown_as_it_was_written(given: Given, written: str) -> None:
    """Who wrote 90m looks for 90m."""
    by_variable = _shown(show(given.load(IDLE_TIMEOUT=written)))
    assert by_variable["idle_timeout"] == (written.strip(), "env REAPER_IDLE_TIMEOUT")
    in_file = _shown(show(given.load(f'[jupyter]\nbusy_timeout = "{written}"')))
    source = f"file {given.environ['REAPER_CONFIG']}:jupyter.busy_timeout"
    assert in_file["jupyter.busy_timeout"] == (written.strip(), source)


def test_defaults_are_shown_as_the_reference_writes_them(given: Given) -> None:
    entries = {one["name"]: one for one in show(given.load())["settings"]}
    assert entries["idle_timeout"]["value"] == entries["idle_timeout"]["default"] == "120m"
    assert entries["poll_interval"]["value"] == "60s"
    assert entries["aws.regions"]["default"] == "the session's region"
    assert entries["keep_terminals"]["default"] == "false"


def test_overrides_are_shown_over_the_configuration(given: Given) -> None:
    document = show(given.load(IDLE_TIMEOUT="2h"), {"idle-timeout": _override()})
    assert _shown(document)["idle_timeout"] == ("90m", "override by ana")
    assert document["policies"][0]["parameters"] == {"timeout": "1h30m"}
    until = show(given.load(), {"idle-timeout": _override(NOON)})
    assert _shown(until)["idle_timeout"] == ("90m", "override by ana until 2026-11-22T12:00:00.000000Z")


def test_policies_are_shown_with_what_holds(given: Given) -> None:
    toml = '[[policies]]\nname = "p"\nkind = "host"\nrule = "age"\ntimeout = "1d"\n'
    toml += 'action = "stop"\nmode = "enforce"'
    [policy] = show(given.load(toml))["policies"]
    assert policy["mode"] == "enforce"
    assert policy["enforced"] is False
    assert policy["served"] is False
    assert policy["parameters"] == {"timeout": "1d"}
    assert policy["steps"] == [{"action": "stop", "after": "0s"}]


def test_the_presets_policies_are_printed_as_toml(given: Given) -> None:
    printed = show_policies_toml(given.load(KEEP_TERMINALS="true"))
    assert printed.startswith("# Written out from the preset jupyter.\n# REAPER_MODE is dry-run")
    assert tomllib.loads(printed)["policies"] == [
        {
            "name": "idle-kernels",
            "kind": "jupyter.kernel",
            "rule": "idle",
            "timeout": "2h",
            "action": "shutdown",
            "warn_before": "0s",
            "minimum_age": "0s",
        }
    ]


def test_a_check_that_finds_nothing(given: Given) -> None:
    assert check(given.environ) == {"schema": 1, "ok": True, "file": None, "errors": [], "warnings": []}


def test_a_check_that_finds_something(given: Given) -> None:
    path = str(given.file("idle_timeout = 5"))
    document = check(given.environ)
    assert document["ok"] is False
    assert document["file"] == path
    assert [one["where"] for one in document["errors"]] == [f"{path}:1: idle_timeout"]
    with pytest.raises(ConfigError):
        given.load()


class TestSchema:
    def test_it_is_one(self) -> None:
        jsonschema.Draft202012Validator.check_schema(schema())

    @pytest.mark.parametrize(
        "toml",
        [
            "",
            'mode = "enforce"\nidle_timeout = "1h30m"\nactions = "jupyter.shutdown"\nactions_ = 1',
            'listen = ["unix:/a", "tcp:127.0.0.1:1"]\napi_token_file = "/a"',
            '[jupyter]\nurl = "http://a/"\nbusy_timeout = "off"',
            '[[policies]]\nname = "a"\nkind = "x"\nrule = "idle"\nanything = 5',
            f'{POLICY}match = {{ tags = {{ a = true, b = "c" }}, cores = "4" }}',
            '[[budgets]]\nname = "a"\nactions = 5\nwindow = "1h"',
        ],
    )
    def test_it_accepts_what_we_accept(self, toml: str) -> None:
        content = tomllib.loads(toml)
        unknown = content.pop("actions_", None)
        jsonschema.validate(content, schema())
        if unknown:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**content, "actions_": 1}, schema())

    @pytest.mark.parametrize(
        "toml",
        ["idle_timeout = 5", 'idle_timeout = "5"', 'mode = "on"', "[jupyter]\nurll = 1", "[[policies]]"],
    )
    def test_it_refuses_what_we_refuse(self, toml: str) -> None:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(tomllib.loads(toml), schema())

    def test_it_names_the_variables_and_the_defaults(self) -> None:
        document = schema()
        assert document["properties"]["idle_timeout"]["x-variable"] == "REAPER_IDLE_TIMEOUT"
        assert document["properties"]["idle_timeout"]["default"] == "2h"
        assert (
            document["$defs"]["JupyterSettings"]["properties"]["token_file"]["x-credential"]
            == "jupyter.token"
        )
        assert document["$defs"]["PolicyTable"]["properties"]["minimum_age"]["default"] == "0s"
        assert document["$defs"]["BudgetTable"]["properties"]["window"]["default"] == "1h"
