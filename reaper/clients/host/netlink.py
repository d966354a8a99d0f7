"""Ask the operating system's kernel for the TCP sockets of our own network namespace, listening and connected.

/proc/net/tcp and tcp6 tell the same, but each goes through all slots of the table of connections (half a million on a
big machine) and writes a text: four times as long as this, whoever is connected. Formats: linux/netlink.h,
linux/inet_diag.h; netlink(7), sock_diag(7).
"""

import os
import socket
import struct
from collections.abc import Iterator

from reaper.clients.host.sockets import Row

__all__ = ["tcp_rows"]

_NETLINK_SOCK_DIAG = 4
_TCPDIAG_GETSOCK = 18  # unlike its successor, SOCK_DIAG_BY_FAMILY, it gives IPv4 and IPv6 in one go
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_ESTABLISHED, _LISTEN = 1, 10

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_REQUEST = struct.Struct("=B51xI4x")  # struct inet_diag_req: the family, and a set of states
_SOCKET = struct.Struct("=BBxx2s2s16s16s28xI")  # struct inet_diag_msg: family, state, ports, addresses, inode
_ERROR = struct.Struct("=i")  # the begin of struct nlmsgerr: a negative errno
_TIMEOUT_S = 2.0
_MOST_BYTES = 1 << 18


def tcp_rows() -> Iterator[Row]:
    """Give each socket that listens or is connected.

    Raises:
        OSError: We may not ask, or this kernel does not answer.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(_TIMEOUT_S)
        request = _REQUEST.pack(socket.AF_INET, 1 << _ESTABLISHED | 1 << _LISTEN)
        size = _HEADER.size + len(request)
        link.sendto(_HEADER.pack(size, _TCPDIAG_GETSOCK, _REQUEST_DUMP, 1, 0) + request, (0, 0))
        while True:
            answer, at = link.recv(_MOST_BYTES), 0
            while at < len(answer):
                size, kind, *_ = _HEADER.unpack_from(answer, at)
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    (error,) = _ERROR.unpack_from(answer, at + _HEADER.size)
                    raise OSError(-error, os.strerror(-error))
                yield _row(*_SOCKET.unpack_from(answer, at + _HEADER.size))
                at += (size + 3) & ~3


def _row(family: int, state: int, port: bytes, peer_port: bytes, at: bytes, peer: bytes, inode: int) -> Row:
    if family == socket.AF_INET:
        at, peer = at[:4], peer[:4]
    return state == _LISTEN, at, int.from_bytes(port), peer, int.from_bytes(peer_port), inode
