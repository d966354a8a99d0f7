"""Where one Jupyter server answers, and what it accepts as proof of who asks."""

import ipaddress
import re
import socket
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pydantic import SecretStr

from reaper.errors import ConfigError, SourceUnavailable

__all__ = [
    "ServerAddress",
    "is_usable_token",
    "join_url",
    "local_address",
    "parse_address",
    "saved_on_disk",
]

UNIX_SCHEME = "http+unix"
"""Jupyter's own scheme for a unix socket: `http+unix://%2Frun%2Fjupyter.sock/base/`."""

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]*")
"""What may stand in an `Authorization` header without breaking it."""

_PATH_SAFE = "/%:@!$&'()*+,;=~"
"""Left as they are in a base URL: JupyterHub writes its own already quoted (`/user/a%40b/`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """One Jupyter server.

    Make it with `parse_address` (what a person wrote) or `discover` (runtime files).

    Attributes:
        url: `http://host:port/base/`, `https://...` or `http+unix://%2Fpath/base/`; ends in a
            slash, holds no token and no user name.
        token: What it accepts; empty where it wants none.
        ca_file: Certificate authorities to trust instead of the system's.
        verify: Whether the server's certificate is checked at all.
        pid: The server's process, where a runtime file named it.
        root_dir: The directory its notebook paths start from, on the server's own host.
        runtime_file: Where the address was found.
        local: Whether the server is on this host, so that `pid` and `root_dir` mean something
            here and its clock is ours.
    """

    url: str
    token: SecretStr = field(default_factory=lambda: SecretStr(""))
    ca_file: Path | None = None
    verify: bool = True
    pid: int | None = None
    root_dir: Path | None = None
    runtime_file: Path | None = None
    local: bool = False

    @property
    def socket_path(self) -> str | None:
        """The unix socket's path; None for a server on TCP."""
        parts = urlsplit(self.url)
        return unquote(parts.netloc) if parts.scheme == UNIX_SCHEME else None

    @property
    def http_url(self) -> str:
        """The base URL as HTTP sees it: that of a unix socket has the host `localhost`.

        Jupyter answers 403 to a `Host` that it does not take for local.
        """
        parts = urlsplit(self.url)
        return f"http://localhost{parts.path}" if parts.scheme == UNIX_SCHEME else self.url


def parse_address(
    url: str,
    *,
    token: SecretStr | None = None,
    ca_file: Path | None = None,
    verify: bool = True,
) -> ServerAddress:
    """Read the URL that a person wrote, as Jupyter prints it.

    A `?token=` in it is used where no token is given: that is what Jupyter tells people to paste.

    Raises:
        ConfigError: The URL or the token can't be used. The message never holds the token.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port if parts.scheme != UNIX_SCHEME else None
    except ValueError as error:
        raise ConfigError(f"not a Jupyter URL: {error}") from None
    if parts.scheme not in {"http", "https", UNIX_SCHEME} or not parts.netloc:
        raise ConfigError(
            f"not a Jupyter URL (scheme {parts.scheme!r}): write http://HOST:PORT/BASE/, https://..., "
            f"or {UNIX_SCHEME}://%2Fpath%2Fto.sock/BASE/"
        )
    if parts.username is not None:
        raise ConfigError("a Jupyter URL can't hold a user name or password: give the token on its own")
    if token is None:
        token = SecretStr(parse_qs(parts.query).get("token", [""])[0])
    if not is_usable_token(token.get_secret_value()):
        raise ConfigError("the Jupyter token holds spaces or characters that no HTTP header can carry")
    if parts.scheme == UNIX_SCHEME:
        socket_path = unquote(parts.netloc)
        if not socket_path.startswith("/"):
            raise ConfigError(
                f"not an absolute path of a unix socket: {socket_path!r} (write each slash as %2F)"
            )
        host, where = None, quote(socket_path, safe="")
    else:
        host = parts.hostname
        if not host:
            raise ConfigError("the Jupyter URL names no host")
        where = _netloc(host, port)
    return ServerAddress(
        url=join_url(parts.scheme, where, parts.path),
        token=token,
        ca_file=ca_file,
        verify=verify,
        local=_is_local_host(host),
    )


def is_usable_token(token: str) -> bool:
    """Tell whether an HTTP header can carry the token. Pure."""
    return _VISIBLE_ASCII.fullmatch(token) is not None


def join_url(scheme: str, netloc: str, base: str) -> str:
    """Write an address's URL: one slash at either end of the base, quoted once. Pure."""
    base = quote(base.strip("/"), safe=_PATH_SAFE)
    return f"{scheme}://{netloc}/{base}/" if base else f"{scheme}://{netloc}/"


def local_address(address: ServerAddress) -> bool:
    """Tell whether the server is on this host: a unix socket, loopback, or an own interface.

    Asks no name server: a name other than `localhost` and the host's own is not local.
    """
    if address.socket_path is not None:
        return True
    return _is_local_host(urlsplit(address.url).hostname)


def saved_on_disk(address: ServerAddress, path: str) -> datetime | None:
    """Tell when the notebook at a session's path was last saved, from the file itself.

    A `stat` instead of a request, for a server on this host. It may block for as long as the file
    system does (a hung NFS): run it in a thread where that matters.

    Args:
        address: A local server with a `root_dir`.
        path: A session's path, relative to that root.

    Returns:
        The file's modification time; None where there is no such file, it is not a regular file,
        or the address tells no root.

    Raises:
        SourceUnavailable: The file system would not say.
    """
    parts = Path(path).parts
    if address.root_dir is None or not address.local or not parts or "\0" in path:
        return None
    if path.startswith("/") or ".." in parts:
        return None
    file = address.root_dir / path
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SourceUnavailable(f"stat {file}: {error.strerror or error}") from error
    if not stat.S_ISREG(found.st_mode):
        return None
    return datetime.fromtimestamp(found.st_mtime, UTC)


def _netloc(host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def _is_local_host(host: str | None) -> bool:
    """Tell whether a host is this one; None stands for a unix socket."""
    if host is None:
        return True
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost") or host == socket.gethostname().lower():
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    return ip.is_loopback or ip.is_unspecified or _is_own(host)


def _is_own(ip: str) -> bool:
    """Tell whether an IP address is one of this host's: only those can be bound.

    A list of interfaces would need a netlink socket, which a hardened unit may not open.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError:
        return False
    return True
