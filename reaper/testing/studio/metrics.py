"""CloudWatch's datapoints of a studio."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reaper.testing.aws_wire.cloudwatch import Points, Query, floor, get_metric_data, statistic
from reaper.testing.studio.estate import Place

__all__ = ["Metrics"]

_Key = tuple[Place, str, str, frozenset[tuple[str, str]]]


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
        return get_metric_data(parameters, lambda query, start, end: self._series(place, query, start, end))

    def _series(self, place: Place, query: Query, start: datetime, end: datetime) -> Points:
        periods: dict[datetime, list[float]] = {}
        for at, value in self._points.get((place, query.namespace, query.name, query.dimensions), []):
            begins = floor(at, query.period)
            if start <= begins < end:
                periods.setdefault(begins, []).append(value)
        order = tuple(sorted(periods))
        return Points(order, tuple(statistic(query.stat, periods[begins]) for begins in order))
