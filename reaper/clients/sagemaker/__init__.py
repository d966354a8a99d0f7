"""SageMaker beside Studio: notebook instances, endpoints and their invocations, jobs."""

from reaper.clients.sagemaker.endpoints import (
    EndpointModel,
    delete_endpoint,
    describe_endpoint,
    describe_types,
    list_endpoints,
    list_hosts_of_components,
    parse_endpoint,
)
from reaper.clients.sagemaker.fields import instant, text
from reaper.clients.sagemaker.instances import InstanceModel, describe_instance, parse_instance, stop_instance
from reaper.clients.sagemaker.invocations import Variant, Window, last_invocations, recent, whole_past
from reaper.clients.sagemaker.jobs import JobModel, list_running_jobs, parse_job, running_job, stop_job
from reaper.clients.sagemaker.tags import read_tags

__all__ = [
    "EndpointModel",
    "InstanceModel",
    "JobModel",
    "Variant",
    "Window",
    "delete_endpoint",
    "describe_endpoint",
    "describe_instance",
    "describe_types",
    "instant",
    "last_invocations",
    "list_endpoints",
    "list_hosts_of_components",
    "list_running_jobs",
    "parse_endpoint",
    "parse_instance",
    "parse_job",
    "read_tags",
    "recent",
    "running_job",
    "stop_instance",
    "stop_job",
    "text",
    "whole_past",
]
