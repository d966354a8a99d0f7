"""CloudWatch's operations."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from reaper.testing.aws_wire.cloudwatch import Query, get_metric_data, instant, offset
from reaper.testing.aws_wire.faults import Refusal
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2.fleet import Fleet
from reaper.testing.ec2.metrics import Metric
from reaper.testing.ec2.shard import Shard

__all__ = ["OPERATIONS"]

Answer = dict[str, Any]

PAGE = 500
"""Of ListMetrics (CloudWatch API reference)."""
MOST_STATISTICS = 1440
"""Datapoints in one answer of GetMetricStatistics (the same)."""
_RECENT = timedelta(hours=3)


def metric_data(fleet: Fleet, call: Call) -> Answer:
    """GetMetricData."""
    shard, now, metrics = fleet.shard_of(call), fleet.now(), fleet.metrics
    metrics.asked += len(call.parameters["MetricDataQueries"])
    return get_metric_data(
        call.parameters,
        lambda query, start, end: metrics.points(shard, query, start, end, now),
        metrics.status_of,
    )


def metric_statistics(fleet: Fleet, call: Call) -> Answer:
    """GetMetricStatistics: one metric a call, which is how others ask."""
    shard, now, parameters = fleet.shard_of(call), fleet.now(), call.parameters
    fleet.metrics.asked += 1
    start, end = instant(parameters["StartTime"]), instant(parameters["EndTime"])
    found: dict[datetime, Answer] = {}
    for stat in parameters.get("Statistics", []):
        query = Query(
            id="q",
            label=parameters["MetricName"],
            namespace=parameters["Namespace"],
            name=parameters["MetricName"],
            dimensions=frozenset((one["Name"], one["Value"]) for one in parameters.get("Dimensions", [])),
            period=timedelta(seconds=parameters["Period"]),
            stat=stat,
        )
        points = fleet.metrics.points(shard, query, start, end, now)
        for at, value in zip(points.at, points.values, strict=True):
            found.setdefault(at, {"Timestamp": at})[stat] = value
    if len(found) > MOST_STATISTICS:
        raise Refusal(
            "InvalidParameterCombination",
            f"You have requested up to {len(found)} datapoints, which exceeds the limit of {MOST_STATISTICS}.",
        )
    return {"Label": parameters["MetricName"], "Datapoints": list(found.values())}


def list_metrics(fleet: Fleet, call: Call) -> Answer:
    """ListMetrics: by namespace, name and dimensions, with RecentlyActive those of the last three hours."""
    shard, parameters = fleet.shard_of(call), call.parameters
    asked = repr(sorted((name, value) for name, value in parameters.items() if name != "NextToken"))
    if "NextToken" not in parameters or shard.listing[0] != asked:
        shard.listing = asked, _found(fleet, shard, parameters)  # further pages are of this one listing
    found = shard.listing[1]
    start = offset(parameters.get("NextToken"))
    answer: Answer = {
        "Metrics": [
            {
                "Namespace": metric.namespace,
                "MetricName": metric.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
            }
            for metric in found[start : start + PAGE]
        ]
    }
    if start + PAGE < len(found):
        answer["NextToken"] = f"after-{start + PAGE}"
    return answer


OPERATIONS: dict[str, Callable[[Fleet, Call], Answer]] = {
    "GetMetricData": metric_data,
    "GetMetricStatistics": metric_statistics,
    "ListMetrics": list_metrics,
}


def _found(fleet: Fleet, shard: Shard, parameters: Mapping[str, Any]) -> list[Metric]:
    now = fleet.now()
    found = [
        metric
        for metric in fleet.metrics.all(shard, parameters.get("Namespace", ""))
        if _meets(metric, parameters)
    ]
    if not parameters.get("RecentlyActive"):
        return found
    newest = [fleet.metrics.newest(shard, metric, now) for metric in found]
    return [one for one, at in zip(found, newest, strict=True) if at is not None and at >= now - _RECENT]


def _meets(metric: Metric, parameters: Mapping[str, Any]) -> bool:
    if parameters.get("Namespace", metric.namespace) != metric.namespace:
        return False
    if parameters.get("MetricName", metric.name) != metric.name:
        return False
    own = dict(metric.dimensions)
    return all(
        wanted["Name"] in own and wanted.get("Value", own[wanted["Name"]]) == own[wanted["Name"]]
        for wanted in parameters.get("Dimensions", [])
    )
