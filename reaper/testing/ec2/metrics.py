"""CloudWatch's metrics of a fleet: what instances do (`Usage`), as datapoints, and what tests put beside it."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.testing.aws_wire.cloudwatch import Points, Query, floor, statistic
from reaper.testing.aws_wire.faults import Unsupported
from reaper.testing.ec2.instance import Instance, Place
from reaper.testing.ec2.shard import Shard
from reaper.testing.ec2.usage import Load, value_at

__all__ = ["Metric", "Metrics"]

_MINUTE = timedelta(minutes=1)
_BASIC = timedelta(minutes=5)
_EC2 = "AWS/EC2"
_EBS = "AWS/EBS"
_AGENT = "CWAgent"
_GPU = "nvidia_smi_utilization_gpu"
_ARCHITECTURES = {"A10G": "Ampere", "A100": "Ampere", "T4": "Turing", "V100": "Volta", "H100": "Hopper"}
_PLAIN = {
    "CPUUtilization": "cpu",
    "NetworkIn": "network_in",
    "NetworkOut": "network_out",
    "EBSReadBytes": "ebs_read",
    "EBSWriteBytes": "ebs_write",
}

_Key = tuple[str, str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric that exists.

    Attributes:
        namespace: `AWS/EC2`, `CWAgent`.
        name: Its name.
        dimensions: Its dimensions, in CloudWatch's order.
        instance: Whose it is; None: a test's own series.
        load: What it is of.
        period: Of its datapoints.
    """

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    instance: Instance | None = None
    load: Load = 0.0
    period: timedelta = _MINUTE

    @property
    def key(self) -> _Key:
        """What names it: the order of dimensions does not matter."""
        return self.namespace, self.name, frozenset(self.dimensions)


class Metrics:
    """Datapoints of a fleet.

    Args:
        lag: How far they lag behind.

    Attributes:
        lag: The same; may be set.
        asked: How many metrics GetMetricData was asked for: $0.01 a thousand.
        status: StatusCode by id of an instance, for answers that are not `Complete`.
    """

    def __init__(self, lag: timedelta) -> None:
        self.lag = lag
        self.asked = 0
        self.status: dict[str, str] = {}
        self._put: dict[Place, dict[_Key, list[tuple[datetime, float]]]] = {}

    def put(
        self,
        place: Place,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        points: Mapping[datetime, float],
    ) -> None:
        """Record datapoints of a series of its own, which hide what an instance of the same dimensions does."""
        series = self._put.setdefault(place, {}).setdefault(
            (namespace, name, frozenset(dimensions.items())), []
        )
        series += points.items()

    def points(self, shard: Shard, query: Query, start: datetime, end: datetime, now: datetime) -> Points:
        """Give the datapoints of a query whose periods begin from start until before end."""
        periods: dict[datetime, list[float]] = {}
        put = self._put.get(shard.place, {}).get((query.namespace, query.name, query.dimensions))
        if put is not None:
            for at, value in put:
                periods.setdefault(floor(at, query.period), []).append(value)
        elif (metric := self._find(shard, query)) is not None:
            if (steady := self._steady(metric, query, start, end, now)) is not None:
                return steady
            for at, values in self._minutes(metric, start, end, now, query.period):
                periods.setdefault(floor(at, query.period), []).extend(values)
        begins = tuple(at for at in sorted(periods) if start <= at < end)
        return Points(begins, tuple(statistic(query.stat, periods[at]) for at in begins))

    def _steady(
        self, metric: Metric, query: Query, start: datetime, end: datetime, now: datetime
    ) -> Points | None:
        """Give the datapoints of what never changes, quickly; None: it does, or is asked for in another way."""
        instance, load = metric.instance, metric.load
        if callable(load) or instance is None or len(instance.lives) != 1 or query.period != metric.period:
            return None
        begun, ended = instance.lives[0]
        until = min(end if ended is None else min(end, ended), self._told_until(metric, now))
        begins = _grid(max(floor(begun, query.period), start), until, query.period)
        value = statistic(query.stat, [float(load)] * int(metric.period / _MINUTE))
        return Points(begins, (value,) * len(begins))

    def _told_until(self, metric: Metric, now: datetime) -> datetime:
        """Tell before which instant a period must begin, so that its datapoint is there now."""
        own = None if metric.instance is None else metric.instance.usage.lag
        lag = self.lag if own is None else own
        return now - lag - metric.period + timedelta(microseconds=1)

    def status_of(self, query: Query) -> str:
        """Give the StatusCode of a query."""
        for name, value in query.dimensions:
            if name == "InstanceId" and value in self.status:
                return self.status[value]
        return "Complete"

    def all(self, shard: Shard, namespace: str = "") -> Iterator[Metric]:
        """Give every metric that there is, or at least those of a namespace."""
        put = self._put.get(shard.place, {})
        for space, name, dimensions in put:
            yield Metric(namespace=space, name=name, dimensions=tuple(sorted(dimensions)))
        for instance in shard.with_gpus() if namespace == _AGENT else shard.everything():
            for metric in _of(instance, namespace):
                if not put or metric.key not in put:
                    yield metric

    def newest(self, shard: Shard, metric: Metric, now: datetime) -> datetime | None:
        """Tell when a metric's newest datapoint begins, of the last three hours."""
        if metric.instance is None:
            return max((at for at, _ in self._put[shard.place][metric.key] if at <= now), default=None)
        lives = metric.instance.lives
        if not callable(metric.load) and lives and lives[-1][1] is None:
            newest = floor(self._told_until(metric, now) - timedelta(microseconds=1), metric.period)
            return newest if newest >= floor(lives[-1][0], metric.period) else None
        since = now - timedelta(hours=3)
        return max((at for at, _ in self._minutes(metric, since, now, now, _MINUTE)), default=None)

    def _find(self, shard: Shard, query: Query) -> Metric | None:
        names = dict(query.dimensions)
        instance = shard.peek(names.get("InstanceId", ""))
        if instance is None and "VolumeId" in names:
            volume = names["VolumeId"]
            instance = next((one for one, own in shard.volumes() if own.id == volume), None)
        if instance is None and "host" in names:
            instance = next(
                (one for one in shard.instances.values() if one.private_dns == names["host"]), None
            )
        if instance is None:
            return None
        key = (query.namespace, query.name, query.dimensions)
        return next((metric for metric in _of(instance, query.namespace) if metric.key == key), None)

    def _minutes(
        self, metric: Metric, start: datetime, end: datetime, now: datetime, wanted: timedelta
    ) -> Iterator[tuple[datetime, list[float]]]:
        """Give the values of each period of the metric itself: one for each minute of it."""
        instance = metric.instance
        if instance is None:
            raise Unsupported("a series of its own has no minutes")
        count = int(metric.period / _MINUTE)
        for begun, ended in instance.lives:
            at = floor(max(begun, floor(start, wanted)), metric.period)
            last = min(end if ended is None else min(end, ended), self._told_until(metric, now))
            while at < last:
                value = value_at(metric.load, at)
                if value is not None:
                    yield at, [float(value)] * count
                at += metric.period


