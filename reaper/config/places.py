"""Where things are when nobody says: the configuration file, the journal, the daemon's socket.

Standard library only, and cheap: `reaper status` finds the daemon or its journal with this module
alone, without importing pydantic. The rules are the daemon's own, so that both look in one place.
"""

import ipaddress
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = [
    "ETC_FILE",
    "RUN_DIR",
    "ListenAddress",
    "client_addresses",
    "config_file",
    "credential",
    "credential_key",
    "default_listen",
    "default_state",
    "home",
    "journal_candidates",
    "parse_listen",
    "peeked_secret",
    "place_of_state",
    "split_list",
    "split_listen",
]

ETC_FILE = Path("/etc/reaper/reaper.toml")
"""The system's configuration file."""

RUN_DIR = Path("/run/reaper")
"""The runtime directory of the system's daemon (`RuntimeDirectory=reaper`)."""

LIB_DIR = Path("/var/lib/reaper")
"""The state directory of the system's daemon (`StateDirectory=reaper`)."""

SOCKET = "reaper.sock"
JOURNAL = "journal.db"

_LONGEST_SOCKET_PATH = 107
"""Bytes in `sockaddr_un.sun_path`, without the closing zero (unix(7))."""

_JSON_LIST = re.compile(r"\s*\[\s*[\"\]]")
"""Not every `[` begins a list: `[::1]:8765` is an address, `[ab]*` is a glob."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")

_LISTEN_HINT = "write unix:/path/to.sock, tcp:127.0.0.1:8765, or none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """One address of the API.

    Attributes:
        path: Of a unix socket; None on TCP.
        host: On TCP: a name or an address, an IPv6 one without brackets.
        port: On TCP.
    """

    path: Path | None = None
    host: str = ""
    port: int = 0

    @property
    def loopback(self) -> bool:
        """Whether only this host can reach it. A name other than `localhost` is not taken for one that can't."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """What an HTTP client calls it; for a unix socket the host is `localhost`."""
        if self.path is not None:
            return "http://localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def __str__(self) -> str:
        """Write it as `parse_listen` reads it."""
        if self.path is not None:
            return f"unix:{self.path}"
        return f"tcp:{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_listen(text: str) -> ListenAddress:
    """Read `unix:/path`, `/path`, `tcp:127.0.0.1:8765`, `127.0.0.1:8765`, `[::1]:8765` or `http://...`.

    Raises:
        ValueError: It is none of these. The message says what to write.
    """
    scheme, colon, rest = text.partition(":")
    if text.startswith(("/", "~")):
        return _unix(text)
    if scheme == "unix" and colon:
        return _unix(rest.removeprefix("//"))
    if scheme == "https":
        raise ValueError(
            f"{text!r}: the API does not speak TLS: put a proxy in front of http://127.0.0.1:8765"
        )
    if scheme in {"tcp", "http"} and colon:
        return _tcp(text, rest.removeprefix("//").rstrip("/"))
    return _tcp(text, text)


def _unix(text: str) -> ListenAddress:
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise ValueError(f"{text!r} is not the absolute path of a socket: {_LISTEN_HINT}")
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise ValueError(
            f"{str(path)!r} is longer than the {_LONGEST_SOCKET_PATH} bytes a socket's path may have"
        )
    return ListenAddress(path=path)


def _tcp(text: str, netloc: str) -> ListenAddress:
    try:
        parts = urlsplit(f"//{netloc}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is no address ({error}): {_LISTEN_HINT}") from None
    if not host or port is None or parts.username is not None or parts.path or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is no address to listen on: {_LISTEN_HINT}")
    return ListenAddress(host=unquote(host), port=port)


def split_list(text: str) -> list[str]:
    """Split a list as people write it: commas, or JSON where it begins with `["`. Pure.

    Raises:
        ValueError: It begins like a JSON list of texts and is none.
    """
    if not _JSON_LIST.match(text):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"begins like a JSON list, but is none: {error}") from None
    if not all(isinstance(item, str) for item in found):
        raise ValueError("is a JSON list, but not one of texts")
    return [item.strip() for item in found if item.strip()]


