"""This host's processes: who they are, what they use, whom they serve, what they compute on.

Linux, read from /proc; elsewhere a snapshot is empty and says so (`ProcessTable.supported`), and
nothing is readable. Everything is synchronous: call it in a worker thread. Nothing here reads
the clock: instants are handed in.

A look goes like this::

    table = ProcessTable.snapshot(now=now, monotonic=monotonic, cache=cache)
    root = table.find_kernel(kernel_id)                      # or one of table.shells_of(server)
    sample = sample_tree(table, root)                        # keep it: sample.to_json()
    seen = classify(
        usage(previous, sample),
        gpu=gpu_evidence(table, root, look=gpus),                # gpus: asked at most once a look
        peers=served_peers(table, root, ignored_ports={8888}),
    )
    seen.activity, seen.text, seen.value
"""

from reaper.clients.host.evidence import Evidence, Thresholds, classify, quantise
from reaper.clients.host.gpu import Gpu, GpuLook, GpuReader, gpu_evidence
from reaper.clients.host.kernels import HostCache
from reaper.clients.host.peers import served_peers
from reaper.clients.host.processes import ProcessKey, ProcessTable
from reaper.clients.host.procfs import OpenFiles, ProcessStat
from reaper.clients.host.samples import (
    ProcessCounters,
    ProcessUse,
    TreeSample,
    TreeUsage,
    sample_tree,
    usage,
)

__all__ = [
    "Evidence",
    "Gpu",
    "GpuLook",
    "GpuReader",
    "HostCache",
    "OpenFiles",
    "ProcessCounters",
    "ProcessKey",
    "ProcessStat",
    "ProcessTable",
    "ProcessUse",
    "Thresholds",
    "TreeSample",
    "TreeUsage",
    "classify",
    "gpu_evidence",
    "quantise",
    "sample_tree",
    "served_peers",
    "usage",
]
