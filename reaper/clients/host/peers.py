"""Who is connected to what a tree of processes serves: TensorBoard, Streamlit, a page of any kind.

A listening TCP socket of the tree with an established peer is activity: somebody has the page open.
That peer may be a local process, such as the Jupyter server that relays for a browser. No peers are:

- the Jupyter server on a kernel's own ports (they stand in its connection file), and anybody else
  there: consoles, several clients;
- both ends in the same tree: a local cluster's scheduler and workers, a debugger. So what a Jupyter
  server's child serves through the server is asked of that child, not of the server.

Not seen: what is served on a unix socket, pages that poll and hang up between two looks, and
processes of the tree that have a network namespace of their own.
"""

from collections.abc import Collection

from reaper.clients.host.evidence import Evidence
from reaper.clients.host.processes import ProcessKey, ProcessTable
from reaper.clients.host.sockets import Sockets

__all__ = ["served_peers"]

_SURE = 2
"""At so many looks a tree must not have held a socket: during one it may go from a parent to a child just born."""


def served_peers(
    table: ProcessTable,
    root: ProcessKey,
    *,
    ignored_ports: Collection[int] = (),
) -> Evidence:
    """Say whether anybody is connected to a port that a tree serves.

    Open files are listed only if a listening socket that may be the tree's has a peer at all.

    Args:
        table: The processes at this instant.
        root: The top of the tree.
        ignored_ports: Ports that say nothing, such as the Jupyter server's own.

    Returns:
        `active` with the ports, `idle`, or `unknown` where open files or a kernel's connection file
        can't be read and could matter.
    """
    found = table.served(root)
    if found is None:
        return _unseen("the host's table of sockets can't be read: it could serve somebody")
    sockets, served_to_anybody = found
    elsewhere = table.held_elsewhere(root, sockets)
    candidates = {
        inode
        for inode in served_to_anybody
        if elsewhere[inode] < _SURE and sockets.listeners[inode].port not in ignored_ports
    }
    if not candidates:
        return _nobody()
    open_sockets: dict[int, frozenset[int]] = {}
    unreadable: list[ProcessKey] = []
    for key in table.tree(root):
        files = table.files.open_files(key.pid)
        if files is None:
            unreadable.append(key)
        else:
            open_sockets[key.pid] = files.sockets
    if not unreadable:
        elsewhere.update(candidates.difference(*open_sockets.values()))
    served = _served(sockets, candidates, open_sockets)
    unnamed = {pid for pid, ports in table.kernel_ports().items() if ports is None}
    doubtful = {port for port, holders in served.items() if holders & unnamed}
    certain = sorted(served.keys() - doubtful)
    if certain:
        ports = ", ".join(map(str, certain))
        return Evidence(
            activity="active",
            text=f"somebody is connected to port {ports} that it serves",
            value={"served_ports": certain},
        )
    if doubtful:
        text = "its connection file can't be read: who is connected to it can't be told from its server"
        return Evidence(activity="unknown", text=text, value={"peers": "no connection file"})
    if unreadable:
        return _unseen(f"the open files of pid {unreadable[0].pid} can't be read: it could serve somebody")
    return _nobody()


def _nobody() -> Evidence:
    return Evidence(activity="idle", text="nobody is connected to a port that it serves")


def _unseen(text: str) -> Evidence:
    return Evidence(activity="unknown", text=text, value={"peers": "unreadable"})


def _served(
    sockets: Sockets,
    candidates: Collection[int],
    open_sockets: dict[int, frozenset[int]],
) -> dict[int, set[int]]:
    """Find the tree's ports that have a peer outside of it, each with the processes that hold it."""
    ours = frozenset().union(*open_sockets.values())
    served: dict[int, set[int]] = {}
    for inode in ours.intersection(candidates):
        for connection in sockets.peers_of(inode):
            accepted_by_another = connection.inode != 0 and connection.inode not in ours
            if not accepted_by_another and sockets.other_end(connection) not in ours:
                holders = {pid for pid, inodes in open_sockets.items() if inode in inodes}
                served.setdefault(sockets.listeners[inode].port, set()).update(holders)
                break
    return served
