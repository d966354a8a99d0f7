"""Which of the CloudWatch agent's metrics are of which instance's GPUs. Pure.

The agent names a GPU by what its configuration says: with `append_dimensions` by InstanceId and other things; without
it only by `host`, the first part of which is that of the private DNS name (CloudWatch User Guide, "Collect NVIDIA GPU
metrics").
"""

from collections.abc import Iterable, Sequence

from reaper.clients.aws import Metric
from reaper.clients.ec2 import TypeModel
from reaper.providers.ec2.lives import Subject

__all__ = ["GpuMetrics", "host_of", "none_of"]

_INSTALL = "install the CloudWatch agent with nvidia_gpu metrics (utilization_gpu), or end it by the rule age"


def none_of(kind: TypeModel | None) -> str | None:
    """Say why a type's accelerators have no metric that is known; None: they may have one."""
    if kind is None:
        return "its type can't be described, so whether it has GPUs is not known"
    if kind.accelerators and not kind.gpus:
        return f"nothing tells what its accelerators do ({kind.accelerators}): only the rule age ends it"
    return None


class GpuMetrics:
    """The metrics of all GPUs in a region.

    Args:
        listed: As ListMetrics gives them.
        shared_hosts: Host names that several instances have: nothing tells whose metrics theirs are.
    """

    def __init__(self, listed: Iterable[Metric], shared_hosts: frozenset[str] = frozenset()) -> None:
        self._shared_hosts = shared_hosts
        self._by_instance: dict[str, list[Metric]] = {}
        self._by_host: dict[str, list[Metric]] = {}
        for metric in listed:
            named = dict(metric.dimensions)
            if "InstanceId" in named:
                self._by_instance.setdefault(named["InstanceId"], []).append(metric)
            elif "host" in named:
                self._by_host.setdefault(host_of(named["host"]), []).append(metric)

    def of(self, subject: Subject) -> Sequence[Metric] | str:
        """Give the metrics of an instance's GPUs; a text is why they can't be told."""
        instance, kind = subject.instance, subject.kind
        host = host_of(instance.private_dns)
        found = self._by_instance.get(instance.id) or (self._by_host.get(host) if host else None)
        if not found:
            return f"CloudWatch has no metric of its GPUs: {_INSTALL}"
        if instance.id not in self._by_instance and host in self._shared_hosts:
            return f"several instances are called {host}: the CloudWatch agent must append the dimension InstanceId"
        whole = [metric for metric in found if "index" not in dict(metric.dimensions)]
        if whole:  # the agent adds up over GPUs, and the greatest is that of all
            return whole
        indexes = {dict(metric.dimensions)["index"] for metric in found}
        expected = 1 if kind is None else kind.gpus
        if len(indexes) < expected:
            return f"CloudWatch has metrics of {len(indexes)} of its {expected} GPUs only"
        return found


def host_of(name: str) -> str:
    """Give the part of a host's name that an agent and DNS agree on. Pure."""
    return name.partition(".")[0].lower()