@functools.lru_cache(maxsize=64)
def _grid(start: datetime, end: datetime, period: timedelta) -> tuple[datetime, ...]:
    """Give the begins of periods from an instant until before another."""
    first = floor(start, period)
    first = first if first == start else first + period
    return tuple(first + number * period for number in range(max(0, -((first - end) // period))))


def _of(instance: Instance, namespace: str) -> Iterator[Metric]:
    """Give the metrics of an instance, in a namespace or in all."""
    if instance.state == "pending":
        return
    usage = instance.usage
    if namespace in {"", _EC2}:
        period = _MINUTE if instance.detailed else _BASIC
        dimensions = (("InstanceId", instance.id),)
        for name, attribute in _PLAIN.items():
            load: Load | None = getattr(usage, attribute)
            if load is not None:
                yield Metric(
                    namespace=_EC2,
                    name=name,
                    dimensions=dimensions,
                    instance=instance,
                    load=load,
                    period=period,
                )
    if namespace in {"", _EBS}:
        yield from _volumes(instance)
    if namespace in {"", _AGENT}:
        yield from _gpus(instance)


def _volumes(instance: Instance) -> Iterator[Metric]:
    """Give what EBS tells of an instance's volumes."""
    for volume in instance.volumes:
        for name, load in (
            ("VolumeReadBytes", instance.usage.volume_read),
            ("VolumeWriteBytes", instance.usage.volume_write),
        ):
            if load is not None:
                yield Metric(
                    namespace=_EBS,
                    name=name,
                    dimensions=(("VolumeId", volume.id),),
                    instance=instance,
                    load=load,
                )


def _gpus(instance: Instance) -> Iterator[Metric]:
    """Give what CloudWatch's agent tells of an instance's GPUs."""
    usage = instance.usage
    gpu = instance.known_type.gpu if instance.known_type is not None else "A10G"
    own: tuple[tuple[str, str], ...] = (
        (("host", instance.private_dns),)
        if usage.agent_names_host
        else (("InstanceId", instance.id), ("ImageId", instance.image), ("InstanceType", instance.type))
    )
    name, arch = ("name", f"NVIDIA {gpu}"), ("arch", _ARCHITECTURES.get(gpu, "Ada Lovelace"))
    for index, load in enumerate(usage.gpus):
        yield Metric(
            namespace=_AGENT,
            name=_GPU,
            dimensions=(*own, name, ("index", str(index)), arch),
            instance=instance,
            load=load,
        )
