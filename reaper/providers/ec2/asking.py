"""Ask CloudWatch about instances: as few metrics as possible, for each one costs.

CPU first. Who computes is not asked further; the others are: network, EBS and, where there are accelerators, GPUs.
And nobody is asked about before the shortest timeout has passed since the latest activity that is known, nor who is
never acted on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from reaper.clients.aws import Aws, Metric, read_metrics
from reaper.clients.ec2 import gpu_metrics
from reaper.core.model import Activity
from reaper.errors import CollectError
from reaper.providers.ec2.evidence import (
    HOUR,
    PERIOD,
    Known,
    Point,
    Said,
    Series,
    at_work,
    busy_bytes,
    fold,
    fresh,
    judge,
    lag,
)
from reaper.providers.ec2.gpus import GpuMetrics, by_gpu, may_be_divided, none_of, silent
from reaper.providers.ec2.lives import Life, Lives, Subject
from reaper.providers.ec2.options import Thresholds

__all__ = ["CPU", "EBS", "GPU", "NETWORK", "Asking"]

CPU, GPU, NETWORK, EBS = "cpu", "gpu", "network", "ebs"

_SPANS = tuple(timedelta(hours=hours) for hours in (3, 12, 48, 8 * 24, 63 * 24))
"""One call asks about one stretch of time: who needs about as much goes together. CloudWatch keeps 63 days."""

_AHEAD = timedelta(minutes=5)
"""How far ahead of our clock CloudWatch's may be."""

_COUNTS: Mapping[str, tuple[str, ...]] = {
    NETWORK: ("NetworkIn", "NetworkOut"),
    EBS: ("EBSReadBytes", "EBSWriteBytes"),
}
_VOLUME_COUNTS = ("VolumeReadBytes", "VolumeWriteBytes")

_EMPTY = "not enough samples: CloudWatch's answer has none of the last 15 minutes, where earlier ones had"

Key = tuple[str, int]
"""Instance, number of the series."""

_Wanted = tuple[str, Metric]
"""A signal and one of its metrics."""

_Answer = dict[str, list[Series | str]]
"""The series of each signal; a text is why one can't be known."""


class Asking:
    """What CloudWatch tells of one account's instances in one region.

    Args:
        aws: How to ask.
        region: Where.
        thresholds: From when on something is work.
        lives: What is remembered.

    Attributes:
        shared_hosts: Host names that several instances have, in different networks.
    """

    shared_hosts: frozenset[str] = frozenset()

    def __init__(self, aws: Aws, region: str, thresholds: Thresholds, lives: Lives) -> None:
        self._aws = aws
        self._region = region
        self._thresholds = thresholds
        self._lives = lives

    async def ask(
        self, subjects: Sequence[Subject], now: datetime, *, all_at_once: bool, deadline_s: float
    ) -> dict[str, dict[str, Said]]:
        """Say of each instance what its signals say.

        Args:
            subjects: Running instances whose activity matters.
            now: The look's instant.
            all_at_once: Ask about each of them, all there is: the look right before an act.
            deadline_s: How long that may take; what is not there by then is UNKNOWN.

        Returns:
            By instance and signal. What was not asked about is said again, if it was idleness.
        """
        round_ = _Round(self, now, deadline_s, afresh=all_at_once)
        due = [one for one in subjects if not one.spared and (all_at_once or self._due(one, now))]
        await round_.ask(due, (CPU,) if not all_at_once else (CPU, NETWORK, EBS, GPU))
        if not all_at_once:
            quiet = [one for one in due if _quiet(round_.said.get(one.instance.id, {}).get(CPU), one, now)]
            await round_.ask(quiet, (NETWORK, EBS, GPU))
        found = {}
        for one in subjects:
            if one.spared:
                found[one.instance.id] = self._lives.of(one).unasked(now, CPU, one.spared)
                continue
            asked = round_.said.get(one.instance.id, {})
            known = self._lives.known(one.instance.id)
            found[one.instance.id] = asked | (known.remembered(now, asked) if known else {})
        return found

    def _due(self, subject: Subject, now: datetime) -> bool:
        timeouts = subject.timeouts
        return timeouts.asks and now - self._lives.of(subject).active_at() >= timeouts.ask_after

    async def read(
        self, wanted: Mapping[Key, Metric], start: datetime, end: datetime, until: float
    ) -> Mapping[Key, Series | str]:
        """Read series; a text is why one can't be known. Until when is on the event loop's clock."""
        return await read_metrics(
            self._aws, self._region, wanted, start=start, end=end, period=PERIOD, until=until
        )

    async def gpus(self) -> GpuMetrics:
        """Find out which metrics of GPUs there are."""
        return GpuMetrics(await gpu_metrics(self._aws, self._region), self.shared_hosts)

    def settle(
        self, subject: Subject, signal: str, points: Sequence[Point], now: datetime, *, afresh: bool
    ) -> Said:
        """Count what was answered, keep it, and say what it says.

        Args:
            subject: Of whom.
            signal: Of what.
            points: What was answered.
            now: The look's instant.
            afresh: Idleness must show in this very answer: an earlier one's datapoint may be of before.
        """
        life = self._lives.of(subject)
        known = life.known.get(signal) or self.begin(subject, now)
        life.known[signal], held = fold(known, points, now)
        life.said[signal] = judge(
            held,
            now,
            whole_for=subject.timeouts.ask_after,
            what=self._work(signal),
            none=f"CloudWatch has no datapoint of its {signal}",
        )
        if afresh and life.said[signal].activity is Activity.IDLE and not fresh(points, now):
            life.said[signal] = Said(Activity.UNKNOWN, None, _EMPTY)
        life.lag = max(life.lag, lag([held], now))
        return life.said[signal]

    def begin(self, subject: Subject, now: datetime) -> Known:
        """Begin to count: at the launch, or as far back as matters."""
        span = min(max(subject.timeouts.look_back, HOUR), _SPANS[-1] - HOUR)
        return Known.begin(max(subject.launched_at, now - span))

    def life(self, subject: Subject) -> Life:
        """Give what is remembered of an instance."""
        return self._lives.of(subject)

    def points(self, subject: Subject, signal: str, series: Sequence[Series]) -> list[Point] | str:
        """Find work in series, of this life alone; a text is why it can't be told."""
        begun = subject.launched_at
        series = [{at: value for at, value in one.items() if at >= begun} for one in series]
        match signal:
            case "cpu":
                vcpus = subject.vcpus
                if not vcpus:
                    return "how many vCPUs it has is not known"
                return at_work(series, self._thresholds.cpu_cores * 100.0 / vcpus)
            case "gpu":
                return at_work(series, self._thresholds.gpu_percent)
            case _:
                return busy_bytes(series, self._thresholds.bytes_per_hour)

    def _work(self, signal: str) -> str:
        match signal:
            case "cpu":
                return f"{self._thresholds.cpu_cores:g} cores"
            case "gpu":
                return f"{self._thresholds.gpu_percent:g} % of a GPU"
            case _:
                return f"{self._thresholds.bytes_per_hour / 1e6:g} MB an hour"


