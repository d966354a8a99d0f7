"""EC2: instances, their types, what protects them, what they do, and what may be done to them."""

from reaper.clients.aws import Metric, Series, read_metrics
from reaper.clients.ec2.acts import cancel_spot_request, may, stop, tag, terminate
from reaper.clients.ec2.instances import (
    LIVE,
    describe_instances,
    describe_types,
    forget_types,
    persistent_requests,
    protection,
)
from reaper.clients.ec2.metrics import gpu_metrics
from reaper.clients.ec2.models import InstanceModel, Protection, TypeModel, parse_instance, parse_type

__all__ = [
    "LIVE",
    "InstanceModel",
    "Metric",
    "Protection",
    "Series",
    "TypeModel",
    "cancel_spot_request",
    "describe_instances",
    "describe_types",
    "forget_types",
    "gpu_metrics",
    "may",
    "parse_instance",
    "parse_type",
    "persistent_requests",
    "protection",
    "read_metrics",
    "stop",
    "tag",
    "terminate",
]
