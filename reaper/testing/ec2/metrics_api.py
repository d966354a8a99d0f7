"""CloudWatch's operations."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from reaper.testing.aws_wire.cloudwatch import get_metric_data, offset
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2.fleet import Fleet
from reaper.testing.ec2.metrics import Metric

__all__ = ["OPERATIONS"]

Answer = dict[str, Any]

PAGE = 500
"""Of ListMetrics (CloudWatch API reference)."""
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


def list_metrics(fleet: Fleet, call: Call) -> Answer:
    """ListMetrics: by namespace, name and dimensions, with RecentlyActive those of the last three hours."""
    shard, now, parameters = fleet.shard_of(call), fleet.now(), call.parameters
    found = [metric for metric in fleet.metrics.all(shard) if _meets(metric, parameters)]
    if parameters.get("RecentlyActive"):
        newest = {metric.key: fleet.metrics.newest(shard, metric, now) for metric in found}
        found = [one for one in found if (at := newest[one.key]) is not None and at >= now - _RECENT]
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
    "ListMetrics": list_metrics,
}


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
