"""CloudWatch's metrics of a fleet: what instances do (`Usage`), as datapoints, and what tests put beside it."""

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
        key = (query.namespace, query.name, query.dimensions)
        periods: dict[datetime, list[float]] = {}
        if (put := self._put.get(shard.place, {}).get(key)) is not None:
            for at, value in put:
                periods.setdefault(floor(at, query.period), []).append(value)
        elif (metric := self._find(shard, query)) is not None:
            for at, values in self._minutes(metric, start, end, now, query.period):
                periods.setdefault(floor(at, query.period), []).extend(values)
        return [
            (begins, statistic(query.stat, periods[begins]))
            for begins in sorted(periods)
            if start <= begins < end
        ]

    def status_of(self, query: Query) -> str:
        """Give the StatusCode of a query."""
        for name, value in query.dimensions:
            if name == "InstanceId" and value in self.status:
                return self.status[value]
        return "Complete"

    def all(self, shard: Shard) -> Iterator[Metric]:
        """Give every metric that there is."""
        put = self._put.get(shard.place, {})
        for namespace, name, dimensions in put:
            yield Metric(namespace=namespace, name=name, dimensions=tuple(sorted(dimensions)))
        for instance in shard.instances.values():
            yield from (metric for metric in _of(instance) if metric.key not in put)

    def newest(self, shard: Shard, metric: Metric, now: datetime) -> datetime | None:
        """Tell when a metric's newest datapoint begins, of the last three hours."""
        if metric.instance is None:
            return max((at for at, _ in self._put[shard.place][metric.key] if at <= now), default=None)
        since = now - timedelta(hours=3)
        return max((at for at, _ in self._minutes(metric, since, now, now, _MINUTE)), default=None)

    def _find(self, shard: Shard, query: Query) -> Metric | None:
        names = dict(query.dimensions)
        instance = shard.instances.get(names.get("InstanceId", ""))
        if instance is None and "host" in names:
            instance = next(
                (one for one in shard.instances.values() if one.private_dns == names["host"]), None
            )
        if instance is None:
            return None
        key = (query.namespace, query.name, query.dimensions)
        return next((metric for metric in _of(instance) if metric.key == key), None)

    def _minutes(
        self, metric: Metric, start: datetime, end: datetime, now: datetime, wanted: timedelta
    ) -> Iterator[tuple[datetime, list[float]]]:
        """Give the values of each period of the metric itself: one for each minute of it."""
        instance = metric.instance
        if instance is None:
            raise Unsupported("a series of its own has no minutes")
        lag = self.lag if instance.usage.lag is None else instance.usage.lag
        count = int(metric.period / _MINUTE)
        for begun, ended in instance.lives:
            at = floor(max(begun, floor(start, wanted)), metric.period)
            last = min(
                end if ended is None else min(end, ended),
                now - lag - metric.period + timedelta(microseconds=1),
            )
            while at < last:
                value = value_at(metric.load, at)
                if value is not None:
                    yield at, [float(value)] * count
                at += metric.period


def _of(instance: Instance) -> Iterator[Metric]:
    """Give the metrics of an instance."""
    if instance.state == "pending":
        return
    usage = instance.usage
    period = _MINUTE if instance.detailed else _BASIC
    dimensions = (("InstanceId", instance.id),)
    for name, attribute in _PLAIN.items():
        load: Load | None = getattr(usage, attribute)
        if load is not None:
            yield Metric(
                namespace="AWS/EC2",
                name=name,
                dimensions=dimensions,
                instance=instance,
                load=load,
                period=period,
            )
    for index, load in enumerate(usage.gpus):
        gpu = instance.known_type.gpu if instance.known_type is not None else "A10G"
        own: tuple[tuple[str, str], ...] = (
            (("host", instance.private_dns),)
            if usage.agent_names_host
            else (("InstanceId", instance.id), ("ImageId", instance.image), ("InstanceType", instance.type))
        )
        card = (
            ("name", f"NVIDIA {gpu}"),
            ("index", str(index)),
            ("arch", _ARCHITECTURES.get(gpu, "Ada Lovelace")),
        )
        yield Metric(namespace=_AGENT, name=_GPU, dimensions=own + card, instance=instance, load=load)
