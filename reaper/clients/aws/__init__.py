"""AWS: one door for every call, by the standard credentials, and a register of what is called.

Nobody else imports botocore. Importing this costs nothing: aiobotocore is imported at the first call.
"""

from reaper.clients.aws.operations import (
    ADD_TAGS,
    DELETE_APP,
    DESCRIBE_APP,
    DESCRIBE_NOTEBOOK_INSTANCE,
    GET_CALLER_IDENTITY,
    GET_METRIC_DATA,
    LIST_APPS,
    LIST_DOMAINS,
    LIST_NOTEBOOK_INSTANCE_TAGS,
    LIST_SPACES,
    LIST_TAGS,
    LIST_USER_PROFILES,
    OPERATIONS,
    STOP_NOTEBOOK_INSTANCE,
    Operation,
)
from reaper.clients.aws.session import Aws, AwsOptions, Models
from reaper.clients.aws.trimmed import cache_dir

__all__ = [
    "ADD_TAGS",
    "DELETE_APP",
    "DESCRIBE_APP",
    "DESCRIBE_NOTEBOOK_INSTANCE",
    "GET_CALLER_IDENTITY",
    "GET_METRIC_DATA",
    "LIST_APPS",
    "LIST_DOMAINS",
    "LIST_NOTEBOOK_INSTANCE_TAGS",
    "LIST_SPACES",
    "LIST_TAGS",
    "LIST_USER_PROFILES",
    "OPERATIONS",
    "STOP_NOTEBOOK_INSTANCE",
    "Aws",
    "AwsOptions",
    "Models",
    "Operation",
    "cache_dir",
]
