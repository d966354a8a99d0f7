"""Where the file, the journal and the socket are; and that daemon and client agree on it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reaper.config import places
from reaper.config.places import (
    ListenAddress,
    client_addresses,
    config_file,
    default_listen,
    default_state,
    journal_candidates,
    parse_listen,
    split_list,
)
from tests.support.configuration import Given


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("unix:/run/reaper/reaper.sock", "unix:/run/reaper/reaper.sock"),
        ("unix:///run/reaper.sock", "unix:/run/reaper.sock"),
        ("/run/reaper.sock", "unix:/run/reaper.sock"),
        ("tcp:127.0.0.1:8765", "tcp:127.0.0.1:8765"),
        ("tcp://127.0.0.1:8765", "tcp:127.0.0.1:8765"),
        ("127.0.0.1:8765", "tcp:127.0.0.1:8765"),
        ("localhost:8765", "tcp:localhost:8765"),
        ("[::1]:8765", "tcp:[::1]:8765"),
        ("tcp:[::1]:8765", "tcp:[::1]:8765"),
        ("http://127.0.0.1:8765", "tcp:127.0.0.1:8765"),
        ("http://127.0.0.1:8765/", "tcp:127.0.0.1:8765"),
    ],
)
def test_an_address_is_read(text: str, written: str) -> None:
    assert str(parse_listen(text)) == written
    assert parse_listen(written) == parse_listen(text)


@pytest.mark.parametrize(
    "text",
    [
        "8765",
        ":8765",
        "127.0.0.1",
        "tcp:",
        "tcp:127.0.0.1:99999",
        "http://127.0.0.1:8765/path",
        "http://user@127.0.0.1:8765",
        "https://127.0.0.1:8765",
        "unix:relative.sock",
        "unix:",
        "::1",
        f"unix:/{'x' * 107}",
    ],
)
def test_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w{4}"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("unix:/x.sock", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("jupyter.example.org:1", False),
    ],
)
def test_loopback(text: str, loopback: bool) -> None:
    assert parse_listen(text).loopback is loopback


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a,b", ["a", "b"]),
        (" a , b, ", ["a", "b"]),
        ('["a", "b,c"]', ["a", "b,c"]),
        ("[]", []),
        ("[::1]:8765", ["[::1]:8765"]),
        ("[ab]*,c", ["[ab]*", "c"]),
        ("", []),
    ],
)
def test_lists(text: str, items: list[str]) -> None:
    assert split_list(text) == items


def test_a_list_that_begins_like_json_and_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON list"):
        split_list('["a", b]')


class TestFile:
    def test_named(self, given: Given, elsewhere: Callable[[str], Path]) -> None:
        folder = elsewhere("work")
        given.environ["REAPER_CONFIG"] = "mine.toml"
        assert config_file(given.environ) == (folder / "mine.toml", True)

    def test_the_systems_before_the_users(self, given: Given) -> None:
        users = given.secret("", "config/reaper/reaper.toml")
        assert config_file(given.environ) == (users, False)
        systems = given.secret("", "etc/reaper.toml")
        assert config_file(given.environ) == (systems, False)

    def test_without_xdg_it_is_in_the_home(self, given: Given) -> None:
        del given.environ["XDG_CONFIG_HOME"]
        path = given.secret("", "home/.config/reaper/reaper.toml")
        assert config_file(given.environ) == (path, False)

    def test_a_relative_xdg_directory_is_ignored(self, given: Given) -> None:
        path = given.secret("", "home/.config/reaper/reaper.toml")
        given.environ["XDG_CONFIG_HOME"] = "config"
        assert config_file(given.environ) == (path, False)

    def test_none(self, given: Given) -> None:
        assert config_file(given.environ) == (None, False)

    def test_an_empty_name_counts_as_unset(self, given: Given) -> None:
        assert config_file({**given.environ, "REAPER_CONFIG": " "}) == (None, False)


class TestState:
    def test_systemd_says_where(self, given: Given) -> None:
        environ = {**given.environ, "STATE_DIRECTORY": "/var/lib/reaper:/var/lib/other"}
        assert default_state(environ) == "/var/lib/reaper/journal.db"

    def test_xdg(self, given: Given) -> None:
        assert default_state(given.environ) == str(given.folder / "state/reaper/journal.db")
        del given.environ["XDG_STATE_HOME"]
        assert default_state(given.environ) == str(given.folder / "home/.local/state/reaper/journal.db")

    def test_a_reader_looks_where_the_daemon_writes(self, given: Given) -> None:
        assert journal_candidates(given.environ)[0] == given.load().state
        assert (
            journal_candidates({**given.environ, "REAPER_STATE": "/a.db"})
            == ["/a.db"]
            == [given.load(STATE="/a.db").state]
        )

    def test_a_relative_path_starts_here_in_a_variable_and_beside_the_file_in_the_file(
        self, given: Given, elsewhere: Callable[[str], Path]
    ) -> None:
        folder = elsewhere("work")
        assert given.load(STATE="a.db").state == str(folder / "a.db")
        assert journal_candidates({**given.environ, "REAPER_STATE": "a.db"}) == [str(folder / "a.db")]
        assert given.load('state = "b.db"').state == str(given.folder / "b.db")
        assert journal_candidates(given.environ) == [str(given.folder / "b.db")]

    def test_the_users_then_the_systems(self, given: Given) -> None:
        assert journal_candidates(given.environ) == [
            str(given.folder / "state/reaper/journal.db"),
            str(given.folder / "lib/reaper/journal.db"),
        ]


class TestListen:
    def _agree(self, given: Given, expected: str) -> None:
        assert list(given.load().listen) == [expected] == [default_listen(given.environ)]
        assert expected in [str(address) for address in client_addresses(given.environ)]

    def test_systemds_runtime_directory(self, given: Given) -> None:
        given.environ["RUNTIME_DIRECTORY"] = "/run/reaper"
        self._agree(given, "unix:/run/reaper/reaper.sock")

    def test_the_systems_where_it_can_be_written(self, given: Given) -> None:
        (given.folder / "run/reaper").mkdir(parents=True)
        self._agree(given, f"unix:{given.folder}/run/reaper/reaper.sock")

    def test_the_users_runtime_directory(self, given: Given) -> None:
        (given.folder / "u").mkdir()
        given.environ["XDG_RUNTIME_DIR"] = str(given.folder / "u")
        self._agree(given, f"unix:{given.folder}/u/reaper/reaper.sock")

    def test_a_runtime_directory_that_is_not_there_is_passed_over(self, given: Given) -> None:
        given.environ["XDG_RUNTIME_DIR"] = "/run/user/nobody"
        self._agree(given, f"unix:{given.folder}/state/reaper/reaper.sock")

    def test_beside_the_journal_as_a_last_resort(self, given: Given) -> None:
        self._agree(given, f"unix:{given.folder}/state/reaper/reaper.sock")

    def test_a_client_follows_the_variable_alone(self, given: Given) -> None:
        given.environ["REAPER_LISTEN"] = "unix:/a.sock,127.0.0.1:1"
        expected = [ListenAddress(path=Path("/a.sock")), ListenAddress(host="127.0.0.1", port=1)]
        assert client_addresses(given.environ) == expected
        given.environ["REAPER_LISTEN"] = "none"
        assert client_addresses(given.environ) == []

    @pytest.mark.parametrize("name", ["reaper.toml", "reaper.json"])
    def test_a_client_follows_the_file(self, given: Given, name: str) -> None:
        given.file(
            '{"listen": ["127.0.0.1:1", "rubbish"]}' if name.endswith("json") else 'listen = "127.0.0.1:1"',
            name,
        )
        assert client_addresses(given.environ)[0] == ListenAddress(host="127.0.0.1", port=1)

    @pytest.mark.parametrize("text", ["not toml at all", "listen = 5", "listen = [1]", "\udcff"])
    def test_a_client_passes_a_broken_file_over(self, given: Given, text: str) -> None:
        given.file("").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert client_addresses(given.environ) == [
            ListenAddress(path=places.RUN_DIR / "reaper.sock"),
            ListenAddress(path=given.folder / "state/reaper/reaper.sock"),
        ]


def test_a_client_pays_for_no_pydantic() -> None:
    """`reaper status` has half a second in all."""
    code = (
        "import sys, json; from reaper.config import client_addresses, journal_candidates, parse_listen\n"
        "client_addresses({}); print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"pydantic", "pydantic_settings", "structlog", "aiohttp", "asyncio"}.isdisjoint(
        json.loads(done.stdout)
    )


def test_loading_imports_nothing_that_talks() -> None:
    code = (
        "import sys, json; from reaper.config import load_settings, build_ruleset\n"
        "build_ruleset(load_settings({'HOME': '/nonexistent'}))\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"aiobotocore", "botocore", "aiohttp", "rich", "structlog"}.isdisjoint(json.loads(done.stdout))
