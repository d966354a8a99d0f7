"""Every AWS operation that reaper calls, each once: nothing else can be called.

Three things are made from this: the trimmed service models (`trimmed.py`) hold these operations alone, the IAM
policies of `reaper iam` allow these actions alone, and `Aws` takes nothing but an `Operation`. So none of
them can fall behind the code.
"""

from dataclasses import dataclass

__all__ = [
    "DELETE_APP",
    "DESCRIBE_APP",
    "GET_CALLER_IDENTITY",
    "GET_METRIC_DATA",
    "LIST_APPS",
    "LIST_TAGS",
    "OPERATIONS",
    "Operation",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of one service.

    Attributes:
        service: botocore's name of the service: `sagemaker`, `cloudwatch`.
        name: The operation as AWS calls it: `ListApps`.
        action: What IAM calls it: `sagemaker:ListApps`; empty where it needs no permission.
        resource: The type of resource that IAM lets the permission be limited to (Service Authorization
            Reference): `app`; `*` where it is all or nothing.
        used_for: What needs it: `studio`, `notebook-instance`, `coverage` ... (`reaper iam --for`).
        writes: It changes something: it is sent once, and its errors are `ActionError`s.
        items: Of one that answers in pages: the key of the list.
        absent: Error codes that mean that there is no such thing.
    """

    service: str
    name: str
    action: str
    resource: str = "*"
    used_for: tuple[str, ...] = ()
    writes: bool = False
    items: str = ""
    absent: frozenset[str] = frozenset()


_NO_SUCH_APP = frozenset({"ResourceNotFound", "ResourceNotFoundException"})

LIST_APPS = Operation(
    service="sagemaker",
    name="ListApps",
    action="sagemaker:ListApps",
    used_for=("studio",),
    items="Apps",
)
DESCRIBE_APP = Operation(
    service="sagemaker",
    name="DescribeApp",
    action="sagemaker:DescribeApp",
    resource="app",
    used_for=("studio",),
    absent=_NO_SUCH_APP,
)
DELETE_APP = Operation(
    service="sagemaker",
    name="DeleteApp",
    action="sagemaker:DeleteApp",
    resource="app",
    used_for=("studio",),
    writes=True,
    absent=_NO_SUCH_APP,
)
LIST_TAGS = Operation(
    service="sagemaker",
    name="ListTags",
    action="sagemaker:ListTags",
    resource="app",
    used_for=("studio",),
    items="Tags",
    absent=_NO_SUCH_APP,
)
GET_METRIC_DATA = Operation(
    service="cloudwatch",
    name="GetMetricData",
    action="cloudwatch:GetMetricData",
    used_for=("studio",),
    items="MetricDataResults",
)
GET_CALLER_IDENTITY = Operation(
    service="sts",
    name="GetCallerIdentity",
    action="",  # allowed to everybody, even where a policy denies it (STS API Reference)
    used_for=("studio",),
)

OPERATIONS: tuple[Operation, ...] = (
    LIST_APPS,
    DESCRIBE_APP,
    DELETE_APP,
    LIST_TAGS,
    GET_METRIC_DATA,
    GET_CALLER_IDENTITY,
)
"""All of them. Add yours here: a new one makes a new copy of the trimmed models at the next start."""
