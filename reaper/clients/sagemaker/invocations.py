"""When endpoints were last invoked, by CloudWatch.

AWS/SageMaker `Invocations` is counted by endpoint and variant, and only when there is one: a variant that nobody
invokes has no datapoints at all (SageMaker Developer Guide, "Monitor with CloudWatch"). So that there are none says
something where CloudWatch answered completely, and nothing of the last minutes, which it may not have counted yet.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from reaper.clients.aws import GET_METRIC_DATA, Aws
from reaper.errors import SourceMalformed

__all__ = ["Variant", "Window", "last_invocations", "recent", "whole_past"]

MOST_QUERIES = 500
"""In one GetMetricData (CloudWatch API Reference)."""

_AHEAD = timedelta(minutes=5)
"""How far ahead of our clock CloudWatch's may be."""


class Variant(NamedTuple):
    """A production variant of an endpoint."""

    endpoint: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What time is asked about, and how finely.

    Attributes:
        start: From when.
        end: Until when.
        period: Of one datapoint.
    """

    start: datetime
    end: datetime
    period: timedelta


def recent(now: datetime) -> Window:
    """Ask about the last three hours, by five minutes. Pure."""
    return Window(start=_hour(now) - timedelta(hours=3), end=now + _AHEAD, period=timedelta(minutes=5))


def whole_past(now: datetime, days: int = 63) -> Window:
    """Ask about the time before `recent`, by the hour. Pure."""
    end = recent(now).start
    return Window(start=end - timedelta(days=days), end=end, period=timedelta(hours=1))


async def last_invocations(
    aws: Aws, region: str, variants: Iterable[Variant], window: Window
) -> dict[Variant, datetime | str | None]:
    """Ask when each variant was last invoked in a window.

    Returns:
        The end of the last period with an invocation; None: there is none; a text: why that is not known.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`.
    """
    found: dict[Variant, datetime | str | None] = {}
    for batch in _batches(list(variants)):
        queries = [_query(number, variant, window.period) for number, variant in enumerate(batch)]
        results = await aws.pages(
            GET_METRIC_DATA,
            region=region,
            MetricDataQueries=queries,
            StartTime=window.start,
            EndTime=window.end,
        )
        series = _gather(results or ())
        for number, variant in enumerate(batch):
            found[variant] = _last(series.get(f"v{number}"), window.period)
    return found


@dataclass(slots=True)
class _Series:
    status: str = ""
    points: list[tuple[datetime, float]] = field(default_factory=list)


def _batches(variants: Sequence[Variant]) -> Iterator[Sequence[Variant]]:
    for start in range(0, len(variants), MOST_QUERIES):
        yield variants[start : start + MOST_QUERIES]


def _query(number: int, variant: Variant, period: timedelta) -> dict[str, Any]:
    metric = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocations",
        "Dimensions": [
            {"Name": "EndpointName", "Value": variant.endpoint},
            {"Name": "VariantName", "Value": variant.name},
        ],
    }
    return {
        "Id": f"v{number}",
        "MetricStat": {"Metric": metric, "Period": int(period.total_seconds()), "Stat": "Sum"},
    }


def _gather(results: Iterable[object]) -> dict[str, _Series]:
    """Join what several pages say of one query; the last page's status is that of all."""
    found: dict[str, _Series] = {}
    for result in results:
        if not isinstance(result, Mapping) or not isinstance(result.get("Id"), str):
            raise SourceMalformed("GetMetricData: a result names no query")
        series = found.setdefault(result["Id"], _Series())
        series.status = str(result.get("StatusCode", ""))
        series.points += _points(result)
    return found


def _points(result: Mapping[str, Any]) -> list[tuple[datetime, float]]:
    try:
        pairs = list(zip(result.get("Timestamps") or (), result.get("Values") or (), strict=True))
        points = [(at.astimezone(UTC), float(value)) for at, value in pairs]
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise SourceMalformed(f"GetMetricData: can't be read: {error}") from error
    if not all(math.isfinite(value) and value >= 0 for _, value in points):
        raise SourceMalformed("GetMetricData: a number of invocations is none")
    return points


def _last(series: _Series | None, period: timedelta) -> datetime | str | None:
    if series is None:
        return "CloudWatch's answer lacks this variant"
    if series.status != "Complete":
        return f"CloudWatch's answer is not complete ({series.status or 'no StatusCode'})"
    return max((at + period for at, value in series.points if value > 0), default=None)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
