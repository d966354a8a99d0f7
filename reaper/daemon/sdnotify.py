"""Tell systemd how we are (`sd_notify(3)`): a datagram to the socket it names. Six lines of our own."""

import os
import socket

__all__ = ["notify", "watchdog_seconds"]

_PATIENCE_S = 0.2
"""A supervisor that does not read (its queue holds ten messages) must not hold up the daemon for longer."""


def notify(message: str) -> bool:
    """Send a state such as `READY=1` or `STATUS=...`; several are joined by newlines.

    Returns:
        Whether there is a supervisor that took it; false without `NOTIFY_SOCKET`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_PATIENCE_S)
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.sendall(message.encode())
    except OSError:
        return False
    return True


def watchdog_seconds() -> float | None:
    """Give how often systemd wants to hear `WATCHDOG=1` at the latest (half of `WATCHDOG_USEC`); None: never."""
    micros, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not micros.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(micros) / 2_000_000
