"""Series of CloudWatch, many at a time.

GetMetricData takes 500 queries a call and is paid for by the query ($0.01 for 1,000). It says of each query whether
what it gives is all there is: what is not complete proves nothing.
"""

import asyncio
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from reaper.clients.aws.operations import GET_METRIC_DATA
from reaper.clients.aws.session import Aws
from reaper.errors import CollectError, SourceMalformed

__all__ = ["MOST_QUERIES", "Metric", "Series", "read_metrics"]

MOST_QUERIES = 500
"""In one GetMetricData (CloudWatch API Reference)."""

_AT_ONCE = 4
"""Batches under way at the same time, within what the account and region may have (`Aws.turns`)."""

_LONGEST = 200

_TOO_LATE = "CloudWatch gave no complete answer in time"

Series = Mapping[datetime, float]
"""Datapoints by the instant at which their period begins."""

Key = TypeVar("Key", bound=Hashable)


class Metric(NamedTuple):
    """A metric, and what is asked of it.

    Attributes:
        namespace: `AWS/EC2`.
        name: `CPUUtilization`.
        dimensions: Names and values.
        stat: Of a period: `Maximum`, `Sum` ... Empty where a metric is only named.
    """

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()
    stat: str = ""


async def read_metrics(
    aws: Aws,
    region: str,
    wanted: Mapping[Key, Metric],
    *,
    start: datetime,
    end: datetime,
    period: timedelta,
    until: float | None = None,
) -> dict[Key, Series | str]:
    """Ask for series, all of one time. Each batch is paid for, so what became of one is no matter of another's.

    Args:
        aws: How to ask.
        region: Where.
        wanted: What, by a key of the caller's.
        start: From when; on a full period, else CloudWatch rounds it.
        end: Until when.
        period: Of a datapoint: a minute or a multiple of it.
        until: By when answers must be there, on the event loop's clock; None: however long they take.

    Returns:
        The series by key. A text says why one is not known, or not wholly.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`, where no batch was answered.
        TimeoutError: There was no answer at all by then.
    """
    turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(batch: Sequence[tuple[Key, Metric]]) -> dict[Key, Series | str] | Exception:
        queries = [_query(number, metric, period) for number, (_, metric) in enumerate(batch)]
        try:
            async with asyncio.timeout_at(until), turns:
                results = await aws.pages(
                    GET_METRIC_DATA, region=region, MetricDataQueries=queries, StartTime=start, EndTime=end
                )
                answers = _gather(results or ())
        except (CollectError, TimeoutError) as error:
            return error
        return {key: _series(answers.get(f"v{number}")) for number, (key, _) in enumerate(batch)}

    batches = list(_batches(list(wanted.items())))
    answered = await asyncio.gather(*[ask(batch) for batch in batches])
    found: dict[Key, Series | str] = {}
    for batch, answer in zip(batches, answered, strict=True):
        if isinstance(answer, Exception):
            found |= dict.fromkeys([key for key, _ in batch], str(answer) or _TOO_LATE)
        else:
            found |= answer
    failures = [answer for answer in answered if isinstance(answer, Exception)]
    if failures and len(failures) == len(batches):
        raise failures[0]
    return found


@dataclass(slots=True)
class _Answer:
    status: str = ""
    points: dict[datetime, float] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


def _batches(items: Sequence[tuple[Key, Metric]]) -> Iterator[Sequence[tuple[Key, Metric]]]:
    for start in range(0, len(items), MOST_QUERIES):
        yield items[start : start + MOST_QUERIES]


def _query(number: int, metric: Metric, period: timedelta) -> dict[str, Any]:
    named = {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
    }
    return {
        "Id": f"v{number}",
        "MetricStat": {"Metric": named, "Period": int(period.total_seconds()), "Stat": metric.stat},
    }


def _gather(results: Iterable[object]) -> dict[str, _Answer]:
    """Join what several pages say of one query; the last page's status is that of all."""
    found: dict[str, _Answer] = {}
    for result in results:
        if not isinstance(result, Mapping) or not isinstance(result.get("Id"), str):
            raise SourceMalformed("GetMetricData: a result names no query")
        answer = found.setdefault(result["Id"], _Answer())
        answer.status = str(result.get("StatusCode", ""))
        answer.points.update(_points(result))
        answer.messages += _messages(result)
    return found


def _points(result: Mapping[str, Any]) -> list[tuple[datetime, float]]:
    try:
        pairs = list(zip(result.get("Timestamps") or (), result.get("Values") or (), strict=True))
        points = [(at.astimezone(UTC), float(value)) for at, value in pairs]
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise SourceMalformed(f"GetMetricData: can't be read: {error}") from error
    if not all(math.isfinite(value) and value >= 0 for _, value in points):
        raise SourceMalformed("GetMetricData: a value is no amount")
    return points


def _messages(result: Mapping[str, Any]) -> list[str]:
    said = [one for one in result.get("Messages") or () if isinstance(one, Mapping)]
    return [str(one.get("Value") or one.get("Code") or "") for one in said]


def _series(answer: _Answer | None) -> Series | str:
    if answer is None:
        return "CloudWatch's answer lacks it"
    if answer.status != "Complete":
        why = "; ".join([answer.status or "no StatusCode", *filter(None, answer.messages)])
        return f"CloudWatch's answer is not complete ({why[:_LONGEST]})"
    return answer.points
