"""Who may ask what: the socket's file mode, the token, the Host header, the Origin.

Over a unix socket the file mode is the authority: whoever can connect may ask anything, and the kernel
tells who it is. Over TCP other people's processes can connect too, loopback included, so a write always
needs the token; a read needs it from anywhere but this machine. The Host header keeps a web page from
reaching us under a name of its own that it points at 127.0.0.1 (DNS rebinding); the Origin header keeps one
from writing with somebody else's browser.
"""

import asyncio
import hmac
import ipaddress
import pwd
import re
import socket
import struct
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from pydantic import SecretStr

from reaper.config.places import ListenAddress
from reaper.errors import ConfigError
from reaper.plugins import Caller
from reaper.web.problem import Problem

__all__ = ["Gate", "Peer", "peer_of"]

log = structlog.get_logger("reaper.web")

_READS = frozenset({"GET", "HEAD"})
_OPEN = frozenset({"/healthz", "/readyz"})
"""Never need a token: what asks is a supervisor or a load balancer."""

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s\[\]:/@?#,]+)(?::\d{0,5})?")
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""A proxy on this machine speaks for others: what it passes on is not from loopback."""

_UCRED = struct.Struct("3i")
"""struct ucred of unix(7): pid, uid, gid."""

_REMEMBERED_PEERS = 256
"""Addresses whose failed attempts were told of; more would be memory for whoever tries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other end of a connection.

    Attributes:
        unix: It came by the socket file.
        address: Its IP address; `unix`, or `unknown` when it is gone already.
        local: The address of ours that it connected to.
        loopback: It is on this machine.
        uid: Its user, from the kernel (SO_PEERCRED), over unix.
        pid: Its process, likewise.
    """

    unix: bool
    address: str
    local: str
    loopback: bool
    uid: int | None = None
    pid: int | None = None


class _Token(Enum):
    MISSING = "missing"
    RIGHT = "right"
    WRONG = "wrong"


class Gate:
    """Decides on each request before anything looks at its body.

    Args:
        api_token: What writes over TCP and reads from other machines must present; None: neither is possible.
        allowed_hosts: Names under which the API is reached, besides loopback's and those it listens on.

    Raises:
        ConfigError: The token is empty.
    """

    def __init__(self, *, api_token: SecretStr | None, allowed_hosts: Sequence[str] = ()) -> None:
        if api_token is not None and not api_token.get_secret_value().strip():
            raise ConfigError("REAPER_API_TOKEN is empty; unset it, or give it a long random value")
        self._token = api_token
        self._hosts = {_plain(host) for host in allowed_hosts}
        self._any_ip = False
        self._refused: OrderedDict[str, None] = OrderedDict()
        self._users: dict[int, str] = {}

    @property
    def has_token(self) -> bool:
        """Whether a token is configured."""
        return self._token is not None

    def listening(self, listen: Iterable[ListenAddress]) -> None:
        """Allow the names of the addresses that are listened on.

        A wildcard address allows every IP address: no name is looked up for one, so nothing can be rebound.
        """
        for address in listen:
            if address.path is None and (ip := _ip(address.host)) is not None and ip.is_unspecified:
                self._any_ip = True
            elif address.path is None:
                self._hosts.add(_plain(address.host))

    def check(self, request: web.Request) -> None:
        """Let a request pass, or not.

        Raises:
            Problem: 400, 401 or 403.
        """
        peer = peer_of(request)
        writes = request.method not in _READS
        if not peer.unix:
            self._check_host(request, peer)
        if writes:
            _check_origin(request)
        # An unknown path or method does nothing and tells nothing: it may be told so without a token.
        if peer.unix or request.path in _OPEN or request.match_info.http_exception is not None:
            return
        if self._token is None:
            if writes or not peer.loopback:
                raise Problem(
                    HTTPStatus.FORBIDDEN,
                    "needs-token",
                    f"{'writes over TCP' if writes else 'requests from other machines'} need a token, and "
                    "none is configured; set REAPER_API_TOKEN, or use the unix socket",
                )
            return
        presented = self._presented(request)
        if presented is _Token.RIGHT:
            self._note_accepted(peer)
            return
        if presented is _Token.MISSING and peer.loopback and not writes:
            return
        self._note_refused(peer, presented)
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "token",
            "the token is wrong"
            if presented is _Token.WRONG
            else "this needs the token: send it as 'Authorization: Bearer TOKEN'",
            headers={"WWW-Authenticate": 'Bearer realm="reaper"'},
        )

    async def caller(self, request: web.Request) -> Caller:
        """Name who asks, for the journal: the user behind a unix socket, the address behind TCP."""
        peer = peer_of(request)
        if not peer.unix:
            return Caller(who=f"token@{peer.address}", details={"via": "tcp", "address": peer.address})
        details = {"via": "unix", "uid": peer.uid, "pid": peer.pid}
        if peer.uid is None:
            return Caller(who="unknown", details=details)
        if peer.uid not in self._users:  # NSS may ask a directory server: not on the loop, and once
            self._users[peer.uid] = await asyncio.to_thread(_user_name, peer.uid)
        return Caller(who=self._users[peer.uid], details=details)

    def _check_host(self, request: web.Request, peer: Peer) -> None:
        values = request.headers.getall("Host", [])
        match = _AUTHORITY.fullmatch(values[0]) if len(values) == 1 else None
        if match is None:
            raise Problem(HTTPStatus.BAD_REQUEST, "bad-host", "one Host header is needed: HOST or HOST:PORT")
        host = _plain(match["host"])
        if _is_loopback(host) or host in self._hosts or host == _plain(peer.local):
            return
        if self._any_ip and _ip(host) is not None:
            return
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "wrong-host",
            f"{match['host']!r} is no name of this API; use localhost or the address in REAPER_LISTEN",
        )

    def _presented(self, request: web.Request) -> _Token:
        values = request.headers.getall("Authorization", [])
        if not values or self._token is None:
            return _Token.MISSING
        scheme, _, value = values[0].partition(" ")
        if scheme.lower() not in {"bearer", "token"}:
            return _Token.MISSING
        ours = self._token.get_secret_value().strip().encode("utf-8", "surrogateescape")
        theirs = value.strip().encode("utf-8", "surrogateescape")
        same = hmac.compare_digest(ours, theirs)
        return _Token.RIGHT if same and len(values) == 1 else _Token.WRONG

    def _note_refused(self, peer: Peer, presented: _Token) -> None:
        if peer.address in self._refused:
            self._refused.move_to_end(peer.address)
            return
        self._refused[peer.address] = None
        if len(self._refused) > _REMEMBERED_PEERS:
            self._refused.popitem(last=False)
        log.warning("refused an api token", peer=peer.address, problem=presented.value)

    def _note_accepted(self, peer: Peer) -> None:
        if peer.address in self._refused:
            del self._refused[peer.address]
            log.info("accepted an api token again", peer=peer.address)


def peer_of(request: web.Request) -> Peer:
    """Tell who is at the other end. A connection that is gone already counts as a stranger's."""
    sock = request.get_extra_info("socket")
    if sock is not None and sock.family == getattr(socket, "AF_UNIX", None):
        pid, uid = _credentials(sock)
        return Peer(unix=True, address="unix", local="unix", loopback=True, uid=uid, pid=pid)
    address = _host_of(request.get_extra_info("peername"))
    local = _host_of(request.get_extra_info("sockname"))
    forwarded = any(name in request.headers for name in _FORWARDED)
    return Peer(unix=False, address=address, local=local, loopback=_is_loopback(address) and not forwarded)


def _host_of(name: object) -> str:
    if not isinstance(name, tuple) or not name:
        return "unknown"
    host = str(name[0]).partition("%")[0]  # the zone of a link-local IPv6 address
    return str(_ip(host) or host)


def _credentials(sock: socket.socket) -> tuple[int | None, int | None]:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:  # not Linux
        return None, None
    try:
        pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _UCRED.size))
    except OSError:  # closed meanwhile
        return None, None
    return pid, uid


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a user of another namespace, or one that was removed
        return f"uid {uid}"


def _check_origin(request: web.Request) -> None:
    for origin in request.headers.getall("Origin", []):
        try:
            authority = urlsplit(origin).netloc.lower()
        except ValueError:
            authority = ""
        if not authority or authority != request.headers.get("Host", "").lower():
            raise Problem(HTTPStatus.FORBIDDEN, "wrong-origin", "a page of another site may not write here")


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _is_loopback(host: str) -> bool:
    address = _ip(host)
    return host == "localhost" if address is None else address.is_loopback


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an IP address, `::ffff:127.0.0.1` (IPv4 by an IPv6 socket) as the IPv4 one. None: it is a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
