"""Every AWS operation that reaper calls, each once: nothing else can be called.

Three things are made from this: the trimmed service models (`trimmed.py`) hold these operations alone, the IAM
policies of `reaper iam` allow these actions alone, and `Aws` takes nothing but an `Operation`. So none of
them can fall behind the code.
"""

from dataclasses import dataclass

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
        carries_out: Which of `REAPER_ACTIONS` it carries out: `studio.delete`; empty where it is no such action. What
            may not be done is not granted either.
        items: Of one that answers in pages: the key of the list.
        absent: Error codes that mean that there is no such thing.
        absent_texts: Beginnings of messages that mean so too: of notebook instances, endpoints and training jobs
            SageMaker says it in a ValidationException, whatever the service model says.
    """

    service: str
    name: str
    action: str
    resource: str = "*"
    used_for: tuple[str, ...] = ()
    writes: bool = False
    carries_out: str = ""
    items: str = ""
    absent: frozenset[str] = frozenset()
    absent_texts: tuple[str, ...] = ()


_NO_SUCH_APP = frozenset({"ResourceNotFound", "ResourceNotFoundException"})

LIST_APPS = Operation(
    service="sagemaker",
    name="ListApps",
    action="sagemaker:ListApps",
    used_for=("studio", "coverage"),
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
    carries_out="studio.delete",
    absent=_NO_SUCH_APP,
)
LIST_TAGS = Operation(
    service="sagemaker",
    name="ListTags",
    action="sagemaker:ListTags",
    resource="app",
    used_for=("studio", "coverage"),
    items="Tags",
    absent=_NO_SUCH_APP,
)
ADD_TAGS = Operation(
    service="sagemaker",
    name="AddTags",
    action="sagemaker:AddTags",
    resource="app",
    used_for=("studio",),  # a reaper reports itself: docs/adr/0007-heartbeat-is-a-tag.md
    writes=True,
)
LIST_DOMAINS = Operation(
    service="sagemaker",
    name="ListDomains",
    action="sagemaker:ListDomains",
    used_for=("coverage",),
    items="Domains",
)
LIST_USER_PROFILES = Operation(
    service="sagemaker",
    name="ListUserProfiles",
    action="sagemaker:ListUserProfiles",
    used_for=("coverage",),
    items="UserProfiles",
)
LIST_SPACES = Operation(
    service="sagemaker",
    name="ListSpaces",
    action="sagemaker:ListSpaces",
    used_for=("coverage",),
    items="Spaces",
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

_NO_SUCH_INSTANCE = ("RecordNotFound",)

DESCRIBE_NOTEBOOK_INSTANCE = Operation(
    service="sagemaker",
    name="DescribeNotebookInstance",
    action="sagemaker:DescribeNotebookInstance",
    resource="notebook-instance",
    used_for=("notebook-instance",),
    absent_texts=_NO_SUCH_INSTANCE,
)
STOP_NOTEBOOK_INSTANCE = Operation(
    service="sagemaker",
    name="StopNotebookInstance",
    action="sagemaker:StopNotebookInstance",
    resource="notebook-instance",
    used_for=("notebook-instance",),
    writes=True,
    carries_out="sagemaker.stop",
    absent_texts=_NO_SUCH_INSTANCE,
)
LIST_NOTEBOOK_INSTANCE_TAGS = Operation(
    service="sagemaker",
    name="ListTags",
    action="sagemaker:ListTags",
    resource="notebook-instance",
    used_for=("notebook-instance",),
    items="Tags",
)

OPERATIONS: tuple[Operation, ...] = (
    LIST_APPS,
    DESCRIBE_APP,
    DELETE_APP,
    LIST_TAGS,
    ADD_TAGS,
    LIST_DOMAINS,
    LIST_USER_PROFILES,
    LIST_SPACES,
    GET_METRIC_DATA,
    GET_CALLER_IDENTITY,
    DESCRIBE_NOTEBOOK_INSTANCE,
    STOP_NOTEBOOK_INSTANCE,
    LIST_NOTEBOOK_INSTANCE_TAGS,
)
"""All of them. Add yours here: a new one makes a new copy of the trimmed models at the next start."""