def _quiet(said: Said | None, subject: Subject, now: datetime) -> bool:
    if said is None or said.activity is not Activity.IDLE or said.evidence_at is None:
        return False
    return now - said.evidence_at >= subject.timeouts.ask_after


class _Round:
    """The questions of one look."""

    def __init__(self, asking: Asking, now: datetime, deadline_s: float, *, afresh: bool) -> None:
        self.said: dict[str, dict[str, Said]] = {}
        self._asking = asking
        self._now = now
        self._afresh = afresh
        self._until = asyncio.get_running_loop().time() + deadline_s
        self._deadline_s = deadline_s

    async def ask(self, subjects: Sequence[Subject], signals: Sequence[str]) -> None:
        """Ask about signals of instances, and note what they say."""
        gpus = await self._gpu_metrics(subjects) if GPU in signals else {}
        wanted = {
            one.instance.id: [*_metrics(one, signals), *gpus.get(one.instance.id, ())] for one in subjects
        }
        series = await self._read(subjects, wanted)
        silent = [one for one in subjects if EBS in signals and _tells_nothing(series[one.instance.id], one)]
        volumes = {one.instance.id: _volume_metrics(one) for one in silent}
        by_volume = await self._read(silent, volumes) if silent else {}
        for one in subjects:
            answer = series[one.instance.id]
            told = by_volume.get(one.instance.id)
            for signal in signals:
                if signal == EBS and told is not None:
                    self._settle(one, EBS, _joined(told[EBS], answer.get(NETWORK, ())))
                elif signal == GPU and GPU in answer:
                    self._settle_gpus(one, [metric for _, metric in gpus[one.instance.id]], answer[GPU])
                elif signal in answer:
                    self._settle(one, signal, answer[signal])

    async def _gpu_metrics(self, subjects: Sequence[Subject]) -> dict[str, list[_Wanted]]:
        """Find the series of those who have accelerators; say of the others why there are none."""
        accelerated = [one for one in subjects if one.kind is None or one.kind.accelerators]
        if not accelerated:
            return {}
        try:
            async with asyncio.timeout_at(self._until):
                listed: GpuMetrics | str = await self._asking.gpus()
        except TimeoutError:
            listed = self._too_late()
        except CollectError as error:
            listed = str(error)
        wanted: dict[str, list[_Wanted]] = {}
        for one in accelerated:
            found = none_of(one.kind) or (listed if isinstance(listed, str) else listed.of(one))
            if isinstance(found, str):
                self._say(one, GPU, Said(Activity.UNKNOWN, None, found))
            else:
                wanted[one.instance.id] = [(GPU, metric) for metric in found]
        return wanted

    async def _read(
        self, subjects: Sequence[Subject], wanted: Mapping[str, Sequence[_Wanted]]
    ) -> dict[str, _Answer]:
        """Read the series of each instance by signal, each over as long a time as it needs."""
        groups: dict[timedelta, dict[Key, Metric]] = {}
        for one in subjects:
            name = one.instance.id
            group = groups.setdefault(self._span(one, {signal for signal, _ in wanted[name]}), {})
            group |= {(name, number): metric for number, (_, metric) in enumerate(wanted[name])}
        answers: dict[Key, Series | str] = {}
        for span, metrics in groups.items():
            if metrics:
                answers |= await self._bounded(metrics, span)
        found: dict[str, _Answer] = {}
        for one in subjects:
            by_signal = found[one.instance.id] = {}
            for number, (signal, _) in enumerate(wanted[one.instance.id]):
                by_signal.setdefault(signal, []).append(answers[one.instance.id, number])
        return found

    def _span(self, subject: Subject, signals: set[str]) -> timedelta:
        known = self._asking.life(subject).known
        begun = [known[signal].settled_at for signal in signals & known.keys()]
        if signals - known.keys():
            begun.append(self._asking.begin(subject, self._now).settled_at)
        needs = (
            self._now - min(begun, default=self._now) + 2 * HOUR
        )  # to the hour, and one for a rolling hour
        return next((span for span in _SPANS if needs <= span), _SPANS[-1])

    async def _bounded(self, wanted: Mapping[Key, Metric], span: timedelta) -> Mapping[Key, Series | str]:
        start = self._now.replace(minute=0, second=0, microsecond=0) - span
        try:
            return await self._asking.read(wanted, start, self._now + _AHEAD, self._until)
        except TimeoutError:
            why = self._too_late()
        except CollectError as error:
            why = str(error)
        return dict.fromkeys(wanted, why)

    def _too_late(self) -> str:
        return f"CloudWatch gave no complete answer within {self._deadline_s:g} s"

    def _settle(self, subject: Subject, signal: str, series: Sequence[Series | str]) -> None:
        told: list[Series] = []
        for one in series:
            if isinstance(one, str):
                self._say(subject, signal, Said(Activity.UNKNOWN, None, one))
                return
            told.append(one)
        points = self._asking.points(subject, signal, told)
        if isinstance(points, str):
            self._say(subject, signal, Said(Activity.UNKNOWN, None, points))
            return
        said = self._asking.settle(subject, signal, points, self._now, afresh=self._afresh)
        self._say(subject, signal, said)

    def _settle_gpus(
        self, subject: Subject, metrics: Sequence[Metric], series: Sequence[Series | str]
    ) -> None:
        told = [
            (metric, one) for metric, one in zip(metrics, series, strict=True) if not isinstance(one, str)
        ]
        if len(told) < len(series):
            self._settle(subject, GPU, series)
            return
        found = by_gpu(told, 1 if subject.kind is None else subject.kind.gpus, subject.launched_at)
        life = self._asking.life(subject)
        life.gpus |= {index for index, one in found.items() if any(value > 0 for value in one.values())}
        self._settle(subject, GPU, list(found.values()))
        doubt = silent(found, life.gpus) if may_be_divided(subject.kind) else None
        if doubt is not None and _quiet(life.said.get(GPU), subject, self._now):
            self._say(subject, GPU, Said(Activity.UNKNOWN, None, doubt))

    def _say(self, subject: Subject, signal: str, said: Said) -> None:
        self._asking.life(subject).said[signal] = said
        self.said.setdefault(subject.instance.id, {})[signal] = said


