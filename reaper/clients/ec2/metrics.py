"""Metrics that the CloudWatch agent writes of GPUs."""

from reaper.clients.aws import LIST_METRICS, Aws, Metric
from reaper.errors import SourceMalformed

__all__ = ["gpu_metrics"]

NAMESPACE = "CWAgent"
"""The agent's own, where its configuration names no other."""

UTILIZATION = "nvidia_smi_utilization_gpu"


async def gpu_metrics(aws: Aws, region: str, namespace: str = NAMESPACE) -> list[Metric]:
    """List the metrics of GPUs' utilisation, with their dimensions: which those are, the agent's configuration says.

    ListMetrics names what had a datapoint in the last two weeks, and new ones after up to a quarter of an hour
    (CloudWatch API Reference).

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`.
    """
    listed = await aws.pages(LIST_METRICS, region=region, Namespace=namespace, MetricName=UTILIZATION)
    found = []
    for item in listed or ():
        try:
            dimensions = tuple([(str(one["Name"]), str(one["Value"])) for one in item["Dimensions"]])
        except (KeyError, TypeError) as error:
            raise SourceMalformed(f"cloudwatch ListMetrics in {region}: can't be read: {error}") from error
        found.append(Metric(namespace, UTILIZATION, dimensions, "Maximum"))
    return found
