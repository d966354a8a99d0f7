"""SageMaker beside Studio: notebook instances."""

from reaper.clients.sagemaker.fields import instant, text
from reaper.clients.sagemaker.instances import InstanceModel, describe_instance, parse_instance, stop_instance
from reaper.clients.sagemaker.tags import read_tags

__all__ = [
    "InstanceModel",
    "describe_instance",
    "instant",
    "parse_instance",
    "read_tags",
    "stop_instance",
    "text",
]
