"""Bad input: each error names where, what, and what to do; all are reported at once."""

import pytest

from reaper.config.catalog import settings as all_settings
from reaper.config.load import load_settings
from reaper.errors import ConfigError
from tests.support.configuration import Given

UNIT = "write it with a unit, such as 45s, 120m, 1h30m or 3d"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MODE", "enforced", "'enforced' is not one of dry-run or enforce; did you mean enforce?"),
        ("PRESET", "jupiter", "did you mean jupyter?"),
        ("IDLE_TIMEOUT", "120", f"'120' has no unit: {UNIT}"),
        ("IDLE_TIMEOUT", "-5m", "'-5m' is negative: a duration is zero or more"),
        ("IDLE_TIMEOUT", "0s", "must be more than 0s"),
        ("IDLE_TIMEOUT", "two hours", f"'two hours' is not a duration: {UNIT}"),
        ("WARN_BEFORE", "10", f"'10' has no unit: {UNIT}"),
        ("JUPYTER__BUSY_TIMEOUT", "0s", "must be more than 0s"),
        ("KEEP_TERMINALS", "maybe", "'maybe' is neither true nor false"),
        ("JUPYTER__PROCESS__CORE", "0", "'0' must be more than 0"),
        ("JUPYTER__PROCESS__CORE", "lots", "'lots' is no number"),
        ("JUPYTER__PROCESS__CORE", "inf", "'inf' is no number that can be used"),
        ("JUPYTER__PROCESS__IO", "65536", "'65536' is no rate: write it with a unit, such as 64KiB/s"),
        ("JUPYTER__PROCESS__IO", "0B/s", "must be more than 0B/s"),
        (
            "JUPYTER__URL",
            "localhost:8888",
            "holds something that is no URL of a Jupyter server: write http://",
        ),
        ("JUPYTER__URL", "http://user:pw@a/", "must not hold a user name or password"),
        ("JUPYTER__URL", "http://a:99999/", "no URL"),
        ("JUPYTER__TOKEN", "a b", "must be printable ASCII without spaces"),
        ("JUPYTER__CA_FILE", "relative.pem", "'relative.pem' is not an absolute path"),
        (
            "JUPYTER__CA_FILE",
            "/nonexistent/ca.pem",
            "/nonexistent/ca.pem can't be read: No such file or directory",
        ),
        ("JUPYTER__RUNTIME_DIRS", "a,/b", "'a' is not an absolute path"),
        ("JUPYTER__TERMINAL_OUTPUT", "ignored", "did you mean ignore?"),
        ("ACTIONS", "jupyter.shutdwn", "'jupyter.shutdwn' is no action; did you mean jupyter.shutdown?"),
        ("ACTIONS", "none,jupyter.*", "'none' stands alone"),
        ("ACTIONS", '["a", ', "begins like a JSON list, but is none"),
        ("ACTIONS", "[ ]]", "begins like a JSON list, but is none"),
        ("LISTEN", "8765", "is no address to listen on"),
        ("LISTEN", "none,/a.sock", "'none' stands alone"),
        ("LISTEN", "https://127.0.0.1:1", "does not speak TLS"),
        ("LISTEN", "0.0.0.0:8765", "can be reached from other hosts: set REAPER_API_TOKEN"),
        ("NOTIFY", "example.org/hook", "holds something without a scheme"),
        ("NOTIFY", "command:tell", "no absolute path: write command:/path/to/program"),
        ("NOTIFY", "slak:x", "no notifier is called 'slak'; there are: command:, http:, https:, log:"),
        ("NOTIFY", "htps://a/", "no notifier is called 'htps'; did you mean https:?"),
        (
            "STATE",
            "postgresql://u:p@h/db",
            "no journal is called 'postgresql'; write a file's path, or one of:",
        ),
        ("STATE", "sqlite://relative.db", "must be an absolute path"),
        ("RETENTION", "10m", "10m is less than 1h"),
        ("POLL_INTERVAL", "10ms", "10ms is less than 250ms"),
        ("QUIET_HOURS", "at night", "are no hours: write 22:00-07:00 Europe/Berlin"),
        ("QUIET_HOURS", "22:00-25:00", "'25:00' is no time of day"),
        ("QUIET_HOURS", "22:00-07:00 Mars/Base", "'Mars/Base' is no time zone"),
        ("QUIET_HOURS", "22:00-07:00 ../etc", "'../etc' is no time zone"),
        ("QUIET_HOURS", "00:00-00:00", "is the whole day"),
        ("BUDGETS", "ten", "must be a JSON list of objects here"),
        ("BUDGETS", '{"a": 1}', "must be a JSON list of objects here"),
        ("BUDGETS", '[{"name": "x", "actions": 0}]', "number 1, actions: 0 must be at least 1"),
        ("BUDGETS", '[{"name": "x"}]', "'x' limits nothing"),
        ("BUDGETS", '[{"name": "x", "actions": 1, "window": "2d"}]', "'x': a window is a day at most"),
        ("BUDGETS", '[{"name":"x","actions":1},{"name":"x","actions":1}]', "two budgets are called 'x'"),
        ("AWS__REGIONS", "Frankfurt", "'Frankfurt' is no region"),
        ("AWS__ROLES", "reaper", "'reaper' is no role: write its ARN"),
        ("CHECK__WARNING_AFTER", "6h", "6h is not before check.critical_after, 6h"),
        ("HOST__PRESENCE", "here", "is not one of input, connected or ignore"),
        ("HOST__SHUTDOWN_COMMAND", "[]", "must be a command and its arguments"),
        (
            "HOST__SHUTDOWN_COMMAND",
            "shutdown -h now",
            "'shutdown -h now' is one word with spaces: write shutdown,-h,now",
        ),
        ("LOG_LEVEL", "loud", "is not one of debug"),
        (
            "PRESET",
            "training",
            "'training' is not in this version; there are: auto, jupyter, studio, notebook-instance",
        ),
        ("PRESET", "training", "'training' is not in this version"),
        ("MODE", "\udcff", "is not UTF-8 text"),
    ],
)
def test_a_variable(given: Given, variable: str, value: str, message: str) -> None:
    [(where, found)] = given.errors(**{variable: value})
    assert where == f"REAPER_{variable}"
    assert message in found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("REAPER_MOD", "there is no such setting; did you mean REAPER_MODE?"),
        ("REAPER_IDLE_TIMOUT", "there is no such setting; did you mean REAPER_IDLE_TIMEOUT?"),
        ("REAPER_IDLETIMEOUT", "there is no such setting; did you mean REAPER_IDLE_TIMEOUT?"),
        ("REAPER_JUPYTER_URL", "there is no such setting; did you mean REAPER_JUPYTER__URL?"),
        (
            "REAPER_JUPYTER__PROCES__CORE",
            "there is no such setting; did you mean REAPER_JUPYTER__PROCESS__CORE?",
        ),
        ("REAPER_API_TOKEN_FIL", "there is no such setting; did you mean REAPER_API_TOKEN_FILE?"),
        ("REAPER_CONFG", "there is no such setting; did you mean REAPER_CONFIG?"),
        ("REAPER_XYZZY", "there is no such setting; 'reaper config schema' lists all there are"),
        ("REAPER_MODE_FILE", "there is no such setting; did you mean REAPER_MODE?"),
        (
            "REAPER_JUPYTER",
            "is a group of settings, not one: set REAPER_JUPYTER__NAME, such as REAPER_JUPYTER__URL",
        ),
        ("REAPER_POLICIES", "can't be a variable: write [[policies]] in the configuration file"),
        ("reaper_mode", "is not read: variables are upper case; write REAPER_MODE"),
        ("REAPER_mode", "is not read: variables are upper case; write REAPER_MODE"),
        ("Reaper_Jupyter__Url", "is not read: variables are upper case; write REAPER_JUPYTER__URL"),
    ],
)
def test_an_unknown_variable(given: Given, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings({**given.environ, name: "value-of-it"})
    assert str(raised.value) == f"{name}: {message}"


def test_names_that_are_not_ours_are_none_of_our_business(given: Given) -> None:
    assert load_settings({**given.environ, "GRIM_REAPER_MODE": "x", "reaper_of_souls": "x"}).mode == "dry-run"


@pytest.mark.parametrize(
    ("toml", "where", "message"),
    [
        ("mode = ", "FILE:1", "is no TOML that can be read: Invalid value (at end of document)"),
        ('a = 1\n\nmode = "x', "FILE:3", "is no TOML that can be read"),
        ('mode = "enforce"\nmode = "enforce"', "FILE:2", "Cannot overwrite a value"),
        ('\n\nidle_timout = "1h"', "FILE:3: idle_timout", "there is no such key; did you mean idle_timeout?"),
        ('idle-timeout = "1h"', "FILE:1: idle-timeout", "there is no such key; did you mean idle_timeout?"),
        ('[jupyter]\n\ntokn = "x"', "FILE:3: jupyter.tokn", "there is no such key; did you mean token?"),
        ('[jupyter]\ntoken_fil = "x"', "FILE:2: jupyter.token_fil", "did you mean token_file?"),
        ("[jupyter.process]\ncores = 1", "FILE:2: jupyter.process.cores", "did you mean core?"),
        ("[juypter]\nurl = 1", "FILE:1: juypter", "there is no such key; did you mean jupyter?"),
        ("jupyter = 3", "FILE:1: jupyter", "must be a table"),
        ("policies = 3", "FILE:1: policies", "must be a list"),
        ('policies = ["idle"]', "FILE:1: policies[1]", "must be a table"),
        ("idle_timeout = 120", "FILE:1: idle_timeout", f"'120' has no unit: {UNIT}"),
        ("idle_timeout = 120.0", "FILE:1: idle_timeout", f"'120.0' has no unit: {UNIT}"),
        ("idle_timeout = true", "FILE:1: idle_timeout", "must be a duration as text"),
        ("idle_timeout = 07:00:00", "FILE:1: idle_timeout", "must be a duration as text"),
        ("mode = 5", "FILE:1: mode", "5 is not one of dry-run or enforce"),
        ("actions = 5", "FILE:1: actions", "must be a list of texts"),
        ("actions = [1]", "FILE:1: actions", "must be a list of texts"),
        ('state = ""', "FILE:1: state", "is empty"),
        ("state = 5", "FILE:1: state", "must be text in quotes"),
        ("api_token = 5", "FILE:1: api_token", "must be text in quotes"),
        ("api_token_file = 5", "FILE:1: api_token_file", "must be the path of a file"),
        ('quiet_hours = [{ start = "22:00" }]', "FILE:1: quiet_hours", "must be hours such as"),
        (
            '[[budgets]]\nname = "a"\nactions = 1\n[[budgets]]\nname = "b"\nactions = "x"',
            "FILE:6: budgets[2].actions",
            "'x' is no whole number",
        ),
        ('[[budgets]]\nname = "a"\nactons = 1', "FILE:3: budgets[1].actons", "did you mean actions?"),
    ],
)
def test_a_file(given: Given, toml: str, where: str, message: str) -> None:
    found = given.errors(toml)
    assert len(found) == 1, found
    assert found[0][0] == where
    assert message in found[0][1]


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ('{\n"mode": \n}', "FILE:3", "is no JSON that can be read"),
        ("[]", "FILE", "it must be one JSON object"),
        ('{"mode": "enforce", "mode": "dry-run"}', "FILE", "the key 'mode' is there twice"),
        ('{"jupyter": {"process": {"core": NaN}}}', "FILE", "NaN is no number that can be used"),
        ('{\n"jupyter": {\n "tokn": 1}}', "FILE:3: jupyter.tokn", "did you mean token?"),
        ('{"policies": [{},\n {"name": 5}]}', "FILE:2: policies[2].name", "must be text in quotes"),
    ],
)
def test_a_json_file(given: Given, text: str, where: str, message: str) -> None:
    given.file(text, "reaper.json")
    assert any(place == where and message in found for place, found in given.errors()), given.errors()


