"""A client for one Jupyter server, and how to find the servers of this host."""

from reaper.clients.jupyter.address import ServerAddress, local_address, parse_address, saved_on_disk
from reaper.clients.jupyter.client import Deletion, JupyterClient
from reaper.clients.jupyter.discovery import Discovery, discover, other_homes, runtime_dirs, servers_here
from reaper.clients.jupyter.models import KernelModel, ServerStatus, SessionModel, TerminalModel

__all__ = [
    "Deletion",
    "Discovery",
    "JupyterClient",
    "KernelModel",
    "ServerAddress",
    "ServerStatus",
    "SessionModel",
    "TerminalModel",
    "discover",
    "local_address",
    "other_homes",
    "parse_address",
    "runtime_dirs",
    "saved_on_disk",
    "servers_here",
]
