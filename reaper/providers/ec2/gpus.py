"""Which of the CloudWatch agent's metrics are of which instance's GPUs. Pure.

The agent names a GPU by what its configuration says: with `append_dimensions` by InstanceId and other things; without
it only by `host`, the first part of which is that of the private DNS name (CloudWatch User Guide, "Collect NVIDIA GPU
metrics").
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from reaper.clients.aws import Metric
from reaper.clients.ec2 import TypeModel
from reaper.providers.ec2.evidence import Series
from reaper.providers.ec2.lives import Subject

__all__ = ["GpuMetrics", "by_gpu", "host_of", "may_be_divided", "none_of", "silent"]

_INSTALL = "install the CloudWatch agent with nvidia_gpu metrics (utilization_gpu), or end it by the rule age"

_ALL = ""
"""The name of what the agent adds up over all GPUs."""

_DIVISIBLE = re.compile(
    r"\b(?:A30|A100|A800|H20|H100|H200|H800|GH200|B200|B300|GB200|GB300|RTX PRO (?:Server )?(?:4500|5000|6000))\b"
)
"""GPUs that can be divided (NVIDIA Multi-Instance GPU User Guide, "Supported GPUs")."""


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
        indexes = {dict(metric.dimensions).get("index", _ALL) for metric in found}
        expected = 1 if kind is None else kind.gpus
        if _ALL not in indexes and len(indexes) < expected:
            return f"CloudWatch has metrics of {len(indexes)} of its {expected} GPUs only"
        return found


def by_gpu(told: Iterable[tuple[Metric, Series]], expected: int, since: datetime) -> dict[str, Series]:
    """Join the series of each GPU, of this life alone: the agent's configuration may have changed within it.

    ListMetrics names what had a datapoint in the last two weeks: also what an earlier configuration named otherwise,
    and GPUs of an earlier life on a greater type. Where all GPUs have datapoints, those without any are none of its.

    Args:
        told: Metrics and their series.
        expected: How many GPUs there are.
        since: When this life began.

    Returns:
        By the GPU's index; under an empty name what is added up over all of them.
    """
    found: dict[str, dict[datetime, float]] = {}
    for metric, series in told:
        one = found.setdefault(dict(metric.dimensions).get("index", _ALL), {})
        for at, value in series.items():
            if at >= since:
                one[at] = max(value, one.get(at, 0.0))
    alive = {index: one for index, one in found.items() if one and index != _ALL}
    whole = found.get(_ALL)
    if len(alive) >= expected:
        return {index: {**(whole or {}), **one} for index, one in alive.items()}
    if whole:
        return {_ALL: whole}
    return {index: one for index, one in found.items() if index != _ALL} or dict(found)


def may_be_divided(kind: TypeModel | None) -> bool:
    """Tell whether a type's GPUs can be in MIG mode, where their utilization is not told, or 0. Pure."""
    return kind is not None and _DIVISIBLE.search(kind.accelerators) is not None


def silent(gpus: Mapping[str, Series], told: Collection[str]) -> str | None:
    """Say which GPUs of a type that may be divided never showed anything but 0; None: none. Pure.

    Args:
        gpus: The series of each.
        told: GPUs that once showed more than 0 in this life.
    """
    names = sorted(gpus.keys() - set(told))
    if not names:
        return None
    which = "its GPUs" if names == [_ALL] else f"its GPU {', '.join(names)}"
    return (
        f"{which} showed nothing but 0 in this life: a GPU that is divided (MIG) shows that whatever it does, "
        "and only the rule age ends it"
    )


def host_of(name: str) -> str:
    """Give the part of a host's name that an agent and DNS agree on. Pure."""
    return name.partition(".")[0].lower()