def test_a_named_file_that_is_not_there(given: Given) -> None:
    given.environ["REAPER_CONFIG"] = "/nonexistent/reaper.toml"
    assert given.errors() == [("FILE", "can't be read: No such file or directory (REAPER_CONFIG names it)")]


def test_a_folder_in_its_place(given: Given) -> None:
    given.environ["REAPER_CONFIG"] = str(given.folder)
    [(_, message)] = given.errors()
    assert message.startswith("can't be read: Is a directory")


def test_a_file_that_is_no_text(given: Given) -> None:
    given.file("").write_bytes(b"mode = '\xff'")
    assert given.errors() == [("FILE", "is not UTF-8 text (byte 8)")]


def test_all_errors_are_reported_at_once(given: Given) -> None:
    given.file(
        'idle_timout = "1h"\n[jupyter]\nverify = "maybe"\n[[policies]]\nname = "a"\nkind = "x"\nrule = "idle"'
    )
    with pytest.raises(ConfigError) as raised:
        given.load(MODE="on", IDLE_TIMEOUT="5", LISTEN="0.0.0.0:1", MODDE="x")
    lines = str(raised.value).splitlines()
    assert lines[0] == "7 errors in the configuration:"
    assert [line.strip().partition(":")[0] for line in lines[1:5]] == [
        "REAPER_MODDE",
        "REAPER_MODE",
        "REAPER_IDLE_TIMEOUT",
        given.environ["REAPER_CONFIG"],
    ]


def test_a_value_in_the_file_is_checked_though_a_variable_beats_it(given: Given) -> None:
    """It would come into force on the day when the variable goes."""
    assert [where for where, _ in given.errors('idle_timeout = "5"', IDLE_TIMEOUT="1h")] == [
        "FILE:1: idle_timeout"
    ]


def test_nothing_is_blamed_for_what_could_not_be_read(given: Given) -> None:
    """The notifier is misspelt: that enforce mode has none is no error of its own, nor with a broken file."""
    assert [where for where, _ in given.errors(MODE="enforce", WARN_BEFORE="1m", NOTIFY="x")] == [
        "REAPER_NOTIFY"
    ]
    assert [where for where, _ in given.errors("notify = [", MODE="enforce", WARN_BEFORE="1m")] == ["FILE:1"]


@pytest.mark.parametrize("name", sorted(all_settings()))
def test_every_setting_refuses_what_is_absurd(given: Given, name: str) -> None:
    """Whatever the type: an error that names the variable, no traceback."""
    info = all_settings()[name]
    for absurd in ("\x00\x01 absurd", "[{", "-1"):
        for where, message in given.errors(**{info.variable.removeprefix("REAPER_"): absurd}):
            assert where == info.variable
            assert message
