"""Talk to the daemon: where it listens, and requests over its socket or TCP with the standard library alone."""

import json
import os
import socket
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from reaper.config.places import ListenAddress, client_addresses, credential, peeked_secret
from reaper.errors import ConfigError, ControlError, UsageError

__all__ = [
    "NO_SOCKET",
    "Client",
    "DaemonUnreachable",
    "Rejected",
    "UnknownResource",
    "ambiguous",
    "find",
    "path_segment",
]

NO_SOCKET = "no such socket"
"""Why nobody answers where no daemon ever ran: no news."""
_TIMEOUT = 10.0
"""Seconds for an answer. A daemon that decides ten thousand resources gives its loop back every 30 ms."""
_PROBE_TIMEOUT = 5.0
"""Seconds for a sign of life."""
_REACHED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound: what listens everywhere is on loopback too
_APPLY_TIMEOUT = 600.0
"""Acting takes a fresh look, and up to 30 s an action (eight at a time)."""


class DaemonUnreachable(ControlError):
    """The daemon does not answer."""


class Rejected(ControlError):
    """The daemon answered with an error.

    Attributes:
        status: HTTP status.
        document: The problem document (RFC 9457); empty when it was none.
    """

    def __init__(self, message: str, status: int, document: Mapping[str, Any]) -> None:
        """Take the message for people and what it was made from."""
        super().__init__(message)
        self.status = status
        self.document = document


class UnknownResource(ControlError):
    """Nothing has that name."""


def token() -> str | None:
    """Give the API token: `REAPER_API_TOKEN`, its `_FILE`, a systemd credential, or the configuration file's.

    The configuration file's goes with its `listen` alone: it is not shown to an address of somebody else's choice.

    Raises:
        ConfigError: The file that `REAPER_API_TOKEN_FILE` names can't be read.
    """
    if direct := os.environ.get("REAPER_API_TOKEN"):
        return direct
    path = os.environ.get("REAPER_API_TOKEN_FILE")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            msg = f"REAPER_API_TOKEN_FILE: {path} can't be read: {error}"
            raise ConfigError(msg) from error
    given = credential(os.environ, "api_token")
    return given or (None if os.environ.get("REAPER_LISTEN") else peeked_secret(os.environ, "api_token"))


def _connect(address: ListenAddress, timeout: float) -> socket.socket:
    """Connect to a daemon's socket, or to its port; one that listens everywhere is on loopback too."""
    if address.path is None:
        return socket.create_connection((_REACHED.get(address.host, address.host), address.port), timeout)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(str(address.path))
    except OSError:
        connection.close()
        raise
    return connection


class Client:
    """Asks one daemon."""

    def __init__(self, address: ListenAddress, *, token: str | None = None) -> None:
        """Take where it listens; the token is for TCP (a socket is guarded by its file mode)."""
        self.address = address
        self._token = token

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Ask for a document.

        Raises:
            DaemonUnreachable: No answer.
            Rejected, UsageError, UnknownResource: The answer is an error.
        """
        return self.request("GET", f"{path}?{urlencode(query, quote_via=quote)}" if query else path)

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask for a change. Raises what `get` raises."""
        return self.request(
            method, path, body, timeout=_APPLY_TIMEOUT if path.endswith("/apply") else _TIMEOUT
        )

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float = _TIMEOUT,
    ) -> dict[str, Any]:
        """Make one request and read its JSON document.

        Raises:
            DaemonUnreachable: No answer.
            Rejected, UsageError, UnknownResource: The answer is an error.
        """
        status, answer = self._exchange(method, path, body, timeout)
        return self._read(status, answer)

    def probe(self) -> int:
        """Find out whether anybody answers there.

        Returns:
            The HTTP status of `/healthz`: 200, or 503 where the daemon's loop is stuck.

        Raises:
            DaemonUnreachable: No answer.
        """
        return self._exchange("GET", "/healthz", None, _PROBE_TIMEOUT)[0]

    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float
    ) -> tuple[int, bytes]:
        where = self.address
        headers = {"Accept": "application/json"}
        if where.path is None and self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            with _connect(where, timeout) as connected:
                from http.client import HTTPConnection, HTTPException  # 35 ms, only where somebody answers

                host = "localhost" if where.path is not None else _REACHED.get(where.host, where.host)
                connection = HTTPConnection(host, where.port or None, timeout=timeout)
                connection.sock = connected
                try:
                    connection.request(method, path, content, headers)
                    response = connection.getresponse()
                    return response.status, response.read()
                except HTTPException as error:
                    msg = f"{where}: {type(error).__name__}: {error}"
                    raise DaemonUnreachable(msg) from error
                finally:
                    connection.close()
        except TimeoutError:
            msg = f"{where}: no answer within {timeout:g} s"
            raise DaemonUnreachable(msg) from None
        except OSError as error:
            msg = f"{where}: {_plainly(error)}"
            raise DaemonUnreachable(msg) from error

    def _read(self, status: int, answer: bytes) -> dict[str, Any]:
        try:
            document = json.loads(answer) if answer.strip() else {}
        except ValueError:
            document = None
        good = 200 <= status < 300  # noqa: PLR2004 - the class of HTTP's successes
        if not isinstance(document, dict):
            msg = f"{self.address}: answered {status} with no JSON: is it reaper that listens there?"
            if good:
                raise DaemonUnreachable(msg)
            raise Rejected(msg, status, {})
        if good:
            return document
        raise self._problem(status, document)

    def _problem(self, status: int, document: dict[str, Any]) -> Exception:
        detail = str(document.get("detail") or document.get("title") or f"HTTP status {status}")
        candidates = document.get("candidates")
        if isinstance(candidates, list) and candidates:
            return ambiguous(detail, [str(one) for one in candidates])
        if str(document.get("type")).endswith(":no-such-resource"):
            return UnknownResource(detail)
        if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
            return UsageError(detail)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            hint = "" if self.address.path is not None else "; is REAPER_API_TOKEN set to the daemon's?"
            return Rejected(f"the daemon at {self.address} refuses: {detail}{hint}", status, document)
        return Rejected(detail, status, document)


def ambiguous(detail: str, candidates: list[str]) -> UsageError:
    """Make the error for a RESOURCE that could be several, with every candidate on a line of its message."""
    told = detail.removesuffix(", ".join(candidates)).rstrip(" :")
    error = UsageError("\n  ".join([f"{told}:", *candidates]))
    error.candidates = tuple(candidates)
    return error


def path_segment(text: str) -> str:
    """Quote a text, such as a notebook's path, to be one segment of a URL's path."""
    return quote(text, safe="")


def _plainly(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied (are you in the group that may use it? 'ls -l' shows it)"
    if isinstance(error, FileNotFoundError):
        return NO_SOCKET
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens"
    return error.strerror or f"{type(error).__name__}: {error}"


def find() -> tuple[Client | None, list[str]]:
    """Find the daemon: the first place that answers.

    Returns:
        A client for it, or None; and what was tried without success, each with its reason.

    Raises:
        ConfigError: `REAPER_LISTEN` or the token's file can't be read.
    """
    try:
        addresses = client_addresses(os.environ)
    except ValueError as error:
        msg = f"REAPER_LISTEN: {error}"
        raise ConfigError(msg) from None
    tried: list[str] = []
    secret = token()
    for address in addresses:
        client = Client(address, token=secret)
        try:
            client.probe()
        except DaemonUnreachable as error:
            tried.append(str(error))
            continue
        return client, tried
    return None, tried
