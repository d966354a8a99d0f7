"""Read the kernel's tables of sockets: /proc/net/tcp, tcp6 and unix. Pure.

Formats: Documentation/networking/proc_net_tcp.rst of the Linux source. Addresses stay the
kernel's own hexadecimal words: they are only compared, never shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["End", "Established", "Sockets", "read_tcp", "unix_listeners"]

_ESTABLISHED = b"01"
_LISTEN = b"0A"
_ANYWHERE = (b"00000000", b"0" * 32)
_MAPPED = b"0000000000000000FFFF0000"
"""How the kernel writes the prefix ::ffff:0:0/96 of an IPv4 address seen through an IPv6 socket."""

_ACCEPTS = 0x10000
"""SO_ACCEPTCON in the Flags column of /proc/net/unix: the socket listens."""


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sockets:
    """The TCP sockets of one network namespace at one instant. Hashed by identity.

    Attributes:
        listeners: Where each listening socket listens, by its inode.
        established: Connections by their local port.
    """

    listeners: Mapping[int, End]
    established: Mapping[int, tuple[Established, ...]]

    def peers_of(self, listener: int) -> Iterable[Established]:
        """Give the connections that came in through a listening socket, by its inode."""
        at = self.listeners[listener]
        for connection in self.established.get(at.port, ()):
            if at.address in _ANYWHERE or at.address == connection.local.address:
                yield connection

    def other_end(self, connection: Established) -> int | None:
        """Find the inode of a connection's other end, None where that is not in this namespace."""
        for candidate in self.established.get(connection.remote.port, ()):
            if candidate.local == connection.remote and candidate.remote == connection.local:
                return candidate.inode
        return None


def _end(text: bytes) -> End:
    address, _, port = text.partition(b":")
    return End(address.removeprefix(_MAPPED), int(port, 16))


def read_tcp(*tables: bytes) -> Sockets:
    """Read the texts of /proc/net/tcp and tcp6. Lines that can't be read are passed over."""
    listeners: dict[int, End] = {}
    established: dict[int, list[Established]] = {}
    for table in tables:
        for line in table.split(b"\n")[1:]:
            fields = line.split(None, 10)
            if len(fields) < 10:  # noqa: PLR2004 - the inode is the tenth column
                continue
            if fields[3] == _LISTEN:
                listeners[int(fields[9])] = _end(fields[1])
            elif fields[3] == _ESTABLISHED:
                local = _end(fields[1])
                established.setdefault(local.port, []).append(
                    Established(local, _end(fields[2]), int(fields[9])),
                )
    return Sockets(listeners=listeners, established={port: tuple(rows) for port, rows in established.items()})


def unix_listeners(table: bytes, path: str) -> frozenset[int]:
    """Find the inodes of the sockets that listen at a path, in the text of /proc/net/unix."""
    found = set()
    for line in table.split(b"\n")[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[7] == path.encode() and int(fields[3], 16) & _ACCEPTS:  # noqa: PLR2004
            found.add(int(fields[6]))
    return frozenset(found)