def split_listen(text: str) -> list[str]:
    """Split `REAPER_LISTEN`; `none` is an empty list. Pure.

    Raises:
        ValueError: As `split_list`.
    """
    items = split_list(text)
    return [] if items == ["none"] else items


def home(environ: Mapping[str, str]) -> Path:
    """Give the home directory: `$HOME`, else that of the password database."""
    return Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.home() reads $HOME again


def _xdg(environ: Mapping[str, str], name: str, default: str) -> Path:
    """Give an XDG base directory; a relative one must be ignored, says the specification."""
    named = Path(environ.get(name) or "")
    return named if named.is_absolute() else home(environ) / default


def _state_dir(environ: Mapping[str, str]) -> Path:
    return _xdg(environ, "XDG_STATE_HOME", ".local/state") / "reaper"


def _first(environ: Mapping[str, str], name: str) -> Path | None:
    """Give the first of systemd's directories (`STATE_DIRECTORY`: colons between several)."""
    named = (environ.get(name) or "").partition(":")[0]
    return Path(named) if named else None


def config_file(environ: Mapping[str, str]) -> tuple[Path | None, bool]:
    """Find the configuration file.

    Returns:
        Its path, and whether it was named (by `REAPER_CONFIG`) rather than found. None: there is none.
    """
    named = (environ.get("REAPER_CONFIG") or "").strip()
    if named:
        return Path(named).expanduser().absolute(), True
    for path in (ETC_FILE, _xdg(environ, "XDG_CONFIG_HOME", ".config") / "reaper" / "reaper.toml"):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            pass  # it may be there and may not be read: that is for whoever opens it to say
        return path, False
    return None, False


def default_state(environ: Mapping[str, str]) -> str:
    """Give the journal's place: `$STATE_DIRECTORY/journal.db`, else in the XDG state directory."""
    return str((_first(environ, "STATE_DIRECTORY") or _state_dir(environ)) / JOURNAL)


def default_listen(environ: Mapping[str, str]) -> str:
    """Give the address to serve on: `unix:$RUNTIME_DIRECTORY/reaper.sock`.

    Without it: `/run/reaper` or `$XDG_RUNTIME_DIR/reaper` where they can be written, else the XDG
    state directory. `client_addresses` looks in the same places.
    """
    given = _first(environ, "RUNTIME_DIRECTORY")
    if given is None and _writable(RUN_DIR):
        given = RUN_DIR
    runtime = Path(environ.get("XDG_RUNTIME_DIR") or "")
    if given is None and runtime.is_absolute() and _writable(runtime):
        given = runtime / "reaper"
    return f"unix:{(given or _state_dir(environ)) / SOCKET}"


def _writable(directory: Path) -> bool:
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)


def client_addresses(environ: Mapping[str, str]) -> list[ListenAddress]:
    """Give where a daemon may answer, the likeliest first, each once.

    `REAPER_LISTEN` alone where it is set; else what the configuration file says, and the places
    where a daemon serves by default: the system's, then the user's. What can't be read is passed over.

    Raises:
        ValueError: `REAPER_LISTEN` is no address.
    """
    if (environ.get("REAPER_LISTEN") or "").strip():
        return list(dict.fromkeys(parse_listen(item) for item in split_listen(environ["REAPER_LISTEN"])))
    found = [address for item in _peeked(environ, "listen") for address in _tolerant(item)]
    given = _first(environ, "RUNTIME_DIRECTORY")
    runtime = Path(environ.get("XDG_RUNTIME_DIR") or "")
    places = [
        *([given] if given else []),
        RUN_DIR,
        *([runtime / "reaper"] if runtime.is_absolute() else []),
        _state_dir(environ),
    ]
    return list(dict.fromkeys([*found, *(ListenAddress(path=place / SOCKET) for place in places)]))


