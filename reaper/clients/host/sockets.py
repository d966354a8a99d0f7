"""Who listens and who is connected: the TCP sockets of one network namespace, and unix sockets by path. Pure.

Formats: Documentation/networking/proc_net_tcp.rst of the Linux source. Addresses are only compared, never shown:
they stay as whoever tells of them writes them.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["End", "Established", "Row", "Sockets", "text_rows", "unix_listeners"]

_ESTABLISHED = b"01"
_LISTEN = b"0A"
_ANYWHERE = (b"00000000", b"0" * 32, bytes(4), bytes(16))
_MAPPED = (b"0000000000000000FFFF0000", bytes(10) + b"\xff\xff")
"""The prefix ::ffff:0:0/96 of an IPv4 address seen through an IPv6 socket, in text and in bytes."""

_ACCEPTS = 0x10000
"""SO_ACCEPTCON in the Flags column of /proc/net/unix: the socket listens."""

Row = tuple[bool, bytes, int, bytes, int, int]
"""A TCP socket: whether it listens (else it is connected), local address and port, remote ones, inode."""


class End(NamedTuple):
    """One end of a connection; an IPv4 address looks the same through IPv4 and IPv6 sockets."""

    address: bytes
    port: int


class Established(NamedTuple):
    """A connection as one of its ends sees it.

    `inode` is 0 where nobody has accepted it yet.
    """

    local: End
    remote: End
    inode: int


class Sockets:
    """The TCP sockets of one network namespace at one instant.

    Attributes:
        listeners: Where each listening socket listens, by its inode.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        """Sort them; with 50 kernels there are a thousand, and mostly nobody asks for more than their ports."""
        self.listeners: dict[int, End] = {}
        self._established: dict[int, list[Row]] = {}
        for row in rows:
            listens, address, port, _, _, inode = row
            if listens:
                self.listeners[inode] = _end(address, port)
            else:
                self._established.setdefault(port, []).append(row)

    def has_peers(self, port: int) -> bool:
        """Tell whether there is a connection from or to a local port."""
        return port in self._established

    def peers_of(self, listener: int) -> Iterable[Established]:
        """Give the connections that came in through a listening socket, by its inode."""
        at = self.listeners[listener]
        for connection in self._connections(at.port):
            if at.address in _ANYWHERE or at.address == connection.local.address:
                yield connection

    def other_end(self, connection: Established) -> int | None:
        """Find the inode of a connection's other end, None where that is not in this namespace."""
        for candidate in self._connections(connection.remote.port):
            if candidate.local == connection.remote and candidate.remote == connection.local:
                return candidate.inode
        return None

    def _connections(self, port: int) -> Iterator[Established]:
        for _, address, _, peer, peer_port, inode in self._established.get(port, ()):
            yield Established(_end(address, port), _end(peer, peer_port), inode)


def _end(address: bytes, port: int) -> End:
    for mapped in _MAPPED:
        address = address.removeprefix(mapped)
    return End(address, port)


def text_rows(*tables: bytes) -> Iterator[Row]:
    """Read the texts of /proc/net/tcp and tcp6. Lines that can't be read are passed over."""
    for line in (line for table in tables for line in table.split(b"\n")):
        columns = line.split(None, 10)
        if len(columns) < 10 or columns[3] not in (_ESTABLISHED, _LISTEN):  # noqa: PLR2004 - the inode is the tenth
            continue
        (address, port), (peer, peer_port) = columns[1].split(b":"), columns[2].split(b":")
        yield columns[3] == _LISTEN, address, int(port, 16), peer, int(peer_port, 16), int(columns[9])


def unix_listeners(table: bytes, path: str) -> frozenset[int]:
    """Find the inodes of the sockets that listen at a path, in the text of /proc/net/unix."""
    found = set()
    for line in table.split(b"\n")[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[7] == path.encode() and int(fields[3], 16) & _ACCEPTS:  # noqa: PLR2004
            found.add(int(fields[6]))
    return frozenset(found)
