"""Notice a second reaper on the same server: each would count the other's holds and snoozes for nothing.

Who watches a server binds an abstract unix socket named after it: there is one such name for a network
namespace, nothing stays behind in a file system, and the kernel frees it when its process ends.
"""

import contextlib
import hashlib
import socket
import sys

__all__ = ["Marker"]

NOTE = "another reaper watches this server too: its holds and warnings are not ours; stop one of the two"


class Marker:
    """Our mark on one server."""

    def __init__(self, url: str) -> None:
        """Name the mark; nothing is bound yet."""
        self._name = "\0idle-reaper/" + hashlib.sha256(url.encode()).hexdigest()[:32]
        self._socket: socket.socket | None = None

    def notes(self) -> tuple[str, ...]:
        """Give what to tell: nothing where the mark is ours (or the system has no such sockets)."""
        return () if self._ours() else (NOTE,)

    def close(self) -> None:
        """Take the mark away."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ours(self) -> bool:
        if self._socket is not None or sys.platform != "linux":
            return True
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        with contextlib.ExitStack() as undo:
            undo.callback(mark.close)
            try:
                mark.bind(self._name)
            except OSError:
                return False
            undo.pop_all()
        self._socket = mark
        return True
