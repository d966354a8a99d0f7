"""What a runtime file adds to a server that was named by its address."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from reaper.clients.jupyter import Discovery, ServerAddress, parse_address
from reaper.providers.jupyter.provider import _completed


def found(*urls: str) -> Discovery:
    servers = tuple(
        ServerAddress(url=url, token=SecretStr("its own"), pid=7, root_dir=Path("/home/ada"), local=True)
        for url in urls
    )
    return Discovery(servers=servers, problems=(), complete=True)


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("http://localhost:8888/", "http://127.0.0.1:8888/user/ada/"),
        ("http://localhost/", "http://localhost:80/"),
        ("https://localhost/", "https://localhost:443/"),
        ("http+unix://%2Frun%2Fj.sock/", "http+unix://%2Frun%2Fj.sock/"),
    ],
)
def test_the_file_of_the_same_port_or_socket_tells_process_root_and_token(named: str, there: str) -> None:
    completed = _completed(parse_address(named), found(there))
    assert (completed.pid, completed.root_dir) == (7, Path("/home/ada"))
    assert completed.token.get_secret_value() == "its own"
    assert completed.url == parse_address(named).url, "the name of a source stays"


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("http://localhost:8888/", ()),
        ("http://localhost:8888/", ("http://localhost:8889/",)),
        ("http://localhost:8888/", ("http://127.0.0.1:8888/", "http://[::1]:8888/")),
        ("http+unix://%2Frun%2Fj.sock/", ("http+unix://%2Frun%2Fk.sock/",)),
        ("http://example.org:8888/", ("http://localhost:8888/",)),
    ],
    ids=["none", "another port", "which of two", "another socket", "another host"],
)
def test_the_file_of_another_server_tells_nothing(named: str, there: tuple[str, ...]) -> None:
    address = parse_address(named)
    assert _completed(address, found(*there)) == address


def test_a_token_that_was_given_is_used() -> None:
    address = parse_address("http://localhost:8888/", token=SecretStr("given"))
    assert _completed(address, found("http://localhost:8888/")).token.get_secret_value() == "given"
