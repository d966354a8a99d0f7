"""Find the Jupyter servers of this host from the files that they leave while they run.

Each server keeps `jpserver-<pid>.json` (Notebook before 7: `nbserver-<pid>.json`) in Jupyter's
runtime directory. Jupyter's own `list_running_servers()` deletes the files of servers that it
takes for dead; a look must change nothing, so they are read here, and only read.
"""

import errno
import json
import os
import pwd
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from pydantic import SecretStr

from reaper.clients.jupyter.address import ServerAddress, is_usable_token, join_url, local_address

__all__ = ["Discovery", "discover", "other_homes", "runtime_dirs", "servers_here"]

_RUNTIME_FILE = re.compile(r"(?:jp|nb)server-([1-9][0-9]{0,9})\.json")

_MAX_FILE_BYTES = 64 * 1024
"""A runtime file holds some 300 bytes."""

_MAX_PORT = 65_535

_REUSE_SLACK_S = 60.0
"""A server writes its file within seconds of its start. A process that began this much after the
file was written is another one that was given the same pid. The slack absorbs the clocks of
network file systems and a clock that was set while the machine booted."""

_FIRST_PERSON = 1000
"""The first uid of a person (login.defs, UID_MIN); below are services, whose homes may be network mounts."""

_LOOPBACK = {"": "localhost", "*": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not bound
"""What "every interface" is called from the same host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a search for servers found.

    Attributes:
        servers: The servers that are running, in order of pid.
        problems: What could not be read or understood, a line each, free of secrets.
        complete: Whether `servers` is all there is. If False, a server that is missing from it
            may well be running.
    """

    servers: tuple[ServerAddress, ...]
    problems: tuple[str, ...]
    complete: bool


def runtime_dirs(environ: Mapping[str, str], *, homes: Iterable[Path] = ()) -> tuple[Path, ...]:
    """Name the directories where Jupyter servers leave their runtime files. Pure but for `~`.

    Jupyter's own order (`jupyter_core.paths.jupyter_runtime_dir`): `$JUPYTER_RUNTIME_DIR` alone if
    set, else `$JUPYTER_DATA_DIR/runtime` alone, else the user's data directory, and with it
    `$XDG_RUNTIME_DIR/jupyter`, which jupyter_core used before 4.6.

    Args:
        environ: The environment to go by.
        homes: Further home directories to look into, as `other_homes` gives them.
    """
    if explicit := environ.get("JUPYTER_RUNTIME_DIR"):
        found = [Path(explicit)]
    elif shared := environ.get("JUPYTER_DATA_DIR"):
        found = [Path(shared) / "runtime"]
    else:
        home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111  # Path.home() reads $HOME again
        data_home = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
        found = [data_home / "jupyter/runtime", home / "Library/Jupyter/runtime"]
        if runtime := environ.get("XDG_RUNTIME_DIR"):
            found.append(Path(runtime) / "jupyter")
    found += [home / ".local/share/jupyter/runtime" for home in homes]
    return tuple(dict.fromkeys(found))


def other_homes() -> list[Path]:
    """Give the home directories of all people of this host, for root: nobody else may look into them.

    On a notebook instance a lifecycle script runs as root, and the server as a user.
    """
    if os.geteuid() != 0:
        return []
    return [Path(user.pw_dir) for user in pwd.getpwall() if user.pw_uid >= _FIRST_PERSON]


def discover(
    directories: Iterable[Path], environ: Mapping[str, str], *, ca_file: Path | None = None
) -> Discovery:
    """Read the runtime files in the given directories. Changes nothing; a directory may be missing.

    Files of dead processes are passed over, and so are those whose pid now belongs to something
    that is no Jupyter server. Both kinds of file may describe one server: it is listed once.

    The token is the file's. Under JupyterHub that is empty and the server accepts its own
    `$JUPYTERHUB_API_TOKEN`, which is read from the process if it may be, else from `environ`.

    TLS: a server found on loopback is not asked for a valid certificate unless `ca_file` is given.
    Its certificate names the public host, and the file that led here could be written only by the
    user that runs the server.

    Args:
        directories: See `runtime_dirs`.
        environ: For `JUPYTERHUB_API_TOKEN` and `JUPYTERHUB_SERVICE_PREFIX`.
        ca_file: Certificate authorities for servers with TLS.
    """
    problems: list[str] = []
    seen: list[tuple[int, int, ServerAddress]] = []
    for file, pid in _runtime_files(directories, problems):
        try:
            if _is_running(pid, file):
                entry, written = _read(file)
                seen.append((written, pid, _address(entry, pid, file, environ, ca_file)))
        except FileNotFoundError:  # it has just stopped
            continue
        except (OSError, ValueError) as error:
            problems.append(f"{file}: {_describe(error)}")
    # Only one process can hold a port: the one that wrote its file last.
    newest = {address.url: (pid, address) for _, pid, address in sorted(seen, key=lambda found: found[0])}
    servers = tuple(address for _, address in sorted(newest.values(), key=lambda found: found[0]))
    return Discovery(servers=servers, problems=tuple(problems), complete=not problems)


def servers_here(found: Discovery, named: Sequence[ServerAddress]) -> list[ServerAddress]:
    """Give this host's servers; or those named by address, with what their runtime files know besides. Pure.

    Args:
        found: What the runtime files tell.
        named: By the settings; empty: all that were found.
    """
    here = [server for server in found.servers if server.local]
    if not named:
        return here
    by_url = {server.url: server for server in here}
    return [
        replace(one, pid=known.pid, root_dir=known.root_dir, token=one.token or known.token)
        if (known := by_url.get(one.url)) is not None
        else one
        for one in named
    ]


def _runtime_files(directories: Iterable[Path], problems: list[str]) -> list[tuple[Path, int]]:
    seen: set[Path] = set()
    files: list[tuple[Path, int]] = []
    for directory in directories:
        try:
            real = directory.resolve()
            if real in seen:
                continue
            seen.add(real)
            names = sorted(os.listdir(directory))  # noqa: PTH208  # names are all that is needed
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links, before 3.13
            problems.append(f"{directory}: {_describe(error)}")
            continue
        matches = (match for name in names if (match := _RUNTIME_FILE.fullmatch(name)))
        files += [(directory / match[0], int(match[1])) for match in matches]
    return files


def _is_running(pid: int, file: Path) -> bool:
    """Tell whether the pid is still the server that wrote the file; when in doubt, it is.

    Raises:
        OSError: The file's age can't be read.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        as_old_as_file = process.create_time() <= file.stat().st_mtime + _REUSE_SLACK_S
        return as_old_as_file or _looks_like_jupyter(process.cmdline())
    except psutil.AccessDenied:
        return True
    except psutil.ZombieProcess:
        return False
    except psutil.NoSuchProcess:
        return _is_hidden(pid)


def _is_hidden(pid: int) -> bool:
    """Tell whether somebody else's process is there though /proc does not show it (hidepid=2)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _is_jupyter(pid: int) -> bool:
    try:
        return _looks_like_jupyter(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def _looks_like_jupyter(command: list[str]) -> bool:
    """Tell a server from a stranger that got its pid. Pure.

    A server may be started in other ways too, so this proves that one is a server, never that one is not:
    it is asked where a clock was set or a machine was suspended (then a live server seems younger than its
    own file), and whether a file with a host name that we can't place is of this host.
    """
    words = [argument.rpartition("/")[2] for argument in command[:4]]
    return any(word.startswith(("jupyter", "nbclassic", "notebook")) for word in words)


def _read(file: Path) -> tuple[Mapping[str, Any], int]:
    """Read one runtime file, and when it was written (nanoseconds).

    Raises:
        OSError: It can't be read.
        ValueError: It holds no JSON object; it may be half written.
    """
    # O_NONBLOCK: somebody may have left a named pipe under that name.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        content = stream.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise ValueError(f"longer than {_MAX_FILE_BYTES} bytes")
    try:
        entry = json.loads(content)
    except (ValueError, RecursionError):  # its own message would repeat the content: the token
        raise ValueError("holds no JSON (half written?)" if content else "is empty (half written?)") from None
    if not isinstance(entry, dict):
        raise ValueError("holds no JSON object")
    return entry, status.st_mtime_ns


def _address(
    entry: Mapping[str, Any], pid: int, file: Path, environ: Mapping[str, str], ca_file: Path | None
) -> ServerAddress:
    """Turn a runtime file's content into an address.

    Raises:
        ValueError: A field is missing or wrong.
    """
    base = _text(entry, "base_url")
    if not base.startswith("/"):
        raise ValueError("base_url does not begin with a slash")
    root = _text(entry, "root_dir") or _text(entry, "notebook_dir")
    secure = entry.get("secure", False) is True
    socket_path = _text(entry, "sock")
    if socket_path:
        if secure:
            raise ValueError("TLS over a unix socket is not supported")
        url = join_url("http+unix", quote(socket_path, safe=""), base)
    else:
        host = _text(entry, "hostname")
        host = _LOOPBACK.get(host, host)
        port = entry.get("port")
        if not isinstance(port, int) or isinstance(port, bool) or not 0 < port <= _MAX_PORT:
            raise ValueError("port is no port number")
        if not re.fullmatch(r"[0-9A-Za-z._:%-]+", host):
            raise ValueError("hostname is no host name")
        netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        url = join_url("https" if secure else "http", netloc, base)
    token = _text(entry, "token") or _hub_token(pid, file, base, environ)
    if not is_usable_token(token):
        raise ValueError("token holds characters that no HTTP header can carry")
    by_address = local_address(ServerAddress(url=url))
    return ServerAddress(
        url=url,
        token=SecretStr(token),
        ca_file=ca_file,
        verify=ca_file is not None or not by_address,
        pid=pid,
        root_dir=Path(root) if root.startswith("/") else None,
        runtime_file=file,
        local=by_address or _is_jupyter(pid),  # `--ip=` may name this host as only a name server knows it
    )


def _hub_token(pid: int, file: Path, base: str, environ: Mapping[str, str]) -> str:
    """Give what a server under JupyterHub accepts; empty where there is no hub.

    The process's own environment is believed only if it belongs to the user that wrote the file:
    root must not hand one user's token to the address that another user made up.
    """
    try:
        process = psutil.Process(pid)
        if file.stat().st_uid == process.uids().effective:
            return process.environ().get("JUPYTERHUB_API_TOKEN", "")
    except (psutil.Error, OSError):
        pass
    prefix = environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if prefix is not None and prefix.strip("/") != base.strip("/"):
        return ""
    return environ.get("JUPYTERHUB_API_TOKEN", "")


def _text(entry: Mapping[str, Any], key: str) -> str:
    """Give a text field; empty where it is missing. Pure."""
    value = entry.get(key)
    if value is None or isinstance(value, str):
        return value or ""
    raise ValueError(f"{key} is no text")


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
    return str(error)
