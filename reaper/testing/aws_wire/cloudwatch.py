"""CloudWatch's GetMetricData: queries read, refused as CloudWatch refuses them, and answered in pages."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from reaper.testing.aws_wire.faults import Refusal, Unsupported

__all__ = ["MOST_QUERIES", "Points", "Query", "floor", "get_metric_data", "instant", "offset", "statistic"]

MOST_QUERIES = 500
"""In one GetMetricData (CloudWatch API reference)."""
MOST_DATAPOINTS = 100_800
"""In one answer of GetMetricData (the same)."""
_FINE_PERIODS = frozenset({1, 5, 10, 20, 30})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Points:
    """Datapoints, the oldest first.

    Attributes:
        at: When each period begins.
        values: Of each period.
    """

    at: tuple[datetime, ...] = ()
    values: tuple[float, ...] = ()

    def part(self, skip: int, count: int, *, ascending: bool) -> "Points":
        """Cut out datapoints, counted from the oldest or from the newest."""
        step = 1 if ascending else -1
        return Points(self.at[::step][skip : skip + count], self.values[::step][skip : skip + count])


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One MetricDataQuery.

    Attributes:
        id: The caller's name of it.
        label: For people.
        namespace: Of the metric.
        name: Of the metric.
        dimensions: Of the metric: they must match exactly, no subset finds anything.
        period: Of its datapoints.
        stat: `Maximum`, `Sum` ...
    """

    id: str
    label: str
    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    period: timedelta
    stat: str


def get_metric_data(
    parameters: Mapping[str, Any],
    points: Callable[[Query, datetime, datetime], Points],
    status: Callable[[Query], str] = lambda _: "Complete",
) -> dict[str, Any]:
    """Answer GetMetricData.

    Args:
        parameters: As they were sent.
        points: Gives a query's datapoints of a time.
        status: The StatusCode of a query whose datapoints are all there.

    Raises:
        Refusal: What CloudWatch refuses, and metric math, which the fake does not know.
    """
    asked = parameters["MetricDataQueries"]
    start, end = instant(parameters["StartTime"]), instant(parameters["EndTime"])
    if start >= end:
        raise Refusal("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    if len(asked) > MOST_QUERIES:
        raise Refusal(
            "ValidationError",
            f"The collection MetricDataQueries must not have a size greater than {MOST_QUERIES}.",
        )
    if len({query["Id"] for query in asked}) < len(asked):
        raise Refusal("ValidationError", "The values for parameter id in MetricDataQueries are not unique.")
    queries = [_read(query) for query in asked if query.get("ReturnData", True)]
    ascending = parameters.get("ScanBy") == "TimestampAscending"
    most = parameters.get("MaxDatapoints", MOST_DATAPOINTS)
    skip = offset(parameters.get("NextToken"))
    results, room, more = [], most, False
    for query in queries:
        series = points(query, start, end)
        shown = series.part(skip, room, ascending=ascending)
        skip = max(0, skip - len(series.at))
        room -= len(shown.at)
        whole = len(shown.at) == len(series.at) or room > 0
        more = more or not whole
        results.append(_result(query, shown, status(query) if whole else "PartialData"))
    answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
    if more:
        answer["NextToken"] = f"after-{offset(parameters.get('NextToken')) + most}"
    return answer


def instant(value: object) -> datetime:
    """Read an instant as the protocols write it: seconds since 1970, RFC 3339, or CBOR's own."""
    match value:
        case datetime():
            return value.astimezone(UTC)
        case int() | float():
            return datetime.fromtimestamp(value, UTC)
        case _:
            return datetime.fromisoformat(str(value)).astimezone(UTC)


def floor(at: datetime, period: timedelta) -> datetime:
    """Give the begin of the period that an instant is in: periods count from 1970."""
    return _EPOCH + (at - _EPOCH) // period * period


def statistic(stat: str, values: Sequence[float]) -> float:
    """Sum up the values of a period."""
    match stat:
        case "Sum":
            return math.fsum(values)
        case "Average":
            return math.fsum(values) / len(values)
        case "Maximum":
            return float(max(values))
        case "Minimum":
            return float(min(values))
        case "SampleCount":
            return float(len(values))
        case _:
            raise Unsupported(f"the fake knows no statistic {stat}")


def offset(token: str | None) -> int:
    """Read a token of ours.

    Raises:
        Refusal: It is none.
    """
    if token is None:
        return 0
    prefix, _, number = token.partition("-")
    if prefix != "after" or not number.isdecimal():
        raise Refusal("InvalidNextToken", "The next token is not valid.")
    return int(number)


def _read(query: Mapping[str, Any]) -> Query:
    if "MetricStat" not in query:
        raise Unsupported("the fake knows no metric math: ask for a MetricStat")
    stat, metric = query["MetricStat"], query["MetricStat"]["Metric"]
    period = stat["Period"]
    if period not in _FINE_PERIODS and period % 60:
        raise Refusal(
            "ValidationError", f"Period must be 1, 5, 10, 20, 30 or a multiple of 60, not {period}."
        )
    return Query(
        id=query["Id"],
        label=query.get("Label", metric["MetricName"]),
        namespace=metric["Namespace"],
        name=metric["MetricName"],
        dimensions=frozenset((part["Name"], part["Value"]) for part in metric.get("Dimensions", [])),
        period=timedelta(seconds=period),
        stat=stat["Stat"],
    )


def _result(query: Query, series: Points, status: str) -> dict[str, Any]:
    return {
        "Id": query.id,
        "Label": query.label,
        "Timestamps": series.at,
        "Values": series.values,
        "StatusCode": status,
    }
