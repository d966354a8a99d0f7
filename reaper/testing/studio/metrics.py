"""CloudWatch: datapoints, and GetMetricData over them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from reaper.testing.aws_wire.faults import Refusal, Unsupported
from reaper.testing.studio.estate import Place

__all__ = ["MOST_QUERIES", "Metrics"]

MOST_QUERIES = 500
"""In one GetMetricData (CloudWatch API reference)."""
MOST_DATAPOINTS = 100_800
"""In one answer of GetMetricData (the same)."""
_FINE_PERIODS = frozenset({1, 5, 10, 20, 30})

_Key = tuple[Place, str, str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    id: str
    label: str
    key: _Key
    period: timedelta
    stat: str


class Metrics:
    """Datapoints by metric. Dimensions must match exactly, as CloudWatch has it: no subset finds anything."""

    def __init__(self) -> None:
        self._points: dict[_Key, list[tuple[datetime, float]]] = {}

    def add(
        self,
        place: Place,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        at: datetime,
        value: float,
    ) -> None:
        """Record one datapoint."""
        key = (place, namespace, name, frozenset(dimensions.items()))
        self._points.setdefault(key, []).append((at, value))

    def get(self, place: Place, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Answer GetMetricData.

        Raises:
            Refusal: What CloudWatch refuses, and metric math, which the fake does not know.
        """
        start, end = instant(parameters["StartTime"]), instant(parameters["EndTime"])
        if start >= end:
            raise Refusal(
                "ValidationError", "The parameter StartTime must be less than the parameter EndTime."
            )
        queries = [
            _read(place, query) for query in parameters["MetricDataQueries"] if query.get("ReturnData", True)
        ]
        if len(parameters["MetricDataQueries"]) > MOST_QUERIES:
            raise Refusal(
                "ValidationError",
                f"The collection MetricDataQueries must not have a size greater than {MOST_QUERIES}.",
            )
        ascending = parameters.get("ScanBy") == "TimestampAscending"
        most = parameters.get("MaxDatapoints", MOST_DATAPOINTS)
        skip = _offset(parameters.get("NextToken"))
        results, room, more = [], most, False
        for query in queries:
            series = self._series(query, start, end)
            series = series if ascending else series[::-1]
            shown = series[skip : skip + room]
            skip = max(0, skip - len(series))
            room -= len(shown)
            whole = len(shown) == len(series) or room > 0
            more = more or not whole
            results.append(_result(query, shown, complete=whole))
        answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
        if more:
            answer["NextToken"] = f"after-{_offset(parameters.get('NextToken')) + most}"
        return answer

    def _series(self, query: _Query, start: datetime, end: datetime) -> list[tuple[datetime, float]]:
        periods: dict[datetime, list[float]] = {}
        for at, value in self._points.get(query.key, []):
            begins = _floor(at, query.period)
            if start <= begins < end:
                periods.setdefault(begins, []).append(value)
        return [(begins, _statistic(query.stat, periods[begins])) for begins in sorted(periods)]


def instant(value: object) -> datetime:
    """Read an instant as the protocols write it: seconds since 1970, RFC 3339, or CBOR's own."""
    match value:
        case datetime():
            return value.astimezone(UTC)
        case int() | float():
            return datetime.fromtimestamp(value, UTC)
        case _:
            return datetime.fromisoformat(str(value)).astimezone(UTC)


def _read(place: Place, query: Mapping[str, Any]) -> _Query:
    if "MetricStat" not in query:
        raise Unsupported("the fake knows no metric math: ask for a MetricStat")
    stat, metric = query["MetricStat"], query["MetricStat"]["Metric"]
    period = stat["Period"]
    if period not in _FINE_PERIODS and period % 60:
        raise Refusal(
            "ValidationError", f"Period must be 1, 5, 10, 20, 30 or a multiple of 60, not {period}."
        )
    dimensions = frozenset((part["Name"], part["Value"]) for part in metric.get("Dimensions", []))
    return _Query(
        id=query["Id"],
        label=query.get("Label", metric["MetricName"]),
        key=(place, metric["Namespace"], metric["MetricName"], dimensions),
        period=timedelta(seconds=period),
        stat=stat["Stat"],
    )


def _statistic(stat: str, values: list[float]) -> float:
    match stat:
        case "Sum":
            return math.fsum(values)
        case "Average":
            return math.fsum(values) / len(values)
        case "Maximum":
            return max(values)
        case "Minimum":
            return min(values)
        case "SampleCount":
            return float(len(values))
        case _:
            raise Unsupported(f"the fake knows no statistic {stat}")


def _result(query: _Query, series: list[tuple[datetime, float]], *, complete: bool) -> dict[str, Any]:
    return {
        "Id": query.id,
        "Label": query.label,
        "Timestamps": [at for at, _ in series],
        "Values": [float(value) for _, value in series],
        "StatusCode": "Complete" if complete else "PartialData",
    }


def _floor(at: datetime, period: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (at - epoch) // period * period


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    prefix, _, number = token.partition("-")
    if prefix != "after" or not number.isdecimal():
        raise Refusal("InvalidNextToken", "The next token is not valid.")
    return int(number)
