"""AWS: one door for every call, by the standard credentials, and a register of what is called.

Nobody else imports botocore. Importing this costs nothing: aiobotocore is imported at the first call.
"""

from reaper.clients.aws.operations import (
    ADD_TAGS,
    DELETE_APP,
    DELETE_ENDPOINT,
    DESCRIBE_APP,
    DESCRIBE_ENDPOINT,
    DESCRIBE_NOTEBOOK_INSTANCE,
    GET_CALLER_IDENTITY,
    GET_METRIC_DATA,
    JOBS,
    LIST_APPS,
    LIST_DOMAINS,
    LIST_ENDPOINT_TAGS,
    LIST_ENDPOINTS,
    LIST_INFERENCE_COMPONENTS,
    LIST_NOTEBOOK_INSTANCE_TAGS,
    LIST_SPACES,
    LIST_TAGS,
    LIST_USER_PROFILES,
    OPERATIONS,
    STOP_NOTEBOOK_INSTANCE,
    JobOperations,
    Operation,
)
from reaper.clients.aws.session import Aws, AwsOptions, Models
from reaper.clients.aws.trimmed import cache_dir

__all__ = [
    "ADD_TAGS",
    "DELETE_APP",
    "DELETE_ENDPOINT",
    "DESCRIBE_APP",
    "DESCRIBE_ENDPOINT",
    "DESCRIBE_NOTEBOOK_INSTANCE",
    "GET_CALLER_IDENTITY",
    "GET_METRIC_DATA",
    "JOBS",
    "LIST_APPS",
    "LIST_DOMAINS",
    "LIST_ENDPOINTS",
    "LIST_ENDPOINT_TAGS",
    "LIST_INFERENCE_COMPONENTS",
    "LIST_NOTEBOOK_INSTANCE_TAGS",
    "LIST_SPACES",
    "LIST_TAGS",
    "LIST_USER_PROFILES",
    "OPERATIONS",
    "STOP_NOTEBOOK_INSTANCE",
    "Aws",
    "AwsOptions",
    "JobOperations",
    "Models",
    "Operation",
    "cache_dir",
]