def _metrics(subject: Subject, signals: Sequence[str]) -> list[_Wanted]:
    """Name the metrics that every instance has."""
    dimensions = (("InstanceId", subject.instance.id),)
    found = [
        (signal, Metric("AWS/EC2", name, dimensions, "Sum"))
        for signal in signals
        for name in _COUNTS.get(signal, ())
    ]
    if CPU in signals:
        found.append((CPU, Metric("AWS/EC2", "CPUUtilization", dimensions, "Maximum")))
    return found


def _volume_metrics(subject: Subject) -> list[_Wanted]:
    return [
        (EBS, Metric("AWS/EBS", name, (("VolumeId", volume),), "Sum"))
        for volume in subject.instance.volumes
        for name in _VOLUME_COUNTS
    ]


def _tells_nothing(answer: _Answer, subject: Subject) -> bool:
    """Tell whether the instance has volumes, but no datapoint of EBS of its own: it is not of the Nitro system."""
    return bool(subject.instance.volumes) and not any(answer[EBS])


def _joined(volumes: Sequence[Series | str], network: Sequence[Series | str]) -> list[Series | str]:
    """Fill volumes' series with what the network's show to have been seen.

    A volume that nobody uses has no datapoints (EBS User Guide, "CloudWatch metrics for Amazon EBS").
    """
    seen = dict.fromkeys(network[0], 0.0) if network and not isinstance(network[0], str) else {}
    return [one if isinstance(one, str) else seen | dict(one) for one in volumes]
