"""Find the daemon and talk to it: every way it may not answer, or answer with an error."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from reaper.cli import client as clients
from reaper.cli.client import Client, DaemonUnreachable, Rejected, UnknownResource, find, path_segment
from reaper.cli.reach import DaemonReach, open_reach
from reaper.config.places import ListenAddress
from reaper.errors import ConfigError, ControlError, UsageError


class _UnixServer(HTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0


@contextmanager
def answering(
    status: int, body: bytes, *, unix: Path | None = None
) -> Iterator[tuple[ListenAddress, list[str]]]:
    """Answer every request alike; gives where, and the requests' first lines and headers so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked.append(f"{self.requestline}\n{self.headers}{self.rfile.read(length).decode()}")
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

        def address_string(self) -> str:
            return "test"

        def log_message(self, *_arguments: object) -> None:
            return

    if unix is not None:
        server: HTTPServer = _UnixServer(str(unix), Handler)  # type: ignore[arg-type]
        where = ListenAddress(path=unix)
    else:
        server = HTTPServer(("127.0.0.1", 0), Handler)
        where = ListenAddress(host="127.0.0.1", port=server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield where, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def problem(code: str, detail: str, **more: object) -> bytes:
    return json.dumps(
        {"type": f"urn:reaper:problem:{code}", "title": "No", "detail": detail, **more}
    ).encode()


def test_over_a_unix_socket_no_token_is_sent(own_home):
    with answering(200, b'{"a": 1}', unix=own_home / "s") as (where, asked):
        assert Client(where, token="t0ken").get("/api/v1/explain", resource="a b/ü?.ipynb") == {"a": 1}
    assert asked[0].startswith("GET /api/v1/explain?resource=a%20b%2F%C3%BC%3F.ipynb HTTP/1.1\n")
    assert "Host: localhost" in asked[0]
    assert "t0ken" not in asked[0]


def test_over_tcp_the_token_is_sent():
    with answering(200, b"{}") as (where, asked):
        Client(where, token="t0ken").send("POST", "/api/v1/holds", {"resource": None})
    assert "Authorization: Bearer t0ken" in asked[0]
    assert asked[0].endswith('{"resource": null}')


def test_what_listens_everywhere_is_reached_on_loopback():
    with answering(200, b"{}") as (where, _):
        assert Client(ListenAddress(host="0.0.0.0", port=where.port)).get("/") == {}


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (
            409,
            problem("ambiguous", "'a' could be any of: k/1, k/2", candidates=["k/1", "k/2"]),
            UsageError,
            "k/1",
        ),
        (404, problem("no-such-resource", "nothing is called 'a'"), UnknownResource, "nothing is called"),
        (404, problem("not-found", "there is no such path"), Rejected, "no such path"),
        (400, problem("bad-field", "'for_s' must be"), UsageError, "for_s"),
        (422, problem("bad-setting", "is more than"), UsageError, "more than"),
        (401, problem("unauthorized", "a token is needed"), Rejected, "REAPER_API_TOKEN"),
        (403, problem("forbidden", "wrong host"), Rejected, "refuses: wrong host"),
        (409, problem("refused", "the plan expired"), Rejected, "expired"),
        (503, problem("journal", "disk full"), Rejected, "disk full"),
        (500, b"<html>oops</html>", Rejected, "is it reaper"),
        (200, b"<html>a proxy</html>", DaemonUnreachable, "is it reaper"),
        (200, b'{"cut": "o', DaemonUnreachable, "is it reaper"),
        (200, b"[1]", DaemonUnreachable, "is it reaper"),
    ],
)
def test_errors_by_what_they_mean(status, body, error, said):
    with answering(status, body) as (where, _), pytest.raises(error, match=said) as raised:
        Client(where).get("/api/v1/status")
    assert type(raised.value) is error
    if b"candidates" in body:
        assert raised.value.candidates == ("k/1", "k/2")
        assert str(raised.value) == "'a' could be any of:\n  k/1\n  k/2"


