"""Serve the API on sockets: a unix socket of its own mode and group, TCP, or both."""

import contextlib
import errno
import grp
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from reaper.config.places import ListenAddress
from reaper.errors import ConfigError, ControlError
from reaper.web.app import GATE

__all__ = ["GROUP", "serve"]

GROUP = "reaper"
"""Whoever is in it may use the socket."""

PROBE_DEADLINE_S = 1.0
"""A live daemon takes a connection at once, even one that is busy: the kernel does it."""

SHUTDOWN_DEADLINE_S = 2.0
"""How long requests under way may take when serving ends."""

KEEP_ALIVE_S = 60.0
LINGER_S = 2.0
"""How long a body that is refused is read and thrown away, so that the sender gets to read the answer."""

_SOCKET_MODE = 0o660
_BACKLOG = 128


class _OurFaults(logging.Filter):
    """Drops what is only about input that is no HTTP: anyone could fill the log with it, tokens included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep records that are not about a malformed request."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_http_log = logging.getLogger("reaper.web.http")
_http_log.addFilter(_OurFaults())


@asynccontextmanager
async def serve(
    app: web.Application, listen: Sequence[ListenAddress]
) -> AsyncIterator[tuple[ListenAddress, ...]]:
    """Serve an application of `make_app` while the context lasts.

    Args:
        app: The application; it can't be served again afterwards.
        listen: Where. None at all is possible: then it can't be reached.

    Yields:
        The addresses as bound: port 0 has become a real one.

    Raises:
        ConfigError: An address can't be used, or needs a token and there is none.
        ControlError: Somebody else listens there already.
    """
    gate = app[GATE]
    _check(listen, has_token=gate.has_token)
    gate.listening(listen)
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,  # no body of ours is worth compressing: no bombs either
        handle_signals=False,
        keepalive_timeout=KEEP_ALIVE_S,
        lingering_time=LINGER_S,
        logger=_http_log,
        shutdown_timeout=SHUTDOWN_DEADLINE_S,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        bound: list[ListenAddress] = []
        for address in listen:
            if address.path is None:
                bound.append(await _start_tcp(runner, address))
                continue
            sock = _bind_unix(address.path)
            stack.callback(_remove_ours, address.path, _inode(address.path))
            await web.SockSite(runner, sock, backlog=_BACKLOG).start()
            bound.append(address)
        yield tuple(bound)


def _check(listen: Sequence[ListenAddress], *, has_token: bool) -> None:
    """Refuse to be reachable from other machines without a token; `config check` said so before."""
    reachable = [str(address) for address in listen if not address.loopback]
    if reachable and not has_token:
        raise ConfigError(
            f"REAPER_LISTEN: {', '.join(reachable)} can be reached from other machines, so REAPER_API_TOKEN "
            "(or REAPER_API_TOKEN_FILE) must be set; or listen on 127.0.0.1 or a unix socket"
        )


async def _start_tcp(runner: web.AppRunner, address: ListenAddress) -> ListenAddress:
    site = web.TCPSite(runner, address.host, address.port, backlog=_BACKLOG)
    try:
        await site.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ControlError(
                f"another process listens on {address}; name another port in REAPER_LISTEN"
            ) from error
        raise ConfigError(f"REAPER_LISTEN: can't listen on {address}: {error.strerror or error}") from error
    return replace(address, port=site.port)


def _bind_unix(path: Path) -> socket.socket:
    """Bind the socket file and set its mode and group: before it listens, so that nobody slips in."""
    group = _group_id()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_parent(path.parent, group)
        _remove_stale(path)
        sock.bind(str(path))
        if group is not None:
            with contextlib.suppress(PermissionError):  # not a member of it: then only our own group
                os.chown(path, -1, group)
        path.chmod(_SOCKET_MODE)
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise ControlError(f"another process has just begun to listen on {path}") from error
        raise ConfigError(
            f"REAPER_LISTEN: can't listen on {path}: {error.strerror or error}; "
            "choose a place that this user may write to"
        ) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _group_id() -> int | None:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def _make_parent(parent: Path, group: int | None) -> None:
    if parent.is_dir():
        return
    parent.parent.mkdir(parents=True, exist_ok=True)
    parent.mkdir(mode=0o700)
    if group is not None:
        with contextlib.suppress(PermissionError):
            os.chown(parent, -1, group)
            parent.chmod(0o750)


def _remove_stale(path: Path) -> None:
    """Remove what a dead daemon left; never a live one's socket, nor anything that is no socket."""
    inode = _inode(path)
    if inode is None:
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise ConfigError(f"REAPER_LISTEN: {path} exists and is no socket; move it, or name another path")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.settimeout(PROBE_DEADLINE_S)
        probe.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        _remove_ours(path, inode)
        return
    except PermissionError:
        raise ConfigError(
            f"REAPER_LISTEN: {path} belongs to another user, who may be listening there; name another path"
        ) from None
    except (TimeoutError, BlockingIOError):
        pass  # so busy that its queue is full: alive
    finally:
        probe.close()
    raise ControlError(f"another daemon listens on {path}; stop it, or name another path in REAPER_LISTEN")


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _remove_ours(path: Path, inode: tuple[int, int] | None) -> None:
    """Remove a socket file unless another has taken its place meanwhile."""
    if inode is not None and _inode(path) == inode:
        path.unlink(missing_ok=True)
