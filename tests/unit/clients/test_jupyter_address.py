"""Which URLs a person may write, and which servers are this host's."""

import errno
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from pydantic import SecretStr

from reaper.clients.jupyter import ServerAddress, local_address, parse_address, saved_on_disk
from reaper.errors import ConfigError, SourceUnavailable


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://localhost:8888", "http://localhost:8888/"),
        (" http://localhost:8888/ ", "http://localhost:8888/"),
        ("http://0.0.0.0:8888/jupyter/default", "http://0.0.0.0:8888/jupyter/default/"),
        ("https://h/user/a%40b/", "https://h/user/a%40b/"),
        ("https://h/user/ä b", "https://h/user/%C3%A4%20b/"),
        ("http://[::1]:8888/x", "http://[::1]:8888/x/"),
        ("http://LOCALHOST:1/", "http://localhost:1/"),
        ("http+unix://%2Frun%2Fj.sock", "http+unix://%2Frun%2Fj.sock/"),
        ("http+unix://%2Frun%2Fj.sock/base", "http+unix://%2Frun%2Fj.sock/base/"),
        ("http://h:1/?token=abc", "http://h:1/"),
    ],
)
def test_urls(written: str, url: str) -> None:
    assert parse_address(written).url == url
    assert parse_address(url).url == url


@pytest.mark.parametrize(
    "written",
    [
        "",
        "localhost:8888",
        "//localhost",
        "ftp://localhost/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://h:port/",
        "http://h:99999/",
        "http://[::1/",
        "http://user:pass@h/",
        "http+unix://relative.sock/",
        "http+unix:///",
    ],
)
def test_urls_that_are_refused(written: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(written)


def test_the_token_is_taken_from_the_url_that_jupyter_prints_and_never_shown() -> None:
    address = parse_address("http://localhost:8888/base/?token=sesame")
    assert address.token.get_secret_value() == "sesame"
    assert "sesame" not in repr(address)
    assert "sesame" not in address.url
    given = parse_address("http://localhost:8888/?token=sesame", token=SecretStr("other"))
    assert given.token.get_secret_value() == "other"
    for broken in ("two words", "line\r\nX-Evil: 1", "ünicode", "\0"):
        with pytest.raises(ConfigError) as error:
            parse_address("http://localhost/", token=SecretStr(broken))
        assert broken not in str(error.value)


def test_a_unix_socket_has_a_path_and_a_host_that_jupyter_takes_for_local() -> None:
    address = parse_address("http+unix://%2Frun%2Fmy%20dir%2Fj.sock/base/")
    assert address.socket_path == "/run/my dir/j.sock"
    assert address.http_url == "http://localhost/base/"
    plain = parse_address("http://h:1/base/")
    assert (plain.socket_path, plain.http_url) == (None, "http://h:1/base/")


def own_address() -> str:
    addresses = [
        link.address
        for links in psutil.net_if_addrs().values()
        for link in links
        if link.family == socket.AF_INET and not link.address.startswith("127.")
    ]
    return addresses[0] if addresses else "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("localhost.", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("0.0.0.0", True),
        (own_address(), True),
        ("example.org", False),
        ("8.8.8.8", False),
        ("[2001:db8::1]", False),
        ("localhost.example.org", False),
    ],
)
def test_local(host: str, local: bool) -> None:
    address = parse_address(f"http://{host}:8888/")
    assert address.local is local
    assert local_address(address) is local


def test_an_address_can_be_judged_by_a_unit_that_may_not_list_interfaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RestrictAddressFamilies= without AF_NETLINK."""

    def refuse() -> NoReturn:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    own = own_address()
    monkeypatch.setattr(psutil, "net_if_addrs", refuse)
    assert parse_address(f"http://{own}:8888/").local
    assert not parse_address("http://192.0.2.1:8888/").local


def test_a_unix_socket_and_the_hosts_own_name_are_local() -> None:
    assert local_address(parse_address("http+unix://%2Frun%2Fj.sock/"))
    assert local_address(ServerAddress(url=f"http://{socket.gethostname()}:8888/"))


def test_saved_on_disk(tmp_path: Path) -> None:
    address = ServerAddress(url="http://localhost/", root_dir=tmp_path / "root", local=True)
    (tmp_path / "root/dir").mkdir(parents=True)
    (tmp_path / "outside.ipynb").touch()
    notebook = tmp_path / "root/dir/a b.ipynb"
    notebook.touch()
    os.utime(notebook, (0, 1_795_385_439))
    assert saved_on_disk(address, "dir/a b.ipynb") == datetime.fromtimestamp(1_795_385_439, UTC)
    for path in ("", "dir", "dir/none", "dir/a b.ipynb/x", "../outside.ipynb", str(notebook), "a\0b"):
        assert saved_on_disk(address, path) is None
    elsewhere = ServerAddress(url="http://example.org/", root_dir=tmp_path / "root", local=False)
    assert saved_on_disk(elsewhere, "dir/a b.ipynb") is None
    assert saved_on_disk(ServerAddress(url="http://localhost/", local=True), "dir/a b.ipynb") is None
    with pytest.raises(SourceUnavailable, match="stat"):
        saved_on_disk(address, "x" * 5000)