def _tolerant(text: str) -> Iterator[ListenAddress]:
    try:
        yield parse_listen(text)
    except ValueError:
        return


def journal_candidates(environ: Mapping[str, str]) -> list[str]:
    """Give where a journal may be, the likeliest first, each once: for reading without a daemon.

    `REAPER_STATE` alone where it is set, else what the configuration file says, else the places where a
    daemon keeps it by default: the user's, then the system's.
    """
    named = (environ.get("REAPER_STATE") or "").strip()
    if named:
        return [place_of_state(named, Path.cwd())]
    path, _ = config_file(environ)
    in_file = _peeked(environ, "state")
    if in_file and path is not None:
        return [place_of_state(in_file[0], path.parent)]
    return list(dict.fromkeys([default_state(environ), str(LIB_DIR / JOURNAL)]))


def place_of_state(text: str, base: Path) -> str:
    """Make a journal's path absolute; a database URL stays as it is."""
    return text if _URL.match(text) else str(base.absolute() / Path(text).expanduser())


def credential(environ: Mapping[str, str], name: str) -> str | None:
    """Read one of the secrets that systemd hands over; None: there is none, or it can't be read."""
    folder = (environ.get("CREDENTIALS_DIRECTORY") or "").strip()
    if not folder:
        return None
    try:
        found = [path for path in sorted(Path(folder).iterdir()) if credential_key(path.name) == name]
        return (found[0].read_text(encoding="utf-8-sig").strip() or None) if found else None
    except (OSError, UnicodeError):
        return None


def credential_key(text: str) -> str:
    """Write a credential's file name as it is compared. Pure.

    `REAPER_JUPYTER__TOKEN`, `jupyter-token` and `jupyter.token` are one.
    """
    return text.lower().replace("__", "_").replace("-", "_").replace(".", "_").removeprefix("reaper_")


def peeked_secret(environ: Mapping[str, str], key: str) -> str | None:
    """Read a secret of the configuration file, or of the file it names; None: it has none that we may read."""
    path, table = _peeked_table(environ)
    value, named = table.get(key), table.get(f"{key}_file")
    if isinstance(value, str) and value.strip():
        return value.strip()
    if path is None or not isinstance(named, str):
        return None
    try:
        return (path.parent / Path(named).expanduser()).read_text(encoding="utf-8-sig").strip() or None
    except (OSError, UnicodeError):
        return None


def _peeked(environ: Mapping[str, str], key: str) -> list[str]:
    """Read a list of the configuration file."""
    value = _peeked_table(environ)[1].get(key, [])
    try:
        return split_listen(value) if isinstance(value, str) else [str(item) for item in value]
    except (ValueError, TypeError):
        return []


def _peeked_table(environ: Mapping[str, str]) -> tuple[Path | None, dict[str, Any]]:
    """Read the configuration file without judging it: the daemon does that."""
    path, _ = config_file(environ)
    try:
        return path, read_table(path.read_text(encoding="utf-8-sig"), path) if path is not None else {}
    except (OSError, ValueError):
        return path, {}


def read_table(text: str, path: Path) -> dict[str, Any]:
    """Read the text of a configuration file: JSON where its name ends in `.json`, else TOML.

    Raises:
        ValueError: It can't be parsed (`tomllib.TOMLDecodeError`, `json.JSONDecodeError`), or is no table.
    """
    if path.suffix.lower() != ".json":
        import tomllib

        return tomllib.loads(text)
    found: Any = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_refuse_constant)
    if not isinstance(found, dict):
        raise ValueError("it must be one JSON object")
    return found


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twins = sorted({key for key, _ in pairs if [other for other, _ in pairs].count(key) > 1})
        raise ValueError(f"the key {', '.join(map(repr, twins))} is there twice")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number that can be used")
