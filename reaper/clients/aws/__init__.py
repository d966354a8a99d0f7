"""AWS: one door for every call, by the standard credentials, and a register of what is called.

Nobody else imports botocore. Importing this costs nothing: aiobotocore is imported at the first call.
"""

from reaper.clients.aws.operations import (
    DELETE_APP,
    DESCRIBE_APP,
    GET_CALLER_IDENTITY,
    GET_METRIC_DATA,
    LIST_APPS,
    LIST_TAGS,
    OPERATIONS,
    Operation,
)
from reaper.clients.aws.session import Aws, AwsOptions, Models
from reaper.clients.aws.trimmed import cache_dir

__all__ = [
    "DELETE_APP",
    "DESCRIBE_APP",
    "GET_CALLER_IDENTITY",
    "GET_METRIC_DATA",
    "LIST_APPS",
    "LIST_TAGS",
    "OPERATIONS",
    "Aws",
    "AwsOptions",
    "Models",
    "Operation",
    "cache_dir",
]