@contextmanager
def silent(kind: str, folder: Path) -> Iterator[ListenAddress]:
    """Listen and never answer, or answer with something that is no HTTP."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "mute"))
        server.listen(8)
        stop = threading.Event()

        def talk() -> None:
            server.settimeout(0.05)
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n" if kind == "noise" else b"")

        thread = threading.Thread(target=talk) if kind != "mute" else None
        if thread:
            thread.start()
        try:
            yield ListenAddress(path=folder / "mute")
        finally:
            stop.set()
            if thread:
                thread.join()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("mute", "no answer within 0.2 s"),
        ("noise", "BadStatusLine"),
        ("hangs up", "RemoteDisconnected|closed"),
    ],
)
def test_what_does_not_answer_properly_is_not_the_daemon(own_home, kind, said):
    with silent(kind, own_home) as where, pytest.raises(DaemonUnreachable, match=said):
        Client(where).request("GET", "/api/v1/status", timeout=0.2)


def test_reasons_why_a_socket_can_not_be_used(own_home, monkeypatch):
    with pytest.raises(DaemonUnreachable, match="no such socket"):
        Client(ListenAddress(path=own_home / "none")).probe()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(own_home / "left"))
    left.close()
    with pytest.raises(DaemonUnreachable, match="nobody listens"):
        Client(ListenAddress(path=own_home / "left")).probe()

    def forbidden(*_arguments: object) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(clients, "_connect", forbidden)
    with pytest.raises(DaemonUnreachable, match="group"):
        Client(ListenAddress(path=own_home / "left")).probe()


def test_the_first_place_that_answers_is_it(own_home, monkeypatch):
    with answering(503, b"", unix=own_home / "s") as (where, _):
        monkeypatch.setenv("REAPER_LISTEN", f"unix:{own_home}/none,unix:{where.path}")
        found, tried = find()
        assert found is not None
        assert found.address == where, "one whose loops stand still still answers"
        assert len(tried) == 1


def test_the_own_runtime_folder_is_looked_in(own_home, monkeypatch):
    folder = own_home / "run/reaper"
    folder.mkdir()
    monkeypatch.setattr("reaper.config.places.RUN_DIR", own_home / "no-system-daemon")
    with answering(200, b"{}", unix=folder / "reaper.sock") as (where, _):
        found, _tried = find()
        assert found is not None
        assert found.address == where


def test_neither_daemon_nor_journal_names_every_place(own_home, monkeypatch):
    monkeypatch.setattr("reaper.config.places.RUN_DIR", Path("/nonexistent/run-reaper"))
    monkeypatch.setattr("reaper.config.places.LIB_DIR", Path("/nonexistent/lib-reaper"))
    with pytest.raises(ControlError) as raised:
        open_reach()
    message = str(raised.value)
    for place in (
        "/nonexistent/run-reaper/reaper.sock",
        f"{own_home}/run/reaper/reaper.sock",
        f"{own_home}/state/reaper/journal.db",
        "/nonexistent/lib-reaper/journal.db",
    ):
        assert place in message


def test_an_address_that_is_none_is_a_configuration_error(monkeypatch):
    monkeypatch.setenv("REAPER_LISTEN", "somewhere")
    with pytest.raises(ConfigError, match="REAPER_LISTEN"):
        find()


def test_the_token_comes_from_a_file_too(own_home, monkeypatch):
    (own_home / "token").write_text("from-file\n")
    monkeypatch.setenv("REAPER_API_TOKEN_FILE", str(own_home / "token"))
    assert clients.token() == "from-file"
    monkeypatch.setenv("REAPER_API_TOKEN", "direct")
    assert clients.token() == "direct"
    monkeypatch.delenv("REAPER_API_TOKEN")
    monkeypatch.setenv("REAPER_API_TOKEN_FILE", str(own_home / "nope"))
    with pytest.raises(ConfigError, match="REAPER_API_TOKEN_FILE"):
        clients.token()


@pytest.mark.parametrize("name", ["api_token", "api-token", "REAPER_API_TOKEN"])
def test_the_token_comes_from_a_credential_too(own_home, monkeypatch, name):
    """As the daemon's does: a unit that runs a command may be given it in the same way."""
    (own_home / "credentials").mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(own_home / "credentials"))
    assert clients.token() is None
    (own_home / "credentials" / "jupyter.token").write_text("another")
    (own_home / "credentials" / name).write_text("from-systemd\n")
    assert clients.token() == "from-systemd"


def test_the_token_comes_from_the_file_that_says_where_the_daemon_listens(own_home, monkeypatch):
    """And only with it: it is not shown to an address of somebody else's choice."""
    config = own_home / "reaper.toml"
    monkeypatch.setenv("REAPER_CONFIG", str(config))
    config.write_text('listen = "127.0.0.1:8765"\napi_token = "in-the-file"\n')
    assert clients.token() == "in-the-file"
    (own_home / "token").write_text("beside-it\n")
    config.write_text('listen = "127.0.0.1:8765"\napi_token_file = "token"\n')
    assert clients.token() == "beside-it"
    monkeypatch.setenv("REAPER_LISTEN", "127.0.0.1:9999")
    assert clients.token() is None
    monkeypatch.delenv("REAPER_LISTEN")
    (own_home / "token").unlink()
    assert clients.token() is None, "what this user may not read is the daemon's alone"
    config.write_text("api_token = [")
    assert clients.token() is None


def test_a_resource_is_one_segment_of_a_path(own_home):
    assert path_segment("work/a b.ipynb") == "work%2Fa%20b.ipynb"
    with answering(200, b'{"released": []}', unix=own_home / "s") as (where, asked):
        DaemonReach(Client(where)).release_hold("work/a b.ipynb")
    assert asked[0].startswith("DELETE /api/v1/holds/work%2Fa%20b.ipynb ")


def test_own_name_without_an_entry_in_the_password_file(monkeypatch):
    from reaper.cli.reach import own_name

    monkeypatch.setattr(os, "getuid", lambda: 123456789)
    assert own_name() == "uid 123456789"
