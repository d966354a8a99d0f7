"""Environment beats credential beats file beats default; secrets come from files too; unknown names are errors."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reaper.config.catalog import settings as all_settings
from reaper.config.load import load_settings
from reaper.config.model import Settings
from reaper.core.ruleset import Mode
from tests.support.configuration import Given


def _source(settings: Settings, name: str) -> str:
    origin = settings.provenance.origins.get(name)
    return "default" if origin is None else origin.source


class TestPrecedence:
    def test_defaults_are_those_of_the_contract(self, given: Given) -> None:
        found = given.load()
        assert found.mode is Mode.DRY_RUN
        assert found.actions is None
        assert found.preset == "auto"
        assert found.idle_timeout == timedelta(minutes=120)
        assert found.warn_before == timedelta(0)
        assert found.apply_grace == timedelta(minutes=10)
        assert found.poll_interval == timedelta(seconds=60)
        assert found.start_grace == timedelta(minutes=5)
        assert found.keep_terminals is False
        assert found.notify == ()
        assert found.api_token is None
        assert (found.log_format, found.log_level) == ("auto", "info")
        assert (found.jupyter.url, found.jupyter.token, found.jupyter.busy_timeout) == ((), None, None)
        assert found.jupyter.ignore_connections is True
        assert found.jupyter.require_process_evidence is False
        assert found.jupyter.terminal_output == "activity"
        assert found.jupyter.process.core == 0.10
        assert found.jupyter.process.tree_core == 0.5
        assert found.jupyter.process.io == 64 * 1024
        assert found.check.warning_after == timedelta(hours=2)
        assert found.check.critical_after == timedelta(hours=6)
        assert found.host.shutdown_command == ("shutdown", "-h", "now")
        assert found.host.presence == "input"
        assert found.aws.poll_interval == timedelta(minutes=5)
        assert found.studio.metadata_file == Path("/opt/ml/metadata/resource-metadata.json")
        assert found.studio.apps == "auto"

    def test_environment_beats_file_beats_default(self, given: Given) -> None:
        toml = (
            'idle_timeout = "3h"\nwarn_before = "1m"\n[jupyter]\nverify = false\nignore_connections = false'
        )
        found = given.load(toml, IDLE_TIMEOUT="4h", JUPYTER__VERIFY="true")
        path = given.environ["REAPER_CONFIG"]
        assert found.idle_timeout == timedelta(hours=4)
        assert _source(found, "idle_timeout") == "env REAPER_IDLE_TIMEOUT"
        assert found.warn_before == timedelta(minutes=1)
        assert _source(found, "warn_before") == f"file {path}:warn_before"
        assert found.jupyter.verify is True
        assert found.jupyter.ignore_connections is False
        assert _source(found, "jupyter.ignore_connections") == f"file {path}:jupyter.ignore_connections"
        assert _source(found, "mode") == "default"

    def test_json_has_the_same_keys(self, given: Given) -> None:
        given.file(
            '{"mode": "enforce", "jupyter": {"url": ["http://a/"]}, "idle_timeout": null}', "reaper.json"
        )
        found = given.load()
        assert found.mode is Mode.ENFORCE
        assert found.jupyter.url[0].get_secret_value() == "http://a/"
        assert found.idle_timeout == timedelta(hours=2)

    def test_an_empty_variable_counts_as_unset(self, given: Given) -> None:
        found = given.load('idle_timeout = "3h"', IDLE_TIMEOUT="", MODE="  ", NO_SUCH_THING="")
        assert found.idle_timeout == timedelta(hours=3)

    def test_it_does_not_matter_where_we_are(self, given: Given, elsewhere: Callable[[str], Path]) -> None:
        first = given.load()
        elsewhere("somewhere/else")
        assert given.load() == first

    def test_the_process_environment_is_the_default(
        self, given: Given, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REAPER_IDLE_TIMEOUT", "17m")
        assert load_settings().idle_timeout == timedelta(minutes=17)

    def test_settings_made_directly_read_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REAPER_IDLE_TIMEOUT", "17m")
        monkeypatch.setenv("IDLE_TIMEOUT", "18m")
        assert Settings().idle_timeout == timedelta(hours=2)

    @pytest.mark.parametrize(
        "name", ["REAPER_PORT", "REAPER_PORT_80_TCP_ADDR", "REAPER_SERVICE_HOST", "REAPER_SERVICE_PORT"]
    )
    def test_what_kubernetes_injects_is_ignored(self, given: Given, name: str) -> None:
        assert load_settings({**given.environ, name: "tcp://10.0.0.1:80"}).mode is Mode.DRY_RUN

    def test_a_byte_order_mark_is_no_problem(self, given: Given) -> None:
        given.file("\ufeffmode = 'enforce'")
        assert given.load().mode is Mode.ENFORCE


class TestValues:
    @pytest.mark.parametrize(
        "text", ["jupyter.shutdown,studio.delete", '["jupyter.shutdown", "studio.delete"]']
    )
    def test_lists_by_commas_or_json(self, given: Given, text: str) -> None:
        assert given.load(ACTIONS=text).actions == ("jupyter.shutdown", "studio.delete")

    @pytest.mark.parametrize(
        ("text", "actions"), [("all", None), ("none", ()), ("*", ("*",)), ("jupyter.*", ("jupyter.*",))]
    )
    def test_actions(self, given: Given, text: str, actions: tuple[str, ...] | None) -> None:
        assert given.load(ACTIONS=text).actions == actions
        assert given.load(f'actions = "{text}"').actions == actions

    @pytest.mark.parametrize(
        ("text", "value"), [("true", True), ("1", True), ("YES", True), ("false", False), ("off", False)]
    )
    def test_switches(self, given: Given, text: str, value: bool) -> None:
        assert given.load(KEEP_TERMINALS=text).keep_terminals is value

    @pytest.mark.parametrize(
        ("text", "bytes_"), [("64KiB/s", 65536), ("1MB", 1e6), ("0.5 MiB/s", 524288), ("100B/s", 100)]
    )
    def test_rates(self, given: Given, text: str, bytes_: float) -> None:
        assert given.load(JUPYTER__PROCESS__IO=text).jupyter.process.io == bytes_

    @pytest.mark.parametrize("text", ["off", "none", "Never"])
    def test_what_can_be_off(self, given: Given, text: str) -> None:
        assert given.load(JUPYTER__BUSY_TIMEOUT=text).jupyter.busy_timeout is None

    def test_quiet_hours(self, given: Given) -> None:
        by_variable = given.load(QUIET_HOURS="22:00-07:00 Europe/Berlin,12:00-13:00").quiet_hours
        in_file = given.load(
            'quiet_hours = ["22:00-7:00 Europe/Berlin", { start = 12:00:00, end = "13:00" }]'
        ).quiet_hours
        assert by_variable == in_file
        assert [hours.zone for hours in in_file] == ["Europe/Berlin", "UTC"]

    def test_names_may_be_in_any_case(self, given: Given) -> None:
        assert given.load(MODE="Enforce", LOG_LEVEL="DEBUG").log_level == "debug"

    def test_listening_nowhere(self, given: Given) -> None:
        assert given.load(LISTEN="none").listen == ()
        assert given.load('listen = "none"').listen == ()
        assert given.load("listen = []").listen == ()

    def test_budgets(self, given: Given) -> None:
        table = '[[budgets]]\nname = "gently"\nkind = "jupyter.*"\nactions = 3\nwindow = "10m"'
        text = '[{"name": "gently", "kind": "jupyter.*", "actions": 3, "window": "10m"}]'
        assert given.load(table).budgets == given.load("", BUDGETS=text).budgets

    @pytest.mark.parametrize(
        ("state", "journal"),
        [
            ("/var/a.db", ("sqlite", "/var/a.db")),
            ("sqlite:///var/a.db", ("sqlite", "/var/a.db")),
            ("memory:", ("memory", "")),
        ],
    )
    def test_journals(self, given: Given, state: str, journal: tuple[str, str]) -> None:
        assert given.load(STATE=state).journal == journal

    def test_home_is_understood(self, given: Given, own_home: Path) -> None:
        assert given.load(STATE="~/a.db").state == f"{own_home}/a.db"
        assert given.load(LISTEN="unix:~/a.sock").listen == (f"unix:{own_home}/a.sock",)


class TestSecrets:
    def test_from_a_file(self, given: Given) -> None:
        path = given.secret("abc\n")
        found = given.load(API_TOKEN_FILE=str(path))
        assert found.api_token is not None
        assert found.api_token.get_secret_value() == "abc"
        assert _source(found, "api_token") == "env REAPER_API_TOKEN_FILE"

    def test_from_a_file_that_the_file_names(self, given: Given) -> None:
        given.secret("abc", "token")
        found = given.load('[jupyter]\nurl = "http://a/"\ntoken_file = "token"')
        assert found.jupyter.token is not None
        assert found.jupyter.token.get_secret_value() == "abc"
        assert _source(found, "jupyter.token").endswith("reaper.toml:jupyter.token_file")

    def test_a_list_may_stand_on_lines(self, given: Given) -> None:
        path = given.secret("https://a.example/x\ncommand:/bin/true\n")
        found = given.load(NOTIFY_FILE=str(path)).notify
        assert [one.get_secret_value() for one in found] == ["https://a.example/x", "command:/bin/true"]

    @pytest.mark.parametrize(
        "name",
        ["jupyter.token", "jupyter_token", "jupyter-token", "REAPER_JUPYTER__TOKEN", "reaper.jupyter.token"],
    )
    def test_from_a_credential(self, given: Given, name: str) -> None:
        given.secret("abc\n", f"credentials/{name}")
        given.secret("http://a/", "credentials/jupyter.url")
        given.secret("x", "credentials/somebody-elses")
        given.environ["CREDENTIALS_DIRECTORY"] = str(given.folder / "credentials")
        found = given.load('[jupyter]\ntoken = "of-the-file"')
        assert found.jupyter.token is not None
        assert found.jupyter.token.get_secret_value() == "abc"
        assert _source(found, "jupyter.token") == f"credential {name}"
        assert found.jupyter.url[0].get_secret_value() == "http://a/"

    def test_a_variable_beats_a_credential(self, given: Given) -> None:
        given.secret("abc", "credentials/api_token")
        given.environ["CREDENTIALS_DIRECTORY"] = str(given.folder / "credentials")
        found = given.load(API_TOKEN="xyz").api_token
        assert found is not None
        assert found.get_secret_value() == "xyz"

    def test_every_secret_can_come_from_a_file_and_a_credential(self) -> None:
        assert {name for name, info in all_settings().items() if info.credential} == {
            "api_token",
            "jupyter.token",
            "jupyter.url",
            "notify",
        }

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ("", "is empty"),
            (" \n", "is empty"),
            ("a\nb\n", "several lines"),
            ("a b", "printable ASCII"),
            ("ä", "printable ASCII"),
        ],
    )
    def test_a_file_that_can_not_be_one(self, given: Given, content: str, says: str) -> None:
        path = given.secret(content)
        [(where, message)] = given.errors(API_TOKEN_FILE=str(path))
        assert where == "REAPER_API_TOKEN_FILE"
        assert says in message

    def test_a_file_that_is_not_there(self, given: Given) -> None:
        [(where, message)] = given.errors('api_token_file = "nothing"')
        assert where == "FILE:1: api_token_file"
        assert message == f"{given.folder}/nothing can't be read: No such file or directory"

    def test_a_folder_in_its_place(self, given: Given) -> None:
        [(_, message)] = given.errors(API_TOKEN_FILE=str(given.folder))
        assert "Is a directory" in message

    def test_binary(self, given: Given) -> None:
        path = given.secret("")
        path.write_bytes(b"\xff\xfe")
        [(_, message)] = given.errors(API_TOKEN_FILE=str(path))
        assert "UTF-8" in message

    def test_too_large(self, given: Given) -> None:
        path = given.secret("x" * 70_000)
        [(_, message)] = given.errors(API_TOKEN_FILE=str(path))
        assert "larger than 64 KiB" in message

    def test_twice(self, given: Given) -> None:
        path = given.secret("abc")
        assert given.errors(API_TOKEN="x", API_TOKEN_FILE=str(path)) == [
            ("REAPER_API_TOKEN_FILE", "REAPER_API_TOKEN is set too: set one of them")
        ]
        assert given.errors('api_token = "x"\napi_token_file = "secret"') == [
            ("FILE:2: api_token_file", "api_token is there too: keep one of them")
        ]

    def test_one_credential_by_two_names(self, given: Given) -> None:
        given.secret("a", "credentials/api-token")
        given.secret("b", "credentials/api_token")
        given.environ["CREDENTIALS_DIRECTORY"] = str(given.folder / "credentials")
        assert given.errors() == [
            ("credential api_token", "api-token is the same credential: keep one of them")
        ]

    def test_a_credentials_directory_that_is_not_there(self, given: Given) -> None:
        given.environ["CREDENTIALS_DIRECTORY"] = str(given.folder / "nothing")
        assert given.errors() == [
            ("CREDENTIALS_DIRECTORY", f"{given.folder}/nothing can't be read: No such file or directory")
        ]

    def test_one_that_everybody_may_read_is_warned_of(self, given: Given) -> None:
        path = given.secret("abc", mode=0o644)
        assert given.warnings(API_TOKEN_FILE=str(path)) == [
            f"REAPER_API_TOKEN_FILE: everybody on this host may read {path}: chmod o-r {path}"
        ]

    def test_so_is_a_configuration_file_with_one(self, given: Given) -> None:
        given.file('api_token = "abc"').chmod(0o644)
        assert [one.partition(": ")[2] for one in given.warnings()] == [
            f"it holds secrets and everybody on this host may read it: chmod o-r {'FILE'}"
        ]
        given.file('mode = "enforce"').chmod(0o644)
        assert given.warnings() == []

    def test_one_that_may_not_be_read(self) -> None:
        """Root may read everything, so it lays that right down: in a folder that everybody else may look into."""
        with TemporaryDirectory(prefix="reaper-") as folder:
            Path(folder).chmod(0o755)
            given = Given(Path(folder))
            path = given.secret("abc")
            assert given.errors(API_TOKEN_FILE=str(path)) == []
            path.chmod(0)
            with _powerless():
                [(_, message)] = given.errors(API_TOKEN_FILE=str(path))
        assert "Permission denied" in message


@contextmanager
def _powerless() -> Iterator[None]:
    """Act as nobody while the context is open, if we are root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)
